"""The formulas of docs/reference/metrics.md, written anew from the page, give what the metrics give."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import pytest

from secura_bench.evaluation.text_metrics import char_bleu, corpus_bleu, corpus_chrf, rouge

PAIRS = [
    ("The cat sat on the mat.", "The cat sat on a mat."),
    ("The cat", "The cat sat on a mat, and it purred."),
    ("dog", "The cat sat on a mat."),
    ("The cat sat on a mat.", "The cat sat on a mat."),
    ("A mat sat on the cat, and the cat on the mat, twice", "The cat sat on a mat."),
]


def grams(items: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(items[i : i + n]) for i in range(len(items) - n + 1))


def common(answer: Counter[tuple[str, ...]], reference: Counter[tuple[str, ...]]) -> int:
    return (answer & reference).total()


def brevity(answer: int, reference: int) -> float:
    return 1.0 if answer > reference else math.exp(1 - reference / answer)


@pytest.mark.parametrize(("answer", "reference"), PAIRS)
def test_character_bleu(answer: str, reference: str) -> None:
    logs, zeros = 0.0, 0
    for n in (1, 2, 3, 4):
        own = grams(answer, n)
        shared: float = common(own, grams(reference, n))
        if not shared:
            zeros += 1
            shared = math.log(len(answer)) / (2**zeros * 5)
        logs += math.log(shared / max(1, own.total())) / 4
    expected = 100 * brevity(len(answer), len(reference)) * math.exp(logs)
    assert char_bleu(answer, reference) == pytest.approx(expected)


def test_corpus_bleu_sums_over_rows_first() -> None:
    answers = [answer.lower().rstrip(".").split() for answer, _ in PAIRS]  # without signs, 13a's words are the spaces'
    references = [reference.lower().replace(",", "").rstrip(".").split() for _, reference in PAIRS]
    answers = [[word.rstrip(",") for word in answer] for answer in answers]
    logs = 0.0
    for n in (1, 2, 3, 4):
        pairs = [(grams(a, n), grams(r, n)) for a, r in zip(answers, references, strict=True)]
        logs += math.log(sum(common(a, r) for a, r in pairs) / sum(a.total() for a, _ in pairs)) / 4
    expected = 100 * brevity(sum(map(len, answers)), sum(map(len, references))) * math.exp(logs)
    assert corpus_bleu([*map(" ".join, answers)], [*map(" ".join, references)])[0] == pytest.approx(expected)


@pytest.mark.parametrize(("answer", "reference"), PAIRS)
def test_chrf(answer: str, reference: str) -> None:
    own, other = ("".join(text.split()) for text in (answer, reference))
    precisions, recalls = [], []
    for n in range(1, 7):
        a, r = grams(own, n), grams(other, n)
        if a and r:  # of shorter texts there are none
            precisions.append(common(a, r) / a.total())
            recalls.append(common(a, r) / r.total())
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    both = 4 * precision + recall
    expected = 100 * 5 * precision * recall / both if both else 0.0
    assert corpus_chrf([answer], [reference])[0] == pytest.approx(expected)


@pytest.mark.parametrize(("answer", "reference"), PAIRS)
def test_rouge(answer: str, reference: str) -> None:
    own, other = ([word.strip(".,").lower() for word in text.split()] for text in (answer, reference))
    found = rouge(answer, reference, tokenize="13a")

    def measure(shared: int, answer: int, reference: int) -> float:
        precision, recall = shared / max(1, answer), shared / max(1, reference)
        return 100 * 2 * precision * recall / (precision + recall) if shared else 0.0

    for n in (1, 2):
        a, r = grams(own, n), grams(other, n)
        assert found[f"rouge{n}"] == pytest.approx(measure(common(a, r), a.total(), r.total()))
    longest = [[0] * (len(other) + 1) for _ in range(len(own) + 1)]
    for i, left in enumerate(own):
        for j, right in enumerate(other):
            longest[i + 1][j + 1] = longest[i][j] + 1 if left == right else max(longest[i][j + 1], longest[i + 1][j])
    assert found["rougeL"] == pytest.approx(measure(longest[-1][-1], len(own), len(other)))
