"""What rules find of printed numbers: each on numbers with one fault planted, and on those that ship."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from secura_bench.publications import flaws
from secura_bench.publications.file import PublicationFile
from secura_bench.publications.place import Place, Printed
from secura_bench.publications.publication import publication

_FILE: dict[str, Any] = {
    "title": "Mine", "source": "mine", "protocol": "generate", "models": {"tiny": "Tiny"},
    "metrics": {"accuracy": {}, "loss": {"better": "lower"}, "gain": {"what": "unmeasured"}},
    "tables": {"a": {"caption": "A", "file": "a.csv", "values": {"value": {}}}},
}  # fmt: skip


def _file(**table: Any) -> PublicationFile:
    tables = {"a": {**_FILE["tables"]["a"], **table.pop("table", {})}, **table.pop("tables", {})}
    return PublicationFile.model_validate({**_FILE, **table, "tables": tables})


def _at(**place: Any) -> Place:
    return Place(**{"table": "a", "model": "tiny", "task": "one", "method": "lora", "metric": "accuracy", **place})


def _printed(values: Mapping[Place, float], **of: Any) -> dict[Place, Printed]:
    return {place: Printed(value, 0.01, **of) for place, value in values.items()}


@pytest.mark.parametrize(
    ("value", "constant", "below"),
    [(68.38, True, False), (31.62, True, True), (68.37, False, True), (31.63, False, True), (68.39, False, False)],
)
def test_a_constant_answer_scores_a_classs_share(value: float, constant: bool, below: bool) -> None:
    file = _file(shares={"one": [[279, 408], [129, 408]]})
    numbers = _printed({_at(): value, _at(task="two"): value, _at(metric="loss"): value})
    assert set(flaws.constant_answers(file, numbers)) == ({_at()} if constant else set())
    assert set(flaws.below_the_majority(file, numbers)) == ({_at()} if below else set())


def test_a_share_is_met_to_the_printed_digit_alone() -> None:
    file = _file(shares={"one": [[279, 408], [129, 408]]})
    assert flaws.constant_answers(file, {_at(): Printed(68.0, 1.0)})
    assert not flaws.constant_answers(file, {_at(): Printed(67.0, 1.0)})


def test_what_later_tasks_leave_as_it_was() -> None:
    kept = {_at(after=after): 66.0 for after in ("one", "two", "three")}
    moved = {_at(task="two", after="two"): 50.0, _at(task="two", after="three"): 50.01}
    found = flaws.unchanged_by_later_tasks(_file(), _printed({**kept, **moved}))
    assert set(found) == {_at(after="two"), _at(after="three")}


def test_rows_that_are_another_methods() -> None:
    values = {"one": 1.0, "two": 2.0, "three": 3.0}
    same = {_at(task=task, method=method): value for method in ("lora", "dora") for task, value in values.items()}
    other = {_at(task=task, method="seq"): value + (task == "two") for task, value in values.items()}
    found = flaws.identical_rows(_file(), _printed({**same, **other}))
    assert {place.method for place in found} == {"lora", "dora"} and len(found) == 6
    two = {place: value for place, value in same.items() if place.task != "three"}
    assert not flaws.identical_rows(_file(), _printed(two)), "two numbers may meet by chance"


def test_the_best_of_a_column_is_marked_if_any_is() -> None:
    for metric, best, marked in (("accuracy", 2.0, 1.0), ("loss", 1.0, 2.0)):
        numbers = {
            **_printed({_at(metric=metric, method="ours"): marked}, marked=True),
            **_printed({_at(metric=metric): best}, marked=False),
        }
        ((place, said),) = flaws.best_not_marked(_file(), numbers).items()
        assert place.method == "lora" and "ours" in said
        assert not flaws.best_not_marked(_file(), _printed({p: n.value for p, n in numbers.items()}, marked=False))


def test_an_average_a_transfer_and_a_gain_must_follow() -> None:
    follows = {
        "s": {
            "caption": "S", "file": "s.csv", "values": {"value": {}},
            "follows": [
                {"where": {"task": "ACC"}, "formula": "average", "table": "a"},
                {"where": {"task": "BWT"}, "formula": "backward_transfer", "table": "a"},
                {"where": {"task": "gain"}, "formula": "gain"},
            ],
        }
    }  # fmt: skip
    file = _file(tables=follows)
    matrix = {("one", "one"): 80.0, ("one", "two"): 70.0, ("two", "two"): 60.0, ("one", "three"): 50.0,
              ("two", "three"): 55.0, ("three", "three"): 90.0}  # fmt: skip
    cells = {_at(task=task, after=after): value for (task, after), value in matrix.items()}
    # ACC = (50 + 55 + 90) / 3, BWT = ((50 − 80) + (55 − 60)) / 2 (Lopez-Paz and Ranzato 2017)
    right = {_at(table="s", task="ACC"): 65.0, _at(table="s", task="BWT"): -17.5}
    assert not flaws.do_not_follow(file, _printed({**cells, **right}))
    for place, value in right.items():
        assert list(flaws.do_not_follow(file, _printed({**cells, **right, place: value + 0.05}))) == [place]
    rows = {
        _at(table="s", task=task, metric="loss", method=method): value
        for method, values in (("base", (1.0, 2.0)), ("lora", (2.0, 5.0)))
        for task, value in zip(("x", "y"), values, strict=True)
    }
    gain = _at(table="s", task="gain", metric="gain")
    assert not flaws.do_not_follow(file, _printed({**rows, gain: 2.0}))
    ((_, said),) = flaws.do_not_follow(file, _printed({**rows, gain: 2.2})).items()
    assert said == "does not follow from the numbers that it is of: their mean gain is 2.00"


def test_what_is_not_there_is_said() -> None:
    file = _file(table={"layout": "methods", "parts": [{"experiment": "e"}]}, seeds=1)
    assert list(flaws.no_base_row(file, _printed({_at(): 1.0})))
    assert not list(flaws.no_base_row(file, _printed({_at(): 1.0, _at(method="base"): 1.0})))
    assert not list(flaws.no_base_row(file, _printed({_at(metric="gain"): 1.0}))), "a gain is over the base"
    assert len(list(flaws.no_spread(file, _printed({_at(): 1.0})))) == 2
    assert not list(flaws.no_spread(_file(seeds=3), _printed({_at(): 1.0}, interval=True)))


def test_curloras_tables_are_read_as_they_are() -> None:
    """The claims of the audit: LoRA's constant answers, CUR-LoRA's unchanged digits and equal rows."""
    found = publication("curlora")
    by_rule = {flaw.rule: flaw.places for flaw in found.flaws if flaw.places}
    of_one = [place for place in by_rule["constant answer"] if place.table == "1"]
    assert {place.method for place in of_one} == {"lora"} and len(of_one) == 16
    kept = Counter((place.table, place.method) for place in by_rule["unchanged by later tasks"])
    assert kept["1", "cur_lora"] == 12, "MRPC twice, SST-2 and the perplexity once, at three ranks"
    assert {place.method for place in by_rule["identical rows"]} == {"cur_lora"}
    assert not found.wrong
