"""Runs that are stopped, killed, damaged, starved or raced end with the numbers of runs that were left in peace."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, SPEC, secura_bench

from secura_bench.evaluation.prediction_file import PredictionFile
from secura_bench.evaluation.predictions import Prediction
from secura_bench.foundation.files import write_atomically
from secura_bench.foundation.registry import METHODS
from secura_bench.results.folder import RunFolder
from secura_bench.results.read import find_records
from secura_bench.training import checkpoints
from secura_bench.training.checkpoints import CheckpointError, latest_checkpoint, read_checkpoint, save_checkpoint
from secura_bench.training.loop import TrainingLoop

_found = importlib.util.spec_from_file_location("kill_test", ROOT / "scripts" / "kill_test.py")
assert _found and _found.loader
kill_test = importlib.util.module_from_spec(_found)
_found.loader.exec_module(kill_test)

METHODS_OF_ALL_KINDS = """\
methods:
  - {name: seq, train: {schedule: cosine, reset_optimizer: true}}
  - {name: mtl, train: {sampling: epochs}}
  - {name: lora, r: 2, dropout: 0.3}
  - {name: dora, r: 2, boundary: continue}
  - {name: peft, peft_type: adalora, config: {init_r: 3, target_r: 2, tinit: 1, tfinal: 1, deltaT: 2, total_step: 8}}
  - {name: cur_lora, r: 4, selection: sampled}
  - {name: cabr_lora, r: 4, m: 6}
  - {name: secura, r: 4, m: 6}
  - {name: secura, r: 4, m: 6, merge: m2, fusion_step: 3}
  - {name: secura, r: 4, m: 6, merge_dtype: base, fusion_step: 2}
  - {name: secura, r: 4, m: 6, signorm: public_code, merge: m2}
  - {name: i_lora, r: 2}
  - {name: i_lora, r: 2, consistency: hidden, capacity: 4}
  - {name: ewc, fisher_samples: 3, variant: separate, dtype: bf16}
  - {name: er, buffer: balanced, capacity: 5}
  - {stack: [{name: lora, r: 2}, {name: ewc, fisher_samples: 3}, er]}
"""
SEQUENCE = (
    SPEC.replace("separate", "sequence")
    .replace("[tiny_group]", "[tiny_group, tiny_count]")
    .replace("steps: 2", "steps: 4")
    .replace("[teacher_forced, generate], limit: 3", "[teacher_forced], limit: 3, every: 3, batch_size: 2")
    .replace("threads: 1", "log: {every: 1}\nthreads: 1")
)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with a spec of two tasks in sequence."""
    (tmp_path / "spec.yaml").write_text(SEQUENCE)
    return tmp_path


@pytest.fixture(scope="module")
def peace(tmp_path_factory) -> Path:
    """The results of the same spec, undisturbed."""
    folder = tmp_path_factory.mktemp("peace")
    (folder / "spec.yaml").write_text(SEQUENCE)
    done = secura_bench("run", "spec.yaml", "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "results"


@pytest.fixture
def at_step(monkeypatch) -> Callable[[int, Callable[[], None]], None]:
    """Return a function that has another one called in the n-th step from now on, and in every n-th after it."""

    def arrange(every: int, act: Callable[[], None]) -> None:
        inner, count = TrainingLoop._accumulate, iter(range(1, 10**6))

        def counted(self: TrainingLoop, examples: Any) -> Any:
            if next(count) % every == 0:
                act()
            return inner(self, examples)

        monkeypatch.setattr(TrainingLoop, "_accumulate", counted)

    return arrange


def signal_me(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def stop_once(work: Path, at_step: Any, monkeypatch: Any, step: int = 3) -> Path:
    """Leave the spec's lora run with a checkpoint; return its folder."""
    with monkeypatch.context() as patch:
        inner, count = TrainingLoop._accumulate, iter(range(1, 10**6))

        def counted(self: TrainingLoop, examples: Any) -> Any:
            if next(count) == step:
                os.kill(os.getpid(), signal.SIGTERM)
            return inner(self, examples)

        patch.setattr(TrainingLoop, "_accumulate", counted)
        done = secura_bench("run", "spec.yaml", cwd=work)
    assert done.returncode == 143, done.stderr
    return next((work / "results" / "trial").glob("*lora*"))


def assert_same(ours: Path, theirs: Path) -> None:
    first, second = kill_test.files(ours), kill_test.files(theirs)
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []


@pytest.mark.slow
def test_every_method_goes_on_as_if_it_had_never_stopped(tmp_path: Path, at_step) -> None:
    """All are stopped by a signal in every fifth step, in either task, and given again until they are done."""
    from secura_bench.plan.make import make_plan
    from secura_bench.runs.execute import execute
    from secura_bench.runs.stopping import Stopped
    from secura_bench.spec.load import load_spec

    (tmp_path / "spec.yaml").write_text(SEQUENCE.replace("methods: [{name: lora, r: 2}]\n", METHODS_OF_ALL_KINDS))
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


@pytest.mark.slow
def test_four_kills(tmp_path: Path) -> None:
    """SIGKILL in processes of their own; ``make kill-test`` does it twenty times, with every kind of method."""
    spec = kill_test.SPEC.replace("steps: 7", "steps: 5").replace("limit: 4, every: 4", "limit: 2")
    few = "methods: [{name: secura, r: 8, m: 16, merge: m2, fusion_step: 3}, {name: er}]\n"
    spec = re.sub(r"methods:\n(  - .*\n)+", few, spec)
    spec = spec.replace("seeds: [1, 2]", "seeds: [1]")
    assert len(kill_test.kill_test(tmp_path, 4, 1, spec, 20)) == 4


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
        pytest.param("adamw_8bit", "bf16_pure", marks=pytest.mark.slow),
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


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


DAMAGES = [
    ("loop.safetensors", half),
    ("model.safetensors", flip),
    ("state.json", half),
    ("generators.safetensors", None),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_damaged_checkpoint_is_found_and_the_run_begins_anew(
    work: Path, peace: Path, at_step, monkeypatch, name: str, damage: Any
) -> None:
    folder = stop_once(work, at_step, monkeypatch)
    file = latest_checkpoint(folder / "checkpoint")[0] / name
    damage(file) if damage else file.unlink()
    again = secura_bench("run", "spec.yaml", cwd=work)
    assert again.returncode == 0, again.stderr
    assert f"{name}: is damaged" in again.stderr and "begins anew" in again.stderr
    assert_same(peace, work / "results")


def test_the_checkpoint_before_stays_until_the_new_one_is_whole(work: Path, peace: Path, at_step, monkeypatch) -> None:
    folder = stop_once(work, at_step, monkeypatch)
    good = latest_checkpoint(folder / "checkpoint")[0]
    newer = good.with_name("000099")
    shutil.copytree(good, newer)
    flip(newer / "model.safetensors")
    again = secura_bench("run", "spec.yaml", cwd=work)
    assert again.returncode == 0 and "going on from the one before" in again.stderr
    assert_same(peace, work / "results")


def altered(folder: Path, number: str, **changes: Any) -> Path:
    """Return a whole copy of the latest checkpoint, with another number and other figures of the run."""
    good = latest_checkpoint(folder / "checkpoint")[0]
    assert good
    state = read_checkpoint(good)
    state["run"] |= changes
    made = save_checkpoint(folder.parent / "altered", state)
    target = good.with_name(number)
    shutil.rmtree(target, ignore_errors=True)
    shutil.move(made, target)
    shutil.rmtree(folder.parent / "altered")
    return target


FOREIGN = {
    "a shorter log": ({"log": 10**6}, r"log.jsonl: has lost lines: \d+ bytes of 1000000\."),
    "another run": ({"fingerprint": "0" * 10}, "checkpoint of the run 0{10}, and this is [0-9a-f]{10}"),
}


@pytest.mark.parametrize("only", [True, False])
@pytest.mark.parametrize(("changes", "said"), FOREIGN.values(), ids=FOREIGN)
def test_a_checkpoint_that_does_not_fit_the_folder_is_passed_over(
    work: Path, peace: Path, at_step, monkeypatch, changes: dict[str, Any], said: str, only: bool
) -> None:
    """As the only one, and as the later one of two."""
    folder = stop_once(work, at_step, monkeypatch)
    good = latest_checkpoint(folder / "checkpoint")[0]
    assert read_checkpoint(good)["run"]["fingerprint"].startswith(folder.name.rpartition("-")[2])
    altered(folder, good.name if only else "000099", **changes)
    again = secura_bench("run", "spec.yaml", cwd=work)
    assert again.returncode == 0, again.stderr
    told = " ".join(again.stderr.split())
    assert re.search(said, told), told
    assert ("the run begins anew" if only else "going on from the one before") in told
    assert_same(peace, work / "results")


def test_a_log_that_lost_lines_ends_no_run(work: Path, peace: Path, at_step, monkeypatch) -> None:
    folder = stop_once(work, at_step, monkeypatch)
    half(folder / "log.jsonl")
    again = secura_bench("run", "spec.yaml", cwd=work)
    assert again.returncode == 0 and "has lost lines" in again.stderr, again.stderr
    assert_same(peace, work / "results")


def test_the_log_is_on_the_disk_before_the_checkpoint_that_counts_on_it(work: Path, monkeypatch) -> None:
    order: list[int] = []
    inner = os.fsync

    def fsync(handle: int) -> None:
        order.append(os.fstat(handle).st_ino)
        inner(handle)

    logs: list[tuple[int, int, int]] = []

    def save(root: Path, parts: Any) -> Path:
        log, before = root.parent / "log.jsonl", len(order)
        assert not log.exists() or parts["run"]["log"] == log.stat().st_size
        made = save_checkpoint(root, parts)
        if log.exists():
            logs.append((log.stat().st_ino, before, order.index((made / "state.json").stat().st_ino)))
        return made

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr("secura_bench.runs.session.save_checkpoint", save)
    assert secura_bench("run", "spec.yaml", "--quiet", cwd=work).returncode == 0
    assert logs and all(log in order[:before] and before <= state for log, before, state in logs)


def test_a_state_that_the_code_cannot_load_names_the_way_out(work: Path, peace: Path, at_step, monkeypatch) -> None:
    stop_once(work, at_step, monkeypatch)

    def changed(self: Any, state: Any) -> None:
        self.gone = state["no such key"]

    with monkeypatch.context() as patch:
        patch.setattr(METHODS.get("lora"), "load_state_dict", changed)
        again = secura_bench("run", "spec.yaml", cwd=work)
    told = " ".join(again.stderr.split())
    assert again.returncode == 1 and "does not fit the run's code as it is now: KeyError: 'no such key'" in told
    assert "--force moves the run's folder aside and begins it anew" in told
    assert secura_bench("run", "spec.yaml", cwd=work).returncode == 0
    assert_same(peace, work / "results")


def test_a_full_disk_ends_the_command_and_leaves_the_last_checkpoint(
    work: Path, peace: Path, at_step, monkeypatch
) -> None:
    folder = stop_once(work, at_step, monkeypatch)
    before = latest_checkpoint(folder / "checkpoint")

    def full(tensors: Any, path: Path) -> None:
        path.write_bytes(b"as much as there was room for")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_tensors", full)
        done = secura_bench("run", "spec.yaml", cwd=work)
    assert done.returncode == 3 and "No space left on device" in done.stderr and "Traceback" not in done.stderr
    assert latest_checkpoint(folder / "checkpoint") == before
    assert secura_bench("run", "spec.yaml", cwd=work).returncode == 0
    assert_same(peace, work / "results")


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Return a function that mounts, or skips where this is refused; everything is unmounted in the end."""
    mounted: list[Path] = []

    def do(*words: str, at: Path) -> Path:
        at.mkdir(exist_ok=True)
        done = subprocess.run(["mount", *words, str(at)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"mounting is refused here: {done.stderr.strip()}")
        mounted.append(at)
        return at

    if shutil.which("mount") is None:
        pytest.skip("there is no mount here")
    yield do
    for at in reversed(mounted):
        subprocess.run(["umount", str(at)], check=False)


def test_a_disk_that_is_really_full(work: Path, peace: Path, mount) -> None:
    results = mount("-t", "tmpfs", "-o", "size=900k", "tmpfs", at=work / "results")
    spec = SEQUENCE.replace("{name: lora, r: 2}", "seq")
    (work / "spec.yaml").write_text(spec)
    done = secura_bench("run", "spec.yaml", cwd=work)  # a checkpoint of all weights takes 12 MB
    assert done.returncode == 3 and "No space left on device" in done.stderr and "Traceback" not in done.stderr
    assert len(list(find_records(results))) == 1  # the base's
    subprocess.run(["mount", "-o", "remount,size=100m", str(results)], check=True)
    assert secura_bench("run", "spec.yaml", cwd=work).returncode == 0


def test_a_read_only_mount(work: Path, peace: Path, at_step, monkeypatch, mount) -> None:
    folder = stop_once(work, at_step, monkeypatch)
    before = {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}
    mount("--bind", str(work / "results"), at=work / "results")
    mount("-o", "remount,ro,bind", at=work / "results")
    done = secura_bench("run", "spec.yaml", cwd=work)
    assert done.returncode in (2, 3) and "Read-only file system" in done.stderr and "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in work.rglob("*") if path.is_file()} == before
    assert folder.exists()


def test_an_emptied_record_is_named_and_force_mends_it(work: Path, peace: Path) -> None:
    shutil.copytree(peace, work / "results")
    record = next((work / "results" / "trial").glob("*lora*")) / "record.json"
    record.write_text("")
    done = secura_bench("run", "spec.yaml", cwd=work)
    assert done.returncode == 1 and "record.json: is damaged" in done.stderr and "--force" in done.stderr
    assert record.read_text() == ""
    assert "damaged" in secura_bench("status", cwd=work).stdout
    done = secura_bench("run", "spec.yaml", "--force", "--only", "lora", cwd=work)
    assert done.returncode == 0, done.stderr
    (aside,) = (work / "results" / "trial").glob("*.replaced-*")
    assert (aside / "record.json").read_text() == ""
    shutil.rmtree(aside)
    assert_same(peace, work / "results")


def test_only_and_force(work: Path, peace: Path) -> None:
    done = secura_bench("run", "spec.yaml", "--only", "nobody", cwd=work)
    assert done.returncode == 2 and "Known: tiny-base, tiny-lora" in done.stderr and not (work / "results").exists()
    assert secura_bench("run", "spec.yaml", "--only", "tiny", cwd=work).returncode == 2
    assert secura_bench("run", "spec.yaml", "--only", "base", cwd=work).returncode == 0
    assert len(list(find_records(work / "results"))) == 1
    assert "missing" in secura_bench("status", cwd=work).stdout
    assert secura_bench("run", "spec.yaml", "--force", cwd=work).returncode == 0
    assert len(list(work.glob("results/trial/*.replaced-*"))) == 1
    assert len(list(find_records(work / "results"))) == 2
    assert len(list(work.glob("results/**/record.json"))) == 3


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
    command = [sys.executable, "-m", "secura_bench", "run", "spec.yaml", "--json-lines"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    outs = [process.communicate(timeout=240) for process in both]
    assert {process.returncode for process in both} <= {0, 3}, outs
    assert 0 in {process.returncode for process in both}
    events = [json.loads(line) for out, _ in outs for line in out.splitlines()]
    ended = [event["run"] for event in events if event["event"] == "end"]
    assert len(ended) == len(set(ended)) == 5
    assert len(list(find_records(tmp_path / "results"))) == 5


def test_what_a_process_left_that_was_killed_after_its_record_goes(work: Path, peace: Path) -> None:
    from secura_bench.results.lock import note_of

    shutil.copytree(peace, work / "results")
    folder = RunFolder(next((work / "results" / "trial").glob("*lora*")))
    save_checkpoint(folder.checkpoint, {"plain": 1})
    note_of(folder).write_text('{"host": "elsewhere", "pid": 1, "started": 0, "updated": 0}')
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


PLUGIN = """\
import torch
from secura_bench.methods.method import Method, Options

class RoomOptions(Options):
    rows: int = 1

class SmallRoom(Method):
    "Has memory for a few rows at a time."
    name = "small_room"
    Options = RoomOptions
    def loss(self, model, batch):
        if len(batch.input_ids) > self.options.rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().loss(model, batch)

class Broken(Method):
    name = "broken"
    def after_step(self, model, optimizer):
        raise RuntimeError("a thing that nobody expected")
"""


@pytest.fixture
def plugin(work: Path, monkeypatch) -> str:
    monkeypatch.setattr(METHODS, "_objects", dict(METHODS._objects))
    (work / "plugin.py").write_text(PLUGIN)
    return "plugin.py"


def test_out_of_memory_halves_the_micro_batch_and_says_so(work: Path, plugin: str) -> None:
    methods = "methods=[{name: small_room}, {name: small_room, label: none, rows: 0}, seq]"
    spec = ("run", "spec.yaml", "--plugin", plugin, "--set", "train.batch_size=3", "--set", methods)
    done = secura_bench(*spec, cwd=work)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    found = {path.parent.name: json.loads(path.read_text()) for path in find_records(work / "results")}
    halved = next(record for name, record in found.items() if "small_room" in name)
    assert halved["notes"] == [
        "out of memory at step 1: micro_batch_size halved to 2",
        "out of memory at step 1: micro_batch_size halved to 1",
    ]
    plain = next(record for name, record in found.items() if "seq" in name)
    for mine, other in zip(halved["scores"], plain["scores"], strict=True):
        for name, value in mine["values"].items():
            wanted = other["values"][name]
            assert value == (wanted and pytest.approx(wanted, rel=1e-3, abs=1e-3))
    failed = next((work / "results" / "trial").glob("*none*"))
    failure = json.loads((failed / "failure.json").read_text())
    assert failure["reason"].startswith("Out of memory") and "context" in failure["advice"]
    assert not (failed / "record.json").exists()


@pytest.mark.parametrize("precision", ["fp32", "bf16_pure"])
def test_out_of_memory_while_scoring_halves_the_batch_in_fp32(work: Path, monkeypatch, precision: str) -> None:
    """Room for two rows at a time gives what room for five does; in bf16 it would not, and the run fails."""
    from secura_bench.evaluation.predicting import teacher_forced as protocol

    spec = ("run", "spec.yaml", "--quiet", "--set", f"train.precision={precision}", "--set", "evaluate.batch_size=5")
    assert secura_bench(*spec, "--results", "roomy", cwd=work).returncode == 0
    inner = protocol.collate

    def tight(examples: Any, pad_id: int) -> Any:
        if len(examples) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return inner(examples, pad_id)

    monkeypatch.setattr(protocol, "collate", tight)
    done = secura_bench(*spec, "--results", "tight", cwd=work)
    assert "Traceback" not in done.stderr
    if precision != "fp32":
        assert done.returncode == 1 and "Out of memory" in done.stderr
        advice = [json.loads(path.read_text())["advice"] for path in (work / "tight").rglob("failure.json")]
        assert len(advice) == 2 and "evaluate.batch_size" in advice[0]
        return
    assert done.returncode == 0, done.stderr
    roomy, cramped = ([json.loads(p.read_text()) for p in find_records(work / name)] for name in ("roomy", "tight"))
    for mine, other in zip(cramped, roomy, strict=True):
        assert mine["notes"] == [f"out of memory while scoring: evaluate.batch_size halved to {n}" for n in (3, 2)]
        for ours, theirs in zip(mine["scores"], other["scores"], strict=True):
            told = {name: value for name, value in theirs["values"].items() if value is not None}
            assert {n: v for n, v in ours["values"].items() if v is not None} == pytest.approx(told, rel=1e-4)


def test_an_error_ends_one_run_and_is_tried_again(work: Path, plugin: str) -> None:
    methods = "methods=[broken, {name: lora, r: 2}]"
    done = secura_bench("run", "spec.yaml", "--plugin", plugin, "--set", methods, cwd=work)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "RuntimeError: a thing that nobody expected" in done.stderr
    assert len(list(find_records(work / "results"))) == 2
    failed = next((work / "results" / "trial").glob("*broken*"))
    assert "after_step" in (failed / "traceback.txt").read_text()
    assert "a thing that nobody expected" in secura_bench("status", cwd=work).stdout
    METHODS._objects["broken"].after_step = lambda self, model, optimizer: None
    METHODS._objects.pop("small_room")
    again = secura_bench("run", "spec.yaml", "--set", methods, cwd=work)
    assert again.returncode == 0, again.stderr
    assert not (failed / "failure.json").exists() and not (failed / "traceback.txt").exists()


def test_trackers_that_fail_end_no_run(work: Path, peace: Path, monkeypatch) -> None:
    from accelerate import tracking

    logged: list[Any] = []

    class Good:
        requires_logging_directory = True

        def __init__(self, run_name: str, logging_dir: str) -> None:
            logged.append(run_name)

        def store_init_configuration(self, values: Any) -> None:
            logged.append(values)

        def log(self, values: Any, step: int) -> None:
            logged.append((step, values["loss"]))

        def finish(self) -> None:
            logged.append("finished")

    class Bad(Good):
        def log(self, values: Any, step: int) -> None:
            raise ConnectionError("nobody listens")

    monkeypatch.setattr(tracking, "LOGGER_TYPE_TO_CLASS", {"good": Good, "bad": Bad})
    assert secura_bench("run", "spec.yaml", "--report-to", "godo", cwd=work).returncode == 2
    done = secura_bench("run", "spec.yaml", "--report-to", "bad", "--report-to", "good", cwd=work)
    assert done.returncode == 0 and done.stderr.count("nobody listens") == 1
    assert [entry[0] for entry in logged if isinstance(entry, tuple)] == list(range(1, 9))
    assert logged[-1] == "finished"
    assert_same(peace, work / "results")


def test_json_lines_are_events(work: Path) -> None:
    done = secura_bench("run", "spec.yaml", "--json-lines", cwd=work)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {event["event"] for event in events} == {"start", "progress", "scored", "end", "finished"}
    assert [event["status"] for event in events if event["event"] == "end"] == ["done", "done"]
    steps = [event["step"] for event in events if event["event"] == "progress" and event["loss"] is not None]
    assert steps == [1, 2, 3, 4, 1, 2, 3, 4]
    ends = {event["run"]: event for event in events if event["event"] == "progress"}
    starts = {event["run"]: event for event in events if event["event"] == "start"}
    for run, start in starts.items():
        assert ends[run]["units"] == pytest.approx(start["units"], abs=1)


def test_status_is_told_from_files_and_imports_no_torch(work: Path, at_step, monkeypatch) -> None:
    stop_once(work, at_step, monkeypatch)
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


def test_what_was_not_kept_or_recorded_is_said(work: Path) -> None:
    assert secura_bench("run", "spec.yaml", "--quiet", "--set", "keep=nothing", cwd=work).returncode == 0
    done = secura_bench("run", "spec.yaml", "--quiet", "--set", "log.weight_norms=true", cwd=work)
    assert done.returncode == 0 and "without keeping its trained result" in done.stderr
    assert "without recording its weight norms" in done.stderr


@pytest.mark.slow
def test_two_processes_of_one_run_agree_with_one(tmp_path: Path) -> None:
    """Under torchrun, without dropout, the scores are one process's but for the order of sums in fp32."""
    spec = SEQUENCE.replace("[{name: lora, r: 2}]", "[{name: secura, r: 4, m: 6}, {name: ewc, fisher_samples: 3}, er]")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    found = []
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "secura_bench"]
    for name, launcher in (("one", ["-m", "secura_bench"]), ("two", together)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "spec.yaml").write_text(spec)
        command = [sys.executable, *launcher, "run", "spec.yaml"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
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
