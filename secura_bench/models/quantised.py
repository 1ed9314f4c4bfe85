"""Linear modules whose weights bitsandbytes holds in 4 or 8 bits: what they stand for, and how models are loaded so."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from secura_bench.foundation.errors import DataError, SpecError
from secura_bench.spec.loading import LoadSpec

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_PARAMETERS = {"Params4bit", "Int8Params"}
_BLOCK = 64
"""How many 4-bit weights share a scale: bitsandbytes' own choice."""


def missing_package(load: LoadSpec) -> str | None:
    """Return what has to be installed for ``load``, if it is not."""
    if load.bits and not find_spec("bitsandbytes"):
        return (
            f"model_load.bits: {load.bits} needs bitsandbytes: pip install 'secura-bench[quantised]' (or leave bits "
            f"out)."
        )
    if load.attn_implementation == "flash_attention_2" and not find_spec("flash_attn"):
        return "model_load.attn_implementation: flash_attention_2 needs flash-attn, and a GPU; take sdpa."
    return None


def bitsandbytes_config(load: LoadSpec, dtype: torch.dtype) -> Any:
    """Return transformers' configuration of the quantisation of a model that is otherwise held in ``dtype``."""
    from transformers import BitsAndBytesConfig

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of casts at every forward
    if load.bits == 8:
        # Columns of outliers are chosen over a whole batch: what is said of a row would depend on those beside it.
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=load.quant_type,
        bnb_4bit_use_double_quant=load.double_quant,
        bnb_4bit_compute_dtype=_DTYPES[load.compute_dtype] if load.compute_dtype else dtype,
    )


def settle(label: str, model: nn.Module) -> None:
    """Make a loaded model's few bits stand for the same weights from now on, on this machine; else refuse it.

    Some CPUs would pack 4-bit weights anew when they are first scored, with scales rounded to bf16.

    Raises:
        DataError: bitsandbytes would read a weight wrongly: on a CPU, 4-bit rows that do not end where a block does.
    """
    for path, module in model.named_modules():
        if not hasattr(module, "support_avx512bf16_for_cpu"):
            continue
        module.support_avx512bf16_for_cpu = False
        if module.weight.device.type == "cpu" and module.in_features % _BLOCK:
            raise DataError(
                f"model {label!r}: {path} reads {module.in_features} numbers, which is no multiple of {_BLOCK}, and on "
                f"a CPU bitsandbytes takes 4-bit weights of such a width for others; set model_load.bits: 8."
            )


def is_quantised(module: nn.Module) -> bool:
    """Return whether a module's weight is held in numbers that are not the weight's own."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor):
        return False
    return type(weight).__name__ in _PARAMETERS or not weight.is_floating_point()


def dense_weight(linear: nn.Module) -> Tensor:
    """Return the weight of a linear module, h×d: its own, or what its few bits stand for; a new tensor then.

    4 bits: in the dtype that was quantised. 8 bits: in fp32.

    Raises:
        SpecError: It is quantised by another library than bitsandbytes.
    """
    weight: Any = linear.weight
    if not is_quantised(linear):
        return weight
    kind = type(weight).__name__
    if kind not in _PARAMETERS:
        raise SpecError(
            f"a weight is quantised ({type(linear).__name__}) and cannot be read; load it by model_load: {{bits: 4}}."
        )
    from bitsandbytes import functional

    if kind == "Params4bit":
        return functional.dequantize_4bit(weight.data, weight.quant_state)
    state: Any = linear.state
    scales = state.SCB if weight.SCB is None else weight.SCB  # its first forward moves them
    return functional.int8_vectorwise_dequant(weight.data, scales)


def product(linear: nn.Linear, x: Tensor) -> Tensor:
    """Return x Wᵀ, as the module computes it, without its bias."""
    if not is_quantised(linear):
        return F.linear(x, linear.weight)
    module: Any = linear
    bias, module.bias = module.bias, None
    try:
        found: Tensor = module(x)
        return found
    finally:
        module.bias = bias


def in_fp32(model: nn.Module) -> nn.Module:
    """Return ``model`` with whatever is not quantised in fp32; transformers' own ``float`` refuses such a model."""
    return nn.Module.float(model)


def scalars(parameter: Tensor) -> int:
    """Return how many scalars a parameter stands for: of 4 bits, two are held in a byte."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(state.shape.numel())
