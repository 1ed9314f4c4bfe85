"""An adapter that does not belong to the base is refused on shapes alone; one that does nothing is said so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import random_llama
from outside import configuration, save_adapter, untouched
from safetensors.torch import load_file, save_file

from secura_bench.checkpoints.adapter import check_adapter, put_on
from secura_bench.checkpoints.find import find_checkpoint
from secura_bench.foundation.errors import DataError
from secura_bench.models.load import find_model, shapes_in

KINDS = ("lora", "dora", "ia3", "vera", "pissa")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    for kind in KINDS:
        save_adapter(folder / kind, kind, steps=2)
    return folder


def check(folder: Path, label: str = "tiny", shapes: Any = None) -> tuple[str, ...]:
    return check_adapter(find_checkpoint(str(folder)), label, shapes or shapes_in(find_model("tiny")))


def spoilt(out: Path, tmp_path: Path, kind: str = "lora", **tensors: Any) -> Path:
    """Return a copy of an adapter with tensors of other values, or (None) without them."""
    folder = shutil.copytree(out / kind, tmp_path / kind, dirs_exist_ok=True)
    own = load_file(folder / "adapter_model.safetensors")
    own.update(tensors)
    kept = {name: tensor for name, tensor in own.items() if tensor is not None}
    save_file(kept, folder / "adapter_model.safetensors")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(load_file(folder / "adapter_model.safetensors"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_one_is_accepted_without_a_word(out: Path, kind: str) -> None:
    assert check(out / kind) == ()


def refusal(folder: Path, label: str = "tiny", shapes: Any = None) -> str:
    with pytest.raises(DataError) as error:
        check(folder, label, shapes)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_another_base_is_refused_by_its_shapes_and_names(out: Path) -> None:
    said = refusal(out / "lora", "other", random_llama())
    assert "does not fit the base other" in said and "and the base wants (" in said and "--base" in said
    from transformers import GPT2Config, GPT2LMHeadModel

    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4))
    assert "does not fit the base gpt2" in refusal(out / "lora", "gpt2", gpt2)


def test_keys_that_no_module_takes_and_keys_that_lack_are_refused(out: Path, tmp_path: Path) -> None:
    first = names(out / "lora")[0]
    strange = first.replace("layers.0.", "layers.77.")
    said = refusal(spoilt(out, tmp_path, **{strange: torch.zeros(4, 128)}))
    assert "holds, and no module takes, base_model" in said and "layers.77" in said
    said = refusal(spoilt(out, tmp_path, **{strange: None, first: None}))
    assert "adapter_model.safetensors: lacks base_model" in said


def test_numbers_that_are_none_are_refused(out: Path, tmp_path: Path) -> None:
    first = names(out / "lora")[0]
    folder = spoilt(out, tmp_path, **{first: torch.full((4, 128), torch.nan)})
    assert f"{first} holds NaN or infinity" in refusal(folder)
    (folder / "adapter_model.safetensors").write_bytes(b"{}")
    assert "cannot be read" in refusal(folder)


@pytest.mark.parametrize(("kind", "part", "value"), [("lora", "lora_B", 0), ("vera", "lambda_b", 0), ("ia3", "ia3", 1)])
def test_one_that_moves_nothing_is_named(out: Path, tmp_path: Path, kind: str, part: str, value: int) -> None:
    own = load_file(out / kind / "adapter_model.safetensors")
    start = {name: torch.full_like(tensor, value) for name, tensor in own.items() if part in name}
    folder = spoilt(out, tmp_path, kind, **start)
    (note,) = check(folder)
    assert "never moved from its start" in note
    model, _ = untouched()
    ids = torch.arange(40)[None] + 5
    plain = model(input_ids=ids).logits
    assert torch.equal(put_on(find_checkpoint(str(folder)), "tiny", model)(input_ids=ids).logits, plain)


def test_a_dora_of_zeros_may_have_moved_its_magnitudes(out: Path, tmp_path: Path) -> None:
    own = load_file(out / "dora" / "adapter_model.safetensors")
    zero = {name: torch.zeros_like(tensor) for name, tensor in own.items() if "lora_B" in name}
    assert check(spoilt(out, tmp_path, "dora", **zero)) == ()


def test_a_base_of_another_name_is_named(out: Path, tmp_path: Path) -> None:
    folder = spoilt(out, tmp_path)
    config = json.loads((folder / "adapter_config.json").read_text())
    for named, expected in (("org/TINY", 0), ("/home/a/models/tiny/", 0), (None, 0), ("org/other-model", 1)):
        (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": named}))
        notes = check(folder)
        assert len(notes) == expected, named
    assert "names the base org/other-model, and it is scored on tiny" in notes[0]


def test_kinds_that_are_not_scored_are_refused(out: Path, tmp_path: Path) -> None:
    folder = spoilt(out, tmp_path)
    config = json.loads((folder / "adapter_config.json").read_text())
    for changes, said in (
        ({"peft_type": "PROMPT_TUNING"}, "virtual tokens"),
        ({"task_type": "SEQ_CLS"}, "no causal language model's"),
        ({"peft_type": "NO_SUCH"}, "does not fit"),
    ):
        (folder / "adapter_config.json").write_text(json.dumps({**config, **changes}))
        assert said in refusal(folder)


def test_files_that_change_under_the_command_are_refused(out: Path, tmp_path: Path) -> None:
    folder = spoilt(out, tmp_path)
    found = find_checkpoint(str(folder))
    spoilt(out, tmp_path, **{names(folder)[0]: torch.ones(4, 128)})
    with pytest.raises(DataError, match="has changed since this command began"):
        put_on(found, "tiny", untouched()[0])


def test_what_is_put_on_is_what_peft_loads(out: Path) -> None:
    from peft import PeftModel

    ids = torch.arange(40)[None] + 5
    for kind in KINDS:
        ours = put_on(find_checkpoint(str(out / kind)), "tiny", untouched()[0])
        theirs = PeftModel.from_pretrained(untouched()[0], out / kind).eval()
        assert torch.equal(ours(input_ids=ids).logits, theirs(input_ids=ids).logits), kind
        assert not any(parameter.requires_grad for parameter in ours.parameters())
        assert type(ours.peft_config["default"]) is type(configuration(kind))
