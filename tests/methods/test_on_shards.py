"""Which methods train divided weights: what their classes say, what the docs say, and what is refused before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, secura_bench

from secura_bench.foundation.registry import METHODS
from secura_bench.methods.build import build_method
from secura_bench.methods.ewc import EWC
from secura_bench.methods.lora import LoRA, LoRAOptions
from secura_bench.methods.method import Method
from secura_bench.methods.peft_sharded import ON_SHARDS
from secura_bench.methods.sharding import why_not_sharded
from secura_bench.methods.stack import Stack

SPEC = """\
experiment: sharded
mode: sequence
model: tiny
tasks: [tiny_group, tiny_count]
probe: tiny_f_task
methods: [METHOD]
train: {shard: full, lr: 1.0e-3, steps: 2}
"""


class Mine(LoRA):
    """Says nothing of divided weights."""


class Said(Mine):
    """Says that they go."""

    not_sharded = None


def test_a_class_that_is_not_ours_must_say_it_itself() -> None:
    assert "does not say" in str(why_not_sharded(Mine()))
    assert why_not_sharded(Said()) is None and why_not_sharded(LoRA()) is None and why_not_sharded(Method()) is None
    on = LoRAOptions(boundary="continue")
    assert why_not_sharded(Stack([LoRA(on), EWC()])) is None
    assert why_not_sharded(Stack([Mine(on), EWC()])) == why_not_sharded(Mine())


def test_the_docs_say_of_each_method_what_its_class_does() -> None:
    rows = []
    for name in sorted({*METHODS.built_in} - {"peft", "stack"}):
        reason = why_not_sharded(build_method(name, **({"path": "there"} if name == "checkpoint" else {})))
        rows.append(f"| `{name}` | {'yes' if reason is None else f'refused: {reason}'} |")
    page = (ROOT / "docs" / "sharded.md").read_text(encoding="utf-8")
    table = page.split("<!-- methods on shards -->\n")[1].split("<!-- end")[0]
    assert table.splitlines()[2:] == rows
    assert ", ".join(f"`{name}`" for name in ON_SHARDS) in " ".join(page.split())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("METHOD", "secura"), "'secura' cannot be trained so: it merges into whole matrices"),
        (("METHOD", "{name: ewc, device: cpu}"), "device: cpu holds F and θ* whole; set same"),
        (("METHOD", "{name: lora, boundary: renew}"), "set continue or merge"),
        (("METHOD", "{name: peft, peft_type: vblora}"), "PEFT's vblora was not seen to"),
        (("METHOD", "{stack: [er, ema]}"), "an average in the place of the trained weights"),
        (("steps: 2", "steps: 2, optimizer: adafactor"), "adafactor sums over whole matrices"),
        (("steps: 2", "steps: 2, kernels: chunked"), "was not seen to beside kernels and offload"),
        (("METHOD]", "seq]\nmodel_load: {bits: 8}"), "bits"),
        (("METHOD]", "seq]\nevaluate: {interpolate: [0.5]}"), "evaluate.interpolate makes weights of whole ones"),
    ],
)
def test_what_cannot_be_divided_is_refused_before_a_run(tmp_path: Path, change: tuple[str, str], said: Any) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC.replace(*change).replace("METHOD", "seq"))
    done = secura_bench("validate", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_a_plan_refuses_it_too_where_the_model_is_not_here(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC.replace("METHOD", "i_lora").replace("tiny\n", "llama3-8b\n", 1))
    done = secura_bench("plan", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 2 and "its averaged pair is held whole" in done.stderr
