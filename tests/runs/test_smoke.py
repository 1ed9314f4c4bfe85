"""The shipped smoke spec, run from a wheel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

QUICK = [
    "--set",
    "train.steps=2",
    "--set",
    "evaluate.limit=2",
    "--set",
    "probe_rows=6",
    "--set",
    "data.rows=40",
    "--set",
    "threads=1",
    "--set",
    "evaluate.protocols=[teacher_forced]",
]


@pytest.mark.slow
def test_smoke_runs_from_a_wheel_in_an_empty_folder(tmp_path: Path) -> None:
    """Built, installed apart from the checkout, and run by name, where there are no configs or tasks around."""
    import os

    wheels, site, empty = tmp_path / "wheels", tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next(wheels.glob("*.whl"))
    assert wheel.stat().st_size < 6 * 2**20
    subprocess.run(
        [*pip, "install", "-q", "--no-compile", "--no-deps", "--target", str(site), str(wheel)],
        check=True,
        capture_output=True,
    )
    environment = {**os.environ, "PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1"}
    where = "import secura_bench; print(secura_bench.__file__)"
    found = subprocess.run([sys.executable, "-c", where], cwd=empty, env=environment, capture_output=True, text=True)
    assert found.stdout.startswith(str(site))
    command = [str(site / "bin" / "secura-bench"), "run", "smoke", *QUICK]
    done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "secura-fusion-20" in done.stdout
    assert len(list((empty / "results").rglob("record.json"))) == 5
