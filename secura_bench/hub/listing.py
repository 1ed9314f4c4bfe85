"""What a repository holds: the commit that a revision stands for, and the files of a commit."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from secura_bench.foundation.files import write_atomically
from secura_bench.hub.asking import endpoint, get_pages, is_offline
from secura_bench.hub.cache import Repository, is_commit
from secura_bench.hub.errors import HubAwayError, HubError, HubOfflineError
from secura_bench.hub.voice import say

_BLOB = re.compile("[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True)
class Entry:
    """A file of a commit: its path, its size in bytes, and its content's name in ``blobs``.

    The name is the content's SHA-256 for large kinds of files, for others the SHA-1 that git has for it; None where
    only the file itself is known.
    """

    path: str
    size: int
    blob: str | None


@dataclass(frozen=True)
class Listing:
    """A commit's files, sorted by path; not ``whole`` are those that the cache has, which says of no others."""

    entries: tuple[Entry, ...]
    whole: bool

    def lacking(self, what: str) -> HubError:
        """Return the error that ``what``, a sentence such as "it has no …", is so: on the Hub, or in the cache."""
        if self.whole:
            return HubError(what)
        return HubAwayError(f"{what} That is so in the cache; the Hub was not asked, or does not answer.")


_RESOLVED: dict[tuple[str, Path, str], str] = {}
"""What branches were at when this process asked: one command reads one commit, and asks once."""


def resolve(repository: Repository, revision: str | None = None) -> str:
    """Return the commit that a revision (the default branch without one) stands for today.

    A commit stands for itself. While the Hub is away or must not be asked, a branch is where it was last seen.

    Raises:
        HubAwayError: It is away, and the branch was never seen. HubError: It has no such repository or revision.
    """
    named = revision or "main"
    if is_commit(named):
        return named
    known = repository.remembered(named)
    if is_offline():
        if known:
            return known
        raise HubOfflineError("HF_HUB_OFFLINE is set, and it is not in the cache.")
    key = (endpoint(), repository.folder, named)
    if key not in _RESOLVED:
        _RESOLVED[key] = _ask_for_commit(repository, named, known)
    return _RESOLVED[key]


def _ask_for_commit(repository: Repository, named: str, known: str | None) -> str:
    try:
        answer = next(get_pages(repository, f"revision/{named.replace('/', '%2F')}", named))
    except HubAwayError as error:
        if known is None:
            raise
        say(f"{error} {repository.words} is taken from the cache, as {named!r} was last seen: {known[:10]}.")
        return known
    commit = answer.get("sha") if isinstance(answer, dict) else None
    if not isinstance(commit, str) or not is_commit(commit):
        raise HubError(f"{endpoint()} does not say which commit {named!r} is; is it a Hub? (HF_ENDPOINT)")
    repository.remember(named, commit)
    return commit


def files_of(repository: Repository, commit: str) -> Listing:
    """Return the files of a commit: as the Hub lists them, or those that the cache has of it where it is away.

    Raises:
        HubAwayError: The Hub is away and the cache has nothing of the commit. HubError: It has no such commit.
    """
    if known := _read_tree(repository, commit):
        return Listing(known, whole=True)
    if is_offline():
        if here := _in_cache(repository, commit):
            return Listing(here, whole=False)
        raise HubOfflineError("HF_HUB_OFFLINE is set, and it is not in the cache.")
    try:
        pages = list(get_pages(repository, f"tree/{commit}?recursive=true", commit))
    except HubAwayError:
        if here := _in_cache(repository, commit):
            return Listing(here, whole=False)
        raise
    listed = [each for page in pages for each in page if each.get("type") == "file"]
    entries = tuple(sorted(map(_entry, listed), key=lambda entry: entry.path))
    _write_tree(repository, commit, listed)
    return Listing(entries, whole=True)


def _entry(answer: Mapping[str, Any]) -> Entry:
    large = answer.get("lfs") or {}
    return _safe(Entry(answer["path"], large.get("size", answer["size"]), large.get("oid") or answer["oid"]))


def _safe(entry: Entry) -> Entry:
    """Return the entry, if its names can be used as names of files below a folder, and be shown."""
    parts = PurePosixPath(entry.path).parts
    elsewhere = not parts or "\\" in entry.path or ".." in parts or parts[0] == "/"
    if elsewhere or not entry.path.isprintable() or not _BLOB.fullmatch(str(entry.blob)):
        raise HubError(f"it lists a file that cannot be one: {entry.path!r} ({entry.blob}).")
    return entry


def _in_cache(repository: Repository, commit: str) -> tuple[Entry, ...]:
    """Return the files that the cache has of a commit, whoever fetched them."""
    folder = repository.snapshot(commit)
    return tuple(Entry(name, path.stat().st_size, blob_name(path)) for name, path in _below(folder))


def _below(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path


def blob_name(path: Path) -> str | None:
    """Return the name in ``blobs`` of a snapshot's file, None where it is no link to one."""
    name = path.resolve().name
    return name if path.is_symlink() and _BLOB.fullmatch(name) else None


# The Hub's own library keeps a commit's tree in this form and reads ours: each is spared the other's requests.


def _tree_file(repository: Repository, commit: str) -> Path:
    return repository.folder / "trees" / f"{commit}.json"


def _read_tree(repository: Repository, commit: str) -> tuple[Entry, ...] | None:
    try:
        tree = json.loads(_tree_file(repository, commit).read_text(encoding="utf-8"))
        if tree["format_version"] != 1:
            return None
        files = tree["files"].items()
        return tuple(
            _safe(Entry(path, about.get("lfs_size") or about["size"], about.get("lfs_sha256") or about["blob_id"]))
            for path, about in sorted(files)
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, HubError):
        return None  # none, another form, or damaged: it can be asked for again


def _write_tree(repository: Repository, commit: str, entries: list[dict[str, Any]]) -> None:
    files = {}
    for entry in entries:
        files[entry["path"]] = about = {"size": entry["size"], "blob_id": entry["oid"]}
        if large := entry.get("lfs"):
            about |= {"lfs_sha256": large["oid"], "lfs_size": large["size"]}
        if "xetHash" in entry:
            about["xet_hash"] = entry["xetHash"]
    with contextlib.suppress(OSError):  # a cache that cannot be written: it is asked for again
        write_atomically(
            _tree_file(repository, commit), json.dumps({"format_version": 1, "files": dict(sorted(files.items()))})
        )
