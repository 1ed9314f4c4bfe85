"""Runs whose weights are divided between two processes: one's numbers, stopped there and resumed by two or by one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import secura_bench
from forked import together
from safetensors.torch import load_file
from sharded_runs import do_sharded_runs

from secura_bench.results.read import find_records

SPEC = """\
experiment: sharded
mode: sequence
model: tiny
tasks: [tiny_group, tiny_count]
probe: [tiny_choice]
probe_rows: 4
methods: [seq, {name: ewc, fisher_samples: 2}, {name: lora, r: 2, dropout: 0.0}]
train: {shard: full, lr: 1.0e-3, steps: 2, batch_size: 3, eps: 1.0e-4, clip_norm: 1.0}
evaluate: {protocols: [teacher_forced, generate, choice], limit: 2, batch_size: 2}
log: {every: 1, gradient_norms: true, weight_norms: true}
keep: all
data: {rows: 40}
threads: 1
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what one process did, two did, and one that went on where two were stopped."""
    root = tmp_path_factory.mktemp("sharded")
    for name in ("one", "two"):
        (root / name).mkdir()
        (root / name / "spec.yaml").write_text(SPEC)
    ended = together(2, do_sharded_runs, root / "two", cwd=root)
    assert [code for code, _, _ in ended] == [0, 0], ended
    for name in ("one", "stopped"):
        done = secura_bench("run", "spec.yaml", cwd=root / name)
        assert done.returncode == 0, done.stderr
    return root


def differences(mine: Any, other: Any) -> Any:
    """Yield how far apart all numbers of two values are that are alike in everything else."""
    if isinstance(mine, dict) and isinstance(other, dict):
        assert mine.keys() == other.keys()
        mine, other = list(mine.values()), [other[key] for key in mine]
    if isinstance(mine, list) and isinstance(other, list):
        for one, two in zip(mine, other, strict=True):
            yield from differences(one, two)
    elif isinstance(mine, float) and isinstance(other, float):
        yield abs(mine - other) / max(1.0, abs(mine))
    else:
        assert mine == other
        yield 0.0


def test_two_processes_stop_and_go_on(root: Path) -> None:
    for rank in (0, 1):
        stopped, done = json.loads((root / f"ended-{rank}.json").read_text())
        assert (stopped["returncode"], done["returncode"]) == (143, 0), stopped["stderr"] + done["stderr"]
    assert sum(1 for _ in (root / "stopped").rglob("failure.json")) == 0


@pytest.mark.parametrize("name", ["two", "stopped"])
def test_the_numbers_are_those_of_one_process(root: Path, name: str) -> None:
    """Losses, norms, scores and items to 1e-5 of their size, texts and fingerprints alike; and what is kept."""
    mine, theirs = (
        {path.parent.name: path.parent for path in find_records(root / each / "results")} for each in ("one", name)
    )
    assert len(mine) == 4 and mine.keys() == theirs.keys()
    for run, folder in mine.items():
        records = [json.loads((each / "record.json").read_text()) for each in (folder, theirs[run])]
        for key in ("scores", "weight_norms", "parameters"):
            assert max(differences(*(record[key] for record in records))) < 1e-5, (run, key)
        texts = [path.relative_to(folder) for path in sorted(folder.rglob("*.texts.jsonl"))]
        assert len(texts) >= 3
        for path in texts:
            assert (folder / path).read_text() == (theirs[run] / path).read_text()
            items = path.with_name(path.name.replace(".texts.jsonl", ".json"))
            both = (json.loads((each / items).read_text()) for each in (folder, theirs[run]))
            assert max(differences(*both)) < 1e-5, (run, items)
        if "-base-" in run:
            continue
        assert all(record["method"]["train"]["shard"] == "full" for record in records)
        logs = [[json.loads(line) for line in (each / "log.jsonl").open()] for each in (folder, theirs[run])]
        assert max(differences(*logs)) < 1e-5
        assert any(line.get("terms", {}).get("ewc", 0) > 1e-3 for line in logs[0]) == ("-ewc-" in run)
        weights = [load_file(each / "adapter" / "trained.safetensors") for each in (folder, theirs[run])]
        assert weights[0].keys() == weights[1].keys()
        for key, tensor in weights[0].items():
            assert torch.allclose(tensor, weights[1][key], atol=1e-5 * max(1.0, float(tensor.abs().max())), rtol=0)
            assert math.isfinite(float(tensor.sum()))
