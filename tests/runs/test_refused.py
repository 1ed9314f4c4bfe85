"""Specs that no run begins with: one error each, by name, and nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import SPEC, secura_bench

BAD_RUNS = [
    ("a misspelt key", {"probe_rows": "prob_rows"}, "prob_rows"),
    ("an unknown method", {"name: lora": "name: lorra"}, "lorra"),
    ("a negative rank", {"r: 2": "r: -2"}, "r"),
    ("a rank larger than the matrix", {"name: lora, r: 2": "name: secura, r: 5000, m: 6000"}, "at most"),
    ("a model that is nowhere", {"model: tiny": "model: ./none"}, "There is no such path"),
    ("a model that nobody named", {"model: tiny": "model: tinny"}, "no preset"),
    ("a path for a name", {"experiment: trial": "experiment: ../../x"}, "experiment"),
    ("an object", {"experiment: trial": "experiment: !!python/object:os.system x"}, "plain YAML"),
    ("a probe that is too large", {"probe_rows: 6": "probe_rows: 6", "[tiny_group]": "[tiny_arith]"}, None),
    ("a broken data line", {"[tiny_group]": "[objcount]"}, "objcount.jsonl:2"),
    ("a task with no rows", {"[tiny_group]": "[absnarr]"}, "no rows"),
    ("a missing data file", {"[tiny_group]": "[gsm8k]"}, "gsm8k.jsonl"),
    ("more rows than there are", {"rows: 60": "rows: 100000"}, "fewer rows"),
    ("momentum out of range", {"steps: 2": "steps: 2, betas: [1.5, 0.9]"}, "train.betas.0"),
    ("a seed too large", {"threads: 1": "threads: 1\nseeds: [99999999999999999999999]"}, "seeds.0"),
    ("the base's label", {"r: 2": "label: base"}, "label 'base'"),
    ("half a character", {"[tiny_group]": "[arc_c]"}, "surrogate"),
    ("a stack of numbers", {"{name: lora, r: 2}": "{stack: [{name: 5}, ewc]}"}, "a part of a stack"),
]


@pytest.mark.parametrize(("what", "changes", "named"), [c for c in BAD_RUNS if c[2]], ids=lambda v: str(v)[:30])
def test_bad_input_is_one_error_and_writes_nothing(tmp_path: Path, what: str, changes: dict, named: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "objcount.jsonl").write_text('{"id": "1", "input": "x", "output": "y"}\n{broken\n')
    (data / "absnarr.jsonl").write_text("\n")
    (data / "arc_c.jsonl").write_text(
        '{"id": "1", "input": "x", "output": "y", "choices": ["\\ud800", "b"], "answer_index": 0}\n'
    )
    work = tmp_path / "work"
    work.mkdir()
    text = SPEC
    for right, wrong in changes.items():
        text = text.replace(right, wrong)
    (work / "spec.yaml").write_text(text)
    done = secura_bench("run", "spec.yaml", cwd=work, SECURA_BENCH_DATA=str(data))
    assert done.returncode == 2, done.stderr
    assert named in done.stderr and "Traceback" not in done.stderr
    assert [path.name for path in work.iterdir()] == ["spec.yaml"]


def test_results_that_are_a_file(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "results").write_text("mine")
    done = secura_bench("run", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 2 and "is a file" in done.stderr
    assert (tmp_path / "results").read_text() == "mine"


def test_validate(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    done = secura_bench("validate", "spec.yaml", "smoke", cwd=tmp_path)
    assert done.returncode == 0
    assert "spec.yaml: valid; trial on tiny: 2 runs of 1 method on 1 task" in done.stdout
    assert secura_bench("validate", "none.yaml", cwd=tmp_path).returncode == 2
