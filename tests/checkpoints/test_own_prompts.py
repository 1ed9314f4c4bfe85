"""Another tokenizer or chat template than the base's is named, and used only where that is asked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import SPEC
from outside import TINY, save_adapter, untouched

from secura_bench.checkpoints.find import find_checkpoint
from secura_bench.checkpoints.own_prompts import differences_of
from secura_bench.data.chat import ChatFormat
from secura_bench.foundation.errors import BenchError
from secura_bench.plan.make import Plan, make_plan
from secura_bench.spec.load import load_spec

OTHER = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}"


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_adapter(tmp_path_factory.mktemp("outside") / "lora", steps=1)


@pytest.fixture
def mine(adapter: Path, tmp_path: Path) -> Path:
    """Return an adapter with the base's own tokenizer beside it, as trainers save it."""
    folder = shutil.copytree(adapter, tmp_path / "mine")
    untouched()[1].save_pretrained(folder)
    return folder


def differences(folder: Path) -> tuple[str, ...]:
    return differences_of(find_checkpoint(str(folder)), ChatFormat(untouched()[1]))


def plan(folder: Path, tmp_path: Path, **options: Any) -> Plan:
    spec = {**yaml.safe_load(SPEC), "methods": [{"name": "checkpoint", "path": str(folder), "label": "x", **options}]}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    return make_plan(load_spec(str(tmp_path / "spec.yaml")))


def notes(made: Plan) -> tuple[str, ...]:
    loads = made.runs[1].loads
    return loads.notes_for(("tiny_group",)) if loads else ()


def test_the_bases_own_is_no_difference(mine: Path, adapter: Path, tmp_path: Path) -> None:
    tokenizer = untouched()[1]
    tokenizer.padding_side = "left"  # of how somebody trained, and of no prompt
    tokenizer.model_max_length = 77
    tokenizer.save_pretrained(mine)
    assert differences(mine) == differences(adapter) == ()
    assert notes(plan(mine, tmp_path)) == notes(plan(adapter, tmp_path)) == ()


def test_each_difference_is_named(mine: Path) -> None:
    tokenizer = untouched()[1]
    tokenizer.chat_template = OTHER
    tokenizer.save_pretrained(mine)
    assert differences(mine) == ("chat template",)
    tokenizer.add_tokens(["<mine>"])
    tokenizer.eos_token = "<mine>"
    tokenizer.save_pretrained(mine)
    size = len(untouched()[1])
    vocabulary, end, template = differences(mine)
    assert vocabulary == f"vocabulary ({size + 1} tokens; the base's has {size})"
    assert end.startswith("end of sequence ('<mine>'") and template == "chat template"
    whole = json.loads((TINY / "tokenizer.json").read_text())
    whole["normalizer"] = {"type": "Lowercase"}
    untouched()[1].save_pretrained(mine)
    (mine / "tokenizer.json").write_text(json.dumps(whole))
    assert differences(mine) == ("tokenizer (it takes text apart in another way)",)


def test_prompts_are_the_bases_unless_the_spec_says_own(mine: Path, tmp_path: Path) -> None:
    base = plan(mine, tmp_path)
    tokenizer = untouched()[1]
    tokenizer.chat_template = OTHER
    tokenizer.save_pretrained(mine)
    silent, own = plan(mine, tmp_path), plan(mine, tmp_path, template="own")
    (note,) = notes(silent)
    assert "differ from the base's: chat template. Prompts are made with the base's" in note
    assert silent.runs[1].fingerprint == base.runs[1].fingerprint and silent.inputs_of(silent.runs[1]) is silent.inputs
    (note,) = notes(own)
    assert "Prompts are made with its own" in note
    mine_, theirs = own.inputs_of(own.runs[1]), own.inputs_of(own.runs[0])
    assert theirs is own.inputs and own.runs[0].fingerprint == base.runs[0].fingerprint
    assert mine_.chat.prompt_text(mine_.test["tiny_group"][0].row).startswith("[system] ")
    assert own.runs[1].fingerprint != silent.runs[1].fingerprint


def test_own_wants_a_tokenizer_and_of_several_checkpoints_one(adapter: Path, mine: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"method 'x': .* holds no tokenizer, which `template: own` asks for"):
        plan(adapter, tmp_path, template="own")
    (mine / "tokenizer.json").write_text("{")
    with pytest.raises(BenchError, match="its tokenizer cannot be loaded"):
        plan(mine, tmp_path)
    other = shutil.copytree(adapter, tmp_path / "other")
    tokenizer = untouched()[1]
    tokenizer.save_pretrained(mine)
    tokenizer.chat_template = OTHER
    tokenizer.save_pretrained(other)
    after = {"tiny_group": str(mine), "tiny_count": str(other)}
    spec = {**yaml.safe_load(SPEC), "tasks": list(after), "methods": [{"name": "checkpoint", "after": after}]}
    spec["methods"][0] |= {"label": "x", "template": "own"}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    with pytest.raises(BenchError, match="their tokenizers differ; give each an entry of its own"):
        make_plan(load_spec(str(tmp_path / "spec.yaml")))


def test_a_whole_model_of_another_vocabulary_is_named(tmp_path: Path) -> None:
    model, tokenizer = untouched()
    rows = model.get_input_embeddings().weight.shape[0]
    model.resize_token_embeddings(rows + 8)
    model.save_pretrained(tmp_path / "larger")
    tokenizer.save_pretrained(tmp_path / "larger")
    assert notes(plan(tmp_path / "larger", tmp_path)) == (
        f"larger: its vocabulary has {rows + 8} rows, and the base's {rows}",
    )
    smaller, tokenizer = untouched()
    smaller.resize_token_embeddings(200)
    smaller.save_pretrained(tmp_path / "smaller")
    with pytest.raises(BenchError, match=r"method 'x': model 'smaller': its tokenizer gives token .* has 200 rows"):
        plan(tmp_path / "smaller", tmp_path)
