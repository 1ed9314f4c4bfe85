"""`secura-bench check-method`: what holds of the examples, and which line says what is wrong with others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import ROOT, secura_bench

from secura_bench.checking.check import Verdict
from secura_bench.checking.command import table
from secura_bench.checking.trial import Fault, Trial
from secura_bench.foundation.registry import METHODS
from secura_bench.methods.plugins import load_plugin

EXAMPLES = [ROOT / "docs/methods" / name for name in ("l2_to_start.py", "agem.py", "near_base.py")]
HEAD = """\
import torch
from secura_bench.methods.base import Method, Options


class Mine(Method):
    name = "mine"
"""
IN_AN_ATTRIBUTE = """
    def __init__(self, options=None):
        super().__init__(options)
        self.memory = []

    def mix(self, examples):
        self.memory.extend(examples)
        return examples
"""
LOADS_NOTHING = """
    steps = 0

    def after_step(self, model, optimizer):
        self.steps += 1

    def terms(self, model, batch, logits):
        return {"own": (1 + self.steps) * 1e-3 * logits.float().square().mean()}

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        pass
"""
AS_BEFORE_START = """
    base = None

    def attach(self, model):
        model = super().attach(model)
        self.start = [p.detach().clone() for p in model.parameters()]
        return model

    def begin_task(self, model, task):
        import copy
        if self.base is None:
            self.base = copy.deepcopy(model).eval().requires_grad_(False)

    def terms(self, model, batch, logits):
        from secura_bench.models.head import answer_logits
        with torch.no_grad():
            before = answer_logits(self.base, batch)
        pull = sum((p - q).square().sum() for p, q in zip(model.parameters(), self.start))
        return {"apart": (logits - before).square().mean(), "pull": pull}
"""
STANDS_STILL = """
    def loss(self, model, batch):
        return super().loss(model, batch)

    def terms(self, model, batch, logits):
        return {"own": logits.float().square().mean() * len(batch.input_ids)}

    def after_backward(self, model, step):
        for p in model.parameters():
            p.grad = torch.zeros_like(p.grad)

    def parameter_groups(self, model):
        return [{"params": list(model.parameters()), "weight_decay": 0.0}]
"""
FAILS_ELSEWHERE = """
    def begin_task(self, model, task):
        if multiprocessing.parent_process():
            raise RuntimeError("not here")
"""
MIXES = """
    stream = "mixed"
"""


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METHODS, "_objects", dict(METHODS._objects))


def lines_of(text: str) -> dict[str, tuple[str, str]]:
    """Return what each line of a table says: whether it holds, and the rest."""
    found: dict[str, tuple[str, str]] = {}
    for line in text.splitlines()[1:-1]:
        if start := re.match(r"  (\S.*?)  +(holds|FAILS|no|–)  *(.*)$", line):
            what, holds, said = start.groups()
            found[what] = (holds, said)
        else:
            found[what] = (holds, f"{found[what][1]} {line.strip()}")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda path: path.stem)
def test_examples_hold(file: Path, tmp_path: Path) -> None:
    done = secura_bench("check-method", str(file), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {holds for holds, _ in lines_of(done.stdout).values()} == {"holds"}, done.stdout
    assert "2 × SIGKILL, resumed: equal bit by bit" in done.stdout
    assert not list(tmp_path.iterdir()), "nothing is left behind"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        (IN_AN_ATTRIBUTE, 1, {"runs": ("FAILS", "its attribute 'memory' changed after the start")}),
        (
            LOADS_NOTHING,
            1,
            {
                "its state comes back": ("FAILS", "'steps' of state_dict: load_state_dict brings another value back"),
                "killed within tasks": ("FAILS", "undisturbed"),
                "killed at a boundary": ("FAILS", "undisturbed"),
                "stacks on LoRA": ("FAILS", "undisturbed"),
            },
        ),
        (AS_BEFORE_START, 0, {"killed within tasks": ("holds", "equal"), "stacks on LoRA": ("holds", "equal")}),
        (
            STANDS_STILL,
            1,
            {
                "trains": ("FAILS", "no trained tensor moved"),
                "micro-batches agree": ("no", "is .* for four rows at once, and .* one by one"),
                "stacks on LoRA": ("no", "^'mine' cannot be stacked: it replaces the loss"),
                "exports": ("holds", "merged"),
            },
        ),
        (MIXES, 0, {"killed within tasks": ("holds", "2 ×"), "stacks on LoRA": ("no", "^'mine' cannot be stacked")}),
    ],
    ids=["attribute", "loads-nothing", "before-start", "still", "mixed"],
)
def test_each_fault_stands_in_its_line(text: str, code: int, told: dict, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HEAD + text)
    done = secura_bench("check-method", "mine.py", cwd=tmp_path)
    assert done.returncode == code, done.stdout + done.stderr
    found = lines_of(done.stdout)
    for what, (holds, said) in told.items():
        assert found[what][0] == holds and re.search(said, found[what][1]), done.stdout
    assert {what for what, (holds, _) in found.items() if holds == "FAILS"} == {
        what for what, (holds, _) in told.items() if holds == "FAILS"
    }
    assert ("its numbers would not be right" in done.stdout) == bool(code)


@pytest.mark.slow
def test_a_process_that_ends_before_it_is_killed_says_why(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"import multiprocessing\n{HEAD}{FAILS_ELSEWHERE}")
    load_plugin(tmp_path / "mine.py")
    trial = Trial.of(tmp_path / "trial", tmp_path / "mine.py", {"name": "mine"})
    with pytest.raises(Fault, match=r"ended before, with 1: RuntimeError: not here .*mine.py:"):
        trial.kill("results", "in-task")


@pytest.mark.parametrize(
    ("text", "words", "reason"),
    [
        (None, [], "mine.py: no such Python file"),
        ("x = 1\n", [], "mine.py: defines no subclass"),
        (HEAD, ["--method", "min"], r"--method min: unknown method 'min'. Did you mean 'mine'\?"),
        (HEAD, ["--option", "strength"], "an option is KEY=VALUE"),
        (HEAD, ["--option", "x=[1"], "the value cannot be read"),
    ],
)
def test_what_cannot_be_checked_is_said(text: str | None, words: list[str], reason: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    done = secura_bench("check-method", "mine.py", *words, cwd=tmp_path)
    assert done.returncode == 2 and re.search(reason, done.stderr) and "Traceback" not in done.stderr


def test_options_that_are_wrong_or_missing_are_the_first_line(tmp_path: Path) -> None:
    needs = (
        HEAD.replace("class Mine", "class Need(Options):\n    strength: float\n\n\nclass Mine") + "    Options = Need\n"
    )
    (tmp_path / "mine.py").write_text(needs)
    done = secura_bench("check-method", "mine.py", cwd=tmp_path)
    assert done.returncode == 1
    holds, said = lines_of(done.stdout)["options"]
    assert holds == "FAILS" and "strength" in said


def test_a_table_tells_what_is_needed_from_what_is_not() -> None:
    verdicts = [Verdict("a", True, "well"), Verdict("bb", False, "not so " * 30, needed=False), Verdict("c", None, "")]
    lines = table("mine", Path("mine.py"), verdicts, 3.2)
    assert (
        lines[0] == "mine, of mine.py"
        and lines[1] == "  a   holds  well"
        and lines[2].startswith("  bb  no     not so")
    )
    assert lines[3].startswith(" " * 13 + "not so") and all(len(line) <= 120 for line in lines)
    assert lines[-2:] == ["  c   –", "  its numbers would not be right (c); 3 s"]
    assert table("mine", Path("x"), verdicts[:2], 1)[-1] == "  what its numbers need holds; 1 s"
