"""Adapters and models that others published on the Hub: what is needed is fetched, pickles never."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from outside import save_adapter

from hub.box import Box, Repository
from hub.repositories import model_files
from secura_bench.checkpoints.find import find_checkpoint
from secura_bench.foundation.errors import DataError

COMMIT = "b" * 40


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of a published adapter, as a trainer pushes them."""
    folder = save_adapter(tmp_path_factory.mktemp("outside") / "lora", steps=1)
    saved = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {**saved, "training_args.bin": b"a pickle", "optimizer.pt": b"a pickle", ".gitattributes": b""}


@pytest.fixture
def published(serve: Callable[..., Box], files: dict[str, bytes]) -> Callable[..., Box]:
    """Return what serves the adapter as ``some/adapter``, with files changed or (None) left out."""

    def open_box(**changes: bytes | None) -> Box:
        kept = {name: each for name, each in {**files, **changes}.items() if each is not None}
        return serve([Repository("model", "some/adapter", COMMIT, kept)])

    return open_box


def test_an_adapter_of_the_hub_is_that_of_its_folder(published: Callable[..., Box], tmp_path: Path) -> None:
    box = published()
    found = find_checkpoint("some/adapter")
    assert box.fetched() == ["adapter_config.json", "adapter_model.safetensors"]
    assert found.label == "some/adapter" and found.adapter is not None
    folder = save_adapter(tmp_path / "lora", steps=1)
    assert find_checkpoint(str(folder)).folder.identity == found.folder.identity  # by content, wherever it lies
    assert find_checkpoint("some/adapter") == found
    assert box.fetched() == ["adapter_config.json", "adapter_model.safetensors"]


def test_pickles_of_the_hub_are_refused_and_not_fetched(published: Callable[..., Box]) -> None:
    box = published(**{"adapter_model.safetensors": None, "adapter_model.bin": b"a pickle"})
    with pytest.raises(DataError, match=r"its weights are pickles alone .*a revision with adapter_model.safetensors"):
        find_checkpoint("some/adapter")
    assert box.fetched() == []


def test_an_adapter_without_weights_or_with_a_model_beside_is_refused(published: Callable[..., Box]) -> None:
    missing = dict.fromkeys(("adapter_model.safetensors", "training_args.bin", "optimizer.pt"))
    published(**missing)
    with pytest.raises(DataError, match=r"adapter some/adapter: .*no adapter_model.safetensors"):
        find_checkpoint("some/adapter")


def test_a_whole_model_of_the_hub_waits_with_its_weights(serve: Callable[..., Box]) -> None:
    box = serve([Repository("model", "some/llama", COMMIT, model_files("llama", "llama3-8b"))])
    found = find_checkpoint("some/llama")
    assert found.adapter is None and found.folder.identity == f"some/llama@{COMMIT}"
    assert not any(name.endswith(".safetensors") for name in box.fetched())


def test_what_the_hub_does_not_have_is_said(serve: Callable[..., Box]) -> None:
    serve([])
    with pytest.raises(DataError, match=r"adapter some/nothing: cannot be fetched: .*no such model"):
        find_checkpoint("some/nothing")
