"""What runs logged beside their scores: norms of gradients and weights, Res, and what survived of merges."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from secura_bench.report.study.arms import Arm
from secura_bench.report.study.runs import Run

GRADIENT = "grad_"  # training/norms.py: gradient_norms
RES = "median_res"  # methods/secura.py: Secura.measures
MERGE = "merge_"  # adapters/merging.py: Survival.figures, followed by _step or _total


@dataclass(frozen=True)
class Change:
    """What adapted weights have changed by, in percent of the base's norm.

    Attributes:
        former, updated: The change of the norm, as trained and after a normalisation.
        moved: The norm of the change, ‖W − W_base‖ / ‖W_base‖; None in records that are older than it.
    """

    former: float
    updated: float
    moved: float | None = None


def gradient_norms(run: Run) -> dict[str, list[tuple[int, float]]]:
    """Return, by matrix, step and gradient norm (a mean over layers) along a run; steps count on over tasks."""
    steps: dict[str, list[tuple[int, float]]] = {}
    done, highest, task = 0, 0, None
    for entry in run.log():
        if not isinstance(entry.get("step"), int):
            continue
        if entry.get("task") != task:
            done, highest, task = done + highest, 0, entry.get("task")
        highest = max(highest, entry["step"])
        for key, value in entry.items():
            if key.startswith(GRADIENT) and key != "grad_norm" and isinstance(value, float | int):
                steps.setdefault(key.removeprefix(GRADIENT), []).append((done + entry["step"], float(value)))
    return steps


def merge_figures(run: Run) -> dict[str, list[float]]:
    """Return the figures that a method logged of Res and of its merges, in order; nothing where it logged none."""
    found: dict[str, list[float]] = {}
    for entry in run.log(holding=(RES, MERGE)):
        for key, value in entry.items():
            if key.startswith((RES, MERGE)) and isinstance(value, float | int) and math.isfinite(value):
                found.setdefault(key, []).append(float(value))
    return found


def weight_changes(arms: Iterable[Arm]) -> dict[str, dict[str, Change]]:
    """Return by method and module how the weights' norm has changed, a mean over the method's runs."""
    found: dict[str, dict[str, list[Change]]] = {}
    for arm in arms:
        for run in arm.runs:
            for name, change in _changes(run.record.weight_norms or {}):
                found.setdefault(arm.method, {}).setdefault(name, []).append(change)
    return {method: {name: _mean(changes) for name, changes in by.items()} for method, by in found.items()}


def _changes(norms: Mapping[str, Mapping[str, float | None]]) -> Iterable[tuple[str, Change]]:
    before, former, updated, moved = (norms.get(key, {}) for key in ("before", "former", "updated", "moved"))
    for name, norm in before.items():
        then, now = former.get(name), updated.get(name)
        if norm and then is not None and now is not None:
            far = moved.get(name)
            yield name, Change(100 * (then / norm - 1), 100 * (now / norm - 1), None if far is None else 100 * far)


def _mean(changes: Sequence[Change]) -> Change:
    n = len(changes)
    moved = [c.moved for c in changes if c.moved is not None]
    return Change(
        math.fsum(c.former for c in changes) / n,
        math.fsum(c.updated for c in changes) / n,
        math.fsum(moved) / n if len(moved) == n else None,
    )
