"""Where a repository of the Hub lies in the cache that the Hub's libraries share.

``<cache>/models--OWNER--NAME/`` holds ``blobs`` (contents, named by their hash), ``snapshots/<commit>`` (a commit's
files, as links to blobs), ``refs`` (the commit that a branch was at) and ``trees`` (all files of a commit).
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from secura_bench.foundation.files import write_atomically

_COMMIT = re.compile("[0-9a-f]{40}")
_WORDS = {"model": "model", "dataset": "data set"}


def cache_folder() -> Path:
    """Return the folder of the Hub's cache, as its libraries have it (``HF_HOME``, ``HF_HUB_CACHE``)."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser()


def is_commit(revision: str) -> bool:
    """Return whether a revision is a whole commit, which always means the same."""
    return _COMMIT.fullmatch(revision) is not None


@dataclass(frozen=True)
class Repository:
    """A repository of the Hub: its kind and id."""

    kind: Literal["model", "dataset"]
    id: str

    @property
    def words(self) -> str:
        """Kind and id as a person reads them."""
        return f"{_WORDS[self.kind]} {self.id}"

    @property
    def place(self) -> str:
        """The repository's path on the Hub's site."""
        return self.id if self.kind == "model" else f"datasets/{self.id}"

    @property
    def folder(self) -> Path:
        """The repository's folder in the cache, there or not."""
        return cache_folder() / f"{self.kind}s--{self.id.replace('/', '--')}"

    def snapshot(self, commit: str) -> Path:
        """Return the folder of a commit's files, there or not."""
        return self.folder / "snapshots" / commit

    def blob(self, name: str) -> Path:
        """Return the file that holds the content of this hash, there or not."""
        return self.folder / "blobs" / name

    def remembered(self, revision: str) -> str | None:
        """Return the commit that a branch or tag was at when the Hub was last asked, None where it never was."""
        if is_commit(revision):
            return revision
        try:
            commit = (self.folder / "refs" / revision).read_text(encoding="utf-8").strip()
        except OSError:
            return None
        return commit if is_commit(commit) else None

    def remember(self, revision: str, commit: str) -> None:
        """Write down which commit a branch or tag is at; a cache that cannot be written remembers nothing."""
        if revision != commit and self.remembered(revision) != commit:
            with contextlib.suppress(OSError):
                write_atomically(self.folder / "refs" / revision, commit)
