"""Which files are read, by the ends of their names."""

from __future__ import annotations

from pathlib import Path

_TEXT = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt")
_UNREAD = (".xlsx", ".xls", ".ods", ".arrow", ".feather", ".zip", ".gz", ".bz2", ".xz", ".zst")

DATA_SUFFIXES = (*_TEXT, *(f"{suffix}.gz" for suffix in _TEXT), ".parquet")
READ_ARE = f"read are {', '.join(_TEXT)}, each of them also with .gz behind, and .parquet"


def is_data_name(name: str) -> bool:
    """Return whether ``name`` means a file of rows, one that is read or one that many take for that."""
    return "/" in name or name.lower().endswith((*DATA_SUFFIXES, *_UNREAD))


def suffix_of(path: Path) -> str | None:
    """Return the end of a file's name that says its format, in lower case (``.jsonl.gz``), or None."""
    name = path.name.lower()
    return next((suffix for suffix in sorted(DATA_SUFFIXES, key=len, reverse=True) if name.endswith(suffix)), None)


def stem_of(path: Path) -> str:
    """Return a file's name without the end that says its format."""
    suffix = suffix_of(path)
    return path.name[: -len(suffix)] if suffix else path.stem
