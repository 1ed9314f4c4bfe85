"""What is installed: the commit of this package's checkout, and others' versions."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from secura_bench.foundation.resources import PACKAGE


@cache
def commit() -> dict[str, Any] | None:
    """Return the checkout's commit and whether it has uncommitted changes; None for an installed wheel, or without git.

    Asked once a process, which goes on with the code that it began with.
    """
    if not (PACKAGE.parent / ".git").exists():
        return None

    def git(*words: str) -> str:
        command = ["git", "-C", str(PACKAGE.parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603

    try:
        head = git("rev-parse", "HEAD")
        return {"commit": head, "dirty": bool(git("status", "--porcelain"))} if head else None
    except OSError:  # no git on this machine
        return None


def versions(names: Iterable[str]) -> dict[str, str | None]:
    """Return the installed version of each distribution, None where there is none, each looked up once a process."""
    return {name: _version(name) for name in names}


@cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
