"""A disk that is full: safetensors' own error becomes the system's."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError

from secura_bench.foundation.files import save_tensors

NEWER = "Error while serializing: I/O error: No space left on device (os error 28)"
OLDER = 'Error while serializing: IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })'


@pytest.mark.parametrize("said", [NEWER, OLDER], ids=["newer", "older"])
def test_a_full_disk_is_the_systems_error(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> None:
        raise SafetensorError(said)

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="No space left") as raised:
        save_tensors({"a": torch.zeros(1)}, tmp_path / "a")
    assert raised.value.errno == errno.ENOSPC and raised.value.filename == str(tmp_path / "a")


def test_another_error_stays_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*given: object) -> None:
        raise SafetensorError("Some tensors share memory")

    monkeypatch.setattr(safetensors.torch, "save_file", wrong)
    with pytest.raises(SafetensorError, match="share memory"):
        save_tensors({"a": torch.zeros(1)}, tmp_path / "a")


@pytest.mark.parametrize("mode", [0o755, 0o700, 0o775])
def test_who_may_read_a_folder_may_read_its_tensors(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)
    save_tensors({"a": torch.zeros(1)}, folder / "a")
    assert (folder / "a").stat().st_mode & 0o777 == mode & 0o666
