"""Generation, each task scored by what whoever made it scores it by: of unlike tasks one matrix can be made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from secura_bench.evaluation.outcome import Column, Judged
from secura_bench.evaluation.predictions import Prediction
from secura_bench.evaluation.protocols.generate import GENERATE, Generate
from secura_bench.evaluation.protocols.protocol import Asked

_COLUMNS = {"rouge": "rougeL"}
"""The column of a row's scores by a task file's metric, where that is not called as the metric is."""


class OwnMetric(Generate):
    """Greedy generation, with the task file's first metric as ``score``."""

    def judge(self, asked: Asked, predictions: Sequence[Prediction]) -> Judged:
        """Score each text as ``generate`` does, and by the task's own metric; BLEU is of no single row."""
        judged = super().judge(asked, predictions)
        first = asked.file.metric[0]
        untold: Column = [None] * len(predictions)
        score = judged.columns.get(_COLUMNS.get(first, first), untold)
        return replace(judged, columns={"score": score, **judged.columns})


OWN_METRIC = OwnMetric(
    "own_metric",
    metrics=("score",),
    learned=("score",),
    meaning="greedy generation as in generate; score is the first metric that the task file names, so that columns of "
    "unlike tasks hold unlike metrics",
    signatures={
        **GENERATE.signatures,
        "score": "each task's first metric: accuracy, exact_match, edit_similarity, sari, or rougeL for rouge",
    },
    row_cost=GENERATE.row_cost,
    generates=True,
)
