"""Metrics that a task file names, against the libraries that their authors used; and each task by its own."""

from __future__ import annotations

import math
from typing import Any

import pytest

from secura_bench.evaluation.evaluate import evaluate, pool
from secura_bench.evaluation.named_metrics import edit_similarity, exact_match
from secura_bench.evaluation.predictions import Prediction
from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.evaluation.sari import sari
from secura_bench.tasks.file import TaskFile
from secura_bench.tasks.row import Row

PLAIN = "About 95 species are currently accepted ."
SAID = "About 95 you now get in ."
MEANT = [
    "About 95 species are currently known .",
    "About 95 species are now accepted .",
    "95 species are now accepted .",
]


@pytest.mark.parametrize(("references", "published"), [(MEANT, 26.953601953601954), (MEANT[:1], 21.805555555555557)])
def test_sari_is_that_of_evaluate(references: list[str], published: float) -> None:
    """The examples of the cards of ``evaluate``'s sari and wiki_split."""
    assert sari(PLAIN, SAID, references) == pytest.approx(published, abs=1e-12)


def test_sari_at_its_ends() -> None:
    assert sari(PLAIN, MEANT[1], [MEANT[1]]) == pytest.approx(100.0)
    assert sari(PLAIN, PLAIN, [PLAIN]) == pytest.approx(100.0)
    assert 0 < sari(PLAIN, "", MEANT) < 100
    assert sari(PLAIN.upper(), SAID, MEANT) == sari(PLAIN, SAID, MEANT)


@pytest.mark.parametrize(
    ("said", "meant", "ratio"),
    [
        ("this is a test", "this is a test!", 97),
        ("elif zmq_socket_type in ( zmq . REQ , zmq . REP ) :", "elif zmq_socket_type in ( zmq . PUB ) :", 82),
        ("return x", "self . _send = Sender ( self . _socket )", 17),
        ("abcd", "dcba", 25),
        ("", "a", 0),
        ("import os", "import os", 100),
        ("x" * 150 + "ab" * 60, "ab" * 60 + "y" * 150, 0),  # difflib passes over what is frequent in long texts
        ("Ünïcode", "Unicode", 71),
    ],
)
def test_edit_similarity_is_fuzzywuzzys_ratio(said: str, meant: str, ratio: int) -> None:
    """Numbers of fuzzywuzzy 0.18.0 without python-Levenshtein."""
    assert edit_similarity(said, meant) == ratio


def test_marks_of_literals_are_what_they_stand_for() -> None:
    marked = "x = [ <NUM_LIT:2> , <NUM_LIT> , '<STR_LIT:a\nb>' , '<STR_LIT>' , '<CHAR_LIT:c>' ]"
    assert edit_similarity(marked, "x = [ 2 , 0 , 'a\nb' , '' , 'c' ]") == 100


def test_exact_match_passes_over_case_punctuation_and_white_space() -> None:
    assert (
        exact_match(" very  Positive.\n", "very positive") == exact_match("Society & Culture", "society culture") == 100
    )
    assert exact_match("positive", "very positive") == 0


def task(*metric: str) -> TaskFile:
    file: Any = {"path": "x.jsonl"}
    return TaskFile(id="mine", title="Mine", licence="MIT", metric=metric, file=file)


def scored(tiny, protocol: str, *metric: str):
    model, chat, _ = tiny
    rows = [Row("1", PLAIN, MEANT[0]), Row("2", "Say it.", "Yes, it is.")]
    known = {0: Prediction(text=SAID, cut=False), 1: Prediction(text="yes it is", cut=False)}
    examples = [chat.example("mine", row, 600) for row in rows]
    return evaluate(protocol, model, task(*metric), examples, chat, 2, 600, known)


def test_only_the_tasks_that_name_a_metric_have_it(tiny) -> None:
    assert not {"sari", "exact_match", "edit_similarity", "score"} & scored(tiny, "generate", "accuracy").scores.keys()
    found = scored(tiny, "generate", "accuracy", "sari", "exact_match")
    assert found.columns["sari"][0] == pytest.approx(21.805555555555557)
    assert found.columns["exact_match"] == [0, 100]
    assert "evaluate's sari" in found.signatures["sari"] and "edit_similarity" not in found.signatures


@pytest.mark.parametrize(
    ("metric", "column"),
    [("accuracy", "accuracy"), ("sari", "sari"), ("exact_match", "exact_match"), ("rouge", "rougeL")],
)
def test_each_task_is_scored_by_its_own_metric(tiny, metric: str, column: str) -> None:
    found = scored(tiny, "own_metric", metric, "bleu")
    assert found.columns["score"] == found.columns[column]
    assert found.scores["score"] == found.scores[column]
    assert PROTOCOLS["own_metric"].main.id == "score"


def test_bleu_is_of_no_row(tiny) -> None:
    assert math.isnan(scored(tiny, "own_metric", "bleu").scores["score"])
    both = pool("both", [scored(tiny, "own_metric", "exact_match"), scored(tiny, "own_metric", "sari")])
    assert len(both.columns["score"]) == 4 and both.columns["exact_match"][2:] == [None, None]
