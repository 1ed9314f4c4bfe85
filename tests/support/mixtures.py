"""Small random mixtures of experts, whose layers hold all experts' weights in one tensor."""

from __future__ import annotations

from typing import Any

import torch
from sessions import SMALL

KINDS: dict[str, dict[str, Any]] = {
    "mixtral": {"intermediate_size": 48, "num_local_experts": 4, "sliding_window": None},
    "qwen2_moe": {"moe_intermediate_size": 16, "shared_expert_intermediate_size": 24, "num_experts": 5},
}
"""Of the second, two processes hold three experts and two."""


def mixture(kind: str) -> torch.nn.Module:
    """Return a random mixture in eval mode, two of whose experts read each token."""
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {**SMALL, "num_key_value_heads": 2, "num_experts_per_tok": 2, **KINDS[kind]}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes))
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()
