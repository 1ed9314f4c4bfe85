"""Runs with every protocol: what is filed, what is left out, and what is refused before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import SPEC, secura_bench


def run(tmp_path: Path, *changes: tuple[str, str]):
    text = SPEC
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    spec = tmp_path / "spec.yaml"
    spec.write_text(text)
    return secura_bench("run", str(spec), "--quiet", cwd=tmp_path)


def test_a_run_with_choice_and_generation(tmp_path: Path) -> None:
    """The probe pools arithmetic, choice and code: ``choice`` scores the part that has choices, and labels it."""
    done = run(tmp_path, ("[teacher_forced, generate]", "[generate, choice]"))
    assert done.returncode == 0, done.stderr
    assert "choice" in done.stdout
    for path in (tmp_path / "results").rglob("record.json"):
        scores = json.loads(path.read_text())["scores"]
        chosen = [score for score in scores if score["protocol"] == "choice"]
        assert {score["task"] for score in chosen if score["role"] == "part"} == {"tiny_choice"}
        pool = next(score for score in chosen if score["role"] == "probe")
        assert pool["n"] == 2  # of six probe rows
        written = next(s for s in scores if s["protocol"] == "generate" and s["role"] == "probe")
        assert written["n"] == 6
        values = next(s for s in scores if s["protocol"] == "generate" and s["task"] == "tiny_choice")["values"]
        assert values["format"] + values["gone"] <= 100 - values["accuracy"]
        arith = next(s for s in scores if s["protocol"] == "generate" and s["task"] == "tiny_arith")["values"]
        assert "format" not in arith
        (items,) = list(path.parent.glob("evals/*/choice/**/tiny_choice.json"))[:1]
        assert set(json.loads(items.read_text())) == {"id", "accuracy", "accuracy_norm", "loss"}


def test_a_text_probe_is_scored_by_perplexity_alone(tmp_path: Path) -> None:
    done = run(tmp_path, ("[teacher_forced, generate]", "[generate, perplexity]"), ("tiny_f_task", "tiny_text"))
    assert done.returncode == 0, done.stderr
    for path in (tmp_path / "results").rglob("record.json"):
        record = json.loads(path.read_text())
        scored = {(score["protocol"], score["task"]) for score in record["scores"]}
        assert scored == {("perplexity", "tiny_text"), ("generate", "tiny_group")}
        probe = next(score for score in record["scores"] if score["role"] == "probe")
        assert probe["values"]["perplexity"] > 1
        assert probe["values"]["tokens"] > 30
        assert "stride" in record["signatures"]["perplexity"]["perplexity"]


@pytest.mark.parametrize(
    ("protocols", "probe", "says"),
    [
        ("[generate, perplexity]", "tiny_f_task", "'perplexity' can score none of"),
        ("[generate, choice]", "tiny_arith", "'choice' can score none of"),
        ("[generate]", "tiny_text", "task 'tiny_text' is scored by none of"),
        ("[choice, generate, bleu]", "tiny_f_task", "evaluate.protocols"),
    ],
)
def test_what_nobody_can_answer_is_refused(tmp_path: Path, protocols: str, probe: str, says: str) -> None:
    done = run(tmp_path, ("[teacher_forced, generate]", protocols), ("tiny_f_task", probe))
    assert done.returncode == 2
    assert says in done.stderr
    assert not (tmp_path / "results").exists()
