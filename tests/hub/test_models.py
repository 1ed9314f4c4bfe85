"""Of a model, what is small comes first and the weights last; what is not read is not fetched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest
from huggingface_hub import snapshot_download

from hub.box import STRANGER, Box, Fault, Repository
from hub.repositories import model_files
from secura_bench.foundation.errors import DataError
from secura_bench.hub import asking, cache
from secura_bench.models import load
from secura_bench.models.load import fetch_weights, find_model, load_model, load_tokenizer, shapes_in

COMMIT = "a" * 40
SHARDS = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
TOKENIZER = ["config.json", "generation_config.json", "model.safetensors.index.json", "tokenizer.json"]
TOKENIZER += ["tokenizer_config.json"]


@pytest.fixture
def served(serve) -> Callable[..., Box]:
    """Return what serves the sharded Llama as ``some/llama``, with files changed or (None) left out."""

    def open_box(**changes: bytes | None) -> Box:
        files = {**model_files("llama", "llama3-8b"), **changes}
        return serve([Repository("model", "some/llama", COMMIT, {k: v for k, v in files.items() if v is not None})])

    return open_box


def test_what_is_small_comes_first(served) -> None:
    box = served()
    model = find_model("some/llama", fetch="config")
    assert box.fetched() == ["config.json"]
    with pytest.raises(DataError, match="some/llama is not on this machine, but for its configuration"):
        load_tokenizer(find_model("some/llama", fetch="nothing"))
    model = find_model("some/llama", fetch="tokenizer")
    assert box.fetched() == TOKENIZER
    assert load_tokenizer(model).eos_token == "<|eot_id|>"
    assert shapes_in(model).config.hidden_size == 256
    assert (model.label, model.identity, model.hub) == ("llama", f"some/llama@{COMMIT}", "some/llama")
    load_model(model)
    assert box.fetched() == [*TOKENIZER, *SHARDS]  # neither original/ nor what is for people
    assert find_model("some/llama") == model
    assert box.fetched() == [*TOKENIZER, *SHARDS]


def test_a_model_of_the_cache_needs_no_hub(served, monkeypatch) -> None:
    box = served()
    model = find_model("some/llama", fetch="tokenizer")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    requests = len(box.log)
    assert find_model("some/llama", fetch="nothing") == find_model("some/llama", fetch="tokenizer") == model
    with pytest.raises(DataError, match=r"model-00001-of-00003.safetensors and 2 more is not in the cache"):
        fetch_weights(model)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    fetch_weights(model)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    load_model(find_model("some/llama"))
    assert len(box.log) == requests + 3


@pytest.mark.parametrize("tree", [True, False])
def test_a_model_that_another_program_fetched_is_read_offline(tree: bool, served, monkeypatch) -> None:
    box = served()
    wanted = ["*.json", "*.safetensors"]
    snapshot_download("some/llama", allow_patterns=wanted, cache_dir=cache.cache_folder(), endpoint=box.url)
    if not tree:  # as older libraries leave it
        shutil.rmtree(cache.Repository("model", "some/llama").folder / "trees")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = find_model("some/llama")
    assert model.identity == f"some/llama@{COMMIT}"
    load_model(model)


def test_while_the_hub_is_away_the_cache_has_the_commit(served, monkeypatch, capsys) -> None:
    box = served()
    model = find_model("some/llama")
    monkeypatch.setattr(asking, "_SEEN", asking._Seen())
    box.faults = [Fault("/", status=503)]
    assert find_model("some/llama") == model
    assert model.identity.endswith(COMMIT)


def test_a_damaged_shard_is_refused(served) -> None:
    served()
    model = find_model("some/llama")
    shard = (model.path / SHARDS[1]).resolve()
    content = bytearray(shard.read_bytes())
    content[-5] ^= 0xFF
    shard.write_bytes(content)
    with pytest.raises(DataError, match=rf"model some/llama: {SHARDS[1]} of .* is damaged .* rm {shard}$"):
        load_model(model)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"config.json": None}, "it has no config.json"),
        (
            {"model.safetensors.index.json": None, "pytorch_model.bin": b"pickled"},
            r"its weights are pickles alone \(pytorch_model.bin\), which can run any code",
        ),
        ({"model.safetensors.index.json": None}, "it has neither model.safetensors nor model.safetensors.index.json"),
    ],
)
def test_what_is_no_model_is_refused_before_it_is_fetched(changes: dict, said: str, served) -> None:
    box = served(**changes)
    with pytest.raises(DataError, match=f"model some/llama: cannot be fetched: {said}"):
        find_model("some/llama", fetch="tokenizer")
    assert box.fetched() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tokenizer.json": b"{}"}, "model 'llama': its tokenizer cannot be loaded: "),
        ({"config.json": b"{"}, "config.json: cannot be read as a configuration: "),
        ({"config.json": b'{"model_type": "of-tomorrow"}'}, "config.json: cannot be read as a configuration: "),
        ({SHARDS[0]: b"not weights"}, "model 'llama': cannot be loaded from "),
        ({"model.safetensors.index.json": b"[]"}, "index.json: cannot be read as an index of weights"),
        (
            {"model.safetensors.index.json": json.dumps({"weight_map": {"a": "gone.safetensors"}}).encode()},
            "its model.safetensors.index.json names gone.safetensors, which is not there",
        ),
    ],
)
def test_what_cannot_be_loaded_is_one_line(changes: dict, said: str, served) -> None:
    served(**changes)
    with pytest.raises(DataError, match=said) as error:
        model = find_model("some/llama", fetch="tokenizer")
        shapes_in(model)
        load_tokenizer(model)
        load_model(model)
    assert "\n" not in str(error.value)


def test_weights_that_are_not_there_are_not_drawn(tmp_path) -> None:
    from safetensors.torch import load, save

    for name, content in model_files("qwen2", "qwen2-1.5b").items():
        if name == "model.safetensors":
            tensors = load(content)
            tensors.pop("model.layers.1.mlp.up_proj.weight")
            content = save(tensors, {"format": "pt"})
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"lacks model.layers.1.mlp.up_proj.weight, which would be"):
        load_model(find_model(str(tmp_path)))


def test_a_preset_is_believed_until_its_configuration_is_here(serve, monkeypatch) -> None:
    preset = load.presets()["llama3-8b"]
    assert load.shape_of("llama3-8b").hidden == 4096
    box = serve([Repository("model", preset.hub, preset.revision, model_files("llama", "llama3-8b"), gated=True)])
    monkeypatch.setenv("HF_TOKEN", STRANGER)
    assert not load.learn_shape("llama3-8b")  # and whoever needs the model says why
    monkeypatch.setenv("HF_TOKEN", "hf_member")
    assert load.learn_shape("llama3-8b")
    assert not load.learn_shape("llama3-8b")
    assert set(box.fetched()) == {"config.json"}
    assert load.shape_of("llama3-8b").hidden == 256
    assert cache.Repository("model", preset.hub).snapshot(preset.revision).is_dir()
