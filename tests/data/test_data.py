"""Rows, splits and sources: what a task is made of, and that bad data is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secura_bench.data.chat import ChatFormat
from secura_bench.data.collate import collate
from secura_bench.data.dataset import load_data, probe_examples
from secura_bench.data.split import rows_hash, split_rows
from secura_bench.foundation.errors import DataError, SpecError
from secura_bench.models.load import load_tokenizer
from secura_bench.spec.sections import DataSpec
from secura_bench.tasks.catalog import expand, load_task, task_files, task_lists
from secura_bench.tasks.columns import Columns
from secura_bench.tasks.file import TaskFile
from secura_bench.tasks.generators import GENERATORS
from secura_bench.tasks.row import Row
from secura_bench.tasks.sources import make_rows, read_rows
from secura_bench.tasks.templates import CompiledColumns, options


@pytest.fixture
def tokenizer(tiny):
    return load_tokenizer(tiny[2])


def row(i: int, group: str | None = None, prompt: str | None = None) -> Row:
    return Row(f"r{i}", prompt or f"question {i}", f"answer {i}", group=group)


# --- splits ---


def test_split_is_nine_to_one_seeded_and_disjoint() -> None:
    rows = [row(i) for i in range(1500)]
    split = split_rows(rows, 1000, 0.1, seed=1)
    assert (len(split.train), len(split.test)) == (900, 100)
    assert not {r.id for r in split.train} & {r.id for r in split.test}
    assert split == split_rows(rows, 1000, 0.1, seed=1)
    assert split != split_rows(rows, 1000, 0.1, seed=2)


def test_groups_and_equal_prompts_never_straddle() -> None:
    rows = [row(i, group=f"g{i // 7}") for i in range(700)]
    rows += [row(1000 + i, group=f"h{i}", prompt=f"question {i}") for i in range(50)]  # prompts seen above
    split = split_rows(rows, 10_000, 0.1, seed=3)
    for key in (lambda r: r.group, lambda r: r.prompt):
        assert not {key(r) for r in split.train} & {key(r) for r in split.test}
    assert 0.05 < len(split.test) / len(rows) < 0.15


def test_rows_hash_sees_every_part() -> None:
    base = Row("1", "p", "t", ("a", "b"), 0)
    from dataclasses import replace

    changed = [
        replace(base, id="2"), replace(base, prompt="q"), replace(base, target="u"),
        replace(base, choices=("a", "c")), replace(base, answer_index=1),
    ]  # fmt: skip
    assert len({rows_hash([r]) for r in [base, *changed]}) == 6
    assert rows_hash([Row("1", "ab", "c")]) != rows_hash([Row("1", "a", "bc")])


# --- tasks and sources ---


@pytest.mark.parametrize("name", sorted(task_files()))
def test_every_task_file_is_valid(name: str) -> None:
    task = load_task(name)
    assert task.licence
    for source in (task.hub, task.local):
        if source is not None:
            CompiledColumns.compile(source.columns)


def test_a_template_that_is_none_is_named() -> None:
    with pytest.raises(DataError, match=r"as Jinja2: target: '\{\{ a': unexpected end"):
        CompiledColumns.compile(Columns(prompt="{{ q }}", target="{{ a"))


def test_every_list_and_generator_is_known() -> None:
    assert set(expand("f_task")) == {"arc_c", "gsm8k", "multipl_e"}
    for name in task_lists():
        assert all(member in task_files() for member in expand(name))
    for name in GENERATORS:
        assert load_task(name).generated.generator == name


def test_generated_rows_are_distinct_and_seeded() -> None:
    for name in GENERATORS:
        rows, origin = read_rows(load_task(name), 300)
        assert len({r.prompt or r.target for r in rows}) == len(rows) == 300
        assert rows == read_rows(load_task(name), 300)[0]
        assert origin.source.startswith("generated:")


def test_no_network_is_one_clear_error(monkeypatch) -> None:
    monkeypatch.delenv("SECURA_BENCH_DATA", raising=False)
    for task in ("gsm8k", "absnarr", "multipl_e"):
        with pytest.raises(DataError, match="SECURA_BENCH_DATA"):
            read_rows(load_task(task), 10)


GOOD = {"id": "a", "input": "q?", "output": "yes", "choices": ["yes", "no"], "answer_index": 0}


def local(tmp_path: Path, monkeypatch, *lines: object, name: str = "arc_c") -> TaskFile:
    text = b"".join(
        (line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()) + b"\n"
        for line in lines
    )
    (tmp_path / f"{name}.jsonl").write_bytes(text)
    monkeypatch.setenv("SECURA_BENCH_DATA", str(tmp_path))
    return load_task(name)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "a", ', "arc_c.jsonl:2: is not JSON"),
        ('{"id": "a"', "is not JSON: Expecting ',' delimiter at column 11. A row is one whole object on one line"),
        ('  {"id": "a"  "input": "q"}', "is not JSON: Expecting ',' delimiter at column 15."),
        ("[1, 2]", "arc_c.jsonl:2: must be a JSON object, not a list"),
        (b'{"id": "\xff"}', "arc_c.jsonl:2: is not UTF-8"),
        ({**GOOD, "id": "b", "answer_index": 2}, "arc_c.jsonl:2: answer_index 2 is not one of the 2 options"),
        ({**GOOD, "id": "b", "answer_index": None}, "arc_c.jsonl:2: answer_index None"),
        ({**GOOD, "id": "b", "choices": ["yes"]}, "arc_c.jsonl:2: multiple choice needs two options"),
        ({**GOOD, "id": "b", "choices": ["yes", "yes"]}, "arc_c.jsonl:2: the option 'yes' stands there twice"),
        ({**GOOD, "id": "b", "choices": ["yes", " "]}, "arc_c.jsonl:2: an option is empty"),
        ({**GOOD, "id": "b", "choices": "yes"}, "arc_c.jsonl:2: choices must be a list, not 'yes'"),
        ({**GOOD, "id": "b", "input": " "}, "arc_c.jsonl:2: the prompt is empty"),
        ({"id": "b", "output": "x"}, "arc_c.jsonl:2: 'input' is undefined (columns found: id, output)"),
        (GOOD, "arc_c.jsonl:2: id 'a' stands there twice, first at line 1"),
    ],
)
def test_bad_lines_are_refused_by_file_and_line(tmp_path: Path, monkeypatch, line, message: str) -> None:
    task = local(tmp_path, monkeypatch, GOOD, line)
    with pytest.raises(DataError) as error:
        read_rows(task, 10)
    assert message in str(error.value)


def test_missing_and_empty_files(tmp_path: Path, monkeypatch) -> None:
    task = local(tmp_path, monkeypatch)
    with pytest.raises(DataError, match="has no rows"):
        read_rows(task, 10)
    (tmp_path / "arc_c.jsonl").unlink()
    with pytest.raises(DataError, match=r"local source only, and there is no arc_c\.jsonl in "):
        read_rows(task.model_copy(update={"hub": None}), 10)
    monkeypatch.setenv("SECURA_BENCH_DATA", str(tmp_path / "none"))
    with pytest.raises(DataError, match="none, which is no folder"):
        read_rows(task, 10)


def test_local_rows(tmp_path: Path, monkeypatch) -> None:
    task = local(tmp_path, monkeypatch, GOOD, {**GOOD, "id": "b", "answer_index": 1})
    rows, origin = read_rows(task, 10)
    assert [r.target for r in rows] == ["yes", "no"]
    assert origin.source == "local:arc_c.jsonl"


def test_prompts_are_rendered_in_the_sandbox() -> None:
    columns = CompiledColumns.compile(Columns(prompt="{{ q.__class__.__mro__ }}", target="{{ q }}"))
    with pytest.raises(DataError, match="unsafe"):
        make_rows("t", {"q": "x"}, columns, "here")


def test_probe_shares_prefixes_and_limits(tiny) -> None:
    _, chat, _ = tiny
    parts = [load_data(name, DataSpec(rows=100), chat) for name in expand("tiny_f_task")]
    small, large = probe_examples(parts, 10, ()), probe_examples(parts, 31, ())
    assert [len(v) for v in small.values()] == [4, 3, 3]
    assert [len(v) for v in large.values()] == [11, 10, 10]
    for name in small:
        assert large[name][: len(small[name])] == small[name]
    with pytest.raises(DataError, match="at most 30"):
        probe_examples(parts, 31, ("tiny_arith",))


def test_unknown_tasks_have_a_nearest_name() -> None:
    with pytest.raises(SpecError, match="Did you mean 'gsm8k'"):
        load_task("gsm8")


def test_collation_pads_on_the_right(examples) -> None:
    batch = collate(examples, pad_id=1)
    for i, item in enumerate(examples):
        assert batch.attention_mask[i].tolist() == [1] * len(item) + [0] * (batch.input_ids.shape[1] - len(item))
    assert batch.rows.tolist() == sorted(batch.rows.tolist())
    assert options(["x", "y"]) == "Options:\n(A) x\n(B) y"


# --- rows that are left out ---


def test_counts_of_what_was_left_out(tmp_path: Path, monkeypatch, tokenizer) -> None:
    long = "pens " * 20_000  # 100,000 characters
    lines = [{"id": f"{i}", "input": f"How many {i}?", "output": "two"} for i in range(16)]
    lines += [{"id": "a", "input": "How many 3?", "output": "two"}, {"id": "b", "input": long, "output": "two"}]
    lines += [{"id": "c", "input": "Say much.", "output": f"{long}\n#### 2"}]
    local(tmp_path, monkeypatch, *lines, name="gsm8k")
    data = load_data("gsm8k", DataSpec(context=100, test_fraction=0.2), ChatFormat(tokenizer))
    assert (data.counts.found, data.counts.filtered) == (19, 0)
    assert (data.counts.too_long, data.counts.cut_answers, data.counts.duplicates) == (1, 1, 1)
    assert len(data.train) + len(data.test) == 18
    assert all(len(example) <= 100 for example in (*data.train, *data.test))


def test_filtered_rows_are_counted(tmp_path: Path, monkeypatch, tokenizer) -> None:
    local(tmp_path, monkeypatch, *({"text": t} for t in ["", " a b ", "c", "d", "\n"] * 3 + ["e"]), name="wikitext")
    counts = load_data("wikitext", DataSpec(test_fraction=0.4), ChatFormat(tokenizer)).counts
    assert (counts.found, counts.filtered, counts.duplicates, counts.cut_answers) == (16, 6, 6, 0)
