"""A perfect answer never scores 0 in silence: a metric that cannot tell says nothing, and the table why."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from secura_bench.data.example import Example
from secura_bench.evaluation.evaluate import evaluate, pool
from secura_bench.evaluation.predictions import Prediction
from secura_bench.evaluation.text_metrics import ROUGES, corpus_bleu, corpus_chrf, rouge, rouge_signature
from secura_bench.runs.scorer import either
from secura_bench.tasks.file import TaskFile
from secura_bench.tasks.row import Row

CHINESE = "今天天气很好我们去公园"
TEXTS = [
    CHINESE,
    "ذهبنا إلى الحديقة اليوم معا",
    "हम आज पार्क में गए थे",
    "Мы сегодня пошли в парк",
    "*",
    "2024年今天天气很好",
    "four",
    "a b c d",
]


@pytest.mark.parametrize("tokenize", [None, "13a", "intl", "zh", "char"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_perfect_answer_scores_100_or_nothing(text: str, tokenize: str | None) -> None:
    for metric, score in rouge(text, text, tokenize).items():
        assert score in (None, 100.0), metric
    bleu, _ = corpus_bleu([text], [text], tokenize)
    assert math.isnan(bleu) or bleu == pytest.approx(100.0)
    assert corpus_chrf([text], [text])[0] == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("text", "tokenize", "told"),
    [
        (CHINESE, None, ()),
        (CHINESE, "zh", ROUGES),
        (CHINESE, "char", ROUGES),
        ("هذا", "intl", ("rouge1", "rougeL", "rougeLsum")),
        ("2024年今天天气很好", None, ()),  # the year is all that ROUGE's own tokenizer sees
        ("Über Äpfel und Öl", None, ROUGES),  # most of it is seen
        ("four", None, ("rouge1", "rougeL", "rougeLsum")),
        ("a b", None, ROUGES),
        ("*", "char", ()),
    ],
)
def test_what_rouge_tells(text: str, tokenize: str | None, told: tuple[str, ...]) -> None:
    found = rouge("anything else 2024", text, tokenize)
    assert {metric for metric, score in found.items() if score is not None} == set(told)


def test_bleu_wants_one_reference_of_four_tokens() -> None:
    assert math.isnan(corpus_bleu(["a b c d e"], ["a b c"])[0])
    assert corpus_bleu(["x", "y"], ["a b c d", "e"])[0] == 0.0  # wrong, and told
    assert "tok:zh" in corpus_bleu([CHINESE], [CHINESE], "zh")[1]
    assert rouge_signature("zh") == "rouge_score|tok:zh|lowercase|f-measure|mean-of-rows"
    assert rouge_signature(None) == "rouge_score|stemmer|f-measure|mean-of-rows"


def _evaluated(tiny, tokenize: str | None, *targets: str):
    model, chat, _ = tiny
    file = TaskFile.model_validate(
        {"id": f"t-{tokenize or 0}", "title": "T", "licence": "MIT", "tokenize": tokenize, "file": {"path": "t.jsonl"}}
    )
    examples = [Example(file.id, Row(str(i), "?", text), (1, 2), (3, 4)) for i, text in enumerate(targets)]
    perfect = {i: Prediction(text=text, cut=False) for i, text in enumerate(targets)}
    return evaluate("generate", model, file, examples, chat, 4, 600, known=perfect)


def test_the_whole_has_a_score_where_its_rows_have(tiny) -> None:
    chinese = _evaluated(tiny, None, CHINESE, CHINESE)
    assert chinese.scores["accuracy"] == 100.0
    assert all(math.isnan(chinese.scores[metric]) for metric in (*ROUGES, "bleu"))
    assert chinese.notes == ()  # all rows: the table has a gap, and its notes say why
    some = _evaluated(tiny, None, CHINESE, "We went to the park.")
    assert some.scores["rouge1"] == 100.0
    assert "ROUGE leaves out 1 of 2 rows" in some.notes[0]
    told = _evaluated(tiny, "zh", CHINESE, CHINESE)
    assert [told.scores[metric] for metric in (*ROUGES, "bleu")] == [pytest.approx(100.0)] * 5
    both = pool("both", [told, _evaluated(tiny, None, "We went to the park.")])
    assert math.isnan(both.scores["bleu"]) and "(zh, 13a)" in both.signatures["bleu"]
    assert both.scores["rouge1"] == 100.0
    assert both.signatures["rouge1"] == f"{rouge_signature('zh')} or {rouge_signature(None)}"


def test_signatures_of_several_tasks_are_all_named() -> None:
    assert either(None, "a") == either("a", "a") == "a"
    assert either("a", "b") == either("a or b", "a") == either("a", "b or a") == "a or b"


def test_a_tokenizer_that_is_not_there_is_refused(monkeypatch) -> None:
    from secura_bench.tasks import file as tasks

    base = {"id": "t", "title": "T", "licence": "MIT", "file": {"path": "t.jsonl"}}
    with pytest.raises(ValueError, match="tokenize"):
        TaskFile.model_validate({**base, "tokenize": "flores200"})  # wants a download
    monkeypatch.setattr(tasks, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'sacrebleu\[ja\]'"):
        TaskFile.model_validate({**base, "tokenize": "ja-mecab"})


def test_a_tokenizer_is_in_the_fingerprint_and_nothing_is_where_there_is_none(tmp_path: Path, monkeypatch) -> None:
    from secura_bench.plan import fingerprint as plan_fingerprint
    from secura_bench.plan import make
    from secura_bench.spec.load import load_spec

    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "experiment: e\nmode: separate\nmodel: tiny\ntasks: [tiny_count]\nprobe: tiny_arith\nprobe_rows: 4\n"
        "methods: [base]\ntrain: {steps: 1}\n"
    )
    made = make.make_plan(load_spec(str(spec)))
    (run,) = made.runs

    def fingerprint(**changes) -> str:
        count = made.inputs.tasks["tiny_count"]
        changed = replace(count, file=count.file.model_copy(update=changes))
        inputs = replace(made.inputs, tasks={**made.inputs.tasks, "tiny_count": changed})
        return plan_fingerprint.fingerprint_of(
            run.spec, inputs, run.method, run.train, run.tasks, run.seed, run.threads
        )

    assert fingerprint() == fingerprint(tokenize=None) == run.fingerprint != fingerprint(tokenize="zh")
