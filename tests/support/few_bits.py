"""Small models held in 4 or 8 bits, and models of whole weights that compute the same."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import torch
from conftest import random_llama
from torch import nn

from secura_bench.models.load import ModelFolder, load_model
from secura_bench.models.quantised import dense_weight, is_quantised
from secura_bench.spec.loading import LoadSpec

REASON = "bitsandbytes is not installed: pip install 'secura-bench[quantised]'"


@cache
def folder(bias: bool = False) -> ModelFolder:
    """Return a random Llama on the disk, of sizes that blocks of 64 go into, untied; ``bias``: in its attention."""
    torch.manual_seed(0)
    path = Path(mkdtemp())
    model = random_llama(hidden_size=64, intermediate_size=128, attention_bias=bias)
    if bias:
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                nn.init.normal_(parameter)
    model.save_pretrained(path)
    return ModelFolder("random", path, "of this process")


def held_in(bits: int, bias: bool = False, dtype: torch.dtype = torch.float32, **said: object) -> nn.Module:
    """Return the model with its linear weights held in ``bits``."""
    return load_model(replace(folder(bias), load=LoadSpec(bits=bits, **said)), dtype)


@torch.no_grad()
def twin_of(model: nn.Module, bias: bool = False) -> nn.Module:
    """Return the model of whole weights that are what ``model``'s few bits stand for."""
    twin = load_model(folder(bias), torch.float32)
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear) and is_quantised(module):
            twin.get_submodule(path).weight.copy_(dense_weight(module))
    return twin
