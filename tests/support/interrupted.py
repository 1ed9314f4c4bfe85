"""Runs to be stopped, and those left in peace that they are held against."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, SPEC, secura_bench

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
  - {name: o_lora, r: 2, dropout: 0.3, lambda1: [0, 0.5]}
  - {stack: [{name: lora, r: 2}, lwf]}
  - {name: ewc, fisher_samples: 3, variant: separate, dtype: bf16}
  - {name: er, buffer: balanced, capacity: 5}
  - {name: der, capacity: 5}
  - {stack: [{name: lora, r: 2}, {name: gem, capacity: 5}, ema]}
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


@pytest.fixture(scope="session")
def peace(tmp_path_factory) -> Path:
    """The results of the same spec, undisturbed."""
    folder = tmp_path_factory.mktemp("peace")
    (folder / "spec.yaml").write_text(SEQUENCE)
    done = secura_bench("run", "spec.yaml", "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "results"


@pytest.fixture(scope="session")
def _stopped(tmp_path_factory) -> Path:
    """The results of the same spec, whose lora run was stopped in its third step."""
    folder, count, inner = tmp_path_factory.mktemp("stopped"), iter(range(1, 10**6)), TrainingLoop._accumulate

    def counted(self: TrainingLoop, examples: Any) -> Any:
        if next(count) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return inner(self, examples)

    (folder / "spec.yaml").write_text(SEQUENCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingLoop, "_accumulate", counted)
        done = secura_bench("run", "spec.yaml", cwd=folder)
    assert done.returncode == 143, done.stderr
    return folder / "results"


@pytest.fixture
def stopped(work: Path, _stopped: Path) -> Path:
    """The folder, among the results in ``work``, of a lora run that was stopped and has a checkpoint."""
    shutil.copytree(_stopped, work / "results")
    return next((work / "results" / "trial").glob("*lora*"))


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


def assert_same(ours: Path, theirs: Path) -> None:
    first, second = kill_test.files(ours), kill_test.files(theirs)
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []
