"""What PEFT refuses once weights are there, a plan refuses: the plain LoRA that stands in on shapes goes on more."""

from __future__ import annotations

from typing import Any

import pytest
from zoo import build, shapes

from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method

PISSA = {"r": 2, "init_lora_weights": "pissa"}


@pytest.mark.parametrize("make", [shapes, build])
@pytest.mark.parametrize(
    ("row", "kind", "config"),
    [
        ("gpt2", "shira", {"r": 2, "target_modules": ["c_attn"]}),
        ("llama", "shira", {"r": 2, "target_modules": ["embed_tokens"]}),
        ("llama", "frod", {"target_modules": ["embed_tokens"]}),
        ("qwen3-moe", "lora", {**PISSA, "target_modules": "all-linear"}),
        ("qwen3-moe", "lora", {**PISSA, "init_lora_weights": "mica", "target_modules": "all-linear"}),
    ],
    ids=str,
)
def test_modules_of_another_kind(make: Any, row: str, kind: str, config: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        build_method("peft", peft_type=kind, config=config).attach(make(row))


@pytest.mark.parametrize(
    ("row", "kind", "config"),
    [
        ("qwen3-moe", "shira", {"r": 2, "target_modules": "all-linear"}),
        ("qwen3-moe", "frod", {"target_modules": "all-linear"}),
        ("gpt2", "frod", {"target_modules": ["c_attn"]}),
        ("llama", "lora", {**PISSA, "target_modules": ["embed_tokens"]}),
    ],
    ids=str,
)
def test_modules_that_both_go_on_are_counted_alike(row: str, kind: str, config: dict[str, Any]) -> None:
    planned, real = (
        method.count_parameters(method.attach(make(row)))
        for make in (shapes, build)
        for method in [build_method("peft", peft_type=kind, config=config)]
    )
    assert (planned.trainable, planned.total) == (real.trainable, real.total)
