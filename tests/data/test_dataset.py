"""A task made ready: its own test rows, probes that are small, and messages that say what happened to rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secura_bench.data.dataset import TaskData, load_data, probe_examples
from secura_bench.data.split import split_from, split_rows
from secura_bench.foundation.errors import DataError, SpecError
from secura_bench.spec.sections import DataSpec
from secura_bench.tasks.catalog import CATALOG
from secura_bench.tasks.row import Row
from secura_bench.tasks.sources import read_rows, read_test_rows


@pytest.fixture(autouse=True)
def own_tasks():
    yield
    CATALOG.reset()


def written(folder: Path, name: str, *rows: tuple[str, str], first: int = 0) -> Path:
    path = folder / name
    lines = [{"id": str(i), "prompt": prompt, "answer": answer} for i, (prompt, answer) in enumerate(rows, first)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def included(folder: Path, name: str, more: str) -> str:
    (folder / f"{name}.yaml").write_text(f"id: {name}\ntitle: {name}\nlicence: MIT\n{more}")
    CATALOG.include([folder])
    return name


MAIN = "file: {path: train.jsonl}\n"


# --- rows that a task names to be tested on ---


def test_a_published_split_is_used_as_it_is(tmp_path: Path, tiny) -> None:
    written(tmp_path, "train.jsonl", *((f"question {i}", str(i)) for i in range(30)))
    written(tmp_path, "test.jsonl", *((f"another {i}", str(i)) for i in range(7)))
    data = load_data(included(tmp_path, "mine", MAIN + "test: {file: {path: test.jsonl}}\n"), DataSpec(), tiny[1])
    assert {e.row.prompt for e in data.test} == {f"another {i}" for i in range(7)}
    assert {e.row.id for e in data.test} == {f"test-{i}" for i in range(7)}
    assert len(data.train) == 30
    assert (data.counts.found, data.counts.met, data.test_origin.source) == (37, 0, "file:test.jsonl")
    few = load_data("mine", DataSpec(rows=10), tiny[1])
    assert (len(few.train), len(few.test)) == (10, 7)


def test_training_rows_that_meet_a_test_row_are_left_out_and_counted(tmp_path: Path, tiny) -> None:
    written(tmp_path, "train.jsonl", *((f"question {i}", str(i)) for i in range(30)))
    written(tmp_path, "test.jsonl", ("question 3", "3"), ("question 4", "4"), ("new", "5"))
    data = load_data(included(tmp_path, "mine", MAIN + "test: {file: {path: test.jsonl}}\n"), DataSpec(), tiny[1])
    assert (len(data.train), len(data.test), data.counts.met) == (28, 3, 2)
    written(tmp_path, "test.jsonl", *((f"question {i}", str(i)) for i in range(30)))
    with pytest.raises(DataError, match="30 left out of training for the prompt or group of one of 30 test") as error:
        load_data("mine", DataSpec(), tiny[1])
    assert "no training rows are left. Of 30 rows 30 were drawn (data.rows: 1000): 0 to train" in str(error.value)


def test_all_rows_are_scored_where_nothing_trains_and_a_probe_is_the_same(tmp_path: Path, tiny) -> None:
    """With a test side of one file or of its own; a probe of fewer rows than there are has the same ones, in order."""
    written(tmp_path, "train.jsonl", *((f"question {i}", str(i)) for i in range(30)))
    written(tmp_path, "test.jsonl", *((f"another {i}", str(i)) for i in range(7)))
    tasks = {"parted": MAIN + "test: {file: {path: test.jsonl}}\n", "single": MAIN}
    for name, more in tasks.items():
        (tmp_path / f"{name}.yaml").write_text(f"id: {name}\ntitle: {name}\nlicence: MIT\n{more}")
    CATALOG.include([tmp_path])
    for name, in_all in (("parted", 37), ("single", 30)):
        usual, every = (load_data(name, DataSpec(held_out=held), tiny[1]) for held in ("test", "all"))
        assert len(every.test) == in_all and not every.train
        assert {e.row.id for e in every.test} == {e.row.id for e in (*usual.test, *usual.train)}
        probes = [probe_examples([data], 25, [])[name] for data in (usual, every)]
        assert [e.row.id for e in probes[0]] == [e.row.id for e in probes[1]]
    written(tmp_path, "train.jsonl", ("the only one", "1"))
    assert len(load_data("single", DataSpec(held_out="all"), tiny[1]).test) == 1


def test_groups_tie_training_rows_to_test_rows() -> None:
    rows = [Row(str(i), f"q{i}", "a", group=f"g{i % 3}") for i in range(9)]
    split = split_from(rows, [Row("t", "other", "a", group="g1")], 100, 1)
    assert {row.group for row in split.train} == {"g0", "g2"}
    assert split.met == 3


def test_a_test_source_says_only_what_is_other_there(tmp_path: Path) -> None:
    hub = "hub: {path: o/r, config: c, split: train, columns: {prompt: '{{ q }}', target: '{{ a }}'}}\n"
    task = CATALOG.load(included(tmp_path, "mine", hub + "test: {hub: {split: validation}}\n")).tested_on
    assert (task.hub.path, task.hub.config, task.hub.split) == ("o/r", "c", "validation")
    assert task.hub.columns.prompt == "{{ q }}"


def test_test_rows_of_another_data_set_take_nothing_of_the_first_but_its_columns(tmp_path: Path) -> None:
    hub = "hub: {path: o/r, config: c, revision: abc, first: 9, stand_in: x, columns: {text: '{{ q }}'}}\nkind: text\n"
    other = CATALOG.load(included(tmp_path, "mine", hub + "test: {hub: {path: o/s, split: test}}\n")).tested_on.hub
    assert (other.path, other.config, other.revision, other.split) == ("o/s", None, "main", "test")
    assert (other.first, other.stand_in, other.columns.text) == (None, None, "{{ q }}")


def test_rows_beside_test_rows_may_have_answers_of_another_kind(tmp_path: Path, tiny) -> None:
    """MetaMathQA has formulas for answers and is tested on GSM8K, which has numbers alone."""
    written(tmp_path, "train.jsonl", *((f"question {i}", f"{i}" if i % 2 else "x + y") for i in range(30)))
    written(tmp_path, "test.jsonl", ("another", "7"))
    mine = included(tmp_path, "mine", MAIN + "answer: number\ntest: {file: {path: test.jsonl}}\n")
    data = load_data(mine, DataSpec(), tiny[1])
    assert (len(data.train), len(data.spare), data.spare_too_long) == (30, 15, 0)  # what a probe may score
    with pytest.raises(DataError, match=r"the reference 'x \+ y' is not read as exactly one number"):
        load_data("mine", DataSpec(held_out="validation", test_fraction=0.5), tiny[1])
    written(tmp_path, "test.jsonl", ("another", "x + y"))
    with pytest.raises(DataError, match=r"test\.jsonl:1: the reference 'x \+ y' is not read as exactly one number"):
        load_data("mine", DataSpec(), tiny[1])


def test_a_file_that_is_not_there_is_said_with_where_it_is_to_be_had(tmp_path: Path, monkeypatch) -> None:
    source = "local: {file: far/train.json, found_at: an archive, columns: {prompt: '{{ p }}', target: '{{ a }}'}}\n"
    task = CATALOG.load(included(tmp_path, "mine", source + "test: {local: {file: far/test.json}}\n"))
    monkeypatch.setenv("SECURA_BENCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"the folder must hold far/train\.json: an archive\.$"):
        read_rows(task, 1)
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "train.json").write_text('[{"p": "q", "a": "yes"}, {"p": "r", "a": "no"}]')
    (tmp_path / "far" / "test.json").write_text('[{"p": "s", "a": "no"}]')
    assert [row.target for row in read_rows(task, 1)[0]] == ["yes", "no"]
    rows, origin = read_test_rows(task)
    assert ([row.id for row in rows], origin.source) == (["test-mine-0"], "local:far/test.json")


@pytest.mark.parametrize("text", ["generated: {generator: tiny_count}\ntest: {file: {path: x}}\n", MAIN + "test: {}\n"])
def test_a_test_source_that_cannot_be_meant(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecError, match=r"mine\.yaml:1: 'test' names a 'hub', 'local' or 'file' beside the task's own"):
        CATALOG.load(included(tmp_path, "mine", text))


# --- what happened to rows ---


@pytest.mark.parametrize(
    ("rows", "context", "said"),
    [
        ([("one", str(i)) for i in range(50)], 600, "Of 50 rows 50 were drawn (data.rows: 1000): 50 to train, 0 to "
         "test. All 50 share one prompt or group"),
        ([("one", "1")], 600, "One row cannot be parted"),
        ([(f"question {i}", "1") for i in range(20)], 5, "18 to train, 2 to test. All 18 have a prompt that is too "
         "long for data.context: 5 tokens"),
    ],
)  # fmt: skip
def test_no_rows_left_names_the_cause_and_counts(tmp_path: Path, tiny, rows, context: int, said: str) -> None:
    name = CATALOG.add_file(written(tmp_path, "mine.jsonl", *rows))
    with pytest.raises(DataError) as error:
        load_data(name, DataSpec(context=context), tiny[1])
    assert said in str(error.value)


def test_each_side_gets_a_group_where_there_are_two() -> None:
    two = [Row(str(i), f"prompt {i // 25}", "a") for i in range(50)]
    split = split_rows(two, 1000, 0.1, 1)
    assert (len(split.train), len(split.test), split.groups) == (25, 25, 2)
    most = split_rows([Row(str(i), f"q{i}", "a") for i in range(3)], 1000, 0.99, 1)
    assert (len(most.train), len(most.test)) == (1, 2)


# --- probes ---


def parts(folder: Path, chat, *sizes: int) -> list[TaskData]:
    names = [
        CATALOG.add_file(written(folder, f"p{n}.jsonl", *((f"question {n} {i}", "a") for i in range(n)))) for n in sizes
    ]
    return [load_data(name, DataSpec(), chat) for name in names]


def test_a_probe_never_asked_for_is_as_large_as_it_can_be(tmp_path: Path, tiny) -> None:
    small = parts(tmp_path, tiny[1], 12, 20)
    assert {name: len(rows) for name, rows in probe_examples(small, None, ()).items()} == {"p12": 12, "p20": 12}
    large = parts(tmp_path, tiny[1], 300, 400)
    assert [len(rows) for rows in probe_examples(large, None, ()).values()] == [250, 250]
    with pytest.raises(DataError, match="asks for 20 rows of 'p12', which has 12; at most 24, or leave probe_rows out"):
        probe_examples(small, 40, ())
