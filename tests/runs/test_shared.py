"""Runs that several processes or specs share: each is done once, and who holds one is named."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, secura_bench
from forked import Forked, command
from interrupted import SEQUENCE, assert_same

from secura_bench.evaluation.prediction_file import PredictionFile
from secura_bench.results.folder import RunFolder
from secura_bench.results.read import find_records
from secura_bench.training.checkpoints import save_checkpoint


def test_base_scores_are_computed_once_for_all_specs(work: Path, monkeypatch) -> None:
    scored: list[int] = []
    inner = PredictionFile.append
    monkeypatch.setattr(PredictionFile, "append", lambda self, batch: scored.append(len(batch)) or inner(self, batch))
    assert secura_bench("run", "spec.yaml", "--only", "base", cwd=work).returncode == 0
    assert sum(scored) == 6 + 2 * 3
    scored.clear()
    (work / "other.yaml").write_text(
        SEQUENCE.replace("experiment: trial", "experiment: other").replace("tiny_count]", "tiny_count, tiny_langid]")
    )
    assert secura_bench("run", "other.yaml", "--only", "base", cwd=work).returncode == 0
    assert sum(scored) == 3  # the new task's
    scored.clear()
    (work / "third.yaml").write_text(SEQUENCE.replace("experiment: trial", "experiment: third"))
    with monkeypatch.context() as patch:
        patch.setattr("secura_bench.runs.one_run.load_model", lambda *words: pytest.fail("the model was loaded"))
        assert secura_bench("run", "third.yaml", "--only", "base", cwd=work).returncode == 0
    assert not scored
    first, third = (
        json.loads(next(work.glob(f"results/{name}/*/record.json")).read_text()) for name in ("trial", "third")
    )
    for key in ("scores", "parameters", "signatures"):
        assert first[key] == third[key]
    assert secura_bench("run", "other.yaml", "--only", "base", "--force", cwd=work).returncode == 0
    assert sum(scored) == 6 + 3 * 3


@pytest.mark.slow
def test_two_processes_do_every_run_once(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SEQUENCE.replace("[{name: lora, r: 2}]", "[{name: lora, r: 2}, seq, er, mtl]"))
    both = [Forked(command, "run", "spec.yaml", "--json-lines", cwd=tmp_path) for _ in range(2)]
    ends = [process.end() for process in both]
    codes = {code for code, _, _ in ends}
    assert 0 in codes <= {0, 3}, ends
    events = [json.loads(line) for _, out, _ in ends for line in out.splitlines()]
    ended = [event["run"] for event in events if event["event"] == "end"]
    assert len(ended) == len(set(ended)) == 5
    assert len(list(find_records(tmp_path / "results"))) == 5


def test_what_a_process_left_that_was_killed_after_its_record_goes(work: Path, peace: Path) -> None:
    from secura_bench.results.lock import note_of

    shutil.copytree(peace, work / "results")
    folder = RunFolder(next((work / "results" / "trial").glob("*lora*")))
    save_checkpoint(folder.checkpoint, {"plain": 1})
    note_of(folder).write_text('{"host": "elsewhere", "pid": 1, "started": 0, "updated": 0}')
    os.utime(note_of(folder), (0, 0))
    done = secura_bench("run", "spec.yaml", cwd=work)
    assert done.returncode == 0 and "2 of 2 runs were finished before" in done.stderr
    assert_same(peace, work / "results")


def test_a_held_run_is_passed_over_and_its_holder_named(work: Path) -> None:
    from secura_bench.plan.make import make_plan
    from secura_bench.results.lock import RunLock
    from secura_bench.spec.load import load_spec

    plan = make_plan(load_spec(str(work / "spec.yaml")))
    lock = RunLock(RunFolder(work / "results" / plan.runs[1].folder))
    lock.acquire()
    try:
        done = secura_bench("run", "spec.yaml", cwd=work)
        assert f"process {os.getpid()} on" in done.stderr and done.returncode == 3
        status = secura_bench("status", cwd=work).stdout
        assert "1 done" in status and "1 running" in status and f"process {os.getpid()} on" in status
    finally:
        lock.release()
    assert len(list(find_records(work / "results"))) == 1


def test_status_is_told_from_files_and_imports_no_torch(work: Path, stopped: Path) -> None:
    status = secura_bench("status", cwd=work).stdout
    assert "1 done, 1 stopped" in status
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom secura_bench.cli.main import app\n"
        f"assert CliRunner().invoke(app, ['status', {str(work / 'results')!r}]).exit_code == 0\n"
        "print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
    assert secura_bench("status", "nowhere", cwd=work).returncode == 2


def test_status_of_records_without_a_plan(peace: Path, tmp_path: Path) -> None:
    for record in find_records(peace):
        kept = tmp_path / "results" / "sent" / record.parent.name
        kept.mkdir(parents=True)
        shutil.copy(record, kept)
    for words in (["status"], ["status", "results/sent"]):
        status = secura_bench(*words, cwd=tmp_path)
        assert status.returncode == 0, status.stderr
        assert status.stdout.startswith("sent\n") and status.stdout.endswith("\n2 done\n")
    assert secura_bench("status", ".", cwd=tmp_path / "results" / "sent").stdout == status.stdout


def test_only_tells_the_experiments_of_a_matrix_apart(work: Path) -> None:
    """Their base runs have one folder's name."""
    matrix = ("--set", "matrix={evaluate.every: [1, 2]}")
    done = secura_bench("run", "spec.yaml", "--only", "tiny-base", *matrix, cwd=work)
    experiments = re.findall(r"([a-z0-9-]+-every-[12]/tiny-base-\w+)", done.stderr)
    assert done.returncode == 2 and len(set(experiments)) == 2, done.stderr
    assert secura_bench("run", "spec.yaml", "--only", experiments[0], *matrix, cwd=work).returncode == 0
    assert len(list(find_records(work / "results"))) == 1


@pytest.mark.slow
def test_two_processes_of_one_run_agree_with_one(tmp_path: Path) -> None:
    """Under torchrun, without dropout, the scores are one process's but for the order of sums in fp32."""
    spec = SEQUENCE.replace("[{name: lora, r: 2}]", "[{name: secura, r: 4, m: 6}, {name: ewc, fisher_samples: 3}, er]")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    together = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    together += ["-m", "secura_bench", "run", "spec.yaml"]

    def do_together(folder: Path) -> Any:
        return subprocess.run(together, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    found = []
    for name, do in (("one", lambda folder: secura_bench("run", "spec.yaml", cwd=folder)), ("two", do_together)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "spec.yaml").write_text(spec)
        done = do(folder)
        assert done.returncode == 0, done.stderr
        headings = [line for line in done.stdout.splitlines() if line.strip().endswith("probe tiny_f_task")]
        assert len(headings) == len(set(headings)) > 0, "one process reports, not both"
        records = [json.loads(path.read_text()) for path in find_records(folder)]
        found.append({record["name"]: record for record in records})
    assert len(found[0]) == 4 and found[0].keys() == found[1].keys()
    for name, one in found[0].items():
        for mine, other in zip(one["scores"], found[1][name]["scores"], strict=True):
            assert mine["values"]["loss"] == pytest.approx(other["values"]["loss"], rel=1e-4)
        assert one["cost"]["tokens"] == found[1][name]["cost"]["tokens"]
    logs = [{path.parent.name: path.read_text() for path in (tmp_path / n).rglob("log.jsonl")} for n in ("one", "two")]
    assert len(logs[0]) == 3 and logs[0].keys() == logs[1].keys()
    for name, text in logs[0].items():
        for mine, other in zip(text.splitlines(), logs[1][name].splitlines(), strict=True):
            one, two = json.loads(mine), json.loads(other)
            if "loss" in one:
                assert one["loss"] == pytest.approx(two["loss"], rel=1e-3)
                assert one["terms"] == pytest.approx(two["terms"], rel=2e-2, abs=1e-6), "a term enters a step once"


def test_checkpoints_are_no_part_of_a_runs_identity(work: Path) -> None:
    from secura_bench.plan.make import make_plan
    from secura_bench.spec.load import load_spec

    plans = [make_plan(load_spec(str(work / "spec.yaml"), changes)) for changes in ([], ["checkpoint.every_steps=1"])]
    assert plans[0].runs[1].fingerprint == plans[1].runs[1].fingerprint
