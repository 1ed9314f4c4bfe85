"""What records say of how their settings were chosen: the ledger of what tuning took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from secura_bench.report.study.arms import Arm
from secura_bench.report.study.study import Study
from secura_bench.spec.tune import Tuned


def tuned_of(arm: Arm) -> Tuned | None:
    """Return how an arm's settings were chosen, as its newest record has it; None where no grid is said."""
    newest = max(arm.runs, key=lambda run: run.record.finished_at).record
    try:
        return Tuned.model_validate(newest.method["tuned"]) if "tuned" in newest.method else None
    except ValidationError:  # another program's
        return None


def ledger(study: Study) -> Iterator[tuple[str, Tuned]]:
    """Yield each method whose settings were chosen, with how; of settings that are all shown, their method once."""
    seen = set()
    for arm in study.arms:
        tuned = tuned_of(arm)
        if tuned is None:
            continue
        name = tuned.family if tuned.choose == "frontier" else arm.method
        if name not in seen:
            seen.add(name)
            yield name, tuned


def left_out(found: Iterable[tuple[str, Tuned]]) -> dict[str, str]:
    """Return the methods of which no settings could be chosen, and why."""
    return {name: reason for _, tuned in found for name, reason in tuned.left_out.items()}
