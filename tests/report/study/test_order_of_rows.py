"""The order of rows: the spec's, whichever run ended first; without a spec that of their ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hand_records import BASE, run

from secura_bench.report.study.group import make_studies
from secura_bench.report.study.runs import Run

FIRST = ("zeta", "alpha", "mid")


def ended_at(second: int, label: str, folder: Path, methods: tuple[str, ...] = (), **changes: object) -> Run:
    """Return a run that ended in a second, in a folder whose manifest says the spec's methods, if it says any."""
    place = folder / f"{label}-{second}"
    place.mkdir()
    if methods:
        (place / "manifest.json").write_text(json.dumps({"methods": methods}))
    told = {"name": "x", "label": label, "options": {}, "train": {}, **changes}
    return Run(run(1, name=label, method=told, finished_at=f"2026-01-01T00:00:{second:02}"), place)


def methods(*runs: Run) -> list[str]:
    (study,) = make_studies([Run(BASE), *runs])
    return [arm.method for arm in study.arms]


def test_rows_stand_in_the_specs_order_and_not_in_that_of_their_ends(tmp_path: Path) -> None:
    runs = [ended_at(second, label, tmp_path, FIRST) for second, label in enumerate(sorted(FIRST))]
    assert methods(*runs) == [*FIRST]


def test_of_two_specs_that_comes_first_which_ended_first(tmp_path: Path) -> None:
    later = ("beta", "zeta-2")
    runs = [ended_at(second, label, tmp_path, FIRST) for second, label in ((9, "zeta"), (1, "alpha"), (5, "mid"))]
    runs += [ended_at(second, label, tmp_path, later) for second, label in ((3, "zeta-2"), (4, "beta"))]
    assert methods(*runs) == [*FIRST, *later]


def test_what_says_no_spec_stands_where_it_ended(tmp_path: Path) -> None:
    assert methods(*(ended_at(second, label, tmp_path) for second, label in enumerate("cab"))) == ["c", "a", "b"]
    told = [
        ended_at(5, "zeta", tmp_path, FIRST),
        ended_at(6, "stranger", tmp_path, FIRST),
        ended_at(4, "old", tmp_path),
    ]
    assert methods(*told) == ["old", "zeta", "stranger"]


@pytest.mark.parametrize("said", ["[]", "{", '{"methods": 3}', '{"methods": [[], {}]}'])
def test_a_manifest_that_says_something_else_is_passed_over(said: str, tmp_path: Path) -> None:
    runs = [ended_at(second, label, tmp_path) for second, label in enumerate("ba")]
    for each in runs:
        (each.folder / "manifest.json").write_text(said)
    assert methods(*runs) == ["b", "a"]


def test_a_setting_of_a_run_stands_where_its_method_does(tmp_path: Path) -> None:
    """The arms between the base's weights and a run's own are called by its label and α."""
    between = {"tuned": {"family": "zeta", "settings": {"interpolate": 0.5}, "choose": "frontier"}}
    runs = [ended_at(1, "alpha", tmp_path, FIRST), ended_at(2, "zeta-interpolate-0.5", tmp_path, FIRST, **between)]
    assert methods(*runs) == ["zeta-interpolate-0.5", "alpha"]
