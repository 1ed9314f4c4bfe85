"""The user's own folder, in the paths that are read and in those that are written down."""

from __future__ import annotations

from pathlib import Path


def from_home(name: str) -> Path:
    """Return the path that ``name`` means; where it begins with "~" or "~user", of a user there is, from that home."""
    try:
        return Path(name).expanduser()
    except RuntimeError:  # no such user: then it is a name as others are
        return Path(name)


def without_home(name: str) -> str:
    """Return a path in the user's own folder as one from "~", so that no record names a person; others as they are.

    A home that is the root, as containers have it, names nobody.
    """
    try:
        home = Path.home()
        below = Path(name).relative_to(home)
    except (RuntimeError, ValueError):
        return name
    return name if home == Path(home.anchor) else str("~" / below)
