"""The files of a Hub data set that hold a task's rows, and those rows: no other file is fetched."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from secura_bench.foundation.errors import DataError
from secura_bench.foundation.wording import sentence_of
from secura_bench.hub.blobs import check, way_out
from secura_bench.hub.cache import Repository
from secura_bench.hub.errors import HubError
from secura_bench.hub.fetching import fetch
from secura_bench.hub.listing import Entry, Listing, blob_name, files_of, resolve
from secura_bench.tasks.file import HubSource
from secura_bench.tasks.files.records import read_records

_CARD = "README.md"
_OURS = (".parquet", ".jsonl")
_THEIRS = {".json": "json", ".csv": "csv", ".tsv": "csv", ".txt": "text"}
"""Kinds of files that are not read here but by ``datasets``, which tells numbers from texts, and its name for them."""
_PACKED = (".gz", ".zst", ".bz2", ".xz")


def hub_records(source: HubSource) -> tuple[Iterator[Mapping[str, Any]], str]:
    """Return the raw rows of a data set's split, in its order, and the commit that they are of.

    The files are here when this returns; rows are read as they are asked for. With ``files`` as a mapping, a row has
    the key of its file as ``file``.

    Raises:
        HubError: The Hub refuses or is away, the data set has no such files, or one is damaged.
    """
    repository = Repository("dataset", source.path)
    commit = resolve(repository, source.revision)
    listing = files_of(repository, commit)
    labelled = _chosen(source.files, listing) if source.files else _of_split(repository, commit, listing, source)
    folder = fetch(repository, commit, list(dict.fromkeys(entry for _, entry in labelled)))
    return _rows(repository, folder, labelled), commit


def _chosen(files: Mapping[str, str] | Sequence[str] | str, listing: Listing) -> list[tuple[str | None, Entry]]:
    """Return the files that patterns name, in the patterns' order and then by path, each with its label."""
    if isinstance(files, str):
        patterns: list[tuple[str | None, str]] = [(None, files)]
    elif isinstance(files, Mapping):
        patterns = list(files.items())
    else:
        patterns = [(None, pattern) for pattern in files]
    found: list[tuple[str | None, Entry]] = []
    for label, pattern in patterns:
        matching = [(label, entry) for entry in listing.entries if matches(entry.path, pattern)]
        if not matching:
            raise listing.lacking(f"it has no file {pattern!r}. {_there_is(pattern, listing.entries)}")
        found += matching
    return found


def matches(path: str, pattern: str) -> bool:
    """Return whether a path is one that ``pattern`` stands for; ``*`` stands for part of one name, not for folders."""
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _there_is(pattern: str, entries: Sequence[Entry]) -> str:
    """Return which files of rows there are beside one that is missing, as a sentence."""
    folder = pattern.rpartition("/")[0]
    rows = [entry.path for entry in entries if _holds_rows(entry.path)]
    near = [path for path in rows if path.rpartition("/")[0] == folder] or rows
    more = f" and {len(near) - 5} more" if len(near) > 5 else ""
    return f"There are {', '.join(near[:5])}{more}." if near else "It has no file of rows (parquet, JSON, CSV)."


def _of_split(
    repository: Repository, commit: str, listing: Listing, source: HubSource
) -> list[tuple[str | None, Entry]]:
    """Return the files of a configuration's split, by the rules of ``datasets``: the card's, else the files' names.

    It is asked about a folder that has the same files, without their contents.
    """
    import datasets

    with tempfile.TemporaryDirectory() as empty:
        folder = Path(empty) / PurePosixPath(repository.id).name
        for entry in listing.entries:
            if _holds_rows(entry.path):
                (folder / entry.path).parent.mkdir(parents=True, exist_ok=True)
                (folder / entry.path).touch()
        cards = [entry for entry in listing.entries if entry.path == _CARD]
        for entry in cards:
            (folder / entry.path).write_bytes((fetch(repository, commit, cards) / entry.path).read_bytes())
        try:
            builder = datasets.load_dataset_builder(str(folder), source.config, cache_dir=f"{empty}/cache")
            splits = builder.config.data_files or {}
        except Exception as error:  # whatever the library raises: it finds no such configuration, or no rows
            raise listing.lacking(sentence_of(error).replace(str(folder), repository.id)) from None
        if source.split not in splits:
            raise listing.lacking(f"it has no split {source.split!r}, but {', '.join(map(str, splits)) or 'none'}.")
        root = folder.resolve()
        paths = [Path(path).resolve().relative_to(root).as_posix() for path in splits[source.split]]
    by_path = {entry.path: entry for entry in listing.entries}
    return [(None, by_path[path]) for path in paths]


def _rows(
    repository: Repository, folder: Path, labelled: Sequence[tuple[str | None, Entry]]
) -> Iterator[Mapping[str, Any]]:
    for label, entry in labelled:
        own = {} if label is None else {"file": label}
        try:
            for fields in _read(folder / entry.path):
                yield {**fields, **own}
        except DataError as error:
            raise _unreadable(repository, folder / entry.path, entry, error) from None


def _holds_rows(path: str) -> bool:
    """Return whether a file is of a kind that rows are read from."""
    return PurePosixPath(path).suffix in _OURS or _kind(path) in _THEIRS


def _kind(path: str) -> str:
    """Return the suffix that says what a file holds, perhaps packed; JSON lines that are packed count as JSON."""
    name = PurePosixPath(path)
    inner = PurePosixPath(name.stem).suffix if name.suffix in _PACKED else name.suffix
    return ".json" if inner == ".jsonl" else inner


def _read(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield a file's rows; what a line of JSON does not name is None, as it is in ``datasets``."""
    if path.suffix == ".parquet":
        yield from (fields for *_, fields in read_records(path))
    elif path.suffix == ".jsonl":
        found = [fields for *_, fields in read_records(path)]
        nothing = dict.fromkeys(key for fields in found for key in fields)
        yield from ({**nothing, **fields} for fields in found)
    else:
        yield from _read_by_library(path)


def _read_by_library(path: Path) -> Iterator[Mapping[str, Any]]:
    import datasets

    kind = _kind(path.name)
    if kind not in _THEIRS:
        raise DataError(f"{path.name}: is no file of rows; read are {', '.join((*_OURS, *_THEIRS))}.")
    more = {"sep": "\t"} if kind == ".tsv" else {}
    try:
        with tempfile.TemporaryDirectory() as cache, _no_bars():
            kept = datasets.load_dataset(_THEIRS[kind], data_files=[str(path)], split="train", cache_dir=cache, **more)
            yield from kept
    except Exception as error:  # whatever the library raises
        raise DataError(f"{path}: cannot be read: {sentence_of(error)}") from None


@contextmanager
def _no_bars() -> Iterator[None]:
    """Let ``datasets`` show no bars, as long as this lasts."""
    from datasets.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

    shown = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            enable_progress_bar()


def _unreadable(repository: Repository, path: Path, entry: Entry, error: DataError) -> DataError:
    """Return what to do about a file that cannot be read: it is damaged here, or it is so on the Hub."""
    blob, name = path.resolve(), blob_name(path) or entry.blob
    if name is None:
        return DataError(f"{error} {way_out(blob)}")
    try:
        check(repository, entry.path, blob, name)
    except HubError as damaged:
        return damaged
    return DataError(f"{error} It is what the Hub has: {repository.words} at this commit holds a file that is broken.")
