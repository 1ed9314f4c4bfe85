"""What the system refused, in words that name the way out."""

from __future__ import annotations

import errno
from pathlib import Path


def in_words(error: OSError) -> str:
    """Return which path the system refused, why, and what to do about it."""
    why = error.strerror or str(error)
    if not isinstance(error.filename, str):
        return why
    path = Path(error.filename)
    blocking = next((each for each in (path, *path.parents) if each.is_file()), None)
    if error.errno in (errno.ENOTDIR, errno.EEXIST) and blocking:
        what = "" if blocking == path else f"{blocking} "
        return f"{path}: {what}is a file, where a folder is needed; name another place."
    if error.errno == errno.ENOENT and not path.exists() and path.parent.is_dir():
        return f"{path}: {why}. Either it is gone, or nothing can be made in {path.parent}; name another place."
    ways = {
        errno.EACCES: "you may not read or write there; name another place, or have its owner let you",
        errno.EPERM: "you may not change it; name another place, or have its owner let you",
        errno.EROFS: "nothing can be written there; name another place",
        errno.ENOSPC: "make room and give the same command again; what is finished stays",
        errno.EDQUOT: "make room and give the same command again; what is finished stays",
    }
    way = ways.get(error.errno or 0)
    return f"{path}: {why}; {way}." if way else f"{path}: {why}."
