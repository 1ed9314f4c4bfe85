"""A trained run scored between the base's weights and its own, as ``evaluate.interpolate`` says."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from torch import nn

from secura_bench.methods.interpolation import interpolated
from secura_bench.methods.method import Method
from secura_bench.models.load import load_model
from secura_bench.runs.scorer import Scorer, stage_cache
from secura_bench.training.precision import weights_dtype
from secura_bench.training.processes import everywhere


def score_between(
    scorer: Scorer, method: Method, model: nn.Module, after: str, step: int, tasks: Sequence[str], predictions: Path
) -> None:
    """Score a run's end at every α, each as a stage of its own, right after the end itself was scored.

    α = 1 is that end: its scores are those. ``predictions`` is a folder for those of the others: a run that is killed
    here goes on from them.
    """
    run = scorer.run
    alphas = run.spec.evaluate.interpolate
    end = scorer.stage - 1
    dtype = weights_dtype(run.train.precision)
    base = everywhere(lambda: load_model(scorer.inputs.model, dtype)) if set(alphas) - {1.0} else nn.Module()
    for alpha in alphas:
        if alpha == 1:
            scorer.interpolated[alpha] = [score for score in scorer.scores if score.stage == end]
            continue
        found = scorer.interpolated[alpha] = []
        cache = stage_cache(predictions / str(alpha))
        within = partial(interpolated, method, base=base, alpha=alpha)
        scorer.score(method, model, after, step, True, tasks, cache, within, found)
