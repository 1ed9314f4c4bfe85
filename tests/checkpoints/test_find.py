"""What others saved is found and told apart; what cannot be read safely is refused, with the way out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from outside import TINY, save_adapter

from secura_bench.checkpoints.find import find_checkpoint
from secura_bench.foundation.errors import BenchError


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_adapter(tmp_path_factory.mktemp("outside") / "lora", steps=1)


@pytest.fixture
def mine(adapter: Path, tmp_path: Path) -> Path:
    """Return a copy of an adapter, to be spoilt."""
    return shutil.copytree(adapter, tmp_path / "mine")


def test_an_adapter_and_a_whole_model_are_told_apart(adapter: Path) -> None:
    found = find_checkpoint(str(adapter))
    assert (found.label, found.base, found.folder.path) == ("lora", str(TINY), adapter)
    assert found.adapter is not None and found.adapter["peft_type"] == "LORA"
    whole = find_checkpoint(str(TINY))
    assert whole.adapter is None and whole.folder == find_checkpoint("tiny").folder
    assert whole.base is None


def test_the_identity_is_of_what_decides_the_numbers(mine: Path, adapter: Path) -> None:
    (mine / "README.md").write_text("another card")
    (mine / "trainer_state.json").write_text("{}")
    assert find_checkpoint(str(mine)).folder.identity == find_checkpoint(str(adapter)).folder.identity
    config = json.loads((mine / "adapter_config.json").read_text())
    (mine / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 1}))
    assert find_checkpoint(str(mine)).digest != find_checkpoint(str(adapter)).digest


def refusal(folder: Path | str) -> str:
    with pytest.raises(BenchError) as error:
        find_checkpoint(str(folder))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_pickles_are_refused(mine: Path, tmp_path: Path) -> None:
    (mine / "adapter_model.safetensors").rename(mine / "adapter_model.bin")
    said = refusal(mine)
    assert "a pickle (adapter_model.bin)" in said and "adapter_model.safetensors" in said
    whole = shutil.copytree(TINY, tmp_path / "whole")
    (whole / "model.safetensors").rename(whole / "pytorch_model.bin")
    assert "a pickle (pytorch_model.bin)" in refusal(whole)


def test_code_of_its_own_is_refused(tmp_path: Path) -> None:
    whole = shutil.copytree(TINY, tmp_path / "whole")
    config = json.loads((whole / "config.json").read_text())
    strange = {**config, "model_type": "strange", "auto_map": {"AutoModelForCausalLM": "modeling.Strange"}}
    (whole / "config.json").write_text(json.dumps(strange))
    (whole / "modeling.py").write_text("raise SystemExit('it was run')\n")
    assert "code of its own (auto_map), which is never run" in refusal(whole)


def test_what_is_no_checkpoint_is_refused_with_what_was_meant(mine: Path, tmp_path: Path) -> None:
    empty = tmp_path / "out"
    empty.mkdir()
    assert "holds neither adapter_config.json nor config.json. Name the folder" in refusal(empty)
    mine.rename(empty / "checkpoint-60")
    assert f"Did you mean {str(empty / 'checkpoint-60')!r}?" in refusal(empty)
    assert "is a file" in refusal(empty / "checkpoint-60" / "README.md")
    assert f"Did you mean {str(empty)!r}?" in refusal(tmp_path / "outt")
    shutil.copy(TINY / "model.safetensors", empty / "checkpoint-60")
    assert "an adapter (adapter_config.json) and a whole model" in refusal(empty / "checkpoint-60")


def test_half_saved_ones_are_refused(mine: Path, tmp_path: Path) -> None:
    (mine / "adapter_model.safetensors").unlink()
    assert "no adapter_model.safetensors" in refusal(mine)
    (mine / "adapter_config.json").write_text("{")
    (mine / "adapter_model.safetensors").touch()
    assert "adapter_config.json: cannot be read as JSON" in refusal(mine)
    (mine / "adapter_config.json").write_text("{}")
    assert "names no peft_type" in refusal(mine)
    whole = shutil.copytree(TINY, tmp_path / "whole")
    (whole / "model.safetensors").unlink()
    assert "neither model.safetensors nor model.safetensors.index.json" in refusal(whole)
