"""Rows of the Hub: read like those of the local files, fetched to a folder, and what is said without a network."""

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
from secura_bench.foundation.errors import DataError
from secura_bench.tasks.catalog import load_task, task_files
from secura_bench.tasks.row import Code
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
    fields = {**fields, "file": LANGUAGES[file] if task == "multipl_e" else file} if file else fields
    return next(iter(make_rows(task, fields, CompiledColumns.compile(columns), f"hub:{task}[0]")), None)


@pytest.mark.parametrize("recorded", HUB_ROWS, ids=[f"{row['task']}-{i}" for i, row in enumerate(HUB_ROWS)])
def test_hub_rows_become_the_rows_that_they_should(recorded: dict) -> None:
    row, wanted = hub_row(recorded["task"], recorded["hub"], recorded.get("file")), recorded["row"]
    if wanted is None:
        assert row is None
        return
    assert (row.prompt, row.target) == (wanted["prompt"], wanted["target"])
    assert row.choices == (tuple(wanted["choices"]) if "choices" in wanted else None)
    assert row.answer_index == wanted.get("answer_index")
    assert row.code == (Code(**{**wanted["code"], "stop": tuple(wanted["code"]["stop"])}) if "code" in wanted else None)
    assert row.pair == wanted.get("pair")


def test_every_hub_source_has_a_recorded_row() -> None:
    assert {row["task"] for row in HUB_ROWS} == {n for n in task_files() if load_task(n).hub}
    files = {task: {row["file"] for row in HUB_ROWS if row["task"] == task} for task in ("multipl_e", "multipl_e_run")}
    assert {path.split("/")[1] for path in load_task("multipl_e").hub.files.values()} == files["multipl_e"]
    assert load_task("multipl_e_run").hub.files.keys() == files["multipl_e_run"]


@pytest.mark.skipif("SECURA_BENCH_DATA" not in os.environ, reason="SECURA_BENCH_DATA names no folder of task files")
def test_rows_of_the_hub_are_rows_of_the_local_files() -> None:
    """The local files were drawn from the same sources by other code: where they have a row, it is the same row."""
    found: dict[str, int] = {}
    for task in {row["task"] for row in HUB_ROWS}:
        if not load_task(task).local or load_task(task).kind == "text":
            continue
        local = {(row.prompt, row.target, row.choices, row.answer_index) for row in read_rows(load_task(task), 1)[0]}
        mine = [hub_row(task, r["hub"], r.get("file")) for r in HUB_ROWS if r["task"] == task and r["row"]]
        found[task] = sum((row.prompt, row.target, row.choices, row.answer_index) in local for row in mine)
    alike = {"lingpuzz", "logdeduc", "objcount", "playdiag", "questsel", "colorreason", "stratqa", "gsm8k", "arc_c"}
    assert {task for task, count in found.items() if count} >= alike | {"multipl_e", "commonsenseqa", "csqa_cloze"}
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
    assert hub_row("multipl_e_run", by_task["multipl_e_run"]["hub"], "go").group == "0"
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
