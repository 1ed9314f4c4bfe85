"""What must hold of a method, one line each, from small runs on the tiny model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from secura_bench.checking import live
from secura_bench.checking.held import not_counted
from secura_bench.checking.trial import KILLED_AFTER, STEPS, Fault, Trial, differences, losses
from secura_bench.export.write import export, restore
from secura_bench.foundation.errors import BenchError
from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.wording import in_a_line
from secura_bench.methods.method import Method
from secura_bench.methods.plugins import plugin_fault
from secura_bench.models.load import find_model
from secura_bench.results.folder import RunFolder

Say = Callable[[str], None]


@dataclass(frozen=True)
class Verdict:
    """Whether one thing holds of a method; None where it was not tried.

    ``needed``: without it a run's numbers may be wrong. ``said``: what was seen, or why it does not hold, in a line.
    """

    what: str
    holds: bool | None
    said: str
    needed: bool = True

    @property
    def fails(self) -> bool:
        """Whether this makes the method's numbers doubtful."""
        return self.needed and self.holds is not True


def check_method(name: str, options: Mapping[str, Any], plugin: Path, work: Path, say: Say) -> Iterator[Verdict]:
    """Yield what holds of the registered method ``name``, from ``plugin``, with ``options``; trials go to ``work``.

    ``say`` is told what is being tried.
    """
    kind: type[Method] = METHODS.get(name)
    fields = kind.Options.model_fields.items()
    shown = ", ".join(f"{key} {'required' if field.is_required() else repr(field.default)}" for key, field in fields)
    entry = {"name": name, **options}
    try:
        alone = Trial.of(work / "alone", plugin, entry)
    except BenchError as error:
        yield Verdict("options", False, _without_place(error))
        return
    yield Verdict("options", True, f"{shown or 'none'}{f'; here {_listed(options)}' if options else ''}")
    if not alone.run.build().trains:
        yield Verdict("trains", None, "it trains nothing, so there is nothing to resume", needed=False)
        return
    say(f"{name}: {STEPS} steps on each of two tasks, undisturbed")
    try:
        peace = alone.go("undisturbed")
    except Fault as fault:
        yield Verdict("runs", False, str(fault))
        return
    yield _trains(alone, peace)
    yield _attempt("its state comes back", lambda: live.state_comes_back(_trained(alone)), "through a checkpoint")
    say(f"{name}: killed after step {KILLED_AFTER} of either task")
    yield _resumes(alone, peace, ("in-task", "in-second-task"), "killed within tasks")
    say(f"{name}: killed at the boundary between the tasks")
    yield _resumes(alone, peace, ("at-boundary",), "killed at a boundary")
    say(f"{name}: scored, exported, counted, stacked")
    yield _attempt("scoring changes nothing", lambda: live.evaluation_changes(_trained(alone)), "scored twice alike")
    yield _attempt(
        "micro-batches agree",
        lambda: live.micro_batches_change(alone.run, alone.plan.inputs),
        "four rows at once, or one by one: the same step",
        needed=False,
    )
    yield _attempt("plan counts right", lambda: _miscounted(alone), "parameters and what is held", needed=False)
    yield _exports(alone, peace)
    yield from _stacks(entry, plugin, work, say)


def _trained(trial: Trial) -> live.Live:
    found = live.Live(trial.run, trial.plan.inputs)
    for index in range(2):
        found.do(index, KILLED_AFTER)
    return found


def _miscounted(trial: Trial) -> str | None:
    """Return what a plan counts otherwise than the attached method, or what that does not count; None for nothing."""
    found = _trained(trial)
    return live.plan_errs(trial.run, trial.plan.inputs) or not_counted(found.method, found.model)


def _attempt(what: str, find: Callable[[], str | None], well: str, needed: bool = True) -> Verdict:
    """Return the verdict of a check that says what is wrong, or nothing."""
    try:
        wrong = find()
    except BenchError as error:
        wrong = str(error)
    except Exception as error:
        wrong = plugin_fault(error) or in_a_line(error)
    return Verdict(what, wrong is None, well if wrong is None else wrong, needed)


def _trains(trial: Trial, folder: RunFolder) -> Verdict:
    said = []
    for task, path in losses(folder).items():
        said.append(f"{sum(path[:3]) / 3:.2f} to {sum(path[-3:]) / 3:.2f} on {task}")
    try:
        session = live.Live(trial.run, trial.plan.inputs)
        before = live.copies(session.model)
        frozen = {name for name, p in session.model.named_parameters() if not p.requires_grad}
        session.do(0, KILLED_AFTER)
    except Exception as error:
        return Verdict("trains", False, plugin_fault(error) or in_a_line(error))
    trained = set(live.moved(before, session.model)) - frozen
    if not trained:
        return Verdict("trains", False, "no trained tensor moved")
    return Verdict("trains", True, f"{len(trained)} tensors move; loss {' and '.join(said)}")


def _resumes(trial: Trial, peace: RunFolder, kills: tuple[Any, ...], what: str) -> Verdict:
    results = "-".join(kills)
    try:
        for when in kills:
            trial.kill(results, when)
        resumed = trial.go(results)
    except Fault as fault:
        return Verdict(what, False, str(fault))
    wrong = differences(peace, resumed)
    return Verdict(what, wrong is None, wrong or f"{len(kills)} × SIGKILL, resumed: equal bit by bit")


def _exports(trial: Trial, folder: RunFolder) -> Verdict:
    """Export the run's result, as a PEFT adapter or else as a whole model, and compare what it says."""
    what, refused = "exports", ""
    for form in ("peft", "merged"):
        target = trial.folder / form
        try:
            export(folder.path, form, target)
        except BenchError as error:
            refused = str(error)
            continue
        except Exception as error:
            return Verdict(what, False, plugin_fault(error) or in_a_line(error), needed=False)
        return _attempt(what, partial(_other_answers, trial, folder, form), f"{form}: the same answers", False)
    return Verdict(what, False, refused, needed=False)


def _other_answers(trial: Trial, folder: RunFolder, form: str) -> str | None:
    from transformers import AutoModelForCausalLM

    base = find_model("tiny")
    session = live.Live(trial.run, trial.plan.inputs)
    session.model = restore(base, session.method, folder.trained_file)
    ours = session.logits()
    if form == "peft":
        from peft import PeftModel

        theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base.path), str(trial.folder / form))
    else:
        theirs = AutoModelForCausalLM.from_pretrained(trial.folder / form)
    other = live.Live(trial.run, trial.plan.inputs)
    other.method, other.model = Method(), theirs.float()
    gap = float((other.logits() - ours).abs().max())
    return None if gap <= 1e-3 * max(1.0, float(ours.abs().max())) else f"{form}: logits are up to {gap:.3g} off"


def _stacks(entry: Mapping[str, Any], plugin: Path, work: Path, say: Say) -> Iterator[Verdict]:
    what = "stacks on LoRA"
    parts = [{"name": "lora", "r": 4}, dict(entry)]
    try:
        stacked = Trial.of(work / "stacked", plugin, {"stack": parts, "train": {"lr": 5e-3}})
    except BenchError as error:
        yield Verdict(what, False, _without_place(error), needed=False)
        return
    say(f"{entry['name']}: the same on LoRA")
    try:
        peace = stacked.go("undisturbed")
    except Fault as fault:
        yield Verdict(what, False, str(fault), needed=False)
        return
    verdict = _resumes(stacked, peace, ("in-second-task",), what)
    yield verdict


def _without_place(error: BenchError) -> str:
    """Return what is wrong with a trial's spec, without the file, which nobody wrote."""
    return re.sub(r"^\S*spec\.yaml(:\d+)?: (methods\.0(\.(?=\w)|: ))?", "", str(error))


def _listed(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value!r}" for key, value in options.items())
