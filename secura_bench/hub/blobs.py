"""Whether a file of the cache is what it is named after: checked once, and remembered."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from secura_bench.foundation.files import write_atomically
from secura_bench.hub.cache import Repository
from secura_bench.hub.errors import DamagedError

BLOCK = 1 << 22  # bytes that are read at a time


def digest_for(name: str, size: int) -> Any:
    """Return the hash, still to be fed, that names a content of ``size`` bytes as ``name`` is named."""
    if len(name) == 64:
        return hashlib.sha256()
    git = hashlib.sha1(usedforsecurity=False)
    git.update(b"blob %d\0" % size)
    return git


def check(
    repository: Repository, path: str, blob: Path, name: str, read: Callable[[int], None] = lambda count: None
) -> None:
    """Read a file of the cache and compare it with the hash it is named after; ``read`` is told how far it is.

    Raises:
        DamagedError: It is another; the message has the command that removes it.
    """
    digest = digest_for(name, blob.stat().st_size)
    with blob.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            read(len(block))
    if digest.hexdigest() != name:
        raise DamagedError(
            f"{path} of {repository.words} is damaged in the cache: its content is not the one it is named after "
            f"({name[:10]}…, found {digest.hexdigest()[:10]}…). {way_out(blob)}"
        )


def way_out(blob: Path) -> str:
    """Return how to be rid of a damaged file, as a sentence."""
    return f"Delete it, and the next run fetches it anew: rm {shlex.quote(str(blob))}"


class Checked:
    """Which files of a repository's cache were found sound, by name, size and time of their last change."""

    def __init__(self, repository: Repository) -> None:
        self._file = repository.folder / "secura_bench_checked.json"
        self._known = self._read()

    def __contains__(self, blob: Path) -> bool:
        return self._known.get(blob.name) == _state(blob)

    def add(self, *blobs: Path) -> None:
        """Remember that files are sound; a cache that cannot be written remembers nothing, and is read again."""
        if not blobs:
            return
        # Another process may have added to it meanwhile.
        self._known = {**self._read(), **{blob.name: _state(blob) for blob in blobs}}
        with contextlib.suppress(OSError):
            write_atomically(self._file, json.dumps(self._known))

    def _read(self) -> dict[str, list[int]]:
        try:
            known = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


def _state(blob: Path) -> list[int]:
    status = blob.stat()
    return [status.st_size, status.st_mtime_ns]
