"""How a model is loaded: its weights held in fewer bits, and the kernel that computes its attention."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Strict, model_validator

from secura_bench.foundation.schema import Explained
from secura_bench.spec.types import Precision

_OF_FOUR_BITS = ("quant_type", "double_quant", "compute_dtype")
_SHORT = {"fp32": "fp32", "bf16": "bf16", "bf16_pure": "bf16", "bf16_stochastic": "bf16"}


class LoadSpec(Explained):
    """How the model is loaded, for every run alike: bitsandbytes' quantisation, and the attention.

    In 4 or 8 bits are held the linear modules, but not the head; embeddings, norms, head and whatever is trained have
    the precision of ``train``.
    """

    bits: Literal[4, 8] | None = None
    """In how many bits the base's linear weights are held: ``4`` as QLoRA does it; ``8`` as LLM.int8() does, but
    without columns of outliers: each row of inputs is rounded to 8 bits by itself. Only adapters can then be trained,
    and nothing is merged into the weights. Unset: whole, in the precision of ``train``."""

    quant_type: Literal["nf4", "fp4"] = "nf4"
    """The 4-bit numbers: those that are equally likely under a normal distribution (``nf4``), or floats (``fp4``)."""

    double_quant: Annotated[bool, Strict()] = True
    """Whether the scales of 4-bit weights, one for 64 of them, are held in 8 bits in turn."""

    compute_dtype: Literal["fp32", "bf16", "fp16"] | None = None
    """In which dtype a module computes with 4-bit weights; unset: in that which ``train.precision`` holds weights
    in."""

    attn_implementation: Literal["eager", "sdpa", "flash_attention_2"] | None = None
    """What computes attention: transformers' option of that name. Unset: what it takes for the model by itself."""

    @model_validator(mode="after")
    def _is_heard(self) -> LoadSpec:
        if self.bits != 4 and (said := [key for key in _OF_FOUR_BITS if key in self.model_fields_set]):
            raise ValueError(f"{said[0]}: is for bits: 4 alone, and would do nothing here; leave it out")
        return self

    @property
    def mark(self) -> str:
        """What a model's name ends in where its weights are held in fewer bits: another model, to all tables."""
        if self.bits is None:
            return ""
        four = [self.quant_type * (self.quant_type != "nf4"), "single" * (not self.double_quant)]
        return "-".join(["", f"{self.bits}bit", *filter(None, four)])

    def told(self, precision: Precision) -> dict[str, Any]:
        """Return what of it changes a number of a run of that precision, spelled out; empty where nothing is said."""
        found: dict[str, Any] = {} if self.bits is None else {"bits": self.bits}
        if self.bits == 4:
            compute = self.compute_dtype or _SHORT[precision]
            found |= {"quant_type": self.quant_type, "double_quant": self.double_quant, "compute_dtype": compute}
        if self.attn_implementation is not None:
            found["attn_implementation"] = self.attn_implementation
        return found
