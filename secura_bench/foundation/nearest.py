"""What a path that is not there was probably meant to be."""

from __future__ import annotations

from pathlib import Path

from secura_bench.foundation.errors import nearest

_CUTOFF = 0.6  # difflib's own: any folder has some name that shares half its letters


def nearest_path(path: Path, suffixes: tuple[str, ...] = ("",)) -> str:
    """Return the path nearest to ``path`` as a question after a space, nothing where none is near.

    The first part of the path that is not there is compared with what lies in its place: folders, and files that end
    in one of ``suffixes`` where the part is the last.
    """
    missing = path
    while not missing.parent.exists():
        missing = missing.parent
    try:
        beside = list(missing.parent.iterdir())
    except OSError:  # it is a file, or may not be looked into
        return ""
    last = missing == path
    names = [each.name for each in beside if each.is_dir() or (last and each.name.endswith(suffixes))]
    # An ending that many files have makes none of them near.
    whole = {name.removesuffix(path.suffix): name for name in names if not name.startswith(".")}
    close = nearest(missing.name.removesuffix(path.suffix), whole, _CUTOFF)
    return "" if close is None else f" Did you mean {str(missing.parent / whole[close])!r}?"
