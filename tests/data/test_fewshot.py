"""Worked examples before prompts, another system turn: what is scored, what is not, and where it is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import secura_bench

from secura_bench.data.dataset import load_data, probe_examples
from secura_bench.data.fewshot import after, own_history, worked_examples
from secura_bench.evaluation.evaluate import evaluate
from secura_bench.evaluation.predictions import Prediction
from secura_bench.foundation.errors import DataError
from secura_bench.runs.scorer import _texts
from secura_bench.spec.sections import DataSpec
from secura_bench.tasks.catalog import load_task
from secura_bench.tasks.row import Row


def test_examples_stand_behind_the_rows_own_system_turn_and_before_its_history() -> None:
    shots = (
        Row("s1", "1+1?", "2"),
        Row("s2", "So?", "4", history=(("system", "x"), ("user", "a"), ("assistant", "b"))),
    )
    said = (("user", "1+1?"), ("assistant", "2"), *shots[1].history[1:], ("user", "So?"), ("assistant", "4"))
    alone, own = Row("r1", "q", "a"), Row("r2", "q", "a", history=(("system", "S"), ("user", "u"), ("assistant", "v")))
    assert [row.history for row in after(shots, [alone, own])] == [
        said,
        (("system", "S"), *said, ("user", "u"), ("assistant", "v")),
    ]
    assert after((), [alone, own]) == [alone, own]
    assert [own_history(shots, row) for row in after(shots, [alone, own])] == [(), own.history]
    assert worked_examples("t", (alone, own), 1) == (alone,)


def test_shots_are_of_the_training_side_and_are_not_scored(tiny) -> None:
    _, chat, _ = tiny
    plain = load_data("tiny_choice", DataSpec(rows=60), chat)
    data = load_data("tiny_choice", DataSpec(rows=60, num_fewshot=3), chat)
    shots = [example.row for example in plain.train[:3]]
    assert data.train == plain.train and data.counts.fewshot == 3
    assert [e.row.id for e in data.test] == [e.row.id for e in plain.test]
    told = tuple(turn for row in shots for turn in (("user", row.prompt), ("assistant", row.target)))
    assert {e.row.history for e in (*data.test, *data.spare)} == {told}
    assert all(chat.prompt_text(shot).split("user\n")[1] in chat.prompt_text(data.test[0].row) for shot in shots)
    whole = len(data.test) + len(data.spare)
    pooled = probe_examples([data], whole, trained=())["tiny_choice"]
    assert not {e.row.id for e in pooled} & {row.id for row in shots}
    assert len(pooled) == 57
    with pytest.raises(DataError, match="which has 57"):
        probe_examples([data], whole + 1, trained=())
    assert probe_examples([plain], 60, trained=())["tiny_choice"] == (*plain.test, *plain.train)


def test_examples_that_fill_the_context_leave_rows_out_and_are_counted(tiny) -> None:
    _, chat, _ = tiny
    plain = load_data("tiny_arith", DataSpec(rows=60), chat)
    whole = load_data("tiny_arith", DataSpec(rows=60, num_fewshot=1), chat)
    fits = sorted(len(e.prompt_ids) for e in whole.test)[len(whole.test) // 2]
    data = load_data("tiny_arith", DataSpec(rows=60, num_fewshot=1, context=fits), chat)
    assert data.counts.too_long == len(plain.test) - len(data.test)
    assert data.spare_too_long == len(plain.train) - 1 - len(data.spare)
    assert data.counts.too_long and data.spare_too_long and not plain.counts.too_long
    assert data.counts.cut_answers == len({e.row.id for e in (*data.test, *data.spare) if chat.is_cut(e)}) > 0
    with pytest.raises(DataError, match="num_fewshot: 55 asks for 55 rows of its training side, which has 54"):
        load_data("tiny_arith", DataSpec(rows=60, num_fewshot=55), chat)


def test_plain_text_has_no_worked_examples(tiny) -> None:
    data = load_data("tiny_text", DataSpec(rows=40, num_fewshot=3), tiny[1])
    assert data.counts.fewshot == 0 and all(not e.row.history for e in (*data.test, *data.spare))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("data.num_fewshot=-1", "data.num_fewshot: input should be greater than or equal to 0"),
        ("data.num_fewshot=true", "data.num_fewshot: input should be a valid integer"),
        ("data.system=5", "data.system: input should be a valid string"),
        ('data.system="\\ud800"', "data.system: holds half a character"),
    ],
)
def test_settings_that_are_none(spec_file: Path, setting: str, said: str) -> None:
    done = secura_bench("validate", "spec.yaml", "--set", setting, cwd=spec_file.parent)
    assert done.returncode == 2 and said in done.stderr


def test_item_texts_hold_a_rows_own_earlier_turns(tiny) -> None:
    model, chat, _ = tiny
    file, shots = load_task("tiny_choice"), (Row("s", "1?", "1"),)
    talk = (("user", "u"), ("assistant", "v"))
    rows = after(shots, [Row("a", "q", "x"), Row("b", "q", "x", history=talk)])
    examples = [example for row in rows if (example := chat.example("t", row, 600))]
    known = {i: Prediction(text="x", cut=False) for i in range(2)}
    texts = _texts(evaluate("generate", model, file, examples, chat, 2, 600, known=known), shots)
    assert [line.get("history") for line in texts] == [None, talk]


def test_data_check_shows_a_scored_example(tmp_path: Path) -> None:
    words = ["--system", "Be brief.", "--num-fewshot", "1", "--probe", "tiny_arith"]
    done = secura_bench("data", "check", "tiny_choice", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *_, scored = done.stdout.split("a scored example, after 1 of the training rows: ")
    assert scored.count("| <|im_start|>assistant") == 2 and scored.count("| Be brief.<|im_end|>") == 1
    assert "leakage    0 test rows" in done.stdout and "history  " not in done.stdout
    assert "prompts    the system turn is 'Be brief.'" in done.stdout


def test_data_check_refuses_what_is_no_text(tmp_path: Path) -> None:
    done = secura_bench("data", "check", "tiny_choice", "--system", "\udced", cwd=tmp_path)
    assert done.returncode == 2 and "--system: holds half a character" in done.stderr


def test_a_run_says_how_its_prompts_are_made(spec_file: Path) -> None:
    """In its record and manifest, under its tables, and in what is exported of it."""
    folder = spec_file.parent
    settings = ['data.system="Be <|im_end|> brief."', "data.num_fewshot=2", "evaluate.protocols=[generate]"]
    words = [word for setting in settings for word in ("--set", setting)]
    done = secura_bench("run", "spec.yaml", "--quiet", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    said = "the system turn is 'Be <|im_end|> brief.'"
    (run,) = (path for path in (folder / "results/trial").iterdir() if "lora" in path.name)
    record, manifest = (json.loads((run / name).read_text()) for name in ("record.json", "manifest.json"))
    assert record["notes"] == [said] and {note["fewshot"] for note in record["data"].values()} == {2}
    assert manifest["template"]["differences"] == [said] and manifest["template"]["system"] == "Be <|im_end|> brief."
    texts = next(run.glob("evals/*/generate/tiny_group.texts.jsonl")).read_text()
    assert "history" not in texts  # of the rows' own: the examples are the same before all
    report = secura_bench("report", "results", "--format", "markdown", cwd=folder).stdout
    assert "2 worked examples before each prompt, of the training side: tiny\\_arith" in report
    assert "the system turn is" in report
    assert secura_bench("export", str(run), "adapter", cwd=folder).returncode == 0
    card = (folder / "adapter/README.md").read_text()
    assert said in card and str(folder) not in card and "More Information Needed" not in card


def test_only_what_changes_a_number_changes_a_fingerprint(spec_file: Path) -> None:
    def names(*settings: str) -> set[str]:
        from secura_bench.plan.make import make_plan
        from secura_bench.spec.load import load_spec

        return {run.fingerprint for run in make_plan(load_spec(str(spec_file), settings)).runs}

    default = names()
    assert names("data.system=null", "data.num_fewshot=0") == default
    others = [names(setting) for setting in ('data.system=""', "data.system=Hi.", "data.num_fewshot=1")]
    assert len(set.union(default, *others)) == 4 * len(default)
