"""Files of strangers, opened with care: a named pipe would wait for ever, and an endless file fill the memory."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path) -> BinaryIO:
    """Open a file to be read as bytes.

    Raises:
        OSError: It is not there, or is no regular file (a folder, a named pipe, a device).
    """
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return os.fdopen(number, "rb")


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a file of ``most`` bytes at most.

    Raises:
        OSError: As ``open_regular``, or it is larger.
    """
    with open_regular(path) as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"has more than {most:,} bytes", str(path))
    return content
