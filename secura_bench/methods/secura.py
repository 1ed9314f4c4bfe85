"""SECURA (arXiv 2502.18168): a CABR adapter under SigNorm, merged along the way.

for each W to adapt: C, R, K, A, B as CABR-LoRA's
for each step:
    W_m = W + C (K + A B) R,  Res = SigNorm(W + C K R, C A B R)
    y = (W_m / Res) x
    A, B ← optimizer(A, B, ∇ loss)
    every ``fusion_step`` steps: K ← K + A B,  B ← 0    (M1)
                     or A_f ← A,  B_f ← B_f + B,  K ← A_f B_f,  B ← 0    (M2)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from secura_bench.adapters.cur_layers import CURLinear
from secura_bench.adapters.injection import check_targets, refuse_shared
from secura_bench.adapters.merging import Survival
from secura_bench.adapters.secura_layers import Merge, PublicSecuraLinear, SecuraLinear, UnnormedSecuraLinear
from secura_bench.adapters.stand_in import base_weights
from secura_bench.methods.cabr_lora import CABRLoRA, CABROptions
from secura_bench.methods.cur_adapter import layers
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.kept import Computing, Kept
from secura_bench.methods.options import Positive, resolve_size
from secura_bench.methods.parameters import ParameterCount, count_adapted
from secura_bench.spec.types import Number

_LAYERS = {"paper": SecuraLinear, "public_code": PublicSecuraLinear, "off": UnnormedSecuraLinear}


class SecuraOptions(CABROptions):
    """SigNorm and merging; the defaults are the paper's settings."""

    merge: Merge = "m1"
    """How B gets into W_former every ``fusion_step`` steps: ``m1`` or ``m2`` of the paper, or ``none`` (``boundary``
    alone decides then)."""

    signorm: Literal["paper", "public_code", "off"] = "paper"
    """What SigNorm divides: weights (``paper``, equations 5 to 9), outputs (``public_code``, as published), or nothing
    (``off``)."""

    scale: Annotated[Number, Field(gt=0, le=100)] = 6.0
    """The scale of SigNorm's sigmoid."""

    epsilon: Annotated[Number, Field(gt=0, le=1e-6)] = 1e-10
    """What keeps SigNorm's divisions from zero."""

    fusion_step: Positive = 1
    """The number of steps from merge to merge."""

    adapter_bias: Annotated[bool, Strict()] | None = None
    """Whether a bias of the adapter's own is trained; unset, with ``signorm: public_code`` alone, as published."""

    merge_dtype: Literal["core", "base"] = "core"
    """Where merges go: exactly into an r×r core, or into the base weights in their own dtype, as the published code
    does."""

    @model_validator(mode="after")
    def _makes_sense(self) -> SecuraOptions:
        if self.merge == "none" and self.merge_dtype == "base":
            raise ValueError("merge_dtype: base has no meaning with merge: none")
        if self.merge == "m2" and self.merge_dtype == "base" and self.signorm == "public_code":
            raise ValueError("the published M2 never reads what it accumulates, so merge_dtype: base would change it")
        return self


class Secura(CABRLoRA):
    """ΔW = C A B R with A and B trained, W_updated = (W_former + ΔW) / Res, merged every ``fusion_step`` steps.

    At fusion step 1, the paper's setting, B is zero in every forward. So Res is one number and the untrained model
    computes with W / 1.0474; ∂L/∂A is exactly zero, and A moves by weight decay alone; M1 and M2 are one method. With
    more, Res jumps to about 1.95 once B is not zero and back at each merge: that is the published method.

    Deviation: M2 is that of the equations (11 to 13: A_f ← A, B_f ← B_f + B, B ← 0, and A goes on), not that of
    Algorithm 1, which writes something else. Above fusion step 1 its reset changes what the model computes, by
    C (A − A_f) B_f R; M1's does not.
    """

    name = "secura"
    Options = SecuraOptions
    options: SecuraOptions

    def __init__(self, options: SecuraOptions | None = None) -> None:
        super().__init__(options)
        self.steps = 0
        self._layers: list[CURLinear] = []

    @property
    def merges(self) -> bool:
        """Whether B is merged away, along the way and at a boundary."""
        return self.options.merge != "none" or self.options.boundary == "merge"

    @property
    def always_merged(self) -> bool:
        """Whether B is zero in every forward."""
        return self.options.merge != "none" and self.options.fusion_step == 1

    @property
    def starts_as_base(self) -> bool:
        """Not with the paper's SigNorm, which divides the weights before anything is trained."""
        return self.options.signorm != "paper"

    @property
    def not_between(self) -> str | None:
        """With the published code's SigNorm, which divides by what depends on the inputs, there is no weight."""
        if self.options.signorm == "public_code":
            return "with signorm: public_code its modules have no weight: what they compute is not linear"
        return None

    @property
    def not_quantised(self) -> str | None:
        """Where merges go into the base weights."""
        return "merge_dtype: base merges into the weights; take core" if self.options.merge_dtype == "base" else None

    def attach(self, model: nn.Module) -> nn.Module:
        """Put the adapter into the targeted modules."""
        if self.options.merge_dtype == "base":
            refuse_shared(model, self.options.target_modules, "use merge_dtype: core.")
        model = super().attach(model)
        self._layers = list(layers(model))
        return model

    def layer(self, linear: nn.Linear, columns: Tensor, rows: Tensor, model: nn.Module) -> CURLinear:
        """Return the layer of the chosen SigNorm."""
        options = self.options
        return _LAYERS[options.signorm](
            linear,
            columns,
            rows,
            self.m(model),
            merge=options.merge,
            always_merged=self.always_merged,
            adapter_bias=self.has_bias,
            into_base=options.merge_dtype == "base",
            scale=options.scale,
            epsilon=options.epsilon,
        )

    def trained_state(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the trained tensors, the cores, and the weights where merges go into them."""
        state = super().trained_state(model)
        if self.options.merge_dtype == "base":
            state |= base_weights(model)
        return state

    def after_step(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Merge every ``fusion_step`` optimizer steps."""
        self.steps += 1
        if self.options.merge != "none" and self.steps % self.options.fusion_step == 0:
            for layer in layers(model):
                layer.merge()

    def measures(self, model: nn.Module) -> Mapping[str, float]:
        """Return the median Res over modules, and what survived of the last merge and of all merges into W."""
        adapted = [layer for layer in layers(model) if isinstance(layer, UnnormedSecuraLinear)]
        medians = sorted(layer.median_restraint() for layer in adapted)
        figures = {"median_res": medians[len(medians) // 2]}
        merged = [layer.survival for layer in adapted if layer.survival is not None]
        for position, span in enumerate(("step", "total")):
            if merged:
                figures |= {
                    f"merge_{name}_{span}": value
                    for name, value in Survival.over(pair[position] for pair in merged).figures.items()
                }
        return figures

    def footprint(self) -> Footprint:
        """With the paper's SigNorm and B not zero, W_updated and Res of every module are kept."""
        kept = 0 if self.always_merged or self.options.signorm != "paper" else 2
        return replace(super().footprint(), kept_weights=kept, kept=self.kept_by)

    def kept_by(self, inputs: int, outputs: int, computing: Computing) -> Kept:
        """Return, with the published code's SigNorm, Res of every output, in the dtype of the adapter's bias."""
        return Kept(computing.trained * outputs if self.options.signorm == "public_code" else 0.0)

    @property
    def has_bias(self) -> bool:
        """Whether a bias of the adapter's own is trained."""
        given = self.options.adapter_bias
        return self.options.signorm == "public_code" if given is None else given

    def count_on_shapes(self, model: nn.Module) -> ParameterCount:
        """Count by formula; of A, half of what is trained but for biases, nothing has a gradient at fusion step 1."""
        count = super().count_on_shapes(model)
        if not self.always_merged:
            return count
        still = count_adapted(model, check_targets(model, self.options.target_modules), lambda h, d: self.a_size(model))
        return count.with_effective(count.trainable - still.trainable)

    def a_size(self, model: nn.Module) -> int:
        """Return the scalars of A, r m."""
        return resolve_size(self.options.r, model) * self.m(model)

    def held_by(self, h: int, d: int, r: int, model: nn.Module) -> int:
        """Return those, A_f's and B_f's with M2, and the first weights where merges go into them."""
        factors = 2 * self.a_size(model) if self.options.merge == "m2" else 0
        first = h * d if self.options.merge_dtype == "base" else 0
        return super().held_by(h, d, r, model) + factors + first

    def trained_by(self, h: int, r: int, model: nn.Module) -> int:
        """Return CABR's and the bias's, h."""
        return super().trained_by(h, r, model) + h * self.has_bias

    def state_dict(self) -> dict[str, Any]:
        """Return the count of steps, which says when the next merge is due, and what survived of the last merges."""
        pairs = [getattr(layer, "survival", None) for layer in self._layers]
        return {"steps": self.steps, "survival": [pair and [s.to_state() for s in pair] for pair in pairs]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``, after ``attach``."""
        self.steps = state["steps"]
        for layer, pair in zip(self._layers, state["survival"], strict=True):
            if pair is not None and isinstance(layer, UnnormedSecuraLinear):
                step, total = pair
                layer.survival = Survival(**step), Survival(**total)
