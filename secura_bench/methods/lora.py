"""LoRA (Hu et al. 2021, arXiv 2106.09685), through PEFT.

for each W (h×d) to adapt: A (r×d) drawn, B (h×r) ← 0, W frozen
for each step:
    y = W x + (α / r) B A dropout(x)
    A, B ← optimizer(A, B, ∇ loss)
at the end of a task (``boundary: merge``): W ← W + (α / r) B A,  B ← 0
at each boundary between tasks (``renew``): W ← W + (α / r) B A,  A, B ← as at the start, of that W;  moments ← 0
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import ValidationInfo, field_validator
from torch import Tensor, nn

from secura_bench.adapters.conv1d import is_conv1d, linear_weight
from secura_bench.adapters.injection import DEFAULT_TARGETS, check_targets, refuse_shared
from secura_bench.adapters.merging import Survival, survival_from
from secura_bench.adapters.peft_layers import effective_weight, lora_layers, merge
from secura_bench.adapters.renewal import COPIES, renew
from secura_bench.adapters.towers import other_towers
from secura_bench.data.example import Task
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.kept import Computing, Kept
from secura_bench.methods.method import Method, Options
from secura_bench.methods.options import Fraction, Positive, Rank, Targets
from secura_bench.methods.parameters import ParameterCount, count_adapted
from secura_bench.models.quantised import is_quantised


class LoRAOptions(Options):
    """Rank, scale and dropout; the defaults are those of SECURA's public code."""

    r: Rank = 8
    """The rank of B A."""

    alpha: Positive = 16
    """What B A is scaled by, divided by r."""

    dropout: Fraction = 0.1
    """The share of the adapter's inputs that is dropped in training."""

    target_modules: Targets = DEFAULT_TARGETS
    """Names of the modules to adapt: the last part of their path in the model."""

    init_lora_weights: bool | Literal["gaussian", "pissa", "olora", "orthogonal"] = True
    """How A and B start: PEFT's option of that name. ``false`` starts away from the base."""

    boundary: Literal["merge", "renew", "continue"] = "merge"
    """Whether the adapter is merged into the weights at the end of a task (SECURA, section 4.1), B set to zero; is
    merged and made again from the merged weights, with an optimizer without moments; or goes on."""

    @field_validator("boundary")
    @classmethod
    def _starts_as_base(cls, boundary: str, info: ValidationInfo) -> str:
        if boundary == "renew" and info.data.get("init_lora_weights") is False:
            raise ValueError("renew: init_lora_weights: false would move the model at every boundary; use 'merge'")
        return boundary


class LoRA(Method[LoRAOptions]):
    """W x + (alpha / r) B A dropout(x), with A and B trained and B zero at the start."""

    name = "lora"
    published_per_layer = 131_000
    Options = LoRAOptions
    extras: ClassVar[dict[str, Any]] = {}
    """What a variant of PEFT's LoRA adds to the configuration."""

    def __init__(self, options: LoRAOptions | None = None) -> None:
        super().__init__(options)
        self.survival: Survival | None = None

    @property
    def starts_as_base(self) -> bool:
        """Whether B is zero at the start, or the weights are changed to make up for it."""
        return self.options.init_lora_weights is not False

    @property
    def not_quantised(self) -> str | None:
        """Where it is merged, or begins by changing the weights."""
        if self.options.init_lora_weights in ("pissa", "olora"):
            return f"init_lora_weights: {self.options.init_lora_weights} takes something out of the weights; take true"
        return f"boundary: {self.options.boundary} merges into the weights; set continue" if self.merges else None

    @property
    def not_sharded(self) -> str | None:  # type: ignore[override]
        """Where A and B are made of whole weights again."""
        return "boundary: renew makes A and B of whole weights; set continue or merge" if self.renews else None

    @property
    def merges(self) -> bool:
        """Whether B is merged away at a boundary."""
        return self.options.boundary != "continue"

    @property
    def renews(self) -> bool:
        """Whether A and B are made again there."""
        return self.options.boundary == "renew"

    def attach(self, model: nn.Module) -> nn.Module:
        """Return PEFT's model; its adapter's tensors alone require grad."""
        from peft import LoraConfig, get_peft_model

        on_shapes = False
        paths = check_targets(model, self.options.target_modules)
        if self.merges:
            refuse_shared(model, self.options.target_modules, "set boundary: continue.")
        if self.options.init_lora_weights in ("pissa", "olora"):
            refuse_shared(model, self.options.target_modules, "take another init_lora_weights.")
        transposed = [path for path in paths if is_conv1d(model.get_submodule(path))]
        if transposed and self.options.init_lora_weights == "olora":
            raise SpecError(f"init_lora_weights: olora does not fit {transposed[0]}, a Conv1D; take pissa, or true.")
        for path in paths:
            if self.merges and is_quantised(model.get_submodule(path)):
                raise SpecError(f"{path} is quantised, and nothing can be merged into it; set boundary: continue.")
            weight = linear_weight(model.get_submodule(path))
            if self.extras.get("use_dora") and not weight.is_meta and not weight.any(dim=1).all():
                raise SpecError(f"{path} has a row that is all zero, and DoRA divides by a row's norm; use lora.")
            on_shapes = weight.is_meta
        config = LoraConfig(
            r=self.options.r,
            lora_alpha=self.options.alpha,
            lora_dropout=self.options.dropout,
            # By name, as stock adapters have them, where names reach no more than they should.
            target_modules=paths if other_towers(model) else list(self.options.target_modules),
            # Some starts take the weight apart, which shapes alone cannot show.
            init_lora_weights=True if on_shapes else self.options.init_lora_weights,
            fan_in_fan_out=bool(transposed),
            **self.extras,
        )
        return get_peft_model(model, config)

    def footprint(self) -> Footprint:
        """Count by formula; what a module keeps is the adapter's."""
        return replace(
            super().footprint(),
            count_on_shapes=self.count_on_shapes,
            kept=self.kept_by,
            boundary_weights=COPIES if self.renews else 0,
        )

    def count_on_shapes(self, model: nn.Module) -> ParameterCount:
        """Count by formula."""
        return count_adapted(model, check_targets(model, self.options.target_modules), self.trained_by)

    def trained_by(self, h: int, d: int) -> int:
        """Return the scalars of A and B of an h×d module: r (h + d)."""
        return self.options.r * (h + d)

    def kept_by(self, inputs: int, outputs: int, computing: Computing) -> Kept:
        """Return A x, dropout's mask and what it lets through; without dropout x is shared, but under autocast cast."""
        dropout, own = self.options.dropout > 0, self.options.dropout > 0 or computing.autocast
        token = computing.scalar * (self.options.r + inputs * own) + computing.mask * inputs * dropout
        return Kept(token, shares=not own)

    def end_task(self, model: nn.Module, task: Task) -> None:
        """Merge at the boundary, or renew before another task, if there is one and that is wanted."""
        if self.renews and task.index + 1 < task.count:
            self.survival = renew(model, str(task.index))
        elif self.options.boundary == "merge" and task.count > 1:
            self.survival = Survival.over(merge(layer) for _, layer in lora_layers(model))

    def weights(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Yield the path and weight of every adapted module, h×d."""
        for path, layer in lora_layers(model):
            weight = effective_weight(layer)
            yield path, weight.t() if is_conv1d(layer.get_base_layer()) else weight

    def trained_state(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the adapter, and the weights that it was merged into, if it was."""
        state = super().trained_state(model)
        if self.survival is not None or self.options.init_lora_weights in ("pissa", "olora"):
            state |= {f"{path}.base_layer.weight": layer.get_base_layer().weight for path, layer in lora_layers(model)}
        return state

    def measures(self, model: nn.Module) -> Mapping[str, float]:
        """Return what survived of the last merge, once there was one."""
        figures = self.survival.figures if self.survival else {}
        return {f"merge_{name}_step": value for name, value in figures.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what survived of the last merge, which also says that there was one."""
        return {"survival": self.survival and self.survival.to_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self.survival = survival_from(state["survival"])
