"""Files of rows: what each format's reader takes, and what it refuses by line."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from secura_bench.foundation.errors import BenchError, DataError, SpecError
from secura_bench.spec.load import load_spec
from secura_bench.tasks.catalog import CATALOG, load_task
from secura_bench.tasks.file import TaskFile
from secura_bench.tasks.files.formats import DATA_SUFFIXES, is_data_name, stem_of
from secura_bench.tasks.files.records import read_records
from secura_bench.tasks.row import Row
from secura_bench.tasks.sources import read_rows


@pytest.fixture(autouse=True)
def _own_tasks_are_forgotten():
    yield
    CATALOG.reset()


def put(path: Path, content: object) -> Path:
    """Write a file: bytes and texts as they are, a list as JSON lines."""
    if isinstance(content, list):
        content = "".join(json.dumps(row) + "\n" for row in content)
    raw = content if isinstance(content, bytes) else str(content).encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def rows_of(path: Path) -> list[Row]:
    return read_rows(load_task(CATALOG.add_file(path)), 10)[0]


def reading_of(path: Path) -> str:
    return read_rows(load_task(CATALOG.add_file(path)), 10)[1].reading or ""


def refused(path: Path) -> str:
    """Return the message by which a file is refused, with the folder taken out of it."""
    with pytest.raises(BenchError) as error:
        rows_of(path)
    message = str(error.value)
    assert str(path.name) in message
    return message.replace(f"{path.parent}{os.sep}", "")


PAIRS = [{"question": f"q{i}", "answer": f"ä{i}"} for i in range(3)]
LINES = "".join(json.dumps(row) + "\n" for row in PAIRS)
TABLE = "question,answer\n" + "".join(f"q{i},ä{i}\n" for i in range(3))

READ = {
    "rows.jsonl": (LINES, "a pair (question → prompt; answer → answer)"),
    "rows.ndjson": (LINES, "a pair"),
    "rows.v2.jsonl.gz": (LINES, "a pair"),
    "ROWS.JSONL": ("\ufeff" + LINES, "a pair"),
    "list.json": (json.dumps(PAIRS), "a list of objects"),
    "pretty.json": (json.dumps(PAIRS, indent=2), "a list of objects"),
    "list.json.gz": (json.dumps(PAIRS), "a list of objects"),
    "lines.json": (LINES, "objects one behind the other"),
    "data.json": (json.dumps({"version": 1, "tags": ["x"], "data": PAIRS}), "the list 'data'"),
    "rows.csv": (TABLE, "commas between columns"),
    "rows.csv.gz": (TABLE, "commas between columns"),
    "semi.csv": (TABLE.replace(",", ";"), "semicolons between columns"),
    "tabs.csv": (TABLE.replace(",", "\t"), "tabs between columns"),
    "tabs.tsv": (TABLE.replace(",", "\t"), "tabs between columns"),
    "bars.csv": ("question|answer\nq0|ä0\nq1|ä1\nq2|ä2\n", "bars between columns"),
    "both.csv": ("question;answer, said twice\nq0;ä0\nq1;ä1\n", "semicolons between columns"),
}


@pytest.mark.parametrize("name", [name for name in READ if name != "both.csv"])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    content, said = READ[name]
    path = put(tmp_path / name, content)
    assert [(row.prompt, row.target) for row in rows_of(path)] == [(f"q{i}", f"ä{i}") for i in range(3)]
    assert len({row.id for row in rows_of(path)}) == 3
    assert said in reading_of(path)


def test_tasks_are_named_by_the_stem(tmp_path: Path) -> None:
    names = {
        "rows.v2.jsonl.gz": "rows.v2",
        "My Rows.TSV": "my-rows",
        "alpaca.jsonl": "alpaca-file",
        "tiny.csv": "tiny-file",
    }
    for name, task in names.items():
        content = "question\tanswer\nq\ta\n" if name.endswith("TSV") else "question,answer\nq,a\n"
        content = '{"question": "q", "answer": "a"}' if "json" in name else content
        assert CATALOG.add_file(put(tmp_path / name, content)) == task
    assert stem_of(Path("a/b.tar.json.gz")) == "b.tar"


def test_what_means_a_file() -> None:
    assert all(is_data_name(f"rows{suffix}") for suffix in DATA_SUFFIXES)
    assert is_data_name("./rows.md") and is_data_name("rows.xlsx") and is_data_name("rows.jsonl.zst")
    assert not any(map(is_data_name, ("gsm8k", "my.task", "qwen2.5")))


def test_a_specs_tasks_are_files_of_any_format(spec_file: Path, tmp_path: Path) -> None:
    put(tmp_path / "mine.jsonl.gz", LINES)
    put(tmp_path / "yours.json", json.dumps(PAIRS))
    spec_file.write_text(spec_file.read_text().replace("[tiny_group]", "[mine.jsonl.gz, yours.json]"))
    assert load_spec(str(spec_file)).task_names == ("mine", "yours")


def test_paragraphs(tmp_path: Path) -> None:
    path = put(tmp_path / "prose.txt", "\n\nOne\r\nline.\n \nTwo.  \n\n\n  Three.\n")
    assert [(row.id, row.prompt, row.target) for row in rows_of(path)] == [
        ("prose-0", "", "One\nline."),
        ("prose-1", "", "Two."),
        ("prose-2", "", "  Three."),
    ]
    assert load_task("prose").kind == "text"
    assert [record.place for record in read_records(path)] == ["3", "6", "9"]


def test_places_are_lines(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", json.dumps(PAIRS, indent=1))
    assert [(record.place, record.number) for record in read_records(path)] == [
        ("2 (row 1)", 0),
        ("6 (row 2)", 1),
        ("10 (row 3)", 2),
    ]
    bad = '{"data": [\n{"question": "q", "answer": "a"},\n\n{"question": "q", "answer": true}]}'
    assert refused(put(tmp_path / "b.json", bad)).startswith("b.json:4 (row 2): target: the column 'answer' holds true")


REFUSED = [
    ("a.jsonl", '{"question": "q", "question": "r", "answer": "a"}', "a.jsonl:1: is not JSON that can be read: the"),
    ("a.csv", "question,answer\n", "a.csv: has no rows"),
    ("a.jsonl", '{"q": {"x": 1, "x": 2}}', "a.jsonl:1: is not JSON that can be read: the key 'x' stands there twice"),
    ("a.jsonl", '{"q\\ud83d": "x", "a": "y"}', "a.jsonl:1: is not JSON that can be read: the key 'q\\ud83d' holds"),
    ("a.jsonl", LINES.encode("utf-16"), "a.jsonl:1: is UTF-16 or UTF-32, or no text at all; save it as UTF-8"),
    ("a.csv", TABLE.encode("utf-16-le"), "a.csv:1: is UTF-16"),
    ("a.csv", TABLE.encode("latin-1"), "a.csv:2: is not UTF-8 (byte 3 of the line); save it as UTF-8"),
    ("a.json", json.dumps(PAIRS, indent=1, ensure_ascii=False).encode("latin-1"), "a.json:4: is not UTF-8 (byte 13 of"),
    ("a.jsonl", gzip.compress(LINES.encode()), "a.jsonl: is packed by gzip; name it a.jsonl.gz"),
    ("a.json", "", "a.json:1: holds no objects. Read are a list of objects"),
    ("a.json", "[]", "a.json: has no rows"),
    ("a.json", "[1]", "a.json:1: row 1 must be an object, not a int"),
    ("a.json", '[{"question": "q", "answer": "a"},\n 3]', "a.json:2: row 2 must be an object"),
    ("a.json", '[{"question": "q", "answer": "a"}\n {}]', "a.json:2: is not JSON that can be read: expecting ','"),
    ("a.json", '[{"question": "q", "answer": "a"},\n]', "a.json:2: is not JSON that can be read: Expecting value"),
    ("a.json", '[{"question": "q", "answer": "a"}] x', "a.json:1: is not JSON that can be read: there is something"),
    ("a.json", '{"train": [{"q": 1}], "test": [{"q": 2}]}', "one object with 2 lists of objects (train, test)."),
    ("a.json", '{"q": {"0": "x"}, "a": {"0": "y"}}', "one object with no list of objects. Found the keys: q, a. Read"),
    ("a.json", '{"q": 1, "q": [{"x": 1}]}', "a.json:1: is not JSON that can be read: the key 'q' stands there twice"),
    ("a.csv", "question;x,answer\nq;y,a\n", "parted into columns by commas (2) and by semicolons (2): 'question;x"),
    ("a.csv", "question;answer\nq;a;b\n", "has 3 fields for 2 columns (question, answer); quote text that holds semi"),
    ("a.tsv", 'question\tanswer\nq\t"a\n', "a.tsv:2: is not TSV"),
    ("a.csv", "sep=;\nquestion;answer\nq;a\n", "a.csv:1: 'sep=;' is a spreadsheet's own line"),
    ("a.csv", "question,answer,\nq,a,\n", "column 3 of 3 has no name (question, answer, ); name it, or take"),
    ("a.csv", "question,question\nq,a\n", "a.csv:1: two columns are named 'question'"),
    ("a.jsonl", '{"question": "q\\u0000", "answer": "a"}', "a.jsonl:1: the prompt holds a null character"),
    ("a.csv", "What is 2+2?,4\nWhat is 3+3?,6\n", "The first line must name the columns; is it a row here?"),
    ("a.txt", "One.\nTwo.\n", "a.txt:1: is one paragraph, so one row; part it by blank lines"),
    ("a.txt", "\n", "a.txt: has no rows"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), REFUSED, ids=[message[:40] for _, _, message in REFUSED])
def test_what_cannot_be_read_is_refused_by_line(tmp_path: Path, name: str, content: object, message: str) -> None:
    assert message in refused(put(tmp_path / name, content))


def test_damaged_gzip(tmp_path: Path) -> None:
    whole = gzip.compress((LINES * 100).encode())
    for cut in (whole[:-20], whole[:40] + b"\0" * 40 + whole[80:], LINES.encode()):
        path = tmp_path / "a.jsonl.gz"
        path.write_bytes(cut)
        with pytest.raises(DataError, match=r"a.jsonl.gz: (is damaged|cannot be read|.*is not)"):
            list(read_records(path))


def test_only_regular_files(tmp_path: Path, spec_file: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    os.mkfifo(tmp_path / "pipe.jsonl")
    for name, what in (("folder", "is a folder"), ("pipe", "is no regular file"), ("none", "no such file")):
        with pytest.raises(SpecError, match=f"{name}.jsonl: {what}"):
            load_spec(str(spec_file), [f"tasks=[{name}.jsonl]"])
        with pytest.raises(DataError, match=f"{name}.jsonl: cannot be read: (it is no regular|there is no such) file"):
            list(read_records(tmp_path / f"{name}.jsonl"))


# --- values ---

VALUES = [
    ("NaN", "the column 'answer' holds NaN (no finite number), not text"),
    ("-Infinity", "the column 'answer' holds -Infinity (no finite number), not text"),
    ("1e400", "the column 'answer' holds 1e400 (no finite number), not text; a task file's 'keep'"),
    ("true", "the column 'answer' holds true, not text; a task file may write \"{{ 'yes' if answer"),
    ("false", "the column 'answer' holds false, not text"),
    ('"x \\ud83d"', "the answer holds half a character (a lone surrogate)"),
    ('["x"]', "target: the column 'answer' holds a list, not text; a task file may write a part of it, as in"),
    ("null", "the answer is empty"),
]


@pytest.mark.parametrize(("value", "message"), VALUES)
def test_what_is_no_text_is_refused_with_line_and_column(tmp_path: Path, value: str, message: str) -> None:
    lines = "".join(f'{{"question": "q", "answer": {each}, "score": NaN, "ok": true}}\n' for each in ('"a"', value))
    found = refused(put(tmp_path / "a.jsonl", lines))
    assert found.startswith("a.jsonl:2: ") and message in found


@pytest.mark.parametrize("spelled", ["42", "3.5", "1.0", "1.10", "1e-05", "1E5", "0.00001", "-7", "1" + "0" * 30])
def test_numbers_keep_their_spelling(tmp_path: Path, spelled: str) -> None:
    (row,) = rows_of(put(tmp_path / "a.jsonl", f'{{"question": {spelled}, "answer": "{spelled}", "id": {spelled}}}'))
    assert row.prompt == row.target == row.id == spelled


@pytest.mark.parametrize(
    "field", ['"id": "i \\ud83d"', '"group": "g \\udc00"', '"id": true', '"group": NaN', '"id": ["x"]']
)
def test_ids_and_groups_are_texts(tmp_path: Path, field: str) -> None:
    message = refused(put(tmp_path / "a.jsonl", f'{{"question": "q", "answer": "a", {field}}}'))
    assert message.startswith("a.jsonl:1: the id" if "id" in field else "a.jsonl:1: the group")
    assert "not text" in message or "a lone surrogate" in message


def test_an_empty_group_is_none(tmp_path: Path) -> None:
    rows = rows_of(put(tmp_path / "a.csv", "question,answer,group\nq,a,\nr,b,x\n"))
    assert [row.group for row in rows] == [None, "x"]


def test_what_pandas_writes_for_nothing(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "question,answer\nq,a\nr,nan\n")
    assert "a.csv:3: target: the column 'answer' holds 'nan', which stands for a missing value, not text" in refused(
        path
    )
    assert [row.target for row in rows_of(put(tmp_path / "b.jsonl", [{"question": "q", "answer": "nan"}]))] == ["nan"]


def test_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def table(name: str, **columns: pa.Array) -> Path:
        pq.write_table(pa.table({"question": pa.array(["q", "r"]), **columns}), tmp_path / name)
        return tmp_path / name

    paris = table("a.parquet", answer=pa.array([b"Paris", "Köln".encode()]), image=pa.array([b"\xff", None]))
    assert [row.target for row in rows_of(paris)] == ["Paris", "Köln"]
    short = table("b.parquet", answer=pa.array([0.1, 2.5], pa.float32()))
    assert [row.target for row in rows_of(short)] == ["0.1", "2.5"]
    nested = table("c.parquet", choices=pa.array([[b"x", b"y"]] * 2), answer=pa.array([1, 0]))
    assert [row.target for row in rows_of(nested)] == ["y", "x"]
    for name, values, message in (
        (
            "d.parquet",
            pa.array([b"x", b"\xff\xfe"]),
            "d.parquet:2: target: the column 'answer' holds bytes that are not",
        ),
        ("e.parquet", pa.array([1.0, float("nan")]), "e.parquet:2: target: the column 'answer' holds nan (no finite"),
        ("f.parquet", pa.array(["x", None]), "f.parquet:2: the answer is empty"),
        ("g.parquet", pa.array([True, False]), "g.parquet:1: target: the column 'answer' holds true, not text"),
    ):
        assert refused(table(name, answer=values)).startswith(message)


# --- what a task file may say of columns ---


def task_of(tmp_path: Path, row: str, columns: str) -> TaskFile:
    put(tmp_path / "rows.jsonl", row + "\n")
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own.yaml").write_text(
        f"id: own\ntitle: Own\nlicence: mine\nfile:\n  path: ../rows.jsonl\n  columns: {{{columns}}}\n"
    )
    CATALOG.include([folder])
    return load_task("own")


@pytest.mark.parametrize(
    ("row", "prompt", "wanted"),
    [
        ('{"index": "S0", "q": "x"}', "{{ index }} {{ q }}", "S0 x"),
        ('{"index": "S0", "q": "x"}', "{{ index_ }} {{ q }}", "0 x"),
        ('{"q": "x"}', "{{ index }} {{ q }}", "0 x"),
        ('{"columns": "c", "my q": "x"}', "{{ columns }} {{ columns_['my q'] }}", "c x"),
        ('{"my q": "x"}', "{{ columns['my q'] }}", "x"),
        ('{"options": ["x", "y"]}', "{{ options | options }}", "Options:\n(A) x\n(B) y"),
        ('{"self": "s", "q": "x"}', "{{ columns['self'] }}", "s"),
        ('{"q": 3, "ok": true}', "{{ 'yes' if ok else 'no' }}{{ q + 1 }}", "yes4"),
    ],
)
def test_names_mean_columns(tmp_path: Path, row: str, prompt: str, wanted: str) -> None:
    task = task_of(tmp_path, row, f'prompt: "{prompt}", target: "{prompt}"')
    assert read_rows(task, 10)[0][0].prompt == wanted


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("prompt: q, target: '{{ q }}'", "own.yaml:6: file.columns.prompt: 'q' is a text without braces, the same for"),
        ("prompt: q, target: '{{ q }}'", "every row; a column stands in braces, as in '{{ q }}'."),
        ("prompt: '{{ q }}', target: Yes sir", "file.columns.target: 'Yes sir' is a text without braces"),
        ("text: text", "file.columns.text: 'text' is a text without braces, the same for every row"),
        ("prompt: \"{{ 'q' }}\", target: '{{ q }}'", "task 'own': prompt: \"{{ 'q' }}\" names no column, so it is"),
        ("prompt: '{{ q }}', target: '{{ q }}', id: '{{ q }}'", "'{{ q }}' must be an expression, which has no braces"),
        ("prompt: '{{ q }}', target: '{{ self }}'", "rows.jsonl:1: target: a template writes a TemplateReference"),
        ("prompt: '{{ q }}', target: '{{ l }}'", "rows.jsonl:1: target: the column 'l' holds a list, not text"),
        ("prompt: '{{ q }}', target: '{{ l[1] }}'", "rows.jsonl:1: target: a template writes true, not text"),
        ("prompt: '{{ q }}', target: '{{ 1 / (q | int) }}'", "rows.jsonl:1: division by zero (columns found"),
        ("prompt: '{{ q }}', target: '{{ q ~ 10 ** 5000 }}'", "rows.jsonl:1: it computes with numbers of more"),
        (
            "prompt: '{{ q }}', target: '{% macro m() %}{{ m() }}{% endmacro %}{{ q ~ m() }}'",
            "rows.jsonl:1: maximum recursion depth exceeded",
        ),
        ("messages: l, prompt: '{{ q }}'", "'messages' stands alone, without prompt, target or choices"),
        ("prompt: '{{ q }}', target: '{{ q }}', turns: last", "'turns' says which of 'messages' are learned"),
        ("prompt: '{{ q }}', choices: m, answer_index: '0'", "rows.jsonl:1: choices must be a list, not {'x': 1"),
        ("prompt: '{{ q }}', choices: l, answer_index: '0'", "rows.jsonl:1: the option is true, not text"),
        ("prompt: '{{ q }}', choices: s, answer_index: '0'", "rows.jsonl:1: the option holds half a character"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_meant_are_refused(tmp_path: Path, columns: str, message: str) -> None:
    with pytest.raises(BenchError) as error:
        row = '{"q": "x", "l": ["y", true], "m": {"x": 1, "y": 2}, "s": ["a", "b \\ud83d"]}'
        read_rows(task_of(tmp_path, row, columns), 10)
    assert message in str(error.value)
