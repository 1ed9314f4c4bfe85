"""O-LoRA's pairs as one stock LoRA: A_i one below the other, B_i side by side, of rank r times the tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from secura_bench.adapters.conv1d import is_conv1d
from secura_bench.adapters.pair_sum import PairSumLinear
from secura_bench.adapters.peft_layers import lora_layers


def pairs_as_lora(stock_base: nn.Module, adapted: Mapping[str, PairSumLinear]) -> Any:
    """Return PEFT's model of ``stock_base`` with all pairs of ``adapted``, by path; alpha grows as the rank does."""
    from peft import LoraConfig, get_peft_model

    first = next(iter(adapted.values()))
    rank = len(first.pairs()[0])
    names = {path.rpartition(".")[2] for path in adapted}
    alike = {path for path, _ in stock_base.named_modules() if path.rpartition(".")[2] in names}
    config = LoraConfig(
        r=rank,
        lora_alpha=round(first.scale * rank),
        lora_dropout=0.0,
        target_modules=sorted(names if alike == set(adapted) else adapted),
        fan_in_fan_out=any(is_conv1d(stock_base.get_submodule(path)) for path in adapted),
        task_type="CAUSAL_LM",
    )
    stock: Any = get_peft_model(stock_base, config)
    with torch.no_grad():
        for path, layer in lora_layers(stock):
            A, B = adapted[path.removeprefix("base_model.model.")].pairs()
            (name,) = layer.active_adapters
            layer.lora_A[name].weight.copy_(A)
            layer.lora_B[name].weight.copy_(B)
    return stock
