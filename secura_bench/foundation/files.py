"""Files written so that nothing is ever half there."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` beside ``path`` and rename it there, so that a reader meets the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with beside.open("x", encoding="utf-8") as stream:  # of the mode that the umask says: tempfile's is 0600
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors to a safetensors file and make the system put it on the disk.

    Raises:
        OSError: The disk refuses; safetensors has an error of its own for that.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(dict(tensors), path)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)|code: (\d+)", str(error))  # the second in older ones
        if number is None:
            raise
        code = int(number[1] or number[2])
        raise OSError(code, os.strerror(code), str(path)) from None
    open_as_its_folder(path)
    sync(path)


def open_as_its_folder(path: Path) -> None:
    """Let those read and write a file who may read and write its folder: safetensors leaves it to the owner alone."""
    path.chmod(path.parent.stat().st_mode & 0o666)


def sync(path: Path) -> None:
    """Make the system write a file, or a folder's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def to_json(value: Any) -> str:
    """Return ``value`` as JSON, the same text for the same value."""
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n"
