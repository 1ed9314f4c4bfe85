"""What a model's frozen weights take, and what of it is saved where they are held in 4 or 8 bits."""

from __future__ import annotations

from secura_bench.models.shape import Shape
from secura_bench.spec.loading import LoadSpec
from secura_bench.spec.types import Precision

_BLOCK, _BLOCKS = 64, 256
"""Weights that share a scale, and scales that share one in turn: bitsandbytes'."""


def frozen_bytes(precision: Precision) -> int:
    """Return the bytes of a frozen scalar: 4 in fp32, else 2."""
    return 4 if precision == "fp32" else 2


def quantised_savings(shape: Shape, precision: Precision, load: LoadSpec) -> float:
    """Return by how many bytes the linear weights of all layers take less than in ``precision``.

    n · (2 or 4 − ``scalar_bytes``), of n scalars; less the largest weight of a layer, which is there whole while it
    computes, in the dtype that it computes in.
    """
    computed = {"fp32": 4, "bf16": 2, "fp16": 2}[load.compute_dtype] if load.compute_dtype else frozen_bytes(precision)
    sizes = [module.inputs * module.outputs for module in shape.modules]
    saved = shape.layers * sum(sizes) * (frozen_bytes(precision) - scalar_bytes(load))
    return saved - max(sizes) * computed


def scalar_bytes(load: LoadSpec) -> float:
    """Return the bytes of a quantised scalar.

    4 bits: half a byte and a scale of 4 bytes for 64 of them; of 1 byte where scales are quantised in turn, with 4
    bytes for 256 scales (Dettmers et al. 2023, arXiv 2305.14314, section 3: 0.127 bits a weight). 8 bits: a byte; the
    scale of a row is not counted.
    """
    if load.bits == 8:
        return 1.0
    scale = 1 + 4 / _BLOCKS if load.double_quant else 4
    return 0.5 + scale / _BLOCK
