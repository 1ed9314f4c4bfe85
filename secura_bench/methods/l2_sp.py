"""L2-SP: decay towards the starting point (Li, Grandvalet and Davoine 2018, arXiv 1802.01483).

w₀ ← w
for each step:
    loss = cross-entropy + α/2 ‖w − w₀‖²
    w ← optimizer(w, ∇ loss)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from secura_bench.adapters.peft_layers import lora_layers, tuner_layers
from secura_bench.adapters.stand_in import stand_ins
from secura_bench.data.collate import Batch
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.ewc import Pull, trained
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.method import Method, Options
from secura_bench.methods.parameters import ParameterCount
from secura_bench.spec.types import Number


class L2SPOptions(Options):
    """How strongly weights are pulled back."""

    alpha: Annotated[Number, Field(ge=0)] = 0.1
    """The strength (α); ours: the paper chooses it for each task, of powers of ten up to 1."""


class L2SP(Method[L2SPOptions]):
    """Loss + α/2 ‖w − w₀‖², with w₀ the base's weights: whatever training moves is pulled back to where it began.

    Stacked on LoRA the weights' change is its product: the penalty is α/2 Σ ‖(alpha/r) B A‖². Adapters whose change is
    another are refused.

    Deviation: the paper decays a new output layer to zero, by a β of its own; a language model has none. Its method is
    for one task; in a sequence w₀ stays the base. The optimizer's own weight decay, to zero, comes beside it: the
    paper's runs are without (``train.weight_decay: 0``).

    Attributes:
        anchors: w₀ by parameter name; none beside LoRA, whose change begins at zero.
    """

    name = "l2_sp"
    not_sharded = "it holds a whole copy of the weights that training began from"
    anchors_weights = True
    Options = L2SPOptions

    def __init__(self, options: L2SPOptions | None = None) -> None:
        super().__init__(options)
        self.anchors: dict[str, Tensor] = {}

    def start(self, model: nn.Module) -> None:
        """Copy w₀, or see that the adapter's change is one that can be told.

        Raises:
            SpecError: It is not.
        """
        if _is_adapted(model):
            _refuse_other_adapters(model)
        else:
            self.anchors = {name: p.detach().to(torch.float32, copy=True) for name, p in trained(model).items()}

    def terms(self, model: nn.Module, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the penalty."""
        if self.anchors:
            one = torch.ones((), device=logits.device)
            parts = [Pull.apply(p, one, self.anchors[name]) for name, p in trained(model).items()]
        else:
            parts = [squared_change(layer) / 2 for _, layer in lora_layers(model)]
        return {"l2_sp": self.options.alpha * torch.stack(parts).sum()}

    def footprint(self) -> Footprint:
        """W₀ lies beside the weights, in fp32."""
        return replace(super().footprint(), held_bytes=(4, 0))

    def count_parameters(self, model: nn.Module) -> ParameterCount:
        """Count the model's parameters; held is w₀."""
        count = super().count_parameters(model)
        return replace(count, held=0 if _is_adapted(model) else count.trainable)


def squared_change(layer: Any) -> Tensor:
    """Return ‖s B A‖² of PEFT's LoRA layer, s = alpha / r, with gradient: s² tr((Bᵀ B) (A Aᵀ)), two r×r matrices."""
    (name,) = layer.active_adapters
    A, B = layer.lora_A[name].weight.float(), layer.lora_B[name].weight.float()
    change: Tensor = layer.scaling[name] ** 2 * ((B.T @ B) * (A @ A.T)).sum()
    return change


def _is_adapted(model: nn.Module) -> bool:
    return any(True for _ in stand_ins(model)) or any(True for _ in tuner_layers(model))


def _refuse_other_adapters(model: nn.Module) -> None:
    """Refuse what trains anything but LoRA's two matrices of linear layers, or begins elsewhere than at the base."""
    way_out = "l2_sp pulls at the base's own weights, or at LoRA's change of them: stack it on lora, or alone."
    for name in trained(model):
        if ".lora_A." not in name and ".lora_B." not in name:
            raise SpecError(f"'l2_sp' knows no change of a weight by which {name} changes the model. {way_out}")
    for path, layer in lora_layers(model):
        for kind in layer.lora_B.values():
            if not isinstance(kind, nn.Linear):
                raise SpecError(f"'l2_sp' knows no change of a weight for {path}, which is no linear layer. {way_out}")
            if not kind.weight.is_meta and kind.weight.any():
                raise SpecError(
                    f"'l2_sp' pulls back to the base, and {path} begins elsewhere; take a start with B at zero "
                    f"(init_lora_weights: true)."
                )
