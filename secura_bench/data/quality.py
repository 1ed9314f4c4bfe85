"""What is to be known of a task's rows before a number from them is believed: pure functions over rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from secura_bench.tasks.row import Row

_NGRAM = 13  # words: the run that GPT-3's authors took for an overlap (Brown et al. 2020, appendix C)


def with_options(rows: Iterable[Row]) -> int:
    """Return how many rows have options."""
    return sum(bool(row.choices) for row in rows)


def chance(rows: Iterable[Row]) -> float | None:
    """Return the expected accuracy, in percent, of drawing an option uniformly; None where no row has options."""
    shares = [1 / len(row.choices) for row in rows if row.choices]
    return 100 * sum(shares) / len(shares) if shares else None


def majority(rows: Iterable[Row]) -> float | None:
    """Return the accuracy, in percent, of the best constant answer; None where no row has options.

    Constant is either an option's text ("different") or its letter ("(A)"), whichever is right more often.
    """
    texts: Counter[str] = Counter()
    letters: Counter[int] = Counter()
    for row in rows:
        if row.choices and row.answer_index is not None:
            texts[row.choices[row.answer_index]] += 1
            letters[row.answer_index] += 1
    n = sum(letters.values())
    return 100 * max(*texts.values(), *letters.values()) / n if n else None


def duplicates(rows: Sequence[Row]) -> int:
    """Return how many rows have the prompt (of plain text, the text) of an earlier row, and the same said before it."""
    return len(rows) - len({row.asked for row in rows})


def leaked(train: Sequence[Row], test: Sequence[Row]) -> int:
    """Return how many test rows share their group or their prompt with a training row."""
    groups = {row.group for row in train if row.group is not None}
    prompts = {row.asked for row in train}
    return sum(row.group in groups or row.asked in prompts for row in test)


def overlap(rows: Sequence[Row], others: Iterable[Row]) -> int:
    """Return how many rows share a run of 13 words with one of ``others``, or all their words if they have fewer.

    Words are compared without case and punctuation; prompt and answer are looked at together, and what was said
    before them, but for the system's message.
    """
    seen = {run for other in others for run in _runs(other)}
    return sum(any(run in seen for run in _runs(row)) for row in rows)


def _runs(row: Row) -> set[tuple[str, ...]]:
    said = [text for role, text in row.history if role != "system"]
    words = re.findall(r"\w+", " ".join([*said, row.prompt, row.target]).casefold())
    return {tuple(words[i : i + _NGRAM]) for i in range(max(1, len(words) - _NGRAM + 1))}


@dataclass(frozen=True)
class PositionBias:
    """How often the right answer stands at each place, what is to be expected, and whether that is chance.

    Attributes:
        counts, expected: by place, (A) first. statistic, p: of the chi-square test against uniform places.
    """

    counts: tuple[int, ...]
    expected: tuple[float, ...]
    statistic: float
    p: float


def position_bias(rows: Iterable[Row]) -> PositionBias | None:
    """Test whether right answers stand at every place equally often; None where no row has options.

    Under the null the place of row r is uniform over its n_r options, so the counts have mean Σ 1/n_r and covariance
    V = Σ (diag(p_r) − p_r p_rᵀ), and (o − e)ᵀ V⁺ (o − e) is chi-square with rank V degrees of freedom: Pearson's
    statistic where all rows have equally many options.
    """
    import numpy as np
    from scipy.special import chdtrc

    answers = [(len(row.choices), row.answer_index) for row in rows if row.choices and row.answer_index is not None]
    if not answers:
        return None
    places = max(n for n, _ in answers)
    counts, expected, covariance = np.zeros(places), np.zeros(places), np.zeros((places, places))
    for n, answer in answers:
        share = np.where(np.arange(places) < n, 1 / n, 0.0)
        counts[answer] += 1
        expected += share
        covariance += np.diag(share) - np.outer(share, share)
    off = counts - expected
    statistic = float(off @ np.linalg.pinv(covariance) @ off)
    p = float(chdtrc(np.linalg.matrix_rank(covariance), statistic))
    return PositionBias(tuple(int(c) for c in counts), tuple(float(e) for e in expected), statistic, p)
