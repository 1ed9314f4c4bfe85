"""Which run a launcher hands out next, and how a machine is shared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SPEC

from secura_bench.estimates.device import Device
from secura_bench.foundation.errors import BenchError
from secura_bench.launch.jobs import Job, JobQueue, missing_jobs
from secura_bench.launch.share import gpus_of, share_of, share_threads
from secura_bench.plan.make import make_plan
from secura_bench.runs.outcome import Outcome
from secura_bench.spec.load import load_spec

METHODS = "methods: [{name: secura, r: 4, m: 6}, {name: lora, r: 2}]\nseeds: [1, 2]"


@pytest.fixture(scope="module")
def jobs(tmp_path_factory) -> list[Job]:
    """Base, two seeds of SECURA, which share a start, and two of LoRA, which starts as the base."""
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "spec.yaml").write_text(SPEC.replace("methods: [{name: lora, r: 2}]", METHODS))
    return missing_jobs([make_plan(load_spec(str(folder / "spec.yaml")))], folder, [], False, Outcome(), print)


def names(jobs: list[Job]) -> list[str]:
    return [job.run.name.removeprefix("tiny-").replace("-tiny_group", "") for job in jobs]


def all_of(queue: JobQueue) -> list[Job]:
    return list(iter(queue.take, None))


def test_jobs_come_in_the_order_of_the_spec_but_for_those_that_would_wait(jobs: list[Job]) -> None:
    base, first, second, *loras = jobs
    assert first.start == second.start is not None and {job.start for job in loras} == {None}
    assert all_of(JobQueue(jobs)) == [base, first, *loras, second]
    queue = JobQueue(jobs)
    assert [queue.take(), queue.take()] == [base, first]
    queue.start_scored(first)
    assert all_of(queue) == [second, *loras]


def test_base_runs_of_two_experiments_are_not_begun_together(jobs: list[Job]) -> None:
    other = replace(jobs[0], run=replace(jobs[0].run, fingerprint="0" * 10))
    assert names(all_of(JobQueue([jobs[0], other, jobs[1]])))[1].startswith("secura")


def test_a_job_is_put_back_once(jobs: list[Job]) -> None:
    queue = JobQueue(jobs[:2])
    first = queue.take()
    assert first and queue.again(first)
    assert all_of(queue) == [jobs[1], first]
    assert not queue.again(first) and queue.take() is None


def test_full_fine_tuning_in_bf16_may_share_its_start(jobs: list[Job]) -> None:
    lora = jobs[-1]
    assert replace(lora, run=replace(lora.run, train=lora.run.train.model_copy(update={"precision": "bf16"}))).start


def test_cores_are_shared_where_a_spec_leaves_them_open(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 12)
    (tmp_path / "spec.yaml").write_text(SPEC.replace("threads: 1\n", ""))
    spec = load_spec(str(tmp_path / "spec.yaml"))
    (shared,), threads = share_threads([spec], 5)
    assert shared.threads == threads == 2
    assert share_threads([shared], 12) == ([shared], None)
    assert share_threads([spec], 40)[1] == 1
    assert share_of(Device("cpu", 8.0, 1.0, 6.0), 2) == Device("cpu", 4.0, 1.0, 3.0)


@pytest.mark.parametrize(
    ("text", "visible", "found"),
    [
        ("all", None, ("0", "1", "2")),
        ("2,0", None, ("2", "0")),
        ("all", "5,GPU-7", ("5", "GPU-7")),
        ("5", "5,7", ("5",)),
    ],
)
def test_gpus_are_named_as_cuda_names_them(text: str, visible: str | None, found: object, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus_of(text) == found


@pytest.mark.parametrize(("text", "says"), [("3", "Known: 0, 1, 2"), ("0,0", "twice"), ("", "unknown GPU ''")])
def test_gpus_that_cannot_be_had_are_refused(text: str, says: str, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(BenchError, match=says):
        gpus_of(text)


def test_without_a_gpu_the_cpus_way_is_named(monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BenchError, match="--jobs N"):
        gpus_of("all")
