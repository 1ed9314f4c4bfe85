"""Groups of items: what the split keeps together stands in the items' files, reaches the samples, and is said."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, SPEC, secura_bench
from synthetic import write_records

from secura_bench.data.split import split_rows
from secura_bench.report.statistics import perplexity_interval
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.items import Items, joined, pooled, read_items, stacked
from secura_bench.report.study.runs import Run
from secura_bench.report.study.study import Study
from secura_bench.report.tables.footnotes import notes
from secura_bench.results.read import read_record
from secura_bench.tasks.row import Row
from secura_bench.tasks.ties import count_ties, group_column, tied

# In files


def rows_in(groups: int, count: int, prompts: int) -> list[Row]:
    draw = random.Random(f"{groups}/{count}/{prompts}")
    names = [draw.randrange(3 * groups) for _ in range(count)]
    return [
        Row(f"r{i}", f"{draw.randrange(prompts)}?", "a", group=f"secret {name}" if name < groups else None)
        for i, name in enumerate(names)
    ]


@pytest.mark.parametrize(("groups", "count", "prompts"), [(4, 30, 1000), (8, 60, 40), (1, 25, 1000), (5, 40, 5)])
def test_what_the_column_tells_apart_is_what_the_split_may_part(groups: int, count: int, prompts: int) -> None:
    rows = rows_in(groups, count, prompts)
    names = dict(zip((row.id for row in rows), group_column(rows) or [], strict=True))
    assert len(set(names.values())) == count_ties(rows) == split_rows(rows, count, 0.5, 0).groups
    for seed in range(5):
        split = split_rows(rows, count, 0.5, seed)
        train, test = ({names[row.id] for row in side} for side in (split.train, split.test))
        assert not train & test
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in names.values())  # no text of anybody's


def test_rows_that_are_not_tied_have_no_column() -> None:
    assert group_column([Row("a", "1?", "x", group="g"), Row("b", "2?", "x", group="h"), Row("c", "3?", "x")]) is None
    chain = [Row("a", "1?", "x", group="g"), Row("b", "1?", "x", group="h"), Row("c", "2?", "x", group="h")]
    assert len(set(group_column(chain) or [])) == 1 and len(set(tied(chain))) == 1
    history = (("user", "Before?"), ("assistant", "yes"))
    assert group_column([Row("a", "1?", "x"), Row("b", "1?", "x", history=history)]) is None


def talk(i: int) -> dict[str, Any]:
    turns = [{"role": role, "content": f"{role} {i} {j}"} for j in range(3) for role in ("user", "assistant")]
    return {"messages": turns}


@pytest.mark.parametrize(
    "records",
    [
        [{"id": f"q{i}", "question": f"{i}?", "answer": "a", "group": f"Doe file {i // 4}"} for i in range(40)],
        [{"id": f"q{i}", "question": f"Doe {i // 4}?", "answer": f"{i}"} for i in range(40)],
        [talk(i) for i in range(12)],
    ],
    ids=["groups", "prompts", "conversations"],
)
def test_a_runs_files_name_the_groups_and_its_record_counts_them(tmp_path: Path, records: list) -> None:
    (tmp_path / "own.jsonl").write_text("".join(f"{json.dumps(fields)}\n" for fields in records))
    (tmp_path / "spec.yaml").write_text(SPEC.replace("[tiny_group]", "[own.jsonl]").replace(", generate", ""))
    done = secura_bench("run", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "results").glob("*/*lora*/record.json")
    note = json.loads(path.read_text())["data"]["own"]
    (file,) = path.parent.glob("evals/*/teacher_forced/own.json")
    items = json.loads(file.read_text())
    assert (note["groups"], note["test_rows"], note["probe_groups"]) == (1, 3, 0) and len(set(items["group"])) == 1
    assert "Doe" not in file.read_text()
    told = secura_bench("report", "results", "--notes", cwd=tmp_path)
    assert "own 3 rows in 1 group" in " ".join(told.stdout.split())
    for part in path.parent.glob("evals/*/teacher_forced/probe/*.json"):
        assert "group" not in json.loads(part.read_text())


# In samples


def items_in(path: Path, ids: list[str], group: Any = None, **columns: list[float | None]) -> Items | None:
    path.write_text(json.dumps({"id": ids, **({} if group is None else {"group": group}), **columns}))
    return read_items(path)


def test_the_probes_groups_are_named_by_part_and_kept_once(tmp_path: Path) -> None:
    one = items_in(tmp_path / "a.json", ["1", "2"], accuracy=[0, 100])
    two = items_in(tmp_path / "b.json", ["1", "2", "3"], ["g", "h", "g"], accuracy=[0, 100, None])
    again = items_in(tmp_path / "c.json", ["1", "2", "3"], ["x", "a", "x"], accuracy=[100, 0, 0])  # of another source
    assert one and two and again and one.groups is None and two.groups is again.groups
    both, other = pooled(("a", "b"), [one, two]), pooled(("a", "b"), [one, again])
    assert both and other and both.groups == ("a/1", "a/2", "b/1", "b/2", "b/1") and both.groups is other.groups
    alone = pooled(("a", "b"), [one, one])
    assert alone and alone.groups is None
    told = two.scored("accuracy")  # the item that has no score was the only one with a companion
    assert told and told.ids == ("1", "2") and told.groups is None and two.scored("loss") is None


def test_a_seed_from_before_groups_is_of_the_others_groups(tmp_path: Path) -> None:
    older = items_in(tmp_path / "a.json", ["1", "2", "3"], accuracy=[0, 100, 0])
    newer = items_in(tmp_path / "b.json", ["1", "2", "3"], ["g", "h", "g"], accuracy=[0, 0, 0])
    seeds = [items.scored("accuracy") for items in (older, newer) if items]
    stratum = stacked("t", [seed for seed in seeds if seed], "t", fixed=False)
    assert stratum.groups == ("1", "2", "1") and stratum.values.shape == (2, 3)
    assert stratum.only(("3", "2")).groups == ("1", "2")


def test_texts_of_one_group_are_one_text_of_their_tokens() -> None:
    draw = np.random.default_rng(0)
    whole, share = draw.integers(10, 99, (1, 40)).astype(float), draw.uniform(0.1, 0.9, (1, 40))
    loss = draw.uniform(1, 3, (2, 40))
    halves = np.repeat(loss, 2, axis=1) + np.tile([1.0, -1.0], 40) * np.stack([1 - share, share], -1).reshape(1, 80) / 2
    tokens = np.tile(np.stack([share, 1 - share], -1).reshape(1, 80) * np.repeat(whole, 2, axis=1), (2, 1))
    names = tuple(f"g{i // 2:02}" for i in range(80))
    found = joined(halves, tokens, names)
    np.testing.assert_allclose(found[0], loss)
    mine, other = perplexity_interval("t", *found), perplexity_interval("t", loss, np.tile(whole, (2, 1)))
    assert mine and other and (mine.low, mine.high) == pytest.approx((other.low, other.high))
    untold = np.where(np.arange(80) == 3, np.nan, halves)
    assert joined(untold, tokens, None)[0].shape == (2, 79) and joined(untold, tokens, names)[0].shape == (2, 40)


@pytest.mark.parametrize("group", [["g", "g"], ["g", "g", None], "ggg", {"1": "g"}, 3])
def test_a_damaged_column_of_groups_is_a_damaged_file(tmp_path: Path, group: Any) -> None:
    assert items_in(tmp_path / "a.json", ["1", "2", "3"], group, accuracy=[0, 0, 0]) is None


def grouped(root: Path, part: str, size: int) -> None:
    """Put the items of a part into groups of ``size``, in files and records, as a run would."""
    for path in root.rglob("record.json"):
        record = json.loads(path.read_text())
        for file in path.parent.rglob(f"{part}.json"):
            items = json.loads(file.read_text())
            items["group"] = [f"g{i // size}" for i in range(len(items["id"]))]
            file.write_text(json.dumps(items))
        note = record["data"][part]
        note["probe_groups"] = -(-note["probe_rows"] // size)
        path.write_text(json.dumps(record))


def study_of(root: Path) -> Study:
    (study,) = make_studies(Run(read_record(path), path.parent) for path in sorted(root.rglob("record.json")))
    return study


def test_groups_reach_the_strata_of_probe_part_and_base(tmp_path: Path) -> None:
    grouped(write_records(tmp_path, tasks=("colours",), every=0), "facts", 3)
    study = study_of(tmp_path)
    (arm,) = (arm for arm in study.arms if arm.method == "lora")
    for one in (arm, study.base):
        stratum = one.stratum("generate", "accuracy", "probe", "f_probe", "end")
        assert len(set(stratum.groups[:30])) == 10 and len(set(stratum.groups[30:])) == 30
        assert one.stratum("generate", "accuracy", "part", "sums", "end").groups is None
    assert "facts 30 rows in 10 groups." in " ".join(notes([study], "generate"))


# What is said


def change(root: Path, which: str, **changes: Any) -> None:
    for path in root.rglob("record.json"):
        if path.parent.name.startswith(which):
            record = json.loads(path.read_text())
            for key, value in changes.items():
                record["method"]["train"].update(value) if key == "train" else record.update({key: value})
            path.write_text(json.dumps(record))


def test_records_from_before_groups_say_so_where_the_task_has_any(tmp_path: Path) -> None:
    root = write_records(tmp_path, tasks=("logdeduc", "objcount"), probe_items=40)
    (line,) = (line for line in notes([study_of(root)], "generate") if "groups" in line)
    assert line == "logdeduc: groups are not recorded (older records): items count as independent."
    for path in root.rglob("record.json"):
        record = json.loads(path.read_text())
        record["data"]["logdeduc"] |= {"groups": 7}
        path.write_text(json.dumps(record))
    (line,) = (line for line in notes([study_of(root)], None) if "groups" in line)
    assert line.endswith("are drawn together: logdeduc 30 rows in 7 groups.")


def test_the_foot_names_whose_precision_is_which(tmp_path: Path) -> None:
    root = write_records(tmp_path, tasks=("colours",), seeds=(1,))
    change(root, "", context=600)
    assert [line for line in notes([study_of(root)], None) if "recision" in line] == [
        "Precision fp32; context 600 tokens."
    ]
    change(root, "lora", train={"precision": "bf16"})
    change(root, "secura", train={"precision": "bf16"})
    change(root, "seq", train={"precision": "fp32"})
    first, second, third = (line for line in notes([study_of(root)], "generate") if "fp32" in line)
    assert (
        first == "Precision fp32 (base, seq) and bf16 (lora, secura), in training and in scoring; context 600 tokens."
    )
    assert second.startswith("Scored in bf16, the base in fp32: lora, secura.") and "kept" in second
    assert third.startswith("Less than fp32, computed on a CPU")
    change(root, "", precision="bf16")
    lines = notes([study_of(root)], "generate")
    assert any(line.startswith("Scored in fp32, the base in bf16: seq.") for line in lines)


def test_the_foot_of_several_studies_says_which_has_which_precision(tmp_path: Path) -> None:
    studies = []
    for name, precision in (("one", "fp32"), ("two", "bf16"), ("three", "fp32")):
        root = write_records(tmp_path / name, tasks=("colours",), seeds=(1,))
        change(root, "", experiment=name, precision=precision)
        studies.append(study_of(root))
    (line,) = (line for line in notes(studies, None) if line.startswith("Precision"))
    assert line == "Precision fp32 in one, three; bf16 in two."


def test_the_shipped_records_count_the_groups_that_their_files_name() -> None:
    seen = 0
    for path in sorted((ROOT / "results").glob("*/*/record.json")):
        run = Run(read_record(path), path.parent)
        for score in run.record.scores:
            if score.role == "probe":
                continue
            file = run.file(score)
            items = read_items(file) if file else None
            note = run.record.data[score.task]
            count = note.groups if score.role == "task" else note.probe_groups
            if items is None:
                continue
            assert count == len(set(items.groups or items.ids)), file
            problems = [id_.split("-")[1] for id_ in items.ids]
            if score.task == "multipl_e":
                assert np.unique(problems).size == count
                seen += 1
    assert seen > 100
