"""What the numbers of a study are, from records made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hand_records import BASE, MAIN, arm_of, column, note, record, run, score, study_of, table_of

from secura_bench.report.study.group import make_studies
from secura_bench.report.study.runs import Run
from secura_bench.results.record import RunRecord


def test_a_sequence_of_tasks() -> None:
    study = study_of([run(1), run(2, shift=4), BASE])
    mine = arm_of(study)
    assert study.probe(study.base, *MAIN).value == 80 and study.retention(study.base, *MAIN).value == 100
    assert study.learned(study.base, *MAIN).value == 15  # the mean of 10 and 20
    assert study.learned(mine, *MAIN).value == pytest.approx((90 + 70 + 94 + 70) / 4)
    assert study.learned(mine, *MAIN).per_seed == (80, 82)
    assert study.final(mine, *MAIN).value == pytest.approx((50 + 70 + 50 + 70) / 4)
    assert study.probe(mine, *MAIN, at="start").value == 76
    assert study.probe(mine, *MAIN).value == 42
    assert study.probe(mine, "teacher_forced", "accuracy").value == pytest.approx(4.2)
    assert study.retention(mine, *MAIN).value == pytest.approx(52.5)
    assert mine.seeds == (1, 2) and study.probe(mine, *MAIN).n == 30


def test_the_accuracy_matrix_and_what_follows_from_it() -> None:
    study = study_of([run(1), BASE])
    mine = arm_of(study)
    np.testing.assert_array_equal(study.matrix(mine, *MAIN).values, [[10, 20], [90, math.nan], [50, 70]])
    found = {name: cell.value for name, cell in study.continual(mine, *MAIN).items()}
    assert found["average_accuracy"] == 60 and found["learning_accuracy"] == 80
    assert found["backward_transfer"] == -40 and found["forgetting"] == 40
    assert math.isnan(found["forward_transfer"]), "u was not scored after t"
    assert [cell.value for _, cell in study.curve(mine, *MAIN)] == [76, 70, 55, 40]
    assert [cell.value for _, cell in study.curve(mine, *MAIN, retention=True)] == [95, 87.5, 68.75, 50]


def test_a_missing_base_is_said_and_nothing_is_made_up() -> None:
    study = study_of([run(1)])
    assert study.retention(arm_of(study), *MAIN).missing and study.probe(study.base, *MAIN).missing
    assert any("base model's record is missing" in line for line in table_of([run(1)], "retention").notes)


def test_diverged_runs_have_no_final_scores() -> None:
    half = record(
        "mine", ["t", "u"], run(1).model_dump()["scores"][:3], status="diverged", diverged_at={"task": "u", "step": 3}
    )
    table = table_of([BASE, half], "retention")
    assert math.isnan(column(table, "probe", "BLEU")["mine"])
    assert table.rows[1].entries[1] == "mine (1 of 1 diverged)" and any("u step 3" in note for note in table.notes)


@pytest.mark.parametrize("side", ["train_hash", "test_hash"])
def test_runs_on_other_rows_are_no_seeds_of_one_thing(side: str) -> None:
    """The newest rows count; what was trained or tested on others is left aside, and said."""
    newer = run(2, data={"q": note(), "t": {**note(), side: "z"}, "u": note()})
    records = [BASE, run(1), newer]
    study = study_of(records)
    assert arm_of(study).seeds == (2,) and study.other_rows == 1
    said = [line for line in table_of(records, "retention").notes if "on other rows of the tasks" in line]
    assert said == ["Left aside: 1 older record on other rows of the tasks than the newest one's."]
    assert study_of([BASE, run(1), run(2)]).other_rows == 0


def test_other_code_is_another_method() -> None:
    def by(code: str | list[str], seed: int) -> RunRecord:
        return run(seed, method={**run(seed).method, "code": code})

    assert study_of([BASE, by("a" * 64, 1), by("a" * 64, 2)]).methods == ("mine",)
    study = study_of([BASE, by("a" * 64, 1), by(["b" * 64, "c" * 64], 2)])
    assert study.methods == ("mine code=aaaaaaaa", "mine code=bbbbbbbb+cccccccc")


def test_other_rows_are_another_study() -> None:
    other = run(3, data={"q": {**note(), "probe_hash": "z"}, "t": note(), "u": note()})
    assert len(make_studies([Run(BASE), Run(run(1)), Run(other)])) == 2


def test_other_settings_are_another_line_and_never_a_seed() -> None:
    def at(lr: float, seed: int, shift: float) -> RunRecord:
        return run(seed, shift, method={"name": "x", "label": "mine", "options": {}, "train": {"lr": lr, "steps": 5}})

    study = study_of([BASE, at(1e-3, 1, 0), at(1e-5, 1, 8), at(1e-5, 2, 8)])
    found = {arm.method: (study.probe(arm, *MAIN).value, arm.seeds) for arm in study.arms}
    assert found == {"mine lr=0.001": (40, (1,)), "mine lr=1e-05": (48, (1, 2))}


def test_of_two_records_of_one_run_the_newest_counts() -> None:
    older, newer = run(1), run(1, shift=20, finished_at="2027-01-01T00:00:00")
    records = [newer, BASE, older, BASE.model_copy(update={"finished_at": "2020-01-01T00:00:00"})]
    study = study_of(records)
    assert study.probe(arm_of(study), *MAIN).value == 60 and arm_of(study).seeds == (1,)
    assert any("2 older records" in line for line in table_of(records, "retention").notes)


def test_separate_tasks_have_a_mean() -> None:
    def one(task: str, learned: float, probe: float) -> RunRecord:
        scores = [score(0, task, "task", task, learned), score(0, task, "probe", "p", probe)]
        return record("mine", [task], scores, mode="separate")

    table = table_of([BASE, one("t", 60, 40), one("u", 80, 60)], "retention")
    assert [(row.section, row.of["method"]) for row in table.rows] == [
        ("t", "base"), ("t", "mine"), ("u", "base"), ("u", "mine"), ("mean of 2", "base"), ("mean of 2", "mine"),
    ]  # fmt: skip
    learned = next(i for i, c in enumerate(table.columns) if c.group == "learned")
    assert table.rows[0].entries[learned].cell.value == 10, "the base on that task alone"
    assert table.rows[-1].entries[learned].cell.value == 70
    assert column(table, "kept", "%")["mine"] == pytest.approx((50 + 75) / 2)


def test_constant_answers_stand_beside_accuracy() -> None:
    data = {
        "q": {**note(), "probe_majority": 30.0, "probe_chance": 25.0},
        "t": {**note(), "majority": 60.0, "chance": 50},
    }
    data["u"] = {**note(), "majority": 40.0, "chance": 20.0}
    table = table_of([run(1, data=data), BASE.model_copy(update={"data": run(1, data=data).data})], "retention")
    assert (
        column(table, "learned", "acc")["majority answer"] == 50
        and column(table, "probe", "acc")["majority answer"] == 30
    )
    assert (
        column(table, "learned", "acc")["random choice"] == 35 and column(table, "probe", "acc")["random choice"] == 25
    )
    assert math.isnan(column(table, "learned", "BLEU")["random choice"])


def test_constant_answers_stand_beside_each_task_of_a_sequence() -> None:
    """A task that rises to the share of its commonest answer has learned nothing by it."""
    data = {"q": note(), "t": {**note(), "majority": 65.0, "chance": 50}, "u": note()}
    table = table_of([_by_writing(run(1, data=data)), _by_writing(BASE)], "matrix")
    said = {row.of["method"]: row for row in table.rows}
    assert [row.of["method"] for row in table.rows][:3] == ["majority answer", "random choice", "base"]
    t, u = (next(i for i, c in enumerate(table.columns) if c.of.get("task") == task) for task in "tu")
    assert said["majority answer"].entries[t].cell.value == 65 and said["random choice"].entries[t].cell.value == 50
    assert math.isnan(said["majority answer"].entries[u].cell.value), "no row of it has choices"
    for unknown in ([run(1, data=data), BASE], [_by_writing(run(1)), _by_writing(BASE)]):  # another score; no choices
        assert "majority answer" not in {row.of["method"] for row in table_of(unknown, "matrix").rows}


def _by_writing(one: RunRecord) -> RunRecord:
    return one.model_copy(update={"scores": [each.model_copy(update={"protocol": "generate"}) for each in one.scores]})


def test_feet_say_what_is_limited_stands_in_or_happened() -> None:
    data = {"q": note("another set"), "t": note(too_long=4), "u": note()}
    changes = {"data": data, "limit": 7, "notes": ("the micro-batch was halved",)}
    for name in ("retention", "cost", "continual", "matrix"):
        text = " ".join(table_of([run(1, **changes)], name).notes)
        assert "q: another set" in text and "t 4" in text and "at most 7 test rows" in text and "halved" in text
        assert "0.1.0" in text and ("sig" in text) == (name != "cost")


def test_the_base_of_one_precision_is_not_the_measure_of_another() -> None:
    full, half = (run(1, precision=precision, context=600) for precision in ("fp32", "bf16"))
    assert [len(study.runs) for study in make_studies([Run(full), Run(half)])] == [1, 1]
    (note_,) = [line for line in table_of([full], "retention").notes if line.startswith("Precision")]
    assert note_ == "Precision fp32; context 600 tokens."
