"""Runs that are stopped or killed, and what a checkpoint holds: they end with the numbers of runs left in peace."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import secura_bench
from forked import Forked
from interrupted import METHODS_OF_ALL_KINDS, SEQUENCE, assert_same, kill_test, signal_me

from secura_bench.evaluation.prediction_file import PredictionFile
from secura_bench.evaluation.predictions import Prediction
from secura_bench.foundation.files import write_atomically
from secura_bench.training import checkpoints
from secura_bench.training.checkpoints import CheckpointError, latest_checkpoint, read_checkpoint, save_checkpoint


@pytest.mark.slow
def test_every_method_goes_on_as_if_it_had_never_stopped(tmp_path: Path, at_step) -> None:
    """All are stopped by a signal in every fifth step, in either task, and given again until they are done."""
    from secura_bench.plan.make import make_plan
    from secura_bench.runs.execute import execute
    from secura_bench.runs.stopping import Stopped
    from secura_bench.spec.load import load_spec

    spec = SEQUENCE.replace("methods: [{name: lora, r: 2}]\n", METHODS_OF_ALL_KINDS)
    (tmp_path / "spec.yaml").write_text(spec.replace("limit: 3", "limit: 2").replace("probe_rows: 6", "probe_rows: 3"))
    plan = make_plan(load_spec(str(tmp_path / "spec.yaml")))
    execute([plan], tmp_path / "peace", progress="quiet")
    at_step(5, signal_me(signal.SIGTERM))
    stops = 0
    while True:
        try:
            outcome = execute([plan], tmp_path / "war", progress="quiet")
        except Stopped:
            stops += 1
        else:
            break
    assert stops > 20 and not outcome.failed
    assert_same(tmp_path / "peace", tmp_path / "war")


def kills(spec: str) -> None:
    kill_test.kill_test(Path.cwd(), 4, 1, spec, 20)


@pytest.mark.slow
def test_four_kills(tmp_path: Path) -> None:
    """SIGKILL in processes of their own; ``make kill-test`` does it twenty times, with every kind of method.

    They are forked from one that has imported the libraries and done nothing else.
    """
    spec = kill_test.SPEC.replace("steps: 7", "steps: 5").replace("limit: 4, every: 4", "limit: 2")
    few = "methods: [{name: secura, r: 8, m: 16, merge: m2, fusion_step: 3}, {name: er}]\n"
    spec = re.sub(r"methods:\n(  - .*\n)+", few, spec)
    spec = spec.replace("seeds: [1, 2]", "seeds: [1]")
    code, out, err = Forked(kills, spec, cwd=tmp_path).end()
    assert code == 0, err
    assert out.count("kill ") == 4


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_the_same_command_goes_on(work: Path, peace: Path, at_step, number: int, code: int) -> None:
    at_step(6, signal_me(number))
    done = secura_bench("run", "spec.yaml", cwd=work)
    assert done.returncode == code and "Traceback" not in done.stderr
    assert "stopping after this batch" in done.stderr and "stopped; the same command goes on" in done.stderr
    folder = next((work / "results" / "trial").glob("*lora*"))
    assert read_checkpoint(latest_checkpoint(folder / "checkpoint")[0])["run"]["at"]["step"] == 2
    again = secura_bench("run", "spec.yaml", cwd=work)
    assert again.returncode == 0 and "going on where it stopped" in again.stderr
    assert_same(peace, work / "results")


def test_a_second_interrupt_stops_at_once(work: Path, peace: Path, at_step) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    at_step(2, twice)
    done = secura_bench("run", "spec.yaml", cwd=work)
    assert done.returncode == 130 and "Traceback" not in done.stderr
    assert not list(work.rglob("state.json"))  # nothing was saved: that is what a second one is for
    at_step(10**5, lambda: None)


def test_scoring_goes_on_with_the_next_batch(work: Path, peace: Path, monkeypatch) -> None:
    """Stopped again and again between batches, a run scores each batch once."""
    inner, batches = PredictionFile.append, []

    def append(self: PredictionFile, batch: Any) -> None:
        inner(self, batch)
        batches.append((self.path, tuple(i for i, _ in batch)))
        if len(batches) % 3 == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(PredictionFile, "append", append)
    for _ in range(100):
        if (code := secura_bench("run", "spec.yaml", "--quiet", cwd=work).returncode) != 143:
            break
    assert code == 0
    monkeypatch.undo()
    assert_same(peace, work / "results")
    assert len(batches) == len(set(batches)) > 20


def test_a_torn_or_damaged_line_of_predictions_is_dropped(tmp_path: Path) -> None:
    file = PredictionFile(tmp_path / "p.jsonl")
    batches = [[(3, Prediction("é", True, 0.1 + 0.2)), (1, Prediction("", None, None, True))], [(0, Prediction("z"))]]
    for batch in batches:
        file.append(batch)
    whole = file.path.read_bytes()
    assert file.read() == {i: said for batch in batches for i, said in batch}
    file.path.write_bytes(whole[:-5])
    assert set(file.read()) == {3, 1}
    assert file.path.read_bytes() == whole.splitlines(keepends=True)[0]
    file.path.write_bytes(whole.replace(b"\\u00e9", b"\\u00e8"))
    assert file.read() == {} and file.path.read_bytes() == b""


def test_a_checkpoint_holds_everything_exactly(tmp_path: Path) -> None:
    state = {
        "tensors": {"a": torch.randn(3, 2), "b.c": torch.randn(4).to(torch.bfloat16), "step": torch.tensor(3.0)},
        "plain": {"list": [1, 2.5, None, True, "x"], "tuple": (1, (2,)), "numbers": {1: "one", 2: torch.ones(1)}},
    }
    state["tensors"]["same"] = state["tensors"]["a"].T  # neither contiguous nor memory of its own
    folder = save_checkpoint(tmp_path / "c", state)
    assert latest_checkpoint(tmp_path / "c") == (folder, [])
    read = read_checkpoint(folder)
    assert read["plain"]["tuple"] == (1, (2,)) and read["plain"]["list"] == [1, 2.5, None, True, "x"]
    assert read["plain"]["numbers"][1] == "one"
    for name, tensor in state["tensors"].items():
        assert torch.equal(read["tensors"][name], tensor) and read["tensors"][name].dtype == tensor.dtype
    second = save_checkpoint(tmp_path / "c", state)
    assert [path.name for path in (tmp_path / "c").iterdir()] == [second.name] != [folder.name]
    with pytest.raises(CheckpointError, match=r"plain/x: a set cannot"):
        save_checkpoint(tmp_path / "c", {"plain": {"x": {1}}})
    assert latest_checkpoint(tmp_path / "c") == (second, [])
    assert [path.name for path in (tmp_path / "c").iterdir()] == [second.name]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_files_have_the_mode_that_the_umask_says(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "new.json", "{}")
    finally:
        os.umask(before)
    assert (tmp_path / "new.json").stat().st_mode & 0o777 == mode
    assert [path.name for path in tmp_path.iterdir()] == ["new.json"]


def test_an_optimizers_state_keeps_its_dtypes() -> None:
    weight = torch.nn.Parameter(torch.randn(4, 4).to(torch.bfloat16))
    optimizer = torch.optim.AdamW([weight], lr=1e-3)
    optimizer.state[weight] = {"step": torch.tensor(2.0), "exp_avg": torch.randn(4, 4), "code": 3}
    state = checkpoints.optimizer_state(optimizer)
    other = torch.optim.AdamW([weight], lr=1.0)
    checkpoints.load_optimizer_state(other, state)
    assert other.state[weight]["exp_avg"].dtype == torch.float32
    assert other.param_groups[0]["lr"] == 1e-3 and other.state[weight]["code"] == 3


@pytest.mark.parametrize(
    ("optimizer", "precision"),
    [
        pytest.param("adamw_8bit", "fp32", marks=pytest.mark.slow),
        ("adamw_8bit", "bf16_stochastic"),
        ("adamw", "bf16_stochastic"),
        ("adafactor", "fp32"),
        pytest.param("adafactor", "bf16_pure", marks=pytest.mark.slow),
    ],
)
def test_every_optimizer_goes_on_where_it_stopped(tmp_path: Path, at_step, optimizer: str, precision: str) -> None:
    """A full fine-tuning, stopped in every third step, one of them in the middle of a task."""
    from secura_bench.plan.make import make_plan
    from secura_bench.runs.execute import execute
    from secura_bench.runs.stopping import Stopped
    from secura_bench.spec.load import load_spec

    if optimizer == "adamw_8bit":
        pytest.importorskip("torchao", reason="adamw_8bit needs torchao: pip install 'secura-bench[lowmem]'")
    changes = ["methods=[seq]", f"train.optimizer={optimizer}", f"train.precision={precision}", "keep=all"]
    (tmp_path / "spec.yaml").write_text(SEQUENCE)
    plan = make_plan(load_spec(str(tmp_path / "spec.yaml"), [*changes, "evaluate.every=null"]))
    run = plan.runs[1].name
    stops = 0
    with torch.compiler.set_stance("force_eager"):  # torchao compiles its step, for a minute; the numbers are its own
        assert not execute([plan], tmp_path / "peace", progress="quiet", only=[run]).failed
        at_step(3, signal_me(signal.SIGTERM))
        while True:
            try:
                outcome = execute([plan], tmp_path / "war", progress="quiet", only=[run])
            except Stopped:
                stops += 1
            else:
                break
    assert stops == 2 and not outcome.failed
    assert_same(tmp_path / "peace", tmp_path / "war")


def test_a_checkpoint_imports_no_kind_of_tensor_that_it_is_told_to(tmp_path: Path) -> None:
    class Foreign(torch.Tensor):
        pass

    with pytest.raises(CheckpointError, match=r"part/x: a Foreign cannot"):
        save_checkpoint(tmp_path / "c", {"part": {"x": torch.ones(2).as_subclass(Foreign)}})
    with pytest.raises(CheckpointError, match=r"'os\.system'"):
        checkpoints._unpack({"$subclass": "os.system", "tensors": {}, "attributes": []}, {})


def test_a_rate_in_a_tensor_stays_that_tensor() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    first, second = (torch.optim.AdamW([weight], lr=torch.tensor(rate)) for rate in (0.5, 1.0))
    rate = second.param_groups[0]["lr"]
    checkpoints.load_optimizer_state(second, checkpoints.optimizer_state(first))
    assert second.param_groups[0]["lr"] is rate and rate.item() == 0.5
