"""Metrics of a generated text that only those tasks have whose file names them: exact match, edit similarity, SARI."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher

from secura_bench.answers.options import fold
from secura_bench.evaluation.sari import SARI_SIGNATURE, sari
from secura_bench.tasks.file import TaskFile

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_EMPTY_LITERALS = {"<NUM_LIT>": "0", "<STR_LIT>": "", "<CHAR_LIT>": ""}
_LITERAL = re.compile(r"<(?:STR|NUM|CHAR)_LIT:(.*?)>", re.DOTALL)


def exact_match(hypothesis: str, reference: str) -> float:
    """Return 100 where two texts are one without case, ASCII punctuation and the width of white space, else 0.

    It is O-LoRA's and Tk-Instruct's (``normalize_answer`` in their ``compute_metrics.py``).
    """
    one, other = (fold(text.lower().translate(_PUNCTUATION)) for text in (hypothesis, reference))
    return 100.0 * (one == other)


def edit_similarity(hypothesis: str, reference: str) -> float:
    """Return how much of two texts is common in percent, as TRACE scores Py150: ``fuzzywuzzy.fuzz.ratio``.

    That is twice the characters that match over all, by Python's ``difflib``, rounded to whole percents; 0 where a text
    is empty. CodeXGLUE's marks of literals are what they stand for. With ``python-Levenshtein`` beside it, which
    TRACE's requirements do not name, fuzzywuzzy matches otherwise.
    """
    one, other = map(_spelled_out, (hypothesis, reference))
    return float(round(100 * SequenceMatcher(None, one, other).ratio())) if one and other else 0.0


def _spelled_out(code: str) -> str:
    for mark, literal in _EMPTY_LITERALS.items():
        code = code.replace(mark, literal)
    return _LITERAL.sub(r"\1", code)


_Score = Callable[[str, str, str], float]
_METRICS: dict[str, tuple[_Score, str]] = {
    "exact_match": (
        lambda _, said, meant: exact_match(said, meant),
        "O-LoRA's: without case, punctuation and the width of white space",
    ),
    "edit_similarity": (
        lambda _, said, meant: edit_similarity(said, meant),
        "fuzzywuzzy's ratio by difflib|literals spelled out|mean-of-rows",
    ),
    "sari": (lambda prompt, said, meant: sari(prompt, said, [meant]), SARI_SIGNATURE),
}


def named_by(file: TaskFile) -> tuple[str, ...]:
    """Return which of these metrics a task has."""
    return tuple(name for name in file.metric if name in _METRICS)


def named_columns(
    file: TaskFile, prompts: Sequence[str], texts: Sequence[str], references: Sequence[str]
) -> Mapping[str, list[float]]:
    """Return each row's scores in percent by the metrics that a task has, a column a metric."""
    rows = list(zip(prompts, texts, references, strict=True))
    return {name: [_METRICS[name][0](*row) for row in rows] for name in named_by(file)}


def named_signatures(file: TaskFile) -> Mapping[str, str]:
    """Return what exactly each metric is that a task has."""
    return {name: _METRICS[name][1] for name in named_by(file)}
