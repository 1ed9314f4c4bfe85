"""Which settings an experiment's runs have, of those that its trials tried."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from secura_bench.foundation.errors import SpecError
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.grid import grid_of, tuned_methods, with_settings
from secura_bench.spec.tune import TRAINED, Grid, Settings, Tuned, TuneSpec, rounded, spelled
from secura_bench.tuning.curve import NotReachedError, setting_at
from secura_bench.tuning.trials import Trial, learned_by, read_trials, tune_of

if TYPE_CHECKING:
    from secura_bench.plan.make import Plan

Edge = Literal["lowest", "highest"]


@dataclass(frozen=True)
class Choice:
    """The settings of one method, with the loss of their trial, or with what they should learn as ``match`` has it."""

    settings: Settings
    loss: float | None = None
    learned: float | None = None


@dataclass(frozen=True)
class Settled:
    """A spec whose settings are chosen, and a sentence of each method."""

    spec: ExperimentSpec
    said: tuple[str, ...]


def settle(spec: ExperimentSpec, plan: Plan, results: Path) -> Settled | None:
    """Return the spec with the settings that its trials choose, those of ``plan``; None while a trial is not done.

    The same records always choose the same.

    Raises:
        SpecError: No method is left, or the reference has diverged everywhere.
        RecordError: A record is damaged.
    """
    trials = read_trials(plan, results)
    return None if trials is None else _settled(spec, plan, trials)


def choose(
    grids: Mapping[str, Grid], trials: Mapping[str, Sequence[Trial]], reference: str | None = None
) -> tuple[dict[str, Choice], dict[str, str]]:
    """Return the choice for each method, by label, and for the others why there is none.

    Without a ``reference`` each has its best setting: the lowest loss, of equal ones that which comes first in
    ascending order. With one, that is the reference's alone, and the others have the setting at which they learn as
    much.

    Raises:
        SpecError: The reference has diverged everywhere.
    """
    chosen, left_out = {}, {}
    for label in grids if reference is None else [reference]:
        best = min(trials[label], key=lambda trial: (trial.loss, _position(grids[label], trial.settings)))
        if math.isfinite(best.loss):
            chosen[label] = Choice(best.settings, best.loss, best.learned if reference else None)
        else:
            left_out[label] = "it diverged at every setting of its grid"
    if reference is None:
        return chosen, left_out
    wanted = chosen[reference].learned if reference in chosen else None
    if wanted is None or not math.isfinite(wanted):
        raise SpecError(f"tune.reference: {reference} diverged at every setting of its grid; nothing can match it.")
    for label, grid in grids.items():
        if label == reference:
            continue
        (key,) = grid
        try:
            found = setting_at({trial.settings[key]: trial.learned for trial in trials[label]}, wanted)
        except NotReachedError as reason:
            left_out[label] = str(reason)
            continue
        whole = all(isinstance(value, int) for value in grid[key])
        chosen[label] = Choice({key: round(found) if whole else rounded(found)}, learned=wanted)
    return {label: chosen[label] for label in grids if label in chosen}, left_out


def edges_of(grid: Grid, settings: Settings) -> dict[str, Edge]:
    """Return which of ``settings`` are the lowest or the highest number of several that the grid has."""
    found: dict[str, Edge] = {}
    for key, value in settings.items():
        if _numeric(grid[key]) and len(grid[key]) > 1 and value in (min(grid[key]), max(grid[key])):
            found[key] = "lowest" if value == min(grid[key]) else "highest"
    return found


def _settled(spec: ExperimentSpec, plan: Plan, trials: Sequence[Trial]) -> Settled:
    tune = tune_of(spec)
    grids = {method.label: grid_of(method, tune) for method in tuned_methods(spec)}
    by_family = {label: [trial for trial in trials if trial.family == label] for label in grids}
    chosen, left_out = choose(grids, by_family, tune.reference)
    if not chosen:
        reasons = "; ".join(f"{label}: {reason}" for label, reason in left_out.items())
        raise SpecError(f"tune: no setting can be chosen for any method ({reasons}); give 'grid' other values.")
    methods = []
    for method in spec.methods:
        if method.label not in grids:
            methods.append(method)
        elif method.label in chosen:
            tuned = _tuned(tune, plan, method.label, grids[method.label], chosen[method.label], by_family, left_out)
            methods.append(with_settings(method, tuned.settings, tuned))
    said = [_sentence(label, chosen.get(label), grids[label], tune, left_out.get(label)) for label in grids]
    return Settled(spec.model_copy(update={"tune": None, "methods": tuple(methods)}), tuple(said))


def _tuned(
    tune: TuneSpec,
    plan: Plan,
    label: str,
    grid: Grid,
    choice: Choice,
    by_family: Mapping[str, Sequence[Trial]],
    left_out: Mapping[str, str],
) -> Tuned:
    own = by_family[label]
    beside = [] if tune.reference in (None, label) else by_family[tune.reference or ""]
    tuned = Tuned(
        family=label,
        settings=dict(choice.settings),
        choose=tune.choose,
        grid=grid,
        reference=tune.reference,
        chosen_from=tuple(folder for trial in (*own, *beside) for folder in trial.folders),
        on=plan.spec.task_names,
        held_out=tune.on == TRAINED,
        rows=own[0].rows,
        seeds=plan.spec.seeds,
        runs=sum(len(trial.folders) for trial in own),
        seconds=round(math.fsum(trial.seconds for trial in own), 1),
        loss=choice.loss,
        learned=choice.learned,
        by=learned_by(plan.spec).id if tune.reference else None,
        edges=edges_of(grid, choice.settings),
        left_out=dict(left_out),
    )
    steps = plan.spec.train.steps
    return tuned if tuned.length or not isinstance(steps, int) else tuned.model_copy(update={"steps": steps})


def _sentence(label: str, choice: Choice | None, grid: Grid, tune: TuneSpec, reason: str | None) -> str:
    """Return what was chosen for a method, in a line."""
    if choice is None:
        return f"{label} is left out: {reason}"
    settings = ", ".join(f"{key} {spelled(value)}" for key, value in choice.settings.items())
    if choice.loss is None:
        why = f"where it should learn as much as {tune.reference} at its best, a score of {choice.learned:.3g}"
    else:
        why = f"the lowest loss of its settings, {choice.loss:.3g} nats a token"
    found = edges_of(grid, choice.settings)
    edges = "".join(f"; {key} is the {edge} of the grid, which may end too soon" for key, edge in found.items())
    return f"{label}: {settings}, {why} on {tune.on}{edges}"


def _numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def _position(grid: Grid, settings: Settings) -> tuple[int, ...]:
    """Return where settings stand in their grid: numbers in ascending order, others as they are written."""
    ordered = {key: sorted(values) if _numeric(values) else list(values) for key, values in grid.items()}
    return tuple(ordered[key].index(value) for key, value in settings.items())
