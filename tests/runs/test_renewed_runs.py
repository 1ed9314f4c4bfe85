"""Whole runs whose adapter is made again at every boundary: stopped and resumed, and exported."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch
from conftest import secura_bench
from interrupted import SEQUENCE, assert_same, signal_me
from safetensors.torch import load_file

from secura_bench.export.write import restore
from secura_bench.methods.build import build_method
from secura_bench.models.load import find_model
from secura_bench.spec.load import load_spec

RENEWED = (
    SEQUENCE.replace(
        "[{name: lora, r: 2}]",
        "[{name: lora, r: 2, init_lora_weights: pissa, boundary: renew}, "
        "{name: peft, peft_type: osf, config: {effective_rank: 0.5}, boundary: renew}, "
        "{name: peft, label: corda, peft_type: lora, from: tiny_text, rows: 4, boundary: renew, "
        "config: {r: 2, init_lora_weights: corda, corda_config: {corda_method: kpm}}}]",
    )
    .replace("tiny_count]", "tiny_count, tiny_arith]")
    .replace("steps: 4", "steps: 2")
    .replace("every: 3", "tasks: current")
)
KINDS = ("lora", "peft", "corda")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The results of a sequence of three tasks, undisturbed."""
    folder = tmp_path_factory.mktemp("renewed")
    (folder / "spec.yaml").write_text(RENEWED)
    done = secura_bench("run", "spec.yaml", "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "results"


def test_stopped_in_the_second_and_the_third_task_they_end_the_same(finished: Path, tmp_path: Path, at_step) -> None:
    (tmp_path / "spec.yaml").write_text(RENEWED)
    at_step(3, signal_me(signal.SIGTERM))
    codes = []
    while not codes or codes[-1]:
        codes.append(secura_bench("run", "spec.yaml", cwd=tmp_path).returncode)
    assert codes == [*6 * [143], 0]
    assert_same(finished, tmp_path / "results")


def test_the_log_says_what_survived_of_each_merge(finished: Path) -> None:
    runs = [run for kind in KINDS for run in (finished / "trial").glob(f"*-{kind}-*")]
    assert len(runs) == 3
    for run in runs:
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        kept = [(line["task"], line.get("merge_kept_step")) for line in lines if line.get("boundary")]
        one = pytest.approx(1)
        assert kept == [("tiny_group", one), ("tiny_count", one), ("tiny_arith", one)]  # the last is the second's still


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_renewed_is_exported_whole_or_not_at_all(finished: Path, tmp_path: Path, kind: str) -> None:
    from transformers import AutoModelForCausalLM

    (run,) = (finished / "trial").glob(f"*-{kind}-*")
    refused = secura_bench("export", str(run), "adapter", cwd=tmp_path)
    assert refused.returncode == 2 and "--to merged" in refused.stderr
    done = secura_bench("export", str(run), "model", "--to", "merged", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    spec = load_spec(str(run / "spec.yaml"))
    method = build_method(spec.methods[0].name, **spec.methods[0].options)
    trained = restore(find_model("tiny"), method, run / "adapter" / "trained.safetensors")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32).eval()
    ids = torch.randint(10, 900, (3, 17), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids).logits, trained(input_ids=ids).logits, rtol=0, atol=1e-4)
    assert any(name.endswith("base_layer.weight") for name in load_file(run / "adapter" / "trained.safetensors"))
