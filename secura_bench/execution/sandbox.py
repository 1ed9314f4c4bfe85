"""Bubblewrap: a command with no network, no files but the system's own, read-only, and limits on all that it uses."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secura_bench.execution.watching import Stopped, watch
from secura_bench.foundation.errors import BenchError

_MB = 1 << 20
_NOBODY = 65534
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d")
_WORK, _SHARED = "/tmp", "/dev/shm"  # noqa: S108 - of the sandbox: file systems of its own, in memory
_VARIABLES = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": _WORK, "LANG": "C.UTF-8"}


class SandboxError(BenchError):
    """The sandbox does not hold, or did not start: nothing was run."""


@dataclass(frozen=True)
class Limits:
    """What a command may use.

    Attributes:
        cpu: seconds of a processor, each process. wall: seconds in all.
        memory: bytes of private memory each process may have, and half of what all may hold in memory together.
        disk: bytes of its folder, of ``/dev/shm``, and of one file.
        processes: processes and threads. output: bytes that it may write to its standard error.
    """

    cpu: int = 10
    wall: float = 60.0
    memory: int = 1024 * _MB
    disk: int = 128 * _MB
    processes: int = 128
    output: int = _MB


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: the exit status of the last step that began; 128 and more is a signal.
        steps: how many of the steps began. stopped: what it was ended for, None where it ended by itself.
        errors: what it wrote to standard error.
    """

    status: int
    steps: int
    stopped: Stopped | None
    errors: str


def run_guarded(source: str, name: str, steps: tuple[str, ...], settings: tuple[str, ...], limits: Limits) -> Ended:
    """Run ``steps``, shell commands, one after another in a sandbox whose folder holds ``source`` as ``name``.

    A step that fails ends it. ``settings`` are folders and files outside of ``/usr`` that the steps read.

    Raises:
        SandboxError: There is no bubblewrap, or it could not build the sandbox: no step began.
    """
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise SandboxError("bubblewrap is not here: install it (Debian: bubblewrap)")
    script = " && ".join(["exec 3>&1", *(f"echo began >&3 && {step} </dev/null >/dev/null 3>&-" for step in steps)])
    with tempfile.TemporaryFile() as program:
        program.write(source.encode(errors="replace"))
        program.seek(0)
        walls = [*_walls(limits, settings), "--file", str(program.fileno()), f"{_WORK}/{name}"]
        try:
            process = subprocess.Popen(  # noqa: S603 - that is what this file is for
                [bwrap, *walls, "--", *_limiting(limits), "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[program.fileno()],
                env={},
                cwd="/",
                **_unprivileged(),
            )
        except OSError as error:
            raise SandboxError(f"bubblewrap does not start: {error}") from None
        with process:
            watched = watch(process, limits.wall, 2 * limits.memory, limits.output)
    errors = watched.errors.decode(errors="replace")
    ended = Ended(process.returncode, watched.out.count(b"began"), watched.stopped, errors)
    if not ended.steps and not ended.stopped:
        raise SandboxError(f"bubblewrap builds no sandbox here: {last_line(ended.errors) or ended.status}")
    return ended


def last_line(text: str) -> str:
    """Return the last line that is not empty, "" where there is none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _walls(limits: Limits, settings: tuple[str, ...]) -> Iterator[str]:
    """Yield bubblewrap's options. What is written to lies in memory, of a size; all else is read-only."""
    yield from ("--unshare-all", "--unshare-user", "--disable-userns", "--new-session", "--die-with-parent")
    yield from ("--uid", str(_NOBODY), "--gid", str(_NOBODY), "--hostname", "sandbox", "--clearenv")
    for key, value in _VARIABLES.items():
        yield from ("--setenv", key, value)
    yield from ("--ro-bind", "/usr", "/usr")
    for place in map(Path, _SYSTEM):
        if place.is_symlink():
            yield from ("--symlink", str(place.readlink()), str(place))
        elif place.is_dir():
            yield from ("--ro-bind", str(place), str(place))
    for each in (*_SETTINGS, *settings):
        yield from ("--ro-bind-try", each, each)
    yield from ("--proc", "/proc", "--dev", "/dev")
    for folder in (_SHARED, _WORK):
        yield from ("--size", str(limits.disk), "--perms", "1777", "--tmpfs", folder)
    yield from ("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", _WORK)


def _limiting(limits: Limits) -> Iterator[str]:
    """Yield the command that sets limits once the sandbox stands, so that processes are counted within it."""
    yield "prlimit"
    yield f"--cpu={limits.cpu}:{limits.cpu + 1}"  # first a signal that tells, then one that nobody ignores
    for name, value in (
        ("data", limits.memory),
        ("fsize", limits.disk),
        ("nproc", limits.processes),
        ("nofile", 512),
        ("core", 0),
    ):
        yield f"--{name}={value}:{value}"


def _unprivileged() -> dict[str, Any]:
    """Return as whom bubblewrap starts: not as root, on whom the system sets no limit of processes."""
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
