"""vLLM on CUDA writes what the bench writes there: adapters by request, and weights of a folder."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import SPEC

from secura_bench.plan.make import make_plan
from secura_bench.results.folder import RunFolder
from secura_bench.runs.one_run import do_run
from secura_bench.runs.progress.events import NoProgress
from secura_bench.runs.stopping import Stop
from secura_bench.spec.load import load_spec

pytestmark = pytest.mark.skipif(not find_spec("vllm"), reason="vLLM is not installed: pip install 'secura-bench[vllm]'")
LORA = {"name": "lora", "r": 2, "boundary": "continue"}
SECURA = {"name": "secura", "r": 8, "m": 16}


@pytest.mark.parametrize(
    ("precision", "method", "form"),
    [("fp32", LORA, "weights"), ("bf16", LORA, "adapter"), ("bf16", SECURA, "weights")],
    ids=["fp32", "adapter", "weights"],
)
def test_enough_texts_are_the_benchs(
    device: str, precision: str, method: dict[str, Any], form: str, tmp_path: Path
) -> None:
    """Where they are not, the run fails; its record says how many were."""
    spec = yaml.safe_load(SPEC) | {"methods": [method]}
    spec["train"] |= {"precision": precision, "lr": 0.02}
    spec["evaluate"] = {"protocols": ["choice", "generate"], "limit": 8, "engine": "vllm"}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    made = make_plan(load_spec(str(tmp_path / "spec.yaml")))
    folder = RunFolder(tmp_path / made.runs[1].folder)
    record = do_run(made.runs[1], made.inputs, folder, NoProgress(), Stop())
    assert record.engine and {each["form"] for each in record.engine["compared"]} == {form}
