"""Specs of other people's benchmarks: what they train is what was published, and their tiny versions run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import secura_bench

from secura_bench.estimates.device import A_LARGE_GPU
from secura_bench.estimates.forecast import forecast
from secura_bench.spec.load import load_specs

TRAINED = {  # num_trainable_params of PEFT's own result files
    "seq": 3_212_749_824,
    "lora-rank32": 9_175_040,
    "lora-rank64": 18_350_080,
    "lora-rank32-dora": 9_289_728,
    "lora-rank64-rslora": 18_350_080,
    "lora-rank10-target-mlp": 9_461_760,
    "adalora": 18_353_664,
    "c3a": 5_505_024,
    "delora": 9_175_096,
    "ia3": 286_720,
    "ln_tuning": 175_104,
    "loha": 18_350_080,
    "lokr": 2_294_656,
    "miss": 7_340_032,
    "oft": 8_171_520,
    "osf": 194_535_936,
    "randlora": 9_289_728,
    "road": 229_376,
    "vera": 129_024,
}


def test_each_tuner_trains_as_many_parameters_as_in_pefts_runs(tmp_path: Path) -> None:
    (found,) = forecast(load_specs("peft_metamath"), tmp_path, A_LARGE_GPU)
    assert {each.label: each.count.trainable for each in found.methods if each.label != "base"} == TRAINED


def test_trace_has_the_papers_epochs_for_each_task_in_both_orders() -> None:
    (spec,) = load_specs("trace_llama2")
    own = {method.label: method.train["epochs"] for method in spec.methods if method.name in ("seq", "lora")}
    assert own == {"seq": [1, 1, 5, 5, 1, 5, 5, 5], "lora": [5, 3, 7, 5, 3, 5, 5, 7]}
    assert [len(order) for order in spec.orders] == [len("given"), 8]
    assert (spec.train.batch_size, spec.train.weight_decay, spec.train.schedule) == (128, 0, "constant")


@pytest.mark.parametrize(("name", "protocols"), [("trace", {"own_metric"}), ("olora", {"own_metric"}),
                                                 ("peft", {"generate", "perplexity"})])  # fmt: skip
def test_the_tiny_versions_run_to_their_end(name: str, protocols: set[str], tmp_path: Path) -> None:
    done = secura_bench("run", f"{name}_tiny", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    records = [json.loads(path.read_text()) for path in tmp_path.rglob("record.json")]
    planned = sum(each.runs for found in forecast(load_specs(f"{name}_tiny"), tmp_path, A_LARGE_GPU)
                  for each in found.methods)  # fmt: skip
    assert len(records) == planned
    assert {record["status"] for record in records} == {"done"}
    assert {score["protocol"] for record in records for score in record["scores"]} == protocols
