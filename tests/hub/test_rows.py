"""A data set's rows come from the files of one split, and are those that ``datasets`` gives, in its order."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import datasets
import pytest

from hub.box import Fault, Repository
from hub.repositories import parquet
from secura_bench.foundation.errors import DataError
from secura_bench.hub import asking, cache
from secura_bench.hub.errors import HubAwayError, HubError
from secura_bench.tasks.file import HubSource, TaskFile
from secura_bench.tasks.hub_files import hub_records, matches
from secura_bench.tasks.sources import read_rows

COMMIT = "a" * 40


def rows(start: int, count: int) -> list[dict]:
    """Return rows of the kinds of columns that tasks have."""
    return [
        {
            "id": str(i),
            "text": f"row {i}",
            "translation": {"de": "ja", "en": "yes"},
            "choices": {"text": ["a", "b"], "n": [i]},
        }
        for i in range(start, start + count)
    ]


def lines(*found: dict) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in found).encode()


CARD = b"""---
configs:
- config_name: one
  data_files:
  - split: train
    path: one/part-*
  - split: held
    path: [one/b.parquet, one/a.parquet]
- config_name: two
  data_files: two/*.parquet
---
"""
LAYOUTS = {
    "card": {
        "README.md": CARD,
        "one/part-2.parquet": parquet(rows(0, 3)),
        "one/part-10.parquet": parquet(rows(3, 25)),
        "one/a.parquet": parquet(rows(50, 2)),
        "one/b.parquet": parquet(rows(60, 2)),
        "two/x.parquet": parquet(rows(70, 2)),
        "script.py": b"raise SystemExit",
    },
    "names": {
        "data/train-00000-of-00002.parquet": parquet(rows(0, 3)),
        "data/train-00001-of-00002.parquet": parquet(rows(3, 4)),
        "data/test-00000-of-00001.parquet": parquet(rows(20, 2)),
        "data/big.txt": b"not rows of this kind\n",
    },
    "tabs": {"train.tsv": b"text\tn\na b\t1\n"},
    "packed": {"train.csv.gz": gzip.compress(b"text,n\na,1\n")},
    "folders": {"train/1.csv": b"text,n\na,1\nb,2\n", "validation/1.csv": b"text,n\nc,3\n"},
    "array": {"train.json": json.dumps([{"text": "a"}, {"text": "b"}]).encode()},
    "plain": {"data/train.jsonl": lines({"text": "a"}, {"text": "b", "label": 1})},
    "lines": {"train.jsonl.gz": gzip.compress(lines({"text": "a"}, {"text": "b"}))},
}


@pytest.mark.parametrize(
    ("layout", "config", "split", "fetched"),
    [
        ("card", "one", "train", ["README.md", "one/part-10.parquet", "one/part-2.parquet"]),
        ("card", "one", "held", ["README.md", "one/a.parquet", "one/b.parquet"]),
        ("card", "two", "train", ["README.md", "two/x.parquet"]),
        ("names", None, "train", ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]),
        ("names", None, "test", ["data/test-00000-of-00001.parquet"]),
        ("folders", None, "validation", ["validation/1.csv"]),
        ("tabs", None, "train", ["train.tsv"]),
        ("packed", None, "train", ["train.csv.gz"]),
        ("array", None, "train", ["train.json"]),
        ("plain", None, "train", ["data/train.jsonl"]),
        ("lines", None, "train", ["train.jsonl.gz"]),
    ],
)
def test_rows_are_those_of_the_library(layout: str, config, split: str, fetched: list, serve, tmp_path: Path) -> None:
    folder = tmp_path / layout
    for name, content in LAYOUTS[layout].items():
        if name != "script.py":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    theirs = list(datasets.load_dataset(str(folder), config, split=split, cache_dir=str(tmp_path / "cache")))
    box = serve([Repository("dataset", f"some/{layout}", COMMIT, LAYOUTS[layout])])
    found, commit = hub_records(source(path=f"some/{layout}", config=config, split=split))
    ours = list(found)
    assert ours == theirs
    assert commit == COMMIT
    assert sorted(set(box.fetched())) == fetched


def source(**fields) -> HubSource:
    """Return a source as a task file has it."""
    return HubSource(columns={"text": "{{ text }}"}, **fields)


@pytest.mark.parametrize(
    ("files", "texts", "labels"),
    [
        ("one/part-*.parquet", 28, {None}),
        (["one/b.parquet", "one/part-2.parquet"], 5, {None}),
        ({"B": "one/b.parquet", "X": "two/*.parquet"}, 4, {"B", "X"}),
    ],
)
def test_files_are_named_by_patterns(files, texts: int, labels: set, serve) -> None:
    box = serve([Repository("dataset", "some/card", COMMIT, LAYOUTS["card"])])
    found = list(hub_records(source(path="some/card", files=files))[0])
    assert len(found) == texts
    assert {row.get("file") for row in found} == labels
    assert "README.md" not in box.fetched()  # what is named needs no card


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("main/train-1.parquet", "main/train-*.parquet", True),
        ("main/train-1.parquet", "*/train-1.parquet", True),
        ("main/train-1.parquet", "*.parquet", False),
        ("main/a/b.parquet", "main/*.parquet", False),
        ("a.JSONL", "a.jsonl", False),
    ],
)
def test_a_star_stays_in_its_folder(path: str, pattern: str, expected: bool) -> None:
    assert matches(path, pattern) is expected


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"config": "three"}, "three.*one.*two"),
        ({"config": "one", "split": "test"}, "it has no split 'test', but train, held"),
        (
            {"files": "one/gone-*.parquet"},
            r"no file 'one/gone-\*.parquet'. There are one/a.parquet, one/b.parquet, one/par",
        ),
        ({"files": {"X": "three/*.parquet"}}, r"no file 'three/\*.parquet'. There are one/a.parquet, .* and 1 more"),
    ],
)
def test_what_there_is_instead_is_said(fields: dict, said: str, serve) -> None:
    serve([Repository("dataset", "some/card", COMMIT, LAYOUTS["card"] | {"three.csv": b"a\n1\n"})])
    with pytest.raises(HubError, match=said) as error:
        hub_records(source(path="some/card", **fields))
    assert "/tmp" not in str(error.value)


def test_a_data_set_is_read_without_the_hub(serve, monkeypatch) -> None:
    box = serve([Repository("dataset", "some/names", COMMIT, LAYOUTS["names"])])
    online = list(hub_records(source(path="some/names"))[0])
    for change in (lambda: monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True), box.log.clear):
        change()
    found, commit = hub_records(source(path="some/names"))
    assert list(found) == online
    assert commit == COMMIT  # and not "main"
    with pytest.raises(HubAwayError, match=r"data/test-00000-of-00001.parquet is not in the cache"):
        hub_records(source(path="some/names", split="test"))
    assert box.log == []


def task(**hub) -> TaskFile:
    return TaskFile(id="mine", title="Mine", licence="MIT", kind="text", hub={"columns": {"text": "{{ text }}"}, **hub})


def test_a_damaged_file_blocks_no_task_for_ever(serve) -> None:
    serve([Repository("dataset", "some/names", COMMIT, LAYOUTS["names"])])
    mine = task(path="some/names", split="test")
    assert len(read_rows(mine, 9)[0]) == 2
    (blob,) = (cache.Repository("dataset", "some/names").folder / "blobs").iterdir()
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-40])
    with pytest.raises(DataError, match=rf"task 'mine': hub:some/names cannot be loaded: .* rm {blob}$"):
        read_rows(mine, 9)
    blob.unlink()
    assert len(read_rows(mine, 9)[0]) == 2


def test_a_file_that_is_broken_on_the_hub_is_said_to_be(serve) -> None:
    serve([Repository("dataset", "some/rows", COMMIT, {"train-00000-of-00001.parquet": b"PAR1 but no more"})])
    with pytest.raises(DataError, match=r"is not parquet.*It is what the Hub has"):
        read_rows(task(path="some/rows"), 9)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("/tree/", status=503), r"answers 503 Service Unavailable, 5 times.*set SECURA_BENCH_DATA to a folder"),
        (
            Fault("/revision/", status=404, headers={"X-Error-Code": "RevisionNotFound"}),
            r"no revision 'main' \(any more\)",
        ),
        (Fault("/resolve/", status=451), "the Hub refuses it: 451."),
    ],
)
def test_errors_name_the_task_and_the_cause(fault: Fault, said: str, serve, monkeypatch) -> None:
    serve([Repository("dataset", "some/names", COMMIT, LAYOUTS["names"])]).faults = [fault]
    monkeypatch.setattr(asking, "FIRST_WAIT", 0.0)
    with pytest.raises(DataError, match=f"task 'mine': hub:some/names cannot be loaded: .*{said}") as error:
        read_rows(task(path="some/names"), 9)
    assert "\n" not in str(error.value)
    assert ("SECURA_BENCH_DATA" in str(error.value)) == ("503" in said)  # what is refused is refused with a network
