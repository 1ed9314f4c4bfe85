"""Two hosts on one folder whose file locks lock nothing: each run is done by one of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT

HOST = """
import fcntl, socket, sys, time
from pathlib import Path
fcntl.flock = lambda *words: None
from secura_bench.results.folder import RunFolder
from secura_bench.results.lock import Held, RunLock

name, results = sys.argv[1], Path(sys.argv[2])
socket.sethostname(name)
(results / name).touch()
while not all((results / each).exists() for each in ("one", "two")):
    time.sleep(0.001)
left = [RunFolder(results / "trial" / f"run-{number}") for number in range(40)]
while left:
    for folder in list(left):
        lock = RunLock(folder)
        try:
            lock.acquire()
        except Held:
            continue
        folder.path.mkdir(exist_ok=True)
        if not (folder.path / "record").exists():
            with (folder.path / "done_by").open("a") as stream:
                stream.write(name + "\\n")
            time.sleep(0.01)
            (folder.path / "record").touch()
        lock.release()
        left.remove(folder)
"""


def in_namespaces(*command: str | Path) -> list[str | Path]:
    """Return a command that has a network and a host name of its own."""
    return ["unshare", "--net", "--uts", *command]


@pytest.fixture
def hosts() -> None:
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare, of util-linux")
    refused = subprocess.run(in_namespaces("true"), capture_output=True, text=True)
    if refused.returncode:
        pytest.skip(f"this machine refuses network namespaces: {refused.stderr.strip()}")


def test_two_hosts_share_the_runs_of_a_folder(hosts: None, tmp_path: Path) -> None:
    both = [
        subprocess.Popen(in_namespaces(sys.executable, "-c", HOST, name, tmp_path), env=os.environ, cwd=ROOT)
        for name in ("one", "two")
    ]
    assert [each.wait(timeout=120) for each in both] == [0, 0]
    by = [(folder / "done_by").read_text().split() for folder in tmp_path.glob("trial/run-*")]
    assert len(by) == 40 and all(len(names) == 1 for names in by)
    assert set(Counter(names[0] for names in by)) == {"one", "two"}
    assert not [*tmp_path.rglob("*.json")]
