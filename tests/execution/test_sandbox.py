"""What a program must not do is contained, and said: each attempt ends, leaves nothing, and has its verdict."""

from __future__ import annotations

import os
import shutil
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from secura_bench.execution import sandbox
from secura_bench.execution.ready import why_not
from secura_bench.execution.sandbox import Limits, SandboxError
from secura_bench.execution.verdict import Verdict, run_program

# A second of a processor takes as long as the machine is busy, so that the clock on the wall is no part of most tests.
SMALL = Limits(cpu=1, wall=60.0, memory=256 << 20, disk=8 << 20, processes=32, output=1 << 16)

needs_sandbox = pytest.mark.skipif(bool(why_not(["python"])["python"]), reason=why_not(["python"])["python"])


def verdict(source: str, limits: Limits = SMALL) -> Verdict:
    return run_program("python", source, limits)


def still_running(mark: str) -> list[str]:
    """Return the command lines of processes, of anybody, that hold ``mark``."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = place.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if mark in line:
            found.append(line)
    return found


@needs_sandbox
@pytest.mark.parametrize(
    ("source", "word", "said"),
    [
        ("assert 1 + 1 == 2", "passed", ""),
        ("assert 1 + 1 == 3", "failed", "AssertionError"),
        ("print('" + "a" * 100 + "')\nraise ValueError('no')", "failed", "ValueError: no"),
        ("def f(:", "failed", "SyntaxError: invalid syntax"),
        ("while True: pass", "timed_out", "CPU time limit exceeded"),
        ("x = bytearray(1 << 30)", "memory", "MemoryError"),
        ("import os\nos.kill(os.getpid(), 9)", "failed", "Killed"),
    ],
    ids=["right", "wrong", "raises", "no program", "endless", "memory", "kills itself"],
)
def test_a_verdict_is_a_word_and_a_line(source: str, word: str, said: str) -> None:
    assert verdict(source) == Verdict(word, said)


@needs_sandbox
def test_a_program_that_waits_is_ended_by_the_clock() -> None:
    assert verdict("import time\ntime.sleep(60)", replace(SMALL, wall=0.5)) == Verdict("timed_out")


@needs_sandbox
def test_endless_errors_end_a_program_and_are_kept_in_one_line() -> None:
    found = verdict("import sys\nwhile True: print('x' * 999, file=sys.stderr)")
    assert found.word == "output"
    assert set(found.said) == {"x"} and len(found.said) <= 300


@needs_sandbox
def test_endless_printing_is_thrown_away_until_its_time_is_over() -> None:
    assert verdict("while True: print('x' * 10000)").word == "timed_out"


@needs_sandbox
def test_a_fork_bomb_is_stopped_at_the_limit_of_processes_and_leaves_none() -> None:
    first = "import os, sys\nfor _ in range(100): os.fork() or sys.stdin.read() or __import__('time').sleep(60)"
    assert verdict(first) == Verdict("failed", "BlockingIOError: [Errno 11] Resource temporarily unavailable")
    endless = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass\n"
    assert verdict(endless, replace(SMALL, wall=2.0)).word == "timed_out"


@needs_sandbox
def test_processes_together_hold_no_more_than_twice_the_memory() -> None:
    source = (
        "import os, time\nfor _ in range(6):\n  if os.fork() == 0:\n    x = bytearray(100 << 20)\n    time.sleep(60)\n"
        "time.sleep(60)"
    )
    assert verdict(source, replace(SMALL, memory=128 << 20)).word == "memory"


@needs_sandbox
@pytest.mark.parametrize(
    "folder", ["/", "/usr", "/etc", "/dev", "/proc/sys/kernel/", str(Path.home()), str(Path.cwd())]
)
def test_a_file_outside_is_not_written(folder: str) -> None:
    found = verdict(f"open({folder!r} + '/written-by-a-program', 'w').write('x')")
    assert found.word == "failed"
    assert any(error in found.said for error in ("OSError", "PermissionError", "FileNotFoundError"))
    assert not Path(folder, "written-by-a-program").exists()


@needs_sandbox
def test_neither_the_home_folder_nor_the_checkout_nor_anything_of_the_environment_is_seen(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o644)
    for place in (Path.home(), Path.cwd(), tmp_path, Path("/home"), Path("/root"), Path("/var"), Path("/run")):
        assert verdict(f"import os\nassert not os.path.exists({str(place)!r})") == Verdict("passed")
    assert verdict("import os\nassert set(os.environ) <= {'PATH', 'HOME', 'LANG', 'PWD'}, os.environ").word == "passed"
    assert verdict("import os\nassert os.listdir('/tmp') == ['main.py'], os.listdir('/tmp')").word == "passed"


@needs_sandbox
def test_there_is_no_network_not_even_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = verdict(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)")
    assert found == Verdict("failed", "ConnectionRefusedError: [Errno 111] Connection refused")
    found = verdict("import socket\nsocket.create_connection(('192.0.2.1', 80), 1)")
    assert found == Verdict("failed", "OSError: [Errno 101] Network is unreachable")
    found = verdict("import os\nassert sorted(os.listdir('/sys/class/net')) == ['lo']")
    assert found.said.startswith("FileNotFoundError")


@needs_sandbox
def test_a_child_that_is_left_behind_ends_with_its_program() -> None:
    mark = f"left-behind-{os.getpid()}"
    source = (
        "import os, sys\nif os.fork() == 0:\n  os.setsid()\n  os.fork()\n"
        f"  os.execvp('python3', ['python3', '-c', 'import time; time.sleep(60)', {mark!r}])\n"
        "import time; time.sleep(0.3)\n"
    )
    assert verdict(source) == Verdict("passed")
    until = time.monotonic() + 10
    while still_running(mark) and time.monotonic() < until:
        time.sleep(0.05)
    assert not still_running(mark)


@needs_sandbox
def test_signals_reach_nobody_outside() -> None:
    source = f"import os\nfor pid in ({os.getpid()}, {os.getppid()}):\n  try: os.kill(pid, 9)\n  except OSError: pass\n"
    assert verdict(source).word in ("passed", "failed")  # such a number may be a process of its own
    assert verdict("import os\nos.kill(-1, 9)").word in ("passed", "failed")
    assert os.getpid()


@needs_sandbox
@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_the_disk_is_not_filled(folder: str) -> None:
    before = shutil.disk_usage("/tmp").free
    source = f"for i in range(99):\n  open('{folder}/' + str(i), 'wb').write(b'x' * (1 << 20))"
    assert verdict(source) == Verdict("failed", "OSError: [Errno 28] No space left on device")
    assert verdict(f"open('{folder}/x', 'wb').write(b'x' * (9 << 20))").word == "failed"
    assert shutil.disk_usage("/tmp").free > before - (64 << 20)


def test_nothing_runs_where_there_is_no_sandbox(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match=r"bubblewrap is not here: install it \(Debian: bubblewrap\)"):
        verdict("assert True")


def test_nothing_runs_where_the_system_refuses_the_sandbox(monkeypatch, tmp_path: Path) -> None:
    """As where a kernel has no user namespaces for users: bubblewrap says so, and starts nothing."""
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n")
    refusing.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    tmp_path.chmod(0o755)
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: str(refusing))
    with pytest.raises(SandboxError, match="builds no sandbox here: bwrap: No permissions to create a new namespace"):
        verdict("assert True")
