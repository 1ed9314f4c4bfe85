"""Specs done whole: the trials first, where settings are chosen of them, and then the experiment's own runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from secura_bench.plan.make import Plan, make_plans
from secura_bench.plan.run import Run
from secura_bench.runs.execute import ProgressMode, execute
from secura_bench.runs.outcome import Outcome
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.tuning.choose import settle
from secura_bench.tuning.trials import trial_experiment

Doing = Callable[[Sequence[Plan], Path, ProgressMode, Sequence[str], bool, Sequence[str]], Outcome]
"""What does the missing runs of plans: ``execute``, or a launcher's ``execute``."""


def execute_specs(
    specs: Sequence[ExperimentSpec],
    results: Path,
    progress: ProgressMode = "person",
    only: Sequence[str] = (),
    force: bool = False,
    report_to: Sequence[str] = (),
    allow_code: bool = False,
    say: Callable[[str], None] = lambda text: None,
    do: Doing = execute,
) -> tuple[Outcome, tuple[Run, ...], tuple[Run, ...]]:
    """Do the missing runs of ``specs``, as ``execute`` does those of plans; return also the trials and the other runs.

    Settings are chosen when all trials of a spec are done, by whatever process; until then its own runs wait, and
    ``say`` is told. ``only`` may name trials, and of the other runs those whose settings are chosen. ``do`` does the
    runs of plans: ``execute`` here and one after another, a launcher elsewhere or several at once.

    Raises:
        BenchError: As ``make_plans``, ``settle`` and ``execute``.
        Stopped: As ``execute``.
    """
    tuned = [spec for spec in specs if spec.tune is not None]
    trials = make_plans([trial_experiment(spec) for spec in tuned], allow_code)
    if trials and not only:
        outcome = do(trials, results, progress, (), force, report_to)
        plans = _own_plans(specs, trials, results, allow_code, say)
        outcome.add(do(plans, results, progress, (), force, report_to))
    else:
        plans = _own_plans(specs, trials, results, allow_code, say)
        outcome = do((*trials, *plans), results, progress, only, force, report_to)
    return outcome, _runs(trials), _runs(plans)


def _own_plans(
    specs: Sequence[ExperimentSpec],
    trials: Sequence[Plan],
    results: Path,
    allow_code: bool,
    say: Callable[[str], None],
) -> tuple[Plan, ...]:
    """Return the plans of the experiments' own runs, as far as their settings are known."""
    ready, of_trials = [], iter(trials)
    for spec in specs:
        if spec.tune is None:
            ready.append(spec)
            continue
        plan = next(of_trials)
        settled = settle(spec, plan, results)
        if settled is None:
            say(f"the runs of {spec.experiment} wait for the trials of {plan.spec.experiment}, by which they are set")
            continue
        for sentence in settled.said:
            say(f"{spec.experiment}: {sentence}")
        ready.append(settled.spec)
    return make_plans(ready, allow_code)


def _runs(plans: Sequence[Plan]) -> tuple[Run, ...]:
    return tuple(run for plan in plans for run in plan.runs)
