"""Layouts known by their columns' names, and those that are refused with a task file that reads them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, secura_bench
from test_files import put, reading_of, rows_of

from secura_bench.foundation.errors import DataError
from secura_bench.tasks.catalog import CATALOG, load_task
from secura_bench.tasks.files.formats import DATA_SUFFIXES
from secura_bench.tasks.sources import read_rows


@pytest.fixture(autouse=True)
def _own_tasks_are_forgotten():
    yield
    CATALOG.reset()


TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
SHAREGPT = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
ARC = {"text": ["x", "a"], "label": ["1", "2"]}
MORE = "\n\nOptions:\n(A) x\n(B) a"

READ: list[tuple[dict[str, Any], str, str]] = [
    ({"prompt": "q", "completion": "a"}, "q", "a pair (prompt → prompt; completion → answer)"),
    ({"answer": "a", "question": "q", "source": "x"}, "q", "a pair (question → prompt; answer → answer)"),
    ({"output": "a", "input": "q"}, "q", "a pair (input → prompt; output → answer)"),
    ({"Response": "a", "Prompt ": "q"}, "q", "a pair (prompt → prompt; response → answer)"),
    ({"target": "a", "source": "q"}, "q", "a pair (source → prompt; target → answer)"),
    ({"input": "q", "target": "a"}, "q", "a pair (input → prompt; target → answer)"),
    ({"prompt": "q", "completion": "a", "system": "", "history": [], "label": 1}, "q", "a pair"),
    ({"instruction": "q", "input": "", "output": "a"}, "q", "Alpaca (instruction, input → prompt; output → answer)"),
    ({"instruction": "q", "input": "x", "output": "a", "text": "all"}, "q\n\nx", "Alpaca"),
    ({"instruction": "q", "context": "x", "response": "a", "category": "c"}, "q\n\nx", "instruction and answer"),
    ({"instruction": "q", "output": "a"}, "q", "instruction and answer (instruction → prompt; output → answer)"),
    ({"messages": TURNS, "source": "x"}, "q", "messages (messages); 1 conversation, 1 assistant turn, loss on every"),
    ({"conversations": SHAREGPT}, "q", "ShareGPT (conversations)"),
    ({"prompt": TURNS[:1], "completion": TURNS[1:]}, "q", "prompt and completion in turns; 1 conversation"),
    ({"question": "q", "choices": ["x", "a"], "answer": 1}, "q" + MORE, "multiple choice (question, choices → prompt"),
    ({"question": "q", "choices": ["x", "a"], "answer": "B"}, "q" + MORE, "answer, a letter"),
    ({"question": "q", "choices": ["x", "a"], "answer": "a"}, "q" + MORE, "answer, an option's text"),
    ({"question": "q", "options": ["x", "a"], "label": 1}, "q" + MORE, "label, a place from 0"),
    ({"question": "q", "choices": ARC, "answerKey": "2"}, "q" + MORE, "answerkey, a label"),
    ({"question": "q", "options": {"P": "x", "Q": "a"}, "answer": "Q"}, "q" + MORE, "answer, a label"),
    ({"id": "i", "input": "q", "output": "a", "choices": ["x", "a"], "answer_index": 1}, "q", "the bench's own"),
    ({"prompt": "q", "target": "a", "choices": ["x", "a"], "answer_index": 1, "side": "train"}, "q", "the bench's own"),
    ({"id": "i", "input": "q", "output": "a", "choices": None, "answer_index": None}, "q", "the bench's own"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "prompt", "said"), READ, ids=[" ".join(row) for row, _, _ in READ])
def test_known_layouts(tmp_path: Path, row: dict[str, Any], prompt: str, said: str) -> None:
    path = put(tmp_path / "mine.jsonl", [row])
    (read,) = rows_of(path)
    assert (read.prompt, read.target) == (prompt, "a")
    assert said in reading_of(path)
    choice = bool(row.get("choices") or row.get("options"))
    assert read.choices == (("x", "a") if choice else None) and read.answer_index == (1 if choice else None)
    assert load_task("mine").answer == ("choice" if choice else "text")


def test_alpacas_input_may_be_missing(tmp_path: Path) -> None:
    path = put(
        tmp_path / "a.jsonl", [{"instruction": "q", "output": "a"}, {"instruction": "q", "input": "x", "output": "b"}]
    )
    assert [row.prompt for row in rows_of(path)] == ["q", "q\n\nx"]


def test_conversations_become_rows_of_one_group(tmp_path: Path) -> None:
    more = [*TURNS, {"role": "user", "content": "r"}, {"role": "assistant", "content": "b"}]
    path = put(tmp_path / "g.jsonl", [{"messages": TURNS, "group": 0}, {"messages": TURNS, "group": ""}])
    assert [row.group for row in rows_of(path)] == ["0", "g-1"]
    path = put(tmp_path / "c.jsonl", [{"messages": more, "id": "x"}, {"messages": [*TURNS, more[2]], "id": "y"}])
    first, second, third = rows_of(path)
    assert (first.id, first.group, first.prompt, first.target, first.history) == ("x-1", "x", "q", "a", ())
    assert (second.id, second.group, second.prompt, second.target) == ("x-2", "x", "r", "b")
    assert second.history == (("user", "q"), ("assistant", "a"))
    assert (third.id, third.group) == ("y-1", "y")
    assert reading_of(path) == (
        "messages (messages); 2 conversations, 3 assistant turns, loss on every assistant turn; left out: 1 last "
        "turn of a user"
    )
    (own := tmp_path / "own").mkdir()
    (own / "last.yaml").write_text(
        "id: last\ntitle: Last\nlicence: mine\nfile: {path: ../c.jsonl, columns: {messages: messages, turns: last}}\n"
    )
    CATALOG.include([own])
    rows, origin = read_rows(load_task("last"), 10)
    assert [(row.id, row.group) for row in rows] == [("last-0-2", "last-0"), ("last-1-1", "last-1")]
    assert "2 assistant turns, loss on the last assistant turn of each" in (origin.reading or "")


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        (TURNS[1:], "a.jsonl:2: turn 1 is an assistant's that answers nobody"),
        ([*TURNS, {"role": "tool", "content": "x"}], "a.jsonl:2: turn 3 is of the role 'tool'"),
        ([{"role": "user", "content": "\ud83d"}, TURNS[1]], "a.jsonl:2: the prompt holds half a character"),
        ([*TURNS, {"role": "user", "content": "x"}], ""),
        ([{"role": "system", "content": "\ud83d"}, *TURNS], "a.jsonl:2: the history holds half a character"),
    ],
)
def test_bad_turns_are_refused_by_line(tmp_path: Path, turns: list, message: str) -> None:
    path = put(tmp_path / "a.jsonl", [{"messages": TURNS}, {"messages": turns}])
    if not message:
        assert len(rows_of(path)) == 2
        return
    with pytest.raises(DataError) as error:
        rows_of(path)
    assert message in str(error.value)


SQUAD = {"text": ["a"], "answer_start": [0]}
HH = {"chosen": "Human: q Assistant: a", "rejected": "Human: q Assistant: b"}

# a row; what the message says; the prompt that the printed task file reads, and the answer
ONES = "\n\nOptions:\n(A) 1\n(B) 2"
UNCLEAR: list[tuple[dict[str, Any], str, str, str]] = [
    ({"prompt": "q", "chosen": "a", "rejected": "b"}, "is a preference file (chosen and rejected)", "q", "a"),
    (HH, "Found: chosen, rejected.", "Human: q", "a"),
    ({"chosen": TURNS, "rejected": TURNS}, "is a preference file", "q", "a"),
    ({"prompt": TURNS[:1], "chosen": TURNS[1:], "rejected": TURNS[1:]}, "is a preference file", "q", "a"),
    ({"prompt": "q", "chosen_response": "a", "rejected_response": "b"}, "(chosen_response and rejected_resp", "q", "a"),
    ({"prompt": "q", "completion": "a", "label": "True"}, "label says which of its answers are wanted", "q", "a"),
    ({"chosen": "a", "score": 1}, "is a preference file (chosen)", "", "a"),
    ({"prompt": "q", "completion": "a", "label": True}, "label says which of its answers are wanted", "q", "a"),
    ({"Frage": "q", "Antwort": "a"}, "which column is the prompt and which the answer?", "q", "a"),
    ({"my text": "q", "reply!": "a"}, "Found: my text, reply!.", "q", "a"),
    ({"columns": "q", "my reply": "a"}, "Found: columns, my reply.", "q", "a"),
    ({"self": "q", "in": "a"}, "Found: self, in.", "q", "a"),
    ({"prompt": "q", "answre": "a"}, "Found: prompt, answre.", "q", "a"),
    ({"answers": SQUAD, "context": "c", "question": "q"}, "which column is the prompt", "c\n\nq", "a"),
    ({"question": "q", "answer": SQUAD}, "the column 'answer' is no text", "q", "a"),
    ({"question": "q", "answer": ["a", "b"]}, "the column 'answer' is no text", "q", "a"),
    ({"question": "q", "answer": "a", "context": "c"}, "has context beside prompt and answer", "c\n\nq", "a"),
    ({"passage": "c", "system": "s", "input": "q", "output": "a"}, "has system and passage beside", "s\n\nc\n\nq", "a"),
    ({"instruction": "q", "input": "", "output": "a", "system": "s"}, "has system beside", "s\n\nq", "a"),
    ({"instruction": "q", "output": "a", "history": [["x", "y"]]}, "has history beside", "x\ny\n\nq", "a"),
    ({"instruction": "q", "input": "i", "context": "c", "output": "a"}, "both an input and a", "c\n\nq\n\ni", "a"),
    ({"question": "q", "input": "i", "answer": "a"}, "more than one prompt or answer (input, question", "i\n\nq", "a"),
    ({"prompt": "q", "response": "b", "output": "a"}, "more than one prompt or answer (prompt, output and", "q", "a"),
    ({"text": "t", "question": "q", "answer": "a"}, "has a text beside prompt and answer", "t\n\nq", "a"),
    ({"prompt": "q", "messages": TURNS}, "holds turns (messages) and prompt beside them", "q", "a"),
    ({"messages": TURNS, "conversations": SHAREGPT}, "holds turns (messages) and conversations beside", "q", "a"),
    ({"conversations": SHAREGPT, "system": "s"}, "holds turns (conversations) and system beside them", "q", "a"),
    ({"question": "q", "A": "x", "B": "a", "answer": "B"}, "has a column an option (A, B)", "q" + MORE, "a"),
    ({"question": "q", "option_1": "x", "option_2": "a", "label": 1}, "a column an option", "q" + MORE, "a"),
    ({"question": "q", "choices": ["x", "a"], "answer": "1"}, "in a way that is not known (answer: '", "q" + MORE, "a"),
    ({"question": "q", "choices": ["1", "2"], "answer": 1}, "is not known (answer: 1)", "q" + ONES, "2"),
    ({"question": "q", "passage": "c", "choices": ["x", "a"], "answer": 1}, "has passage", "c\n\nq" + MORE, "a"),
    ({"question": "q", "choices": "x|a", "answer": "B"}, "'choices' holds a text, not a list", "q" + MORE, "a"),
    ({"text": "a", "url": "u"}, "which column is the prompt", "a", "u"),
    ({"content": "a"}, "Found: content.", "", "a"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "message", "prompt", "target"), UNCLEAR, ids=[" ".join(row) for row, _, _, _ in UNCLEAR]
)
def test_what_is_unclear_is_refused_with_a_task_file_that_reads_it(
    tmp_path: Path, row: dict[str, Any], message: str, prompt: str, target: str
) -> None:
    path = put(tmp_path / "mine.jsonl", [row])
    with pytest.raises(DataError) as error:
        CATALOG.add_file(path)
    said, _, task_file = str(error.value).partition("\n\n")
    assert message in said and str(path) in said and f"Found: {', '.join(row)}." in said
    (own := tmp_path / "own").mkdir()
    (own / "mine.yaml").write_text(task_file)
    CATALOG.include([own])
    (read,) = read_rows(load_task("mine"), 10)[0]
    assert (read.prompt, read.target) == (prompt, target)
    assert read.history == ((("system", "s"),) if "conversations" in row and "system" in row else ())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "Found: no column."),
        ({"id": "x"}, "Found: id."),
        ({"messages": "hello"}, "the column 'messages' must hold lists of turns"),
        ({"rejected": "b", "prompt": "q"}, "is a preference file (rejected)"),
    ],
)
def test_what_no_task_file_reads_is_refused_without_one(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as error:
        CATALOG.add_file(put(tmp_path / "a.jsonl", [row]))
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("later", "message"),
    [
        ({"question": "r"}, "Found: question; there: question, answer."),
        ({"question": "r", "answer": "b", "context": "c"}, "has context beside prompt and answer."),
        ({"question": "r", "answer": "b", "response": "c"}, "has more than one prompt or answer (question, answer"),
        ({"question": "r", "answer": "b", "system": "Be brief."}, "has system beside prompt and answer"),
        ({"question": "r", "answer": "b", "note": "c"}, ""),
        ({"question": "r", "answer": "b", "context": None, "system": ""}, ""),
    ],
)  # fmt: skip
def test_all_rows_have_the_first_ones_layout(tmp_path: Path, later: dict[str, Any], message: str) -> None:
    path = put(tmp_path / "a.jsonl", [{"question": "q", "answer": "a"}, later])
    if not message:
        assert len(rows_of(path)) == 2
        return
    with pytest.raises(DataError) as error:
        rows_of(path)
    assert "a.jsonl:2: is laid out otherwise than the first row" in str(error.value) and message in str(error.value)


def test_text_tasks_have_text(tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl", [{"question": "q", "answer": "a"}])
    (own := tmp_path / "own").mkdir()
    (own / "t.yaml").write_text("id: t\ntitle: T\nlicence: mine\nkind: text\nfile: {path: ../a.jsonl}\n")
    CATALOG.include([own])
    with pytest.raises(DataError, match=r"a.jsonl: task 't' is of kind: text, and the file is read as a pair"):
        read_rows(load_task("t"), 10)


def test_the_page_names_what_is_read(tmp_path: Path) -> None:
    page = (ROOT / "docs/extend/tasks.md").read_text()
    formats = set(re.findall(r"`(\.[a-z]+)`", page.split("Read are `.jsonl`")[1].split("The columns' names")[0]))
    assert formats | {".jsonl"} == {suffix for suffix in DATA_SUFFIXES if not suffix.endswith(".gz")} | {".gz"}
    values: dict[str, Any] = {"messages": TURNS, "conversations": SHAREGPT, "choices": ["x", "a"], "answer_index": 1}
    table = page.split("<!-- layouts -->")[1].split("<!-- end of layouts -->")[0]
    layouts = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in table.splitlines() if line.startswith("| `")]
    assert len(layouts) == 10
    for number, columns in enumerate(layouts):
        row = {name: values.get(name, 1 if name == "answer" and "choices" in columns else name) for name in columns}
        path = put(tmp_path / f"f{number}.jsonl", [row])
        (read,) = rows_of(path)
        assert read.target in ("a", columns[-1], row.get("output"), row.get("target")), columns
        assert reading_of(path)


def test_data_check_says_how_a_file_is_read(tmp_path: Path) -> None:
    rows = [{"instruction": f"Say {i}", "input": "", "output": f"{i}"} for i in range(20)]
    put(tmp_path / "alpaca.json", json.dumps(rows))
    done = secura_bench("data", "check", "alpaca.json", "--probe", "tiny_f_task", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "  read as    Alpaca (instruction, input → prompt; output → answer); a list of objects\n" in done.stdout
