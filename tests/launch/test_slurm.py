"""Runs sent to SLURM: the script, what becomes of it in the queue, and, where SLURM is installed, what it does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROOT, SPEC, secura_bench
from interrupted import assert_same

from secura_bench.launch.slurm import Slurm
from secura_bench.results.read import find_records

GOLDEN = Path(__file__).with_name("golden")


def settled(script: str) -> str:
    """Return a script without what is this machine's in it."""
    return script.replace(sys.executable, "PYTHON").replace(str(Path.cwd()), "FOLDER")


@pytest.mark.parametrize(
    ("file", "gpus", "extra"), [("cpu.sh", 0, ()), ("two_gpus.sh", 2, ("--partition=gpu", "--time", "12:00:00"))]
)
def test_the_script_is_as_it_was_read(file: str, gpus: int, extra: tuple[str, ...]) -> None:
    send = Slurm(["pull.yaml", "--results", "results", "--set", "train.lr=1e-4"], gpus, 2, extra, print)
    runs = ["pull/tiny-base", "pull/tiny-seq-tiny_group-s1", "pull/tiny-seq-tiny_group-s2"]
    script = settled(send.script("pull", runs, 4, Path("results")))
    assert script == (GOLDEN / file).read_text()
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


def test_each_process_of_a_run_is_told_what_torchrun_tells(tmp_path: Path, monkeypatch) -> None:
    """By a srun that starts two processes, of which each writes what it was told."""
    programs = {
        "srun": 'for n in 0 1; do SLURM_PROCID=$n SLURM_LOCALID=$n SLURM_NTASKS=2 "$@"; done',
        "python": 'echo "$RANK $LOCAL_RANK $WORLD_SIZE $MASTER_ADDR $MASTER_PORT ${@: -2}"',
    }
    for name, what in programs.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{what}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    script = Slurm(["spec.yaml"], 2, 1, (), print).script("pair", ["pair/a", "pair/b c"], 1, tmp_path)
    told = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "20007", "SLURM_ARRAY_TASK_ID": "1"}
    done = subprocess.run(["bash"], input=script, env=told, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{n} {n} 2 127.0.0.1 20007 --only pair/b c" for n in (0, 1)]


def test_the_page_shows_the_script() -> None:
    assert (GOLDEN / "cpu.sh").read_text() in (ROOT / "docs" / "launch" / "slurm.md").read_text()


@pytest.fixture
def queue(work: Path, monkeypatch) -> Callable[[str], None]:
    """Put an sbatch that takes job 77, and a squeue, in the way of SLURM's; return what sets the latter's answer."""
    (programs := work / "bin").mkdir()
    (programs / "sbatch").write_text(f'#!/bin/sh\ncat > "{work}/sent"; echo "77;box"\n')
    (programs / "squeue").write_text(f'#!/bin/sh\ncat "{work}/queue"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    (work / "queue").write_text("")
    return (work / "queue").write_text


def test_missing_runs_are_sent_once_and_status_has_the_queues_word(work: Path, queue: Callable[[str], None]) -> None:
    command = ("run", "spec.yaml", "--launcher", "slurm", "--at-a-time", "1", "--", "--time=10")
    sent = secura_bench(*command, cwd=work)
    assert sent.returncode == 0 and "SLURM job 77: 2 runs, 1 at a time" in sent.stderr, sent.stderr
    script = (work / "sent").read_text()
    assert "#SBATCH --array=0-1%1" in script and "#SBATCH --time=10" in script
    assert (work / "results/.slurm/77.sh").read_text() == script
    queue("77|0|RUNNING|None\n77|1|PENDING|JobArrayTaskLimit\n88|0|RUNNING|None\n77|[2-9]|PENDING|None\n77|9|RUNNING\n")
    for results in ("results", "results/trial"):
        status = secura_bench("status", results, cwd=work).stdout
        assert "missing   SLURM 77_0: RUNNING\n" in status
        assert "missing   SLURM 77_1: PENDING, JobArrayTaskLimit\n" in status and "77_9" not in status
    (work / "sent").unlink()
    assert "2 of 2 missing runs are in the queue already" in secura_bench(*command, cwd=work).stderr
    assert not (work / "sent").exists()
    queue("77|1|PENDING|BeginTime\n")
    assert "SLURM job 77: 1 run," in secura_bench(*command, cwd=work).stderr
    assert "trial/tiny-base\n)" in (work / "sent").read_text()


def test_a_dry_run_shows_the_script_and_writes_nothing(work: Path) -> None:
    before = sorted(work.rglob("*"))
    shown = secura_bench("run", "spec.yaml", "--launcher", "slurm", "--dry-run", cwd=work)
    assert shown.returncode == 0 and shown.stdout.startswith("#!/bin/bash\n# 2 runs"), shown.stderr
    assert sorted(work.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--launcher", "slrum"), "Did you mean 'slurm'?"),
        (("--launcher", "slurm", "--force"), "would begin anew"),
        (("--launcher", "slurm", "--jobs", "2"), "--at-a-time"),
        (("--", "--partition=gpu"), "--partition=gpu: is for --launcher slurm"),
        (("--gpus-per-run", "2"), "--gpus-per-run: is for --launcher slurm or ray"),
        (("--address", "here:1"), "--address here:1: is for --launcher ray"),
        (("--launcher", "ray", "--force"), "would begin anew"),
    ],
)
def test_what_cannot_be_sent_is_refused(words: tuple[str, ...], says: str, work: Path) -> None:
    refused = secura_bench("run", "spec.yaml", *words, cwd=work)
    assert refused.returncode == 2 and says in refused.stderr


def test_a_spec_without_threads_is_not_sent(work: Path) -> None:
    (work / "spec.yaml").write_text(SPEC.replace("threads: 1\n", ""))
    refused = secura_bench("run", "spec.yaml", "--launcher", "slurm", "--dry-run", cwd=work)
    assert refused.returncode == 2 and "--set threads=4" in refused.stderr


def test_what_sbatch_refuses_is_told(work: Path, queue: object) -> None:
    (work / "bin" / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid partition' >&2; exit 1\n")
    refused = secura_bench("run", "spec.yaml", "--launcher", "slurm", cwd=work)
    assert refused.returncode == 2 and "invalid partition" in refused.stderr


def test_a_run_is_named_without_its_fingerprint(work: Path) -> None:
    """A node has another device or number of cores than the machine that sends, so another fingerprint."""
    (work / "spec.yaml").write_text(SPEC.replace("methods: [", "seeds: [1, 11]\nmethods: ["))
    done = secura_bench("run", "spec.yaml", "--only", "trial/tiny-lora-r-2-tiny_group-s1", cwd=work)
    assert done.returncode == 0, done.stderr
    (record,) = find_records(work / "results")
    assert "-s1-" in record.parent.name


@pytest.fixture
def box(tmp_path_factory, monkeypatch) -> Iterator[None]:
    """A SLURM of this machine alone."""
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs SLURM on this machine, and root: {', '.join(missing) or 'not root'}")
    folder = tmp_path_factory.mktemp("box")
    command = [ROOT / "scripts" / "slurm_box.sh"]
    started = subprocess.run([*command, "start", folder], capture_output=True, text=True)
    assert started.returncode == 0, started.stderr
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    try:
        yield
    finally:
        subprocess.run([*command, "stop", folder], check=True)


def until(holds: Callable[[], object], seconds: float = 240) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.3)


@pytest.mark.slow
def test_a_run_that_slurm_stops_is_queued_again_and_ends_equal(work: Path, peace: Path, box: None, monkeypatch) -> None:
    """SIGTERM comes as it does before the time is over; SLURM would wait two minutes, the test does not."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (work / "stops.py").write_text(STOPS_ONCE)
    command = ("run", "spec.yaml", "--launcher", "slurm", "--at-a-time", "1", "--plugin", "stops.py")
    assert secura_bench(*command, cwd=work).returncode == 0
    (note,) = work.glob("results/.slurm/*.json")
    job = json.loads(note.read_text())["job"]

    def again() -> bool:
        state = subprocess.run(["squeue", "-h", "-r", "-o", "%K %T %r"], capture_output=True, text=True).stdout
        return "1 PENDING BeginTime" in state

    until(again)
    assert "PENDING, BeginTime" in secura_bench("status", cwd=work).stdout
    soon = "StartTime=now+5"  # within the second that a job ended in, a node refuses to start it
    subprocess.run(["scontrol", "update", f"JobId={job}_1", soon], check=True)
    until(lambda: len(list(find_records(work / "results"))) == 2)
    log = next(work.glob(f"results/.slurm/{job}_1.log")).read_text()
    assert "going on where it stopped" in log
    shutil.rmtree(work / "results" / ".slurm")
    assert_same(work / "results", peace)


@pytest.mark.slow
def test_two_processes_divide_a_runs_weights_and_find_what_one_finds(work: Path, box: None, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    spec = (work / "spec.yaml").read_text().replace("steps: 4", "shard: full, eps: 1.0e-4, steps: 2")
    spec = spec.replace("r: 2}", "r: 2, dropout: 0.0}")  # whose draws are each process's own
    scores = {}
    for name, words in (("one", ()), ("two", ("--launcher", "slurm", "--gpus-per-run", "2"))):
        (work / name).mkdir()
        (work / name / "spec.yaml").write_text(spec)
        sent = secura_bench("run", "spec.yaml", *words, cwd=work / name)
        assert sent.returncode == 0, sent.stderr
        until(lambda name=name: len(list(find_records(work / name / "results"))) == 2)  # type: ignore[misc]
        records = {path.parent.name: json.loads(path.read_text()) for path in find_records(work / name / "results")}
        scores[name] = {
            (run, number, metric): value
            for run, record in records.items()
            for number, score in enumerate(record["scores"])
            for metric, value in score["values"].items()
            if value is not None
        }
    assert scores["one"] and scores["two"] == pytest.approx(scores["one"], rel=1e-5, abs=1e-5)


STOPS_ONCE = '''
"""Has SLURM stop the first training in its middle."""
import os, subprocess, time
from pathlib import Path
from secura_bench import Method
from secura_bench.training.loop import TrainingLoop

class StopsOnce(Method):
    """A plugin names a method."""
    name = "stops_once"

inner, done = TrainingLoop._accumulate, []

def stopping(self, examples):
    if len(done) == 2 and not Path("stopped").exists():
        Path("stopped").touch()
        task = os.environ["SLURM_ARRAY_JOB_ID"] + "_" + os.environ["SLURM_ARRAY_TASK_ID"]
        subprocess.run(["scancel", "--signal=TERM", task])
        time.sleep(3)
    done.append(1)
    return inner(self, examples)

if "SLURM_ARRAY_TASK_ID" in os.environ:
    TrainingLoop._accumulate = stopping
'''
