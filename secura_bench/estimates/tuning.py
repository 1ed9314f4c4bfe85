"""What tuning adds to an experiment: its trials beside its own runs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from secura_bench.estimates.forecast import Forecast
from secura_bench.foundation.errors import DataError
from secura_bench.foundation.wording import counted, duration
from secura_bench.plan.make import make_plans
from secura_bench.plan.run import planned_runs
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.tuning.choose import settle
from secura_bench.tuning.trials import trial_experiment


def stages(specs: Sequence[ExperimentSpec], results: Path, allow_code: bool = False) -> Iterator[ExperimentSpec]:
    """Yield the experiments that ``specs`` stand for, trials before what they choose for.

    A spec has the settings that its trials chose where all of these are done; else it is yielded as it is.
    """
    for spec in specs:
        if spec.tune is None:
            yield spec
            continue
        trials = trial_experiment(spec)
        yield trials
        try:
            (plan,) = make_plans([trials], allow_code, fetch=False)
        except DataError:  # neither model nor data is here, and so no trial was done
            yield spec
            continue
        settled = settle(spec, plan, results)
        yield spec if settled is None else settled.spec


def added(spec: ExperimentSpec) -> str:
    """Return how many runs tuning adds to a spec, as a clause; nothing where there is none."""
    if spec.tune is None:
        return ""
    trials = trial_experiment(spec)
    return f"{counted(len(planned_runs(trials)), 'run')} of {trials.experiment}"


def tuning_text(specs: Sequence[ExperimentSpec], forecasts: Sequence[Forecast]) -> Iterator[str]:
    """Yield the lines that say what tuning adds to each of ``specs``."""
    by_name = {(forecast.spec.experiment, forecast.spec.model): forecast for forecast in forecasts}
    for spec in specs:
        if spec.tune is None:
            continue
        trials = trial_experiment(spec)
        seconds, own = (
            sum(each.runs * (each.seconds or 0) for each in by_name[name, spec.model].methods)
            for name in (trials.experiment, spec.experiment)
        )
        text = (
            f"Tuning {spec.experiment} (choose: {spec.tune.choose}) adds {added(spec)}, {duration(seconds)} beside the "
            f"{duration(own)} of its own runs, from the first to the last; they are done first."
        )
        yield from textwrap.wrap(text, 79, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
