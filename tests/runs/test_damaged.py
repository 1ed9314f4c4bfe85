"""Damaged checkpoints, full disks and lost lines: a run begins anew or goes on, and says which; none is wrong."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import secura_bench
from interrupted import SEQUENCE, assert_same

from secura_bench.foundation.registry import METHODS
from secura_bench.results.read import find_records
from secura_bench.training import checkpoints
from secura_bench.training.checkpoints import latest_checkpoint, read_checkpoint, save_checkpoint


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
    work: Path, peace: Path, stopped: Path, name: str, damage: Any
) -> None:
    file = latest_checkpoint(stopped / "checkpoint")[0] / name
    damage(file) if damage else file.unlink()
    again = secura_bench("run", "spec.yaml", cwd=work)
    assert again.returncode == 0, again.stderr
    assert f"{name}: is damaged" in again.stderr and "begins anew" in again.stderr
    assert_same(peace, work / "results")


def test_the_checkpoint_before_stays_until_the_new_one_is_whole(work: Path, peace: Path, stopped: Path) -> None:
    good = latest_checkpoint(stopped / "checkpoint")[0]
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
    work: Path, peace: Path, stopped: Path, changes: dict[str, Any], said: str, only: bool
) -> None:
    """As the only one, and as the later one of two."""
    good = latest_checkpoint(stopped / "checkpoint")[0]
    assert read_checkpoint(good)["run"]["fingerprint"].startswith(stopped.name.rpartition("-")[2])
    altered(stopped, good.name if only else "000099", **changes)
    again = secura_bench("run", "spec.yaml", cwd=work)
    assert again.returncode == 0, again.stderr
    told = " ".join(again.stderr.split())
    assert re.search(said, told), told
    assert ("the run begins anew" if only else "going on from the one before") in told
    assert_same(peace, work / "results")


def test_a_log_that_lost_lines_ends_no_run(work: Path, peace: Path, stopped: Path) -> None:
    half(stopped / "log.jsonl")
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


def test_a_state_that_the_code_cannot_load_names_the_way_out(
    work: Path, peace: Path, stopped: Path, monkeypatch
) -> None:
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
    work: Path, peace: Path, stopped: Path, monkeypatch
) -> None:
    before = latest_checkpoint(stopped / "checkpoint")

    def full(tensors: Any, path: Path) -> None:
        path.write_bytes(b"as much as there was room for")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_tensors", full)
        done = secura_bench("run", "spec.yaml", cwd=work)
    assert done.returncode == 3 and "No space left on device" in done.stderr and "Traceback" not in done.stderr
    assert latest_checkpoint(stopped / "checkpoint") == before
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


def test_a_read_only_mount(work: Path, peace: Path, stopped: Path, mount) -> None:
    before = {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}
    mount("--bind", str(work / "results"), at=work / "results")
    mount("-o", "remount,ro,bind", at=work / "results")
    done = secura_bench("run", "spec.yaml", cwd=work)
    assert done.returncode in (2, 3) and "Read-only file system" in done.stderr and "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in work.rglob("*") if path.is_file()} == before
    assert stopped.exists()


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
