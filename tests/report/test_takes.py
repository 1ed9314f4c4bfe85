"""What it takes to tell two methods apart: said where they are not, by variances alone, the same everywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from conftest import SPEC, secura_bench
from synthetic import Character, write_records

from secura_bench.report import statistics
from secura_bench.report.comparing.document import SCHEMA
from secura_bench.report.comparing.limits import not_to_be_claimed
from secura_bench.report.comparing.pair import Pair, pairs
from secura_bench.report.comparing.planned import foresee
from secura_bench.report.comparing.words import sentence
from secura_bench.report.page.words import summary
from secura_bench.report.statistics import Sample, Stratum
from secura_bench.report.study.cells import sample_of
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.placing import placings
from secura_bench.report.study.protocols import PROTOCOLS
from secura_bench.report.study.read import read_runs
from secura_bench.report.study.study import Study
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.load import load_spec

TASK = "tiny_group"
METHODS = {"twin": Character(0.8, 0.2), "other": Character(0.8, 0.2), "far": Character(0.3, 0.9)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return records of two methods alike and one apart, of three seeds, and of another that has one seed."""
    root = tmp_path_factory.mktemp("takes")
    write_records(root / "results", METHODS, (TASK,), (1, 2, 3), 80, 60, mode="separate", protocols=("generate",))
    write_records(
        root / "results", {"once": METHODS["twin"]}, (TASK,), (1,), 80, 60, mode="separate", protocols=("generate",)
    )
    for path in (*root.rglob("record.json"),):
        path.write_text(path.read_text().replace("f_probe", "tiny_f_task"))
    for path in (*root.rglob("f_probe*"),):
        path.rename(path.with_name(path.name.replace("f_probe", "tiny_f_task")))
    (root / "spec.yaml").write_text(
        SPEC.replace("[{name: lora, r: 2}]", "[{name: lora, label: twin}, {name: seq, label: other}, lora, once]")
        .replace("once]", "{name: seq, label: once}]")
        .replace("[teacher_forced, generate]", "[generate]")
        + "seeds: [1, 2, 3, 4]\n"
    )
    return root


@pytest.fixture(scope="module")
def study(root: Path) -> Study:
    (study,) = make_studies(read_runs([root / "results"])[0])
    return study


def pair_of(study: Study, one: str, other: str, margin: float) -> Pair:
    (pair,) = pairs([study], one, other, margin)
    return pair


def test_it_is_said_where_two_are_neither_told_apart_nor_equal(study: Study) -> None:
    pair = pair_of(study, "twin", "other", 1.0)
    assert pair.kept.unanswered and pair.kept.takes and pair.kept.takes.to_tell
    tell, equate = pair.kept.takes.to_tell, pair.kept.takes.to_equate
    said = f"; 1 points apart are told in 80 % of such experiments by about {tell.seeds} seeds of "
    assert said in sentence(pair)
    assert equate and f"in 80 % of such experiments by about {equate.seeds} seeds" in "".join(not_to_be_claimed(pair))
    page = summary(study, PROTOCOLS["generate"], placings(pair.study, "generate", pair.metric))[0].text
    assert "2 points apart are told in 80 % of such experiments by " in page
    for answered in (pair_of(study, "twin", "other", 60.0), pair_of(study, "twin", "far", 1.0)):
        assert not answered.kept.unanswered and "such experiments" not in sentence(answered)


def test_kept_is_on_the_scale_of_percent_of_the_base(study: Study) -> None:
    pair = pair_of(study, "twin", "other", 3.0)
    arms = [study.arm(name, (TASK,)) for name in ("twin", "other")]
    samples = [sample_of(study.score_keys([arm], "generate", "accuracy", "probe")) for arm in arms]  # type: ignore[list-item]
    there = statistics.components_of(*samples)  # type: ignore[arg-type]
    base = study.probe(study.base, "generate", "accuracy").value
    assert base < 99 and there and pair.kept.takes
    assert pair.kept.takes.to_tell == statistics.least_design(there, 3.0 * base / 100)


def test_no_difference_that_was_seen_has_a_part_in_it(study: Study) -> None:
    arms = [study.arm(name, (TASK,)) for name in ("twin", "other")]
    one, other = (sample_of(study.score_keys([arm], "generate", "accuracy", "probe")) for arm in arms)  # type: ignore[list-item]
    assert one and other
    moved = Sample(tuple(replace(stratum, values=stratum.values + 30.0) for stratum in one.strata))
    found, again = statistics.components_of(one, other), statistics.components_of(moved, other)
    assert found and again
    assert statistics.least_design(found, 2.0) == statistics.least_design(again, 2.0)
    assert isinstance(one.strata[0], Stratum)


def test_json_has_it_by_its_schema(root: Path, study: Study) -> None:
    schema = json.loads(SCHEMA.read_text())
    for one, other, margin in (("twin", "other", 1.0), ("twin", "far", 1.0), ("once", "other", 2.0)):
        done = secura_bench("compare", "results", one, other, f"--margin={margin}", "--format", "json", cwd=root)
        document = json.loads(done.stdout)
        jsonschema.validate(document, schema)
        takes = document["comparisons"][0]["kept"]["takes"]
        side = pair_of(study, one, other, margin).kept
        if side.told == "one seed":
            assert (
                takes["to_tell"] is takes["to_equate"] is None and takes["answers_at_least"] == side.takes.answers > 0
            )
        elif side.unanswered:
            design = side.takes.to_tell
            assert takes["to_tell"] == {"seeds": design.seeds, "rows": design.rows} and takes["points"] == margin
            assert takes["power"] == 0.8 and takes["answers_at_least"] is None
        else:
            assert takes is None


# Of a spec, before it is run


def spec_of(root: Path) -> ExperimentSpec:
    return load_spec(str(root / "spec.yaml"))


def test_a_spec_is_foretold_by_records_of_its_methods_on_its_rows(root: Path, study: Study) -> None:
    spec = spec_of(root)
    counts = {TASK: {"generate": 120}, "tiny_f_task": {"generate": 40}}
    found, without = foresee(spec, "toy", [study], counts, 2.0)
    assert without == [("lora", "twin")], "of which there are no records"
    assert [(each.one, each.other, each.side.what) for each in found] == [
        ("other", "twin", "learned"), ("other", "twin", "kept"), ("once", "twin", "learned"), ("once", "twin", "kept")
    ]  # fmt: skip
    learned, kept, *alone = found
    assert [each.takes.components.n for each in found] == [120, 40, 120, 40] and kept.seeds == 4
    there = pair_of(study, "other", "twin", 2.0)
    assert there.learned.takes and there.kept.takes
    assert learned.smallest == statistics.smallest_told(there.learned.takes.components.times(2), 4)
    assert kept.smallest == kept.takes.scale * statistics.smallest_told(there.kept.takes.components.times(0.5), 4)
    assert all(not each.takes.known and 0 < each.smallest_at_least < 100 for each in alone)
    (same, *_), _ = foresee(spec, "toy", [study], {}, 2.0)
    assert same.takes.components == there.learned.takes.components, "as many as in the records"


def test_records_of_the_same_model_go_before_others_and_others_are_named(root: Path, study: Study) -> None:
    found, _ = foresee(spec_of(root), "toy", [replace(study, model="another"), study], {}, 2.0)
    assert {each.pair.study.model for each in found} == {"toy"}
    other_rows = replace(study, probe_name="another")
    found, without = foresee(spec_of(root), "toy", [other_rows], {}, 2.0)
    assert not found and len(without) == 3, "another probe says nothing of this one"


def test_plan_says_it(root: Path) -> None:
    done = secura_bench("plan", "spec.yaml", "--power", "--difference", "5", cwd=root)
    assert done.returncode == 0, done.stderr
    said = done.stdout[done.stdout.index("Power of 4 seeds of either method") :]
    assert "5 points take" in said and "other less twin\n" in said and max(map(len, said.splitlines())) <= 80
    assert "by trial on toy, which is not tiny, trained on tiny_group, 3 seeds" in said
    assert (
        "lora less twin: unknown, for no records of both" in said and "once less twin" in said and " answers\n" in said
    )
    assert "there is one seed in those records" in " ".join(said.split())
    once = secura_bench("plan", "spec.yaml", "--power", "--set", "seeds=1", cwd=root).stdout
    assert "'–': nothing is told by one seed" in once and "Power of 1 seed of" in once
    wrong = secura_bench("plan", "spec.yaml", "--power", "--difference", "0", cwd=root)
    assert wrong.returncode == 2 and "--difference 0: must be above 0 and below 100" in wrong.stderr
