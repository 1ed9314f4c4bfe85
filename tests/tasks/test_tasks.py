"""Task files, named lists and the user's own tasks, and the commands that show them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import secura_bench

from secura_bench.foundation.errors import BenchError, DataError, SpecError
from secura_bench.spec.load import load_spec
from secura_bench.tasks.catalog import CATALOG, expand, load_task, task_files
from secura_bench.tasks.file import restriction
from secura_bench.tasks.sources import read_rows

# --- what ships ---


def test_the_papers_lists() -> None:
    paper = "absnarr disflqa cnndm langid lingpuzz logdeduc newsde newses newsit objcount playdiag questsel colorreason"
    assert expand("paper16") == (*paper.split(), "stratqa", "trackobj", "alpaca")
    assert expand("exp1_mcq") == ("absnarr", "objcount", "playdiag", "colorreason")
    assert expand("exp1_qa") == ("gsm8k", "newsde", "newsit", "newses", "alpaca")
    assert len(expand("exp2")) == 8
    texts = {"wikitext", "wikitext_256", "wikitext_10000", "cnndm_text", "cnndm_lead"}
    ours = {*expand("paper16"), *expand("f_task"), "commonsenseqa", "csqa_cloze"}
    theirs = {*expand("trace"), *expand("olora_order4")}
    real = {name for name in task_files() if load_task(name).local and not load_task(name).labels}
    assert real == ours | theirs | texts
    assert (len(ours), len(theirs)) == (21, 23)


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
    assert missing.stderr == "secura-bench: yards.jsonl: no such file.\n"


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
