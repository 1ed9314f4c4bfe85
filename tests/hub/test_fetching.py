"""Files come into the cache once: only those asked for, on from where they stopped, and none that is damaged."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock
from huggingface_hub import snapshot_download, try_to_load_from_cache

from hub.box import Box, Fault, Repository, git_name
from secura_bench.foundation.errors import StoppedEarly
from secura_bench.hub import asking, cache, fetching
from secura_bench.hub.errors import DamagedError, HubError, HubOfflineError
from secura_bench.hub.fetching import fetch
from secura_bench.hub.listing import files_of

COMMIT = "a" * 40
WEIGHTS = bytes(range(256)) * 4000
FILES = {"config.json": b'{"a": 1}', "model.safetensors": WEIGHTS, "empty.txt": b"", "below/other.bin": b"o" * 99}
MODEL = cache.Repository("model", "some/model")
WEIGHTS_NAME = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture
def box(serve) -> Box:
    """Return the box, at the end of which the cache is empty still."""
    return serve([Repository("model", "some/model", COMMIT, FILES)], page=2)


def bring(*paths: str) -> Path:
    """Fetch files as the bench does."""
    entries = files_of(MODEL, COMMIT).entries
    return fetch(MODEL, COMMIT, [entry for entry in entries if not paths or entry.path in paths])


def library(box: Box) -> Path:
    """Fetch all files as the Hub's own library does."""
    return Path(snapshot_download("some/model", revision=COMMIT, cache_dir=cache.cache_folder(), endpoint=box.url))


def test_what_is_asked_for_is_fetched_and_no_more(box: Box) -> None:
    folder = bring("config.json", "empty.txt")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "empty.txt"]
    assert box.fetched() == ["config.json", "empty.txt"]
    bring()
    assert box.fetched() == ["config.json", "empty.txt", "below/other.bin", "model.safetensors"]
    requests = len(box.log)
    bring()
    assert len(box.log) == requests  # nothing is asked twice, the listing neither
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES


def test_the_cache_is_that_of_the_hubs_libraries(box: Box, monkeypatch) -> None:
    folder = bring("config.json")
    root = cache.cache_folder()
    assert try_to_load_from_cache("some/model", "config.json", cache_dir=root, revision=COMMIT)
    assert library(box) == folder  # and they go on from ours
    requests = len(box.log)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for tree in (MODEL.folder / "trees").iterdir():  # an older library keeps none
        tree.unlink()
    assert {entry.path for entry in files_of(MODEL, COMMIT).entries} == set(FILES)
    assert bring() == folder
    assert len(box.log) == requests


def test_offline_what_is_missing_is_named(box: Box, monkeypatch) -> None:
    bring("config.json")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    bring("config.json")
    with pytest.raises(HubOfflineError, match=r"below/other.bin and 2 more is not in the cache"):
        bring()


@pytest.mark.parametrize("fault", [{"cut": 300_000}, {"status": 503}, {"status": 429, "headers": {"Retry-After": "0"}}])
def test_a_download_goes_on_where_it_stopped(fault: dict, box: Box) -> None:
    box.faults = [Fault("model.safetensors", 2, method="GET", **fault)]
    assert (bring("model.safetensors") / "model.safetensors").read_bytes() == WEIGHTS


def test_a_download_that_was_given_up_goes_on(box: Box, monkeypatch, capsys) -> None:
    monkeypatch.setattr(asking, "TRIES", 1)
    box.faults = [Fault("model.safetensors", cut=300_000)]
    with pytest.raises(HubError, match=r"hung up"):
        bring("model.safetensors")
    box.faults = []
    sent: list[str] = []
    opened = fetching.opened
    monkeypatch.setattr(
        fetching, "opened", lambda url, refusal, headers: sent.append(headers) or opened(url, refusal, headers)
    )
    bring("model.safetensors")
    assert sent == [{"Range": "bytes=300000-"}]
    assert capsys.readouterr().err.count("fetching model some/model: 1.0 MB") == 2


@pytest.mark.parametrize("path", ["config.json", "model.safetensors"])
def test_what_arrives_damaged_is_fetched_again_once(path: str, box: Box, capsys) -> None:
    box.faults = [Fault(path, 1, flip=True)]
    assert (bring(path) / path).read_bytes() == FILES[path]
    assert f"{path} arrived damaged" in capsys.readouterr().err
    (bring(path) / path).resolve().unlink()
    box.faults = [Fault(path, flip=True)]
    with pytest.raises(HubError, match=f"{path} arrived damaged .* twice: something between"):
        bring(path)
    assert not list((MODEL.folder / "blobs").iterdir())


@pytest.mark.parametrize(
    ("path", "name"), [("config.json", git_name(FILES["config.json"])), ("model.safetensors", WEIGHTS_NAME)]
)
@pytest.mark.parametrize("known", [False, True])
def test_a_file_that_is_damaged_in_the_cache_is_refused(path: str, name: str, known: bool, box: Box) -> None:
    library(box)
    if known:
        bring()  # found sound, and changed since
    blob = MODEL.blob(name)
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(content)
    os.utime(blob, (1, 1))
    with pytest.raises(DamagedError, match=rf"{path} of model some/model is damaged .* fetches it anew: rm .*{name}$"):
        bring()
    blob.unlink()  # as the message says
    assert (bring() / path).read_bytes() == FILES[path]


def test_a_file_is_checked_once(box: Box, monkeypatch) -> None:
    library(box)
    bring()
    monkeypatch.setattr(fetching, "check", lambda *words: pytest.fail("is read again"))
    bring()


def test_a_disk_without_room_is_said_before(box: Box, monkeypatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(HubError, match=r"it takes 1.0 MB, and 1.0 kB are free at .* HF_HOME names another place"):
        bring()
    assert box.fetched() == []


def test_a_disk_that_fills_is_said(box: Box, monkeypatch) -> None:
    def full(part: Path, *words: object, **more: object) -> None:
        raise OSError(28, "No space left on device", str(part))

    monkeypatch.setattr(fetching, "_finish", full)
    with pytest.raises(StoppedEarly, match=r"No space left on device. The Hub's cache .* goes on from here"):
        bring("config.json")


def test_who_comes_second_waits(box: Box, capsys) -> None:
    place = cache.cache_folder() / ".locks" / MODEL.folder.name / f"{WEIGHTS_NAME}.lock"
    place.parent.mkdir(parents=True)
    held = threading.Event()

    def another() -> None:
        with FileLock(place):
            held.set()
            time.sleep(0.5)

    thread = threading.Thread(target=another)
    thread.start()
    held.wait()
    bring("model.safetensors")
    thread.join()
    assert "another process fetches model.safetensors of model some/model; waiting for it" in capsys.readouterr().err
