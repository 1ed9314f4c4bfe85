"""Model folders that are not what they say: refused in one line, before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import SPEC, secura_bench
from safetensors.torch import load_file, save_file
from zoo import build, write

from secura_bench.foundation.errors import DataError
from secura_bench.models.load import find_model, load_model, shape_of, shapes_of

Tensors = dict[str, torch.Tensor]


@pytest.mark.parametrize("name", ["llama-tied", "gemma3-vision", "gpt2", "mamba"])
def test_a_whole_folder_is_loaded_as_it_is(tmp_path: Path, name: str) -> None:
    loaded, built = load_model(find_model(str(write(name, tmp_path / name)))), build(name)
    assert all(torch.equal(tensor, built.state_dict()[key]) for key, tensor in loaded.state_dict().items())


def _prefixed(tensors: Tensors) -> Tensors:
    return {f"base_model.model.{name}": tensor for name, tensor in tensors.items()}


def _without(*parts: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {k: tensor for k, tensor in tensors.items() if not any(part in k for part in parts)}


def _with(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Tensors], Tensors]:
    name = "model.layers.1.mlp.up_proj.weight"
    return lambda tensors: {**tensors, name: change(tensors[name].clone())}


def _no_number(value: float) -> Callable[[Tensors], Tensors]:
    return _with(lambda tensor: tensor.index_fill(0, torch.tensor([3]), value))


def _and(*names: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, **{name: torch.ones(4, 4) for name in names}}


def _twice(old: str, new: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, **{k.replace(old, new, 1): t.clone() for k, t in tensors.items() if old in k}}


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_and("model.layers.0.self_attn.q_proj.lora_A.weight"), "q_proj.lora_A.weight, which no module of the model"),
        (_and("model.layers.0.self_attn.q_proj.bias"), "q_proj.bias, which no module"),
        (_and("model.layers.0.mlp.up_proj.weight_scale"), "up_proj.weight_scale, which no module"),
        (_twice("layers.1.", "layers.7."), "layers.7.mlp.gate_proj.weight and 6 more, which no module"),
        (_twice("", "base_model."), "and 17 more, which no module"),
        (_prefixed, "It holds base_model.model."),
        (_without("layers.1."), "lacks model.layers.1.input_layernorm.weight and 8 more"),
        (_without("embed_tokens"), "lacks lm_head.weight and 1 more"),
        (_with(lambda tensor: tensor[:-1]), "another shape"),
        (_no_number(float("nan")), "holds NaN or infinity: model.layers.1.mlp.up_proj.weight"),
        (_no_number(float("inf")), "holds NaN or infinity: model.layers.1.mlp.up_proj.weight"),
    ],
)
def test_weights_that_are_not_the_models(tmp_path: Path, damage: Callable[[Tensors], Tensors], says: str) -> None:
    folder = _write_with(tmp_path / "m", damage)
    with pytest.raises(DataError, match=r"model 'm'") as refusal:
        load_model(find_model(folder))
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


def _write_with(folder: Path, change: Callable[[Tensors], Tensors]) -> str:
    file = write("llama-tied", folder) / "model.safetensors"
    save_file({name: t.contiguous() for name, t in change(load_file(file)).items()}, file, metadata={"format": "pt"})
    return str(folder)


def test_buffers_that_a_model_makes_itself_are_told_and_not_read(tmp_path: Path) -> None:
    said: list[str] = []
    names = [f"model.layers.{i}.self_attn.{name}" for i in (0, 1) for name in ("masked_bias", "position_ids")]
    loaded = load_model(find_model(_write_with(tmp_path / "m", _and(*names))), tell=said.append)
    assert all(torch.equal(t, build("llama-tied").state_dict()[key]) for key, t in loaded.state_dict().items())
    assert len(said) == 1 and said[0].endswith(f"{', '.join(sorted(names)[:3])} and 1 more")


def test_a_record_tells_of_buffers_that_were_not_read(tmp_path: Path) -> None:
    folder = _write_with(tmp_path / "m", _and("model.layers.0.self_attn.masked_bias"))
    (tmp_path / "spec.yaml").write_text(SPEC.replace("model: tiny", f"model: {folder}"))
    run = secura_bench("run", "spec.yaml", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    records = [json.loads(path.read_text()) for path in (tmp_path / "results").rglob("record.json")]
    assert records and all(any("masked_bias" in note for note in record["notes"]) for record in records)


@pytest.mark.parametrize("change", [_twice("embed_tokens", "x"), _and("model.rotary_emb.inv_freq")])
def test_what_transformers_knows_of_is_not_told(tmp_path: Path, change: Callable[[Tensors], Tensors]) -> None:
    """A tied head that is stored too, and the rotary frequencies of older files."""

    def stored(tensors: Tensors) -> Tensors:
        return {key.replace("model.x.weight", "lm_head.weight"): t for key, t in change(tensors).items()}

    said: list[str] = []
    load_model(find_model(_write_with(tmp_path / "m", stored)), tell=said.append)
    assert said == []


def test_weights_that_change_within_a_command(tmp_path: Path) -> None:
    folder = write("llama-tied", tmp_path / "m")
    found = find_model(str(folder))
    load_model(found)
    file = folder / "model.safetensors"
    save_file({name: -tensor for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})
    with pytest.raises(DataError, match="has changed since"):
        load_model(found)
    assert find_model(str(folder)).identity != found.identity


CONFIGS = {
    "empty": (b"", "cannot be read as a configuration: it is empty"),
    "cut": (b'{"model_type": "llama"', "is no JSON"),
    "a list": (b"[1, 2]", "holds a list"),
    "no UTF-8": (b'{"model_type": "ll\xff"}', "is no UTF-8"),
    "too deep": (b"[" * 100_000 + b"]" * 100_000, "nested too deep"),
    "no type": (b"{}", "model_type: None"),
    "a type that is none": (b'{"model_type": [1]}', "model_type: [1]"),
    "an unknown type": (b'{"model_type": "llamas"}', "'llamas' is unknown"),
    "code of its own": (b'{"model_type": "mine", "auto_map": {"AutoConfig": "x.Y"}}', "never run"),
    "an encoder": (b'{"model_type": "vit"}', "no causal language model"),
    "an encoder-decoder": (b'{"model_type": "t5", "is_encoder_decoder": true}', "is_encoder_decoder"),
}
CHANGES = {
    "zero heads": ({"num_attention_heads": 0}, "num_attention_heads: 0 is no size"),
    "negative layers": ({"num_hidden_layers": -1}, "num_hidden_layers: -1"),
    "a size in words": ({"hidden_size": "big"}, "hidden_size: 'big'"),
    "half a vocabulary": ({"vocab_size": 10.5}, "vocab_size: 10.5"),
    "an unknown activation": ({"hidden_act": "sigh"}, "sigh"),
    "sizes that do not fit the weights": ({"hidden_size": 64, "head_dim": 8}, "another shape"),
}


def _refused(tmp_path: Path, folder: Path, says: str) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC.replace("model: tiny", f"model: {folder}"))
    run = secura_bench("run", "spec.yaml", cwd=tmp_path)
    assert run.returncode and says in run.stderr and "Traceback" not in run.stderr, run.stderr
    if says != "another shape":  # a plan does not read the weights
        plan = secura_bench("run", "spec.yaml", "--dry-run", cwd=tmp_path)
        told = " ".join((plan.stdout + plan.stderr).split())
        assert says in told and "Traceback" not in told, told


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_configuration_that_is_none(tmp_path: Path, kind: str) -> None:
    text, says = CONFIGS[kind]
    folder = write("llama", tmp_path / "m")
    (folder / "config.json").write_bytes(text)
    _refused(tmp_path, folder, says)


@pytest.mark.parametrize("kind", CHANGES)
def test_a_configuration_with_a_wrong_value(tmp_path: Path, kind: str) -> None:
    change, says = CHANGES[kind]
    folder = write("llama", tmp_path / "m")
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    _refused(tmp_path, folder, says)


def test_a_size_that_is_left_out_is_transformers_own(tmp_path: Path) -> None:
    folder = write("llama", tmp_path / "m")
    file = folder / "config.json"
    config = json.loads(file.read_text())
    del config["intermediate_size"]
    file.write_text(json.dumps(config))
    assert shape_of(str(folder)) is None
    assert shapes_of(str(folder)).config.intermediate_size == 11008
