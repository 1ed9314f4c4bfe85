"""Methods at equal learning wherever a report tells of them: table, picture, page, compare."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from conftest import secura_bench
from gridded import GRIDS, RATES, write_grid
from synthetic import Character, write_records

from secura_bench.foundation.errors import BenchError
from secura_bench.report.comparing.at_equal_learning import limits_of, sentence_of
from secura_bench.report.comparing.curves import Curves, compared
from secura_bench.report.comparing.document import SCHEMA, document
from secura_bench.report.make import FILES, Report, make_report, render
from secura_bench.report.page.words import summary
from secura_bench.report.plots import draw, make_pictures
from secura_bench.report.study.frontier import Frontier, every_frontier
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.placing import placings
from secura_bench.report.study.protocols import PROTOCOLS, metric
from secura_bench.report.study.read import read_runs
from secura_bench.report.study.study import Study
from secura_bench.report.tables.table import Number, Table


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_grid(tmp_path_factory.mktemp("grid"), probe_items=120, task_items=60, seeds=(1, 2, 3))


@pytest.fixture(scope="module")
def study(records: Path) -> Study:
    return study_of(records)


def study_of(root: Path) -> Study:
    (study,) = make_studies(read_runs([root])[0])
    return study


def report_of(root: Path, *names: str, **options: object) -> Report:
    return make_report(read_runs([root])[0], names, **options)  # type: ignore[arg-type]


def frontier(study: Study) -> Frontier:
    (found,) = every_frontier(study)
    return found


def curves_of(root: Path, one: str, other: str, margin: float = 2.0) -> Curves:
    (found,), pairs = compared([study_of(root)], one, other, margin)
    assert not pairs
    return found


def numbers(table: Table, method: str) -> dict[str, Number]:
    (row,) = (row for row in table.rows if row.entries[0] == method)
    named = {f"{c.group} {c.heading}".strip(): entry for c, entry in zip(table.columns, row.entries, strict=True)}
    return {name: entry for name, entry in named.items() if isinstance(entry, Number)}


# The numbers


def test_the_table_has_what_numpy_interpolates(study: Study, records: Path) -> None:
    points = {
        method: np.array(
            [
                (study.learned(arm, "generate", "accuracy").value, study.retention(arm, "generate", "accuracy").value)
                for rate in RATES
                for arm in study.arms
                if arm.method == f"{method}-lr-{rate:g}"
            ]
        )
        for method in GRIDS
    }
    lora, secura = points["lora"][:3], points["secura"]
    assert lora[2, 0] > points["lora"][3, 0], "it breaks down"
    low, high = max(lora[0, 0], secura[0, 0]), min(lora[-1, 0], secura[-1, 0])
    (table,) = report_of(records, "frontier").tables
    at = (low + high) / 2
    found, first = numbers(table, "secura"), numbers(table, "lora")
    both = [np.interp(at, *line.T) for line in (secura, lora)]
    assert found[f"kept % at {at:.1f}"].cell.value == pytest.approx(both[0])
    assert first[f"kept % at {at:.1f}"].cell.value == pytest.approx(both[1])
    assert found[f"at {at:.1f} less lora"].cell.value == pytest.approx(both[0] - both[1])
    dense = np.linspace(low, high, 20_001)
    area = np.trapezoid(np.interp(dense, *secura.T) - np.interp(dense, *lora.T), dense) / (high - low)
    assert found["mean less lora"].cell.value == pytest.approx(area, abs=0.05)
    assert found["mean less lora"].cell.interval and found["p all"].cell.value < 0.05
    assert table.rows[1].entries[-2:] == ("keeps more", "3")
    assert table.rows[0].entries[1] == "4: lr 0.0001 to 0.003" and table.rows[0].strong


def test_notes_say_what_the_grids_lack(records: Path, tmp_path: Path) -> None:
    (table,) = report_of(records, "frontier").tables
    notes = "\n".join(table.notes)
    assert "lora: past the curve's end, where it learned and kept less: lora-lr-0.003." in notes
    assert "Learned most on the grid's edge, beyond which there may be more: secura." in notes
    apart = {"lora": [Character(0.1, 0.1), Character(0.3, 0.2)], "secura": [Character(0.8, 0.2), Character(1.0, 0.5)]}
    (table,) = report_of(write_grid(tmp_path, apart, seeds=(1,), task_items=60), "frontier").tables
    assert re.search(r"Learning [\d.]+ lies beyond the grid of secura\.", "\n".join(table.notes))
    assert "nothing in common" in table.rows[1].entries
    (found,), _ = compared([study_of(tmp_path)], "lora", "secura")
    assert "nothing can be said of lora and secura at equal learning: lora learned" in sentence_of(found)


def test_diverged_settings_have_no_place_and_are_named(tmp_path: Path) -> None:
    write_grid(tmp_path, seeds=(1, 2))
    for path in tmp_path.glob("*/lora-lr-0.003-*/record.json"):
        whole = json.loads(path.read_text())
        whole |= {"status": "diverged", "scores": [], "diverged_at": {"task": "colours", "step": 3}}
        path.write_text(json.dumps(whole))
    (table,) = report_of(tmp_path, "frontier").tables
    assert any("diverged or lack a score: lora-lr-0.003" in note for note in table.notes)
    assert table.rows[0].entries[1] == "3: lr 0.0001 to 0.001"


def test_one_seed_is_not_judged(tmp_path: Path) -> None:
    write_grid(tmp_path, seeds=(1,), probe_items=120, task_items=60)
    (table,) = report_of(tmp_path, "frontier").tables
    assert table.rows[1].entries[-2:] == ("one seed", "1")
    assert numbers(table, "secura")["mean less lora"].cell.items_only
    found = curves_of(tmp_path, "secura", "lora")
    assert found.told == "one seed" and not found.within
    assert "in these runs secura beside lora kept" in sentence_of(found) and "items only" in sentence_of(found)
    assert "secura and lora have one seed" in "\n".join(limits_of(found))


def test_the_reference_can_be_named(records: Path) -> None:
    (table,) = report_of(records, "frontier", reference="secura").tables
    assert [row.entries[0] for row in table.rows] == ["secura", "lora"]
    gap = numbers(table, "lora")["mean less secura"].cell.value
    (other,) = report_of(records, "frontier").tables
    assert gap == pytest.approx(-numbers(other, "secura")["mean less lora"].cell.value)
    assert "frontier" in {table.id for table in report_of(records, "retention", reference="secura").tables}
    alone = report_of(records, "frontier", methods=["secura"])
    assert [row.entries[0] for row in alone.tables[0].rows] == ["secura"]
    with pytest.raises(BenchError, match="--reference secur:"):
        report_of(records, reference="secur")


# Where it stands


def test_it_comes_first_where_there_is_a_grid_and_is_nowhere_else(records: Path, study: Study, tmp_path: Path) -> None:
    assert report_of(records).tables[0].id == "frontier"
    first = next(make_pictures(study))
    assert first.name == "frontier-generate" and draw(first, "svg") == draw(next(make_pictures(study)), "svg")
    found = placings(study, "generate", metric("accuracy"))
    lead, pair, *others = summary(study, PROTOCOLS["generate"], found)
    beginning = "At equal learning, beside lora, in percent points of the base's f_probe: secura keeps "
    assert lead.kind == "lead" and lead.text.startswith(beginning)
    assert pair.kind == "fact" and pair.text.startswith("At equal learning secura keeps more than lora: ")
    assert all(each.kind != "lead" for each in others)
    many = {f"method-{i}": [Character(0.2, 0.1), Character(0.8, 0.3)] for i in range(4)}
    many["keeper"] = [Character(0.2, 0.0), Character(0.8, 0.0)]
    seeds = study_of(write_grid(tmp_path / "many", many, probe_items=120, task_items=60, seeds=(1, 2, 3)))
    answer, *pairs = summary(seeds, PROTOCOLS["generate"], placings(seeds, "generate", metric("accuracy")))
    assert answer.text.startswith("At equal learning, beside keeper: ") and "keep less" in answer.text
    assert len([each for each in pairs if each.text.startswith("At equal learning")]) == 4
    once = study_of(write_grid(tmp_path / "once", many, probe_items=120, task_items=60, seeds=(1,)))
    answer, *_ = summary(once, PROTOCOLS["generate"], placings(once, "generate", metric("accuracy")))
    said = "At equal learning, beside keeper: the 4 others are not judged, for one seed says nothing of another."
    assert answer.text == said
    write_records(tmp_path / "plain", tasks=("a",), seeds=(1,), protocols=("generate",))
    plain = study_of(tmp_path / "plain")
    assert not every_frontier(plain) and "frontier" not in {table.id for table in report_of(tmp_path / "plain").tables}
    assert not next(make_pictures(plain)).name.startswith("frontier")


@pytest.mark.parametrize("format", FILES)
def test_every_format_has_it(records: Path, format: str) -> None:
    text = render(report_of(records, "frontier"), format)
    wanted = {"csv": "accuracy:retention:difference", "html": '"curves":{"lines":[{"name":"lora","key":"lr"'}
    assert wanted.get(format, "keeps more") in text


# Compare


def test_compare_says_one_sentence_no_stronger_than_its_numbers(records: Path) -> None:
    found = curves_of(records, "secura", "lora")
    shared = found.shared
    assert shared and found.gap and found.gap.interval
    assert sentence_of(found).startswith(
        "On toy trained on colours, by generate acc, at equal learning secura keeps more than lora: "
        f"{found.gap.value:.1f} percent points of the base's f_probe more ({found.gap.interval.low:.1f} to "
    )
    assert sentence_of(found).endswith(
        f"mean over learning {shared[0]:.1f} to {shared[1]:.1f}, by 4 settings (3 seeds each) of secura and 4 settings "
        "(3 seeds each) of lora, on 120 probe items."
    )
    turned = curves_of(records, "lora", "secura")
    assert turned.told == "less" and turned.gap and turned.gap.value == pytest.approx(-found.gap.value)
    assert f"{found.gap.value:.1f} percent points of the base's f_probe less" in sentence_of(turned)


def test_p_of_two_is_said_to_be_of_these_two(records: Path) -> None:
    """Of many methods some pair is told apart by chance: the sentence says of how many these are two."""
    found = replace(curves_of(records, "secura", "lora"), among=11)
    assert found.told == "more" and found.gap and found.gap.p is not None
    assert f"p {found.gap.p:.2g} for these two of 11 methods), mean over learning" in sentence_of(found)
    assert "p is of these two alone of 11 methods" in "\n".join(limits_of(found))
    assert "for these two" not in sentence_of(replace(found, among=2))


def test_not_told_apart_is_not_equal(tmp_path: Path) -> None:
    write_grid(tmp_path, {"lora": GRIDS["secura"], "dora": GRIDS["secura"]}, seeds=(1, 2))
    found = curves_of(tmp_path, "lora", "dora", 0.1)
    assert found.told == "open" and not found.within
    assert "at equal learning whether lora or dora keeps more is open: " in sentence_of(found)
    assert "that they keep the same: not told apart is not equal" in "\n".join(limits_of(found))
    wide = curves_of(tmp_path, "lora", "dora", 60.0)
    assert wide.within and "at equal learning lora keeps as much as dora: " in sentence_of(wide)


def test_a_single_setting_is_held_against_a_curve_where_it_learned(records: Path, study: Study) -> None:
    found = curves_of(records, "lora-lr-0.0003", "secura")
    (arm,) = (arm for arm in study.arms if arm.method == "lora-lr-0.0003")
    learned = study.learned(arm, "generate", "accuracy").value
    assert found.shared == pytest.approx((learned, learned)) and found.gap
    assert "by 1 setting (3 seeds) of lora-lr-0.0003 and 4 settings" in sentence_of(found)
    limits = "\n".join(limits_of(found))
    assert "that both were tuned with equal care: settings of lora-lr-0.0003 1, of secura 4" in limits
    curves, pairs = compared([study], "lora-lr-0.0003", "secura-lr-0.0003")
    assert not curves and pairs, "two settings are compared as any two methods"


def test_the_command_and_its_json(records: Path, tmp_path: Path) -> None:
    done = secura_bench("compare", str(records), "secura", "lora", cwd=tmp_path)
    found = curves_of(records, "secura", "lora")
    assert done.returncode == 0 and sentence_of(found) in done.stdout.replace("\n", " ").replace("  ", " ")
    whole = json.loads(document([], [], [found]))
    jsonschema.validate(whole, json.loads(SCHEMA.read_text()))
    (told,) = whole["at_equal_learning"]
    assert told["difference"]["value"] == found.gap.value and told["sentence"] == sentence_of(found)  # type: ignore[union-attr]
    assert [point["on_the_curve"] for point in told["other"]["points"]] == [True, True, True, False]
    with pytest.raises(BenchError, match="the same method"):
        compared([study_of(records)], "lora", "lora")
    with pytest.raises(BenchError, match=r"(?i)did you mean"):
        compared([study_of(records)], "lora", "securra")
