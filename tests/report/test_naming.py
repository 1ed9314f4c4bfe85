"""What methods are called, and how a user names them: titles, labels, slugs, and several settings of one label."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import SPEC, secura_bench
from synthetic import Character, write_records

from secura_bench.foundation.errors import BenchError
from secura_bench.report.make import FILES, Report, make_report, render
from secura_bench.report.study.choosing import find_methods, one_method
from secura_bench.report.study.contrast import compare
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.read import read_runs
from secura_bench.report.study.study import Study
from secura_bench.spec.load import load_spec

TITLE = "SECURA (ours), α = 1"


def change_methods(root: Path, pattern: str, **changes: object) -> None:
    """Change what the records that ``pattern`` finds say of their method."""
    for path in root.glob(f"*/{pattern}/record.json"):
        whole = json.loads(path.read_text())
        whole["method"] |= changes
        path.write_text(json.dumps(whole))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return records of seq, lora and secura, of which secura has a title."""
    write_records(tmp_path, tasks=("a", "b"), seeds=(1, 2), protocols=("teacher_forced",))
    change_methods(tmp_path, "secura-*", title=TITLE)
    return tmp_path


def study_of(root: Path) -> Study:
    (study,) = make_studies(read_runs([root])[0])
    return study


def report_of(root: Path, *tables: str, **options: object) -> Report:
    return make_report(read_runs([root])[0], tables, **options)  # type: ignore[arg-type]


# Titles


def test_a_title_is_shown_everywhere_and_the_label_goes_on_naming_folders(results: Path) -> None:
    made = report_of(results, "all")
    assert study_of(results).methods == ("lora", TITLE, "seq")
    escaped = {"html": "SECURA (ours)", "latex": "SECURA (ours), ", "json": json.dumps(TITLE)[1:-1]}
    for format in FILES:
        assert escaped.get(
            format, TITLE.replace("(", r"\(").replace(")", r"\)") if format == "markdown" else TITLE
        ) in (render(made, format)), format


def test_a_title_changes_no_fingerprint_and_no_settings(tmp_path: Path) -> None:
    from secura_bench.plan.make import make_plan

    (tmp_path / "plain.yaml").write_text(SPEC)
    (tmp_path / "titled.yaml").write_text(SPEC.replace("r: 2}", f"r: 2, title: '{TITLE}'}}"))
    plain, titled = (make_plan(load_spec(str(tmp_path / f"{name}.yaml"))) for name in ("plain", "titled"))
    assert [run.folder for run in plain.runs] == [run.folder for run in titled.runs]
    assert titled.runs[1].method.named == {"name": "lora", "label": "lora-r-2", "title": TITLE}
    assert titled.runs[1].resolved()["methods"] == [{"name": "lora", "label": "lora-r-2", "title": TITLE, "r": 2}]
    assert "title" not in plain.runs[1].resolved()["methods"][0]


def test_a_run_records_its_title(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC.replace("r: 2}", f"r: 2, title: '{TITLE}'}}"))
    done = secura_bench("run", "spec.yaml", "--quiet", cwd=tmp_path)
    assert done.returncode == 0 and TITLE in done.stdout
    records = [json.loads(path.read_text()) for path in tmp_path.glob("results/*/*/record.json")]
    assert {record["method"]["label"]: record["method"].get("title") for record in records} == {
        "base": None,
        "lora-r-2": TITLE,
    }


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ('{name: lora, title: "a\\x07b"}', "without control characters"),
        ('{name: lora, title: " "}', "at least 1 character"),
        ("{name: lora, title: 7}", "valid string"),
        ("{name: base, title: untouched}", "leave its title out"),
    ],
)
def test_a_title_that_is_none_is_refused(tmp_path: Path, method: str, said: str) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    done = secura_bench("validate", "spec.yaml", "--set", f"methods=[{method}]", cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1


def test_titles_that_are_taken_stand_before_the_label(results: Path) -> None:
    change_methods(results, "seq-*", title=TITLE)
    change_methods(results, "lora-*", title="base")
    study = study_of(results)
    assert set(study.methods) == {f"{TITLE} (secura)", f"{TITLE} (seq)", "base (lora)"}
    assert study.base is not None and len(study.arms) == 3


def test_the_newest_record_has_the_title(tmp_path: Path) -> None:
    write_records(tmp_path, {"lora": Character(0.8, 0.2)}, ("a",), seeds=(1, 2))
    change_methods(tmp_path, "lora-*-s1-*", title="first")
    for path in tmp_path.glob("*/lora-*-s2-*/record.json"):
        newer = json.loads(path.read_text()) | {"finished_at": "2027-01-01T00:00:00+00:00"}
        path.write_text(json.dumps(newer))
    assert study_of(tmp_path).methods == ("lora",)
    change_methods(tmp_path, "lora-*-s2-*", title="second")
    study = study_of(tmp_path)
    assert study.methods == ("second",) and study.arms[0].seeds == (1, 2), "a title tells no runs apart"


# Names


def test_a_method_is_found_by_title_label_and_slug(results: Path) -> None:
    study = study_of(results)
    for name in (TITLE, "secura", "secura-ours-1", "SECURA", "Secura ours 1"):
        assert find_methods(study, name) == (TITLE,), name
    assert find_methods(study, "base") == ("base",)
    assert find_methods(study, "") == find_methods(study, "!") == find_methods(study, "secur") == ()


def test_one_label_of_several_settings_is_asked_for(results: Path) -> None:
    write_records(results, {"lora": Character(0.8, 0.2)}, ("a", "b"), (2,), protocols=("teacher_forced",))
    change_methods(results, "lora-*-s2-*", options={"r": 4})
    study = study_of(results)
    assert find_methods(study, "lora") == ("lora r=None", "lora r=4")
    assert one_method(study, "lora r=4", "") == "lora r=4" == one_method(study, "lora-r-4", "")
    with pytest.raises(BenchError, match="2 settings of that name; say which: 'lora r=None', 'lora r=4'"):
        one_method(study, "lora", "")


# --methods and --reference


def test_the_methods_that_are_asked_for_stand_alone_with_the_base(results: Path) -> None:
    (table,) = report_of(results, "retention", methods=["lora", "secura"]).tables
    assert [row.of["method"] for row in table.rows] == ["base", "lora", TITLE]
    assert any("Left out by --methods: seq;" in note for note in table.notes)
    assert not any("--methods" in note for table in report_of(results).tables for note in table.notes)
    (whole,) = report_of(results, "retention").tables
    cells = {row.of["method"]: [getattr(entry, "cell", entry) for entry in row.entries] for row in whole.rows}
    for row in table.rows:
        for one, other in zip(row.entries, cells[row.of["method"]], strict=True):
            assert getattr(one, "cell", one) == other or one.cell.value == other.value  # type: ignore[union-attr]


def test_differences_from_a_reference_are_those_of_the_pairs(results: Path) -> None:
    study = study_of(results)
    (table,) = report_of(results, "differences", reference="secura").tables
    assert [column.heading for column in table.columns][3] == f"less {TITLE}"
    assert any(f"Less {TITLE} (--reference)" in note for note in table.notes)
    rows = {(row.entries[1], row.entries[2]): row.entries for row in table.rows}
    for what in ("learned", "probe"):
        assert rows[what, TITLE][-1] == "reference"
        for method in ("lora", "seq"):
            arms = [study.arm(name, study.sequences[0]) for name in (method, TITLE)]
            found = compare(*(study.score_keys([arm], "teacher_forced", "char_bleu", what) for arm in arms))
            entries = rows[what, method]
            assert (entries[3].cell.value, entries[4].cell.value) == (found.difference, found.p)
            if entries[-1] in ("better", "worse"):
                assert (entries[3].cell.value > 0) == (entries[-1] == "better")
    assert {row[-1] for row in rows.values()} & {"better", "worse"}, "something is told apart, or nothing was tested"


def test_the_base_can_be_the_reference(tmp_path: Path) -> None:
    write_records(tmp_path, tasks=("a", "b"), seeds=(1,), mode="separate", protocols=("teacher_forced",))
    study = study_of(tmp_path)
    (table,) = report_of(tmp_path, "differences", reference="base").tables
    rows = {(row.entries[0], row.entries[1], row.entries[2]): row.entries for row in table.rows}
    learned = [study.learned(study.arm("lora", (t,)), "teacher_forced", "char_bleu").value for t in "ab"]
    before = study.learned(study.base, "teacher_forced", "char_bleu", "ab").value
    assert rows["mean of 2", "learned", "lora"][3].cell.value == pytest.approx(sum(learned) / 2 - before)
    probe = [study.probe(study.arm("lora", (t,)), "teacher_forced", "char_bleu").value for t in "ab"]
    base = study.probe(study.base, "teacher_forced", "char_bleu").value
    assert rows["mean of 2", "probe", "lora"][3].cell.value == pytest.approx(sum(probe) / 2 - base)


def test_names_at_the_command_line(results: Path) -> None:
    here = results.parent
    done = secura_bench("report", str(results), "--methods", "secura, lora", "--table", "retention", cwd=here)
    assert done.returncode == 0 and "seq " not in done.stdout.split("1. ")[0] and TITLE in done.stdout
    done = secura_bench("report", str(results), "--reference", "lora", cwd=here)
    assert done.returncode == 0 and "differences from lora" in done.stdout, "asking for a reference asks for its table"
    for option in ("--methods", "--reference"):
        done = secura_bench("report", str(results), option, "securra", cwd=here)
        assert done.returncode == 2 and f"{option} securra: unknown method" in done.stderr
        assert "Did you mean 'secura'?" in done.stderr and done.stderr.count("\n") == 1


def test_one_label_of_two_methods_is_two_arms(tmp_path: Path) -> None:
    write_records(tmp_path, {"lora": Character(0.8, 0.2)}, ("a",), seeds=(1, 2))
    change_methods(tmp_path, "lora-*-s2-*", name="my_lora")
    assert set(study_of(tmp_path).methods) == {"lora name=lora", "lora name=my_lora"}


def test_what_the_registry_calls_a_method_means_it_where_no_label_does(results: Path) -> None:
    change_methods(results, "lora-*", label="lora-r-8")
    assert find_methods(study_of(results), "lora") == ("lora-r-8",)
    change_methods(results, "seq-*", label="lora", name="seq")
    assert find_methods(study_of(results), "lora") == ("lora",), "a label comes first"
    change_methods(results, "seq-*", label="seq-fast", name="lora")
    with pytest.raises(BenchError, match="2 settings of that name; say which"):
        one_method(study_of(results), "lora", "")


def test_runs_without_a_result_are_counted_beside_the_tables(results: Path) -> None:
    done = secura_bench("report", str(results), "--table", "cost", cwd=results)
    assert done.returncode == 0 and "without a result" not in done.stderr
    begun = next(results.glob("*/lora-*")).parent / "lora-begun-0123456789"
    (begun / "checkpoint").mkdir(parents=True)
    (begun / "manifest.json").write_text("{}")
    for words in (("report", str(results), "--table", "cost"), ("compare", str(results), "lora", "seq")):
        done = secura_bench(*words, cwd=results)
        assert "1 run without a result (1 stopped); `secura-bench status" in done.stderr, done.stderr
