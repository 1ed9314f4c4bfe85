"""Task files, named lists, the user's own tasks, and rows of the Hub that must read like those of the local files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, secura_bench

from secura_bench.data.split import rows_hash, split_rows
from secura_bench.foundation.errors import BenchError, DataError, SpecError
from secura_bench.spec.load import load_spec
from secura_bench.tasks.catalog import CATALOG, expand, load_task, task_files
from secura_bench.tasks.file import restriction
from secura_bench.tasks.sources import make_rows, read_rows
from secura_bench.tasks.templates import CompiledColumns, after, before, options, scored, shuffled, starting

HUB_ROWS = [
    json.loads(line)
    for path in sorted((ROOT / "tests" / "hub_rows").glob("*.jsonl"))
    for line in path.open(encoding="utf-8")
]
LANGUAGES = {"python": "Python", "cpp": "C++", "java": "Java", "js": "JavaScript", "go": "Go"}


def hub_row(task: str, fields: dict, file: str | None = None):
    columns = load_task(task).hub.columns
    fields = {**fields, "file": LANGUAGES[file]} if file else fields
    return next(iter(make_rows(task, fields, CompiledColumns.compile(columns), f"hub:{task}[0]")), None)


# --- the Hub's layout ---


@pytest.mark.parametrize("recorded", HUB_ROWS, ids=[f"{row['task']}-{i}" for i, row in enumerate(HUB_ROWS)])
def test_hub_rows_become_the_rows_that_they_should(recorded: dict) -> None:
    row, wanted = hub_row(recorded["task"], recorded["hub"], recorded.get("file")), recorded["row"]
    if wanted is None:
        assert row is None
        return
    assert (row.prompt, row.target) == (wanted["prompt"], wanted["target"])
    assert row.choices == (tuple(wanted["choices"]) if "choices" in wanted else None)
    assert row.answer_index == wanted.get("answer_index")


def test_every_hub_source_has_a_recorded_row() -> None:
    assert {row["task"] for row in HUB_ROWS} == {n for n in task_files() if load_task(n).hub}
    files = {row["file"] for row in HUB_ROWS if "file" in row}
    assert {path.split("/")[1] for path in load_task("multipl_e").hub.files.values()} == files


@pytest.mark.skipif("SECURA_BENCH_DATA" not in os.environ, reason="SECURA_BENCH_DATA names no folder of task files")
def test_rows_of_the_hub_are_rows_of_the_local_files() -> None:
    """The local files were drawn from the same sources by other code: where they have a row, it is the same row."""
    found: dict[str, int] = {}
    for task in {row["task"] for row in HUB_ROWS}:
        if not load_task(task).local or task == "wikitext":
            continue
        local = {(row.prompt, row.target, row.choices, row.answer_index) for row in read_rows(load_task(task), 1)[0]}
        mine = [hub_row(task, r["hub"], r.get("file")) for r in HUB_ROWS if r["task"] == task and r["row"]]
        found[task] = sum((row.prompt, row.target, row.choices, row.answer_index) in local for row in mine)
    alike = {"lingpuzz", "logdeduc", "objcount", "playdiag", "questsel", "colorreason", "stratqa", "gsm8k", "arc_c"}
    assert {task for task, count in found.items() if count} >= alike | {"multipl_e", "commonsenseqa"}
    assert found["questsel"] == 3  # one of them in another order in the file
    assert found["multipl_e"] == 10
    contexts = {row.prompt.split("\n\nQuestion:")[0] for row in read_rows(load_task("disflqa"), 1)[0]}
    assert any(r["row"]["prompt"].split("\n\nQuestion:")[0] in contexts for r in HUB_ROWS if r["task"] == "disflqa")


def test_groups_of_hub_rows() -> None:
    by_task = {row["task"]: row for row in reversed(HUB_ROWS)}
    disflqa = by_task["disflqa"]["hub"]
    other = {**disflqa, "inputs": "Question: Who no where ?  \ncontext:" + after(disflqa["inputs"], "\ncontext:")}
    assert hub_row("disflqa", other).group == hub_row("disflqa", disflqa).group
    assert hub_row("disflqa", other).prompt != hub_row("disflqa", disflqa).prompt
    questsel = by_task["questsel"]["hub"]
    other = {**questsel, "inputs": questsel["inputs"].replace("Short Answer: ", "Short Answer: not ")}
    assert hub_row("questsel", other).group == hub_row("questsel", questsel).group
    assert hub_row("multipl_e", by_task["multipl_e"]["hub"], by_task["multipl_e"]["file"]).group.isdigit()


def test_rows_that_a_task_does_not_keep() -> None:
    absnarr = next(row["hub"] for row in HUB_ROWS if row["task"] == "absnarr")
    ten = {**absnarr, "multiple_choice_targets": [str(i) for i in range(10)], "multiple_choice_scores": [1] + [0] * 9}
    assert hub_row("absnarr", ten) is None
    assert hub_row("alpaca", {"instruction": "Say nothing.", "input": "", "output": ""}) is None
    assert hub_row("newsde", {"id": "1", "translation": {"de": None, "en": "x"}}) is None
    assert hub_row("wikitext", {"text": " \n"}) is None
    twins = {"id": "1", "question": "?", "choices": {"label": ["A", "B"], "text": ["x", "x"]}, "answerKey": "A"}
    assert hub_row("commonsenseqa", twins) is None


def test_a_source_that_looks_otherwise_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"hub:absnarr\[0\]: the text holds no 'Narrative:'; it begins with 'Story"):
        hub_row("absnarr", {"inputs": "Story: x", "multiple_choice_targets": list("abcde")})
    with pytest.raises(DataError, match=r"'question' is undefined \(columns found: answer, query\)"):
        hub_row("gsm8k", {"query": "1+1", "answer": "2"})


def test_template_functions() -> None:
    assert (after("a Q: b Q: c", "Q:"), before("b\nA:", "\nA:", "\nB:"), before("b", "\nA:")) == ("b Q: c", "b", "b")
    assert starting("Preface. English: x", "Other:", "English:") == "English: x"
    assert scored(["3", "three", "4"], [1, 1, 0]) == ["3", "three"]
    assert shuffled("abcdefghij") == shuffled("jihgfedcba") != list("abcdefghij")
    assert sorted(shuffled("abcdefghij")) == list("abcdefghij")
    firsts = [shuffled([f"right {i}", f"a {i}", f"b {i}", f"z {i}"]).index(f"right {i}") for i in range(2000)]
    assert all(440 < firsts.count(place) < 560 for place in range(4))  # 500 expected, sd 19
    with pytest.raises(ValueError, match="letters"):
        options(str(i) for i in range(27))


# --- what ships ---


def test_the_papers_lists() -> None:
    paper = "absnarr disflqa cnndm langid lingpuzz logdeduc newsde newses newsit objcount playdiag questsel colorreason"
    assert expand("paper16") == (*paper.split(), "stratqa", "trackobj", "alpaca")
    assert expand("exp1_mcq") == ("absnarr", "objcount", "playdiag", "colorreason")
    assert expand("exp1_qa") == ("gsm8k", "newsde", "newsit", "newses", "alpaca")
    assert len(expand("exp2")) == 8
    real = {name for name in task_files() if load_task(name).local}
    assert real - {"wikitext"} == {*expand("paper16"), *expand("f_task"), "commonsenseqa"}
    assert len(real) == 21


def test_licences_that_bind_are_marked() -> None:
    marks = {name: restriction(load_task(name).licence) for name in task_files()}
    assert marks["alpaca"] == "non-commercial"
    assert marks["newsde"] == marks["cnndm"] == "unknown"
    assert marks["arc_c"] is marks["gsm8k"] is marks["disflqa"] is None
    assert restriction("cc-by-nc-sa-4.0") == "non-commercial"
    assert restriction("no formal licence; WMT shared-task data, free for research use") == "unknown"


def test_stand_ins_are_named() -> None:
    for name in ("newsde", "newses", "newsit"):
        assert load_task(name).hub.stand_in is None
        assert "News Commentary" in load_task(name).local.stand_in
    assert load_task("multipl_e").hub.stand_in == load_task("multipl_e").local.stand_in == "HumanEval-X for MultiPL-E"


# --- a user's own tasks ---


@pytest.fixture(autouse=True)
def _own_tasks_are_forgotten():
    yield
    CATALOG.reset()


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


TASK = """\
id: {name}
title: Mine
licence: CC BY-NC 4.0
file:
  path: rows.jsonl
  columns: {{prompt: "Say {{{{ word }}}}.", target: "{{{{ word }}}}", keep: word != "never"}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a task of one's own, ``mine``, its rows and a list."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.yaml").write_text(TASK.format(name="mine"))
    write(own / "rows.jsonl", *({"word": f"w{i}"} for i in range(40)), {"word": "never"})
    (own / "lists.yaml").write_text("ours: [mine, tiny_group]\n")
    return own


def test_a_folder_of_ones_own_tasks(folder: Path) -> None:
    CATALOG.include([folder])
    assert expand("ours") == ("mine", "tiny_group")
    rows, origin = read_rows(load_task("mine"), 10)
    assert (len(rows), origin.filtered, origin.source, origin.licence) == (40, 1, "file:rows.jsonl", "CC BY-NC 4.0")
    assert (rows[3].prompt, rows[3].target) == ("Say w3.", "w3")
    CATALOG.reset()
    with pytest.raises(SpecError, match="unknown task 'mine'"):
        expand("mine")


@pytest.mark.parametrize("name", ["gsm8k", "f_task"])
def test_a_name_that_ships_is_not_taken_over(folder: Path, name: str) -> None:
    (folder / f"{name}.yaml").write_text(TASK.format(name=name))
    with pytest.raises(SpecError, match=f"{name}.yaml: there is a (task|list) named '{name}' already"):
        CATALOG.include([folder])


def test_bad_folders_and_lists(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"--include .*nowhere: no such folder"):
        CATALOG.include([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError, match="empty: holds no task file"):
        CATALOG.include([tmp_path / "empty"])
    (folder / "lists.yaml").write_text("ours: [mine, tiny_grup]\n")
    with pytest.raises(SpecError, match=r"lists.yaml:1: ours.1: unknown task 'tiny_grup'. Did you mean 'tiny_group'"):
        CATALOG.include([folder])


LAYOUTS = [
    ("p.jsonl", ['{"prompt": "q", "completion": "a"}'], "p"),
    ("My Rows.jsonl", ['{"answer": "a", "question": "q", "source": "x"}'], "my-rows"),
    ("i.csv", ["input,output,id", '"q","a",7'], "i"),
    ("two.csv", ["target,source", "a,q"], "two"),
    ("r.jsonl", ['{"Instruction": "q", "Response": "a", "group": 3}'], "r"),
    ("n.jsonl", ['{"prompt": "q", "completion": 5}'], "n"),
]


@pytest.mark.parametrize(("file", "lines", "name"), LAYOUTS)
def test_a_file_with_two_columns_is_a_task(tmp_path: Path, file: str, lines: list[str], name: str) -> None:
    path = write(tmp_path / file, *lines)
    assert CATALOG.add_file(path) == name == CATALOG.add_file(path)
    (row,), origin = read_rows(load_task(name), 10)
    assert (row.prompt, row.target) == ("q", "5" if name == "n" else "a")
    assert row.id == ("7" if name == "i" else f"{name}-{path.suffix == '.csv':d}")
    assert row.group == ("3" if name == "r" else None)
    assert (origin.licence, restriction(origin.licence)) == ("unknown", "unknown")


def test_parquet_and_plain_text(tmp_path: Path) -> None:
    import pandas as pd

    pd.DataFrame({"prompt": ["q", "r"], "response": ["a", None]}).to_parquet(tmp_path / "t.parquet")
    CATALOG.add_file(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t.parquet:2: the answer is empty"):
        read_rows(load_task("t"), 10)
    write(tmp_path / "prose.jsonl", {"text": "Once."}, {"text": "Twice."})
    CATALOG.add_file(tmp_path / "prose.jsonl")
    assert load_task("prose").kind == "text"
    assert [(row.prompt, row.target) for row in read_rows(load_task("prose"), 1)[0]] == [("", "Once."), ("", "Twice.")]


@pytest.mark.parametrize(
    ("file", "lines", "message"),
    [
        ("a.jsonl", ['{"a": 1, "b": 2, "c": 3}'], "Known pairs are one of prompt, input"),
        ("a.jsonl", ['{"a": 1, "b": 2, "c": 3}'], "Found: a, b, c. A task file reads it"),
        ("a.jsonl", ['{"prompt": "q", "answre": "a"}'], "Found: prompt, answre"),
        ("a.jsonl", [], "a.jsonl: has no rows"),
        ("a.csv", ["prompt,completion", "q,a", "q,a,b"], "a.csv:3: has 3 fields for 2 columns (prompt, completion)"),
        ("a.csv", ["prompt,completion", 'q,"a'], "a.csv:2: is not CSV"),
        ("a.csv", ["prompt,prompt", "q,a"], "a.csv:1: two columns are named"),
        ("a.csv", ["prompt,completion", "q,"], "a.csv:2: the answer is empty"),
        ("a.jsonl", ['{"prompt": "q", "completion": ["a"]}'], "a.jsonl: the column 'completion' is no text"),
        ("a.jsonl", ['{"prompt": "q", "completion": "a"}', '{"prompt": "q"}'], "a.jsonl:2: is laid out otherwise than"),
        ("a.parquet", ["prompt"], "a.parquet: is not parquet"),
    ],
)
def test_bad_files_are_refused_by_line(tmp_path: Path, file: str, lines: list[str], message: str) -> None:
    with pytest.raises(BenchError) as error:
        CATALOG.add_file(write(tmp_path / file, *lines))
        read_rows(load_task("a"), 10)
    assert message in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_spec_names_files_relative_to_itself(spec_file: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    write(tmp_path / "one.jsonl", {"prompt": "q", "completion": "a"})
    write(tmp_path / "elsewhere" / "two.jsonl", {"prompt": "q", "completion": "a"})
    spec_file.write_text(spec_file.read_text().replace("[tiny_group]", "[one.jsonl, two.jsonl, tiny_count]"))
    assert load_spec(str(spec_file)).task_names == ("one", "two", "tiny_count")
    assert load_spec(str(spec_file), ["tasks=one.jsonl"]).task_names == ("one",)
    with pytest.raises(SpecError, match=r"--set tasks=\[three.csv\]: tasks: three.csv: no such file, looked for as"):
        load_spec(str(spec_file), ["tasks=[three.csv]"])
    write(tmp_path / "rows.md", "prompt\tcompletion")
    with pytest.raises(BenchError, match=r"rows.md: is not a file of rows; read are .jsonl, .ndjson, .json, .csv"):
        load_spec(str(spec_file), ["tasks=./rows.md"])
    write(tmp_path / "gsm8k.jsonl", {"prompt": "q", "completion": "a"})
    assert load_spec(str(spec_file), ["tasks=gsm8k.jsonl"]).task_names == ("gsm8k-file",)
    with pytest.raises(SpecError, match="there is a task named 'one' already"):
        write(tmp_path / "elsewhere" / "one.jsonl", {"prompt": "q", "completion": "a"})
        load_spec(str(spec_file), ["tasks=[one.jsonl, ../elsewhere/one.jsonl]"])


def test_plain_text_is_a_probe_and_never_trained_on(spec_file: Path) -> None:
    assert load_spec(str(spec_file), ["probe=tiny_text"]).probe_parts == ("tiny_text",)
    with pytest.raises(SpecError, match="'tiny_text' is plain text: it can be a probe, and is never trained on"):
        load_spec(str(spec_file), ["tasks=[tiny_text]"])


# --- commands ---


def test_ls(tmp_path: Path, folder: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write(data / "gsm8k.jsonl", {"id": "1", "input": "q", "output": "a"}, {"id": "2", "input": "r", "output": "b"})
    done = secura_bench(
        "ls", "tasks", "--include", str(folder), cwd=tmp_path, SECURA_BENCH_DATA=str(data), COLUMNS="80"
    )
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.strip()}
    assert lines["gsm8k"][1:5] == ["accuracy", "2", "yes", "MIT"]
    assert lines["absnarr"][2:4] == ["–", "no"]
    assert lines["mine"][1:7] == ["accuracy", "41", "yes", "CC", "BY-NC", "4.0"]
    assert "! alpaca: non-commercial: CC BY-NC 4.0" in done.stdout
    assert "! mine: non-commercial" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "mine" not in secura_bench("ls", "tasks", cwd=tmp_path).stdout  # forgotten
    for kind, wanted in (("lists", "paper16"), ("methods", "secura"), ("models", "smollm2-135m"), ("configs", "smoke")):
        done = secura_bench("ls", kind, cwd=tmp_path, COLUMNS="80")
        assert done.returncode == 0
        assert wanted in done.stdout
    listed = " ".join(done.stdout.split())  # wrapped
    assert "learns four tasks in sequence, and its own F-task (arithmetic, multiple choice, code) is scored" in listed
    assert "secura-bench run" not in listed and "log.jsonl" not in listed, "what stands after the first sentence"
    assert max(map(len, done.stdout.splitlines())) <= 80
    done = secura_bench("ls", "taks", cwd=tmp_path)
    assert done.returncode == 2
    assert "Did you mean 'tasks'" in done.stderr


def test_data_check_reads_a_file_of_ones_own(tmp_path: Path) -> None:
    rows = ({"question": f"{k} km in m?", "answer": str(1000 * k)} for k in range(40))
    (tmp_path / "units.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = secura_bench("data", "check", "units.jsonl", "--probe", "tiny_f_task", cwd=tmp_path)
    assert done.returncode == 0 and "km in m?" in done.stdout
    missing = secura_bench("data", "check", "yards.jsonl", cwd=tmp_path)
    assert missing.returncode == 2
    assert missing.stderr == "secura-bench: yards.jsonl: no such file, looked for as yards.jsonl.\n"


def test_data_check(tmp_path: Path) -> None:
    done = secura_bench("data", "check", "tiny_choice", "tiny_text", "--probe", "tiny_f_task", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = done.stdout
    for said in (
        "source     generated:tiny_choice",
        "rows       1000 found, 0 not kept; 900 to train, 100 to test",
        "duplicates 0 rows",
        "leakage    0 test rows",
        "0 rows share 13 words in a row with tiny_arith, tiny_code",
        "uniform draw 25.0 %",
        "may be chance",
        "  | Which of these is ",
    ):
        assert said in out
    seam = next(line for line in out.splitlines() if line.startswith("  answer | end of turn "))
    assert seam.endswith("| '<|im_end|>'·1")
    assert out.count("example 1 of 3") == 2


def test_fetched_rows_read_as_those_of_the_hub(tmp_path: Path, monkeypatch) -> None:
    from secura_bench.tasks import sources

    raw = {
        "newsde": [{"id": "0", "translation": {"de": f"Satz {i}.", "en": f"Sentence {i}."}} for i in range(5)],
        "logdeduc": [row["hub"] for row in HUB_ROWS if row["task"] == "logdeduc"],
        "wikitext": [{"text": ""}, {"text": " = Title = \n"}, {"text": " Words . \n"}],
    }
    served = {load_task(task).hub.path: rows for task, rows in raw.items()}
    monkeypatch.setattr(sources, "_fetch", lambda task, source, where: (served[source.path], "c" * 40))
    target = tmp_path / "data"
    done = secura_bench("data", "fetch", *raw, "--to", str(target), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "newsde.jsonl: 5 rows" in done.stdout
    for task in raw:
        monkeypatch.delenv("SECURA_BENCH_DATA", raising=False)
        there, origin = read_rows(load_task(task), 1)
        monkeypatch.setenv("SECURA_BENCH_DATA", str(target))
        here, local = read_rows(load_task(task), 1)
        assert [replace(row, group=None) for row in here] == [replace(row, group=None) for row in there]
        split = [split_rows(rows, 1000, 0.4, 1) for rows in (here, there)]  # the same run, so the same fingerprint
        for side in ("train", "test"):
            mine, theirs = (rows_hash(getattr(each, side)) for each in split)
            assert mine == theirs
        assert (local.source, local.revision, local.stand_in) == (origin.source, "c" * 40, None)
        assert local.licence == origin.licence
    written = (target / "newsde.jsonl").read_bytes()
    again = secura_bench("data", "fetch", "newsde", "--to", str(target), cwd=tmp_path)
    assert again.returncode == 0
    assert "newsde.jsonl: was there already" in again.stdout
    assert (target / "newsde.jsonl").read_bytes() == written
    (target / "newses.jsonl").write_text('{"id": "1", "input": "mine", "output": "mine"}\n')
    others = secura_bench("data", "fetch", "newses", "tiny_count", "newsde", "--to", str(target), cwd=tmp_path)
    assert others.returncode == 2
    assert "newses.jsonl: is there already and is not overwritten" in others.stderr
    assert "'tiny_count' is not fetched" in others.stderr
    assert "newsde.jsonl: was there already" in others.stdout  # a failure does not end the others
    assert others.stderr.splitlines()[-1].endswith("with what is missing.")


def test_tasks_that_the_folder_has_not_come_from_the_hub(tmp_path: Path, monkeypatch) -> None:
    from secura_bench.tasks import sources

    (tmp_path / "newses.jsonl").write_text('{"id": "1", "input": "a", "output": "b"}\n')
    monkeypatch.setenv("SECURA_BENCH_DATA", str(tmp_path))
    monkeypatch.setattr(
        sources, "_fetch", lambda *words: ([{"id": "0", "translation": {"de": "Satz.", "en": "Sentence."}}], "c" * 40)
    )
    assert read_rows(load_task("newses"), 1)[1].source == "local:newses.jsonl"
    assert read_rows(load_task("newsde"), 1)[1].source == "hub:Helsinki-NLP/news_commentary/de-en"


# --- no network ---

CLOSED = "http://127.0.0.1:9"  # the discard port: nothing listens


def hub_at(endpoint: str, *words: str, cwd: Path) -> subprocess.CompletedProcess:
    """Run the command line in a process of its own: the Hub's libraries read their variables once."""
    environment = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "SECURA_BENCH_DATA")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(cwd / "hf"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "secura_bench", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_an_unreachable_hub_is_one_clear_error(tmp_path: Path) -> None:
    done = hub_at(CLOSED, "data", "fetch", "gsm8k", "--to", "here", cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert f"{CLOSED} does not answer" in line
    assert "SECURA_BENCH_DATA" in line
    assert not (tmp_path / "here").exists()
