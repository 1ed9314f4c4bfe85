"""Any tuner of PEFT, by PEFT's own configuration.

model ← get_peft_model(model, config); what PEFT made trainable is θ
(``init_lora_weights: corda``: W, θ ← as PEFT makes them of W and of what rows of ``from`` bring to its input)
for each step:
    loss = cross-entropy (AdaLoRA: + weight · mean ‖P Pᵀ − I‖ and ‖Qᵀ Q − I‖)
    θ ← optimizer(θ, ∇ loss)
    AdaLoRA: weigh the ranks by their gradients, and drop the least important
at each boundary between tasks (``boundary: renew``):
    W ← the weight that W and θ stand for, rounded once;  θ ← as PEFT makes it of that W;  moments ← 0
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from secura_bench.adapters.conv1d import is_conv1d
from secura_bench.adapters.corda import is_corda, refuse_corda, without_start
from secura_bench.adapters.injection import DEFAULT_TARGETS, check_targets
from secura_bench.adapters.merging import Survival, survival_from
from secura_bench.adapters.osf_layers import take_off_frozen
from secura_bench.adapters.peft_layers import linear_weights, tuner_layers
from secura_bench.adapters.renewal import COPIES, begin_from_rows, refuse_renewal, renew, renewable_layers, sharpen
from secura_bench.adapters.towers import leave_other_towers
from secura_bench.data.collate import Batch
from secura_bench.data.example import Example, Task
from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.wording import in_a_line
from secura_bench.methods.adalora import refuse_steps
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.general_rows import sample_of
from secura_bench.methods.method import Method, StepContext
from secura_bench.methods.options import resolve_seed
from secura_bench.methods.peft_config import NOT_LINEAR, peft_config
from secura_bench.methods.peft_linear import not_linear
from secura_bench.methods.peft_options import PeftOptions
from secura_bench.methods.peft_quantised import not_on_few_bits
from secura_bench.methods.peft_shapes import DRAWN, stand_in
from secura_bench.methods.peft_sharded import not_on_shards
from secura_bench.models.tensors import sharing, without_copies


class Peft(Method[PeftOptions]):
    """The model as ``get_peft_model`` makes it; what PEFT made trainable is trained.

    AdaLoRA also gets its orthogonality penalty and, after every step, its rank allocation; its ``total_step`` is the
    run's number of optimizer steps, over all tasks, or less. A tuner may not start as the base model exactly: that is
    never taken for granted, so runs score the start as well.
    """

    name = "peft"
    Options = PeftOptions

    def __init__(self, options: PeftOptions) -> None:
        super().__init__(options)
        self.steps = 0
        self.survival: Survival | None = None
        self._tuner: Any = None
        self._gradients: dict[nn.Parameter, Tensor | None] = {}
        self.rows: Sequence[Example] = ()

    def take(self, source: str, rows: Sequence[Example]) -> None:
        """Hold the rows of the source that CorDA looks at."""
        self.rows = sample_of(source, rows, self.options.rows, resolve_seed(None))

    @property
    def starts_as_base(self) -> bool:
        """No: PEFT makes no such promise for all its tuners (UniLoRA and PiSSA, for two)."""
        return False

    @property
    def not_between(self) -> str | None:
        """Where a tuner adapts other modules than linear ones, or adds what is not linear."""
        return not_linear(self.options.peft_type, self.options.config)

    @property
    def not_quantised(self) -> str | None:
        """Where the tuner has no layer for such weights, or changes them."""
        if self.renews:
            return "boundary: renew merges into the weights; set continue"
        return not_on_few_bits(self.options.peft_type, self.options.config)

    @property
    def not_sharded(self) -> str | None:  # type: ignore[override]
        """Where it was not tried, or looks at whole weights."""
        return not_on_shards(self.options.peft_type, renews=self.renews, looks=bool(self.sources))

    @property
    def merges(self) -> bool:
        """Whether the adapter is merged away at a boundary."""
        return self.renews

    @property
    def renews(self) -> bool:
        """Whether the adapter is made again at a boundary."""
        return self.options.boundary == "renew"

    def attach(self, model: nn.Module) -> nn.Module:
        """Return PEFT's model."""
        from peft import get_peft_model

        name, targets = self.options.peft_type, self.options.target_modules
        config = peft_config(name, self.options.config, targets)
        if "target_modules" not in self.options.config and name not in NOT_LINEAR:
            check_targets(model, targets or DEFAULT_TARGETS)
        leave_other_towers(model, config)
        if self.options.config.get("layer_replication"):
            _refuse_replication(model)
        finish, looks, on_shapes = None, is_corda(config), any(p.is_meta for p in model.parameters())
        if on_shapes:
            config, finish = stand_in(name, config)
        elif looks:
            config, finish = without_start(config)
        before = sharing(model)
        try:
            adapted = get_peft_model(model, config)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # every tuner has errors of its own for what it cannot do on a model
            if not config.target_modules and "specify `target_modules`" in str(error):
                raise SpecError(
                    f"peft_type: {name}: PEFT has no modules of its own choice for {type(model).__name__}; name them: "
                    f"target_modules."
                ) from None
            raise SpecError(f"peft_type: {name}: PEFT refuses: {in_a_line(error)}") from None
        if finish:
            finish(adapted)
        for parameter_name, parameter in adapted.named_parameters():
            if ".ranknum." in parameter_name:  # how many ranks are left: nothing that is trained
                parameter.requires_grad_(False)
        if not any(parameter.requires_grad and parameter.numel() for parameter in adapted.parameters()):
            raise SpecError(f"peft_type: {name}: nothing is trained; its config must say what is.")
        if str(self.options.config.get("init_lora_weights")).lower() == "olora":
            _refuse_transposed(adapted)
        if before and self.moves_base:
            self._refuse_shared(adapted, before)
        if looks:
            refuse_corda(adapted)
            if self.rows:  # without them it is no run: what is trained comes back into it, with the weights beneath
                begin_from_rows(adapted, self.rows)
        if self.renews:
            refuse_renewal(adapted)
            if name == "osf" and not on_shapes:
                sharpen(adapted)
        self._tuner = adapted.base_model
        return adapted

    @property
    def moves_base(self) -> bool:
        """Whether an ``init_`` key may change the base's weights at the start."""
        drawn = {"init_lora_weights": (True, False, *DRAWN)}
        return any(
            key.startswith("init_") and key != "init_r" and value not in drawn.get(key, ())
            for key, value in self.options.config.items()
        )

    def _refuse_shared(self, adapted: nn.Module, shared: Mapping[str, list[str]]) -> None:
        """Refuse a start that changes a weight which another module holds too."""
        for path, _ in tuner_layers(adapted):
            path = path.removeprefix("base_model.model.")
            if others := shared.get(f"{path}.weight"):
                raise SpecError(
                    f"{path} shares its weight with {others[0]}, and a start that changes the weight would change "
                    f"both; take one that draws, such as init_lora_weights: true."
                )

    def footprint(self) -> Footprint:
        """Patterns, lists of layers and PEFT's own reading of the configuration want the whole model to be counted."""
        said = self.options.config.get("target_modules")
        plain = replace(super().footprint(), counts_by_layer=False, boundary_weights=COPIES if self.renews else 0)
        if not self.sources:
            return plain
        adapted = tuple(said) if isinstance(said, list) else plain.adapted
        return replace(plain, adapted=adapted, start_rows=self.options.rows)

    def begin_task(self, model: nn.Module, task: Task) -> None:
        """Refuse to train what had to begin from rows, and was handed none.

        Raises:
            SpecError: It is so.
        """
        if self.sources and not self.rows:
            raise SpecError(
                f"method 'peft' begins from rows of {self.options.from_!r}, and was handed none: Method.take."
            )

    def check_steps(self, steps: int) -> None:
        """Refuse an AdaLoRA whose ranks would still be allocated when the run ends."""
        if self.options.peft_type == "adalora":
            refuse_steps(self.options.config["total_step"], steps)

    @property
    def _allocator(self) -> Any:
        """AdaLoRA's rank allocator, or None for other tuners."""
        return getattr(self._tuner, "rankallocator", None)

    def terms(self, model: nn.Module, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return AdaLoRA's orthogonality penalty, which PEFT adds only to a loss of the model's own making."""
        if self._allocator is None:
            return {}
        return {"orthogonality": self._allocator.peft_config.orth_reg_weight * orthogonality(self._tuner)}

    def after_backward(self, model: nn.Module, step: StepContext) -> None:
        """Keep the gradients for AdaLoRA: it allocates after the step, when the loop has dropped them."""
        if self._allocator is not None:
            self._gradients = {p: p.grad for p in model.parameters() if p.requires_grad}

    def after_step(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Let AdaLoRA weigh its ranks and drop the least important: after the step and with gradients, as PEFT asks.

        A renewed OSF stays off what it froze; one that goes on is PEFT's own.
        """
        if self.renews and self.options.peft_type == "osf":
            take_off_frozen(model)
        if self._allocator is None:
            return
        self.steps += 1
        for parameter, gradient in self._gradients.items():
            parameter.grad = gradient
        self._tuner.update_and_allocate(self.steps)
        for parameter in self._gradients:
            parameter.grad = None
        self._gradients = {}

    def end_task(self, model: nn.Module, task: Task) -> None:
        """Renew the adapter where another task follows."""
        if self.renews and task.index + 1 < task.count:
            self.survival = renew(model, str(task.index), self.rows)

    def measures(self, model: nn.Module) -> Mapping[str, float]:
        """Return what survived of the last merge, once there was one."""
        figures = self.survival.figures if self.survival else {}
        return {f"merge_{name}_step": value for name, value in figures.items()}

    def weights(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Yield the path and weight of every adapted linear module, in fp32."""
        return linear_weights(model)

    def trained_state(self, model: nn.Module) -> dict[str, Tensor]:
        """Return what is trained and what PEFT drew beside it; base weights too, where they may have been moved."""
        state = super().trained_state(model)
        moved = any(key.startswith("init_") and key != "init_r" for key in self.options.config)
        for path, layer in tuner_layers(model):
            for name, tensor in layer.state_dict().items():
                if moved or self.survival or not name.startswith("base_layer."):
                    state[f"{path}.{name}"] = tensor
        if self.survival:  # what OSF took of the merged weights is in no state_dict
            state |= {
                f"{path}.{name}": t for path, layer in renewable_layers(model) for name, t in layer.named_buffers()
            }
        return without_copies(state)  # VeRA's matrices, for one, are every layer's

    def state_dict(self) -> dict[str, Any]:
        """Return what AdaLoRA knows of its ranks' importance; of a renewed tuner, what survived of the last merge."""
        if self.renews:
            return {"survival": self.survival and self.survival.to_state()}
        if self._allocator is None:
            return {}
        scores = {name: dict(getattr(self._allocator, name)) for name in _SCORES}
        return {"steps": self.steps, "rank_pattern": self._allocator.peft_config.rank_pattern, **scores}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``, after ``attach``."""
        if self.renews:
            self.survival = survival_from(state["survival"])
        if self._allocator is None:
            return
        self.steps = state["steps"]
        self._allocator.peft_config.rank_pattern = state["rank_pattern"]
        parameters = dict(self._tuner.model.named_parameters())
        for name in _SCORES:
            setattr(self._allocator, name, {key: t.to(parameters[key].device) for key, t in state[name].items()})


def _refuse_transposed(adapted: nn.Module) -> None:
    """Refuse OLoRA on weights that lie the other way round (GPT-2's): PEFT takes them apart as if they did not.

    Raises:
        SpecError: There is such a module.
    """
    for path, layer in tuner_layers(adapted):
        if is_conv1d(layer.get_base_layer()):
            raise SpecError(f"init_lora_weights: olora does not fit {path}, a Conv1D; take pissa, or true.")


def _refuse_replication(model: nn.Module) -> None:
    """Refuse to replicate layers of which the configuration says what each is: PEFT's copies are not spoken of.

    Raises:
        SpecError: It does.
    """
    config = getattr(model, "config", None)
    for name in ("layer_types", "layers_block_type", "block_types", "attention_layers"):
        if getattr(config, name, None):
            raise SpecError(
                f"layer_replication: the model's configuration says of each layer what it is ({name}), and PEFT adds "
                f"layers that it says nothing of; leave layer_replication out."
            )


_SCORES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


def orthogonality(tuner: nn.Module) -> Tensor:
    """Return the mean of ‖P Pᵀ − I‖ over AdaLoRA's A matrices and of ‖Qᵀ Q − I‖ over its B matrices.

    Zhang et al. 2023 (arXiv 2303.10512, equation 4) square the Frobenius norm and sum; this is PEFT's form.
    """
    gaps = []
    for name, matrix in tuner.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            gram = matrix @ matrix.T if "lora_A" in name else matrix.T @ matrix
            gaps.append(torch.linalg.norm(gram - torch.eye(len(gram), device=gram.device, dtype=gram.dtype)))
    return torch.stack(gaps).mean()
