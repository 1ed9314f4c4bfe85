"""What CUR-LoRA, CABR-LoRA and SECURA share: ranks, selection, injection, and merging at a task's end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from torch import Tensor, nn

from secura_bench.adapters.conv1d import as_linear
from secura_bench.adapters.cur import Selection, lowest_norm, sampled
from secura_bench.adapters.cur_layers import CURLinear
from secura_bench.adapters.injection import DEFAULT_TARGETS, check_targets, inject
from secura_bench.adapters.stand_in import moved_tensors
from secura_bench.data.example import Task
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.method import Method, Options
from secura_bench.methods.options import OwnSeed, Size, Targets, resolve_seed, resolve_size
from secura_bench.methods.parameters import ParameterCount, count_adapted
from secura_bench.models.quantised import dense_weight


class CUROptions(Options):
    """Options of every CUR adapter."""

    r: Size = 0.0366
    """How many columns and rows of W make C and R: a number, or a fraction of the model's hidden size (0.0366 is 150 at
    4096)."""

    selection: Selection = "lowest"
    """Which columns and rows: those of ``lowest`` norm (SECURA's code), or ``sampled`` ones (Fawi 2024)."""

    seed: OwnSeed = None
    """The seed of the draw with ``sampled``; unset, the run's."""

    target_modules: Targets = DEFAULT_TARGETS
    """Names of the modules to adapt: the last part of their path in the model."""

    boundary: Literal["merge", "continue"] = "merge"
    """Whether the trained core is merged at the end of a task (SECURA, section 4.1) or goes on."""


class CURAdapter(Method[CUROptions]):
    """Puts a layer with W + C core R into the targeted modules; what the core is made of is the subclass's."""

    Options = CUROptions
    not_sharded = "it merges into whole matrices, which it takes apart by columns and rows"

    @property
    def merges(self) -> bool:
        """Whether the trained core is moved away at a boundary."""
        return self.options.boundary == "merge"

    def attach(self, model: nn.Module) -> nn.Module:
        """Put the adapter into the targeted modules; its own tensors alone require grad."""
        model.requires_grad_(False)
        r = resolve_size(self.options.r, model)

        def adapt(path: str, linear: nn.Linear) -> nn.Module:
            self.check(path, linear, r, model)
            weight = dense_weight(linear)
            if self.options.selection == "sampled":
                columns, rows = sampled(weight, r, resolve_seed(self.options.seed), path)
            else:
                columns, rows = lowest_norm(weight, r)
            return self.layer(linear, columns, rows, model)

        inject(model, self.options.target_modules, adapt)
        return model

    def footprint(self) -> Footprint:
        """Count by formula."""
        return replace(super().footprint(), count_on_shapes=self.count_on_shapes)

    def count_on_shapes(self, model: nn.Module) -> ParameterCount:
        """Count by formula, after the same checks."""
        r = resolve_size(self.options.r, model)
        paths = check_targets(model, self.options.target_modules)
        for path in paths:
            self.check(path, as_linear(model.get_submodule(path)), r, model)
        held = count_adapted(model, paths, lambda h, d: self.held_by(h, d, r, model))
        return count_adapted(model, paths, lambda h, d: self.trained_by(h, r, model)).with_held(held.trainable)

    def trained_by(self, h: int, r: int, model: nn.Module) -> int:
        """Return the trained scalars of a module of h outputs: U's, r²."""
        return r * r

    def held_by(self, h: int, d: int, r: int, model: nn.Module) -> int:
        """Return the scalars held for an h×d module: C's, R's and K's, r (h + d) + r²."""
        return r * (h + d) + r * r

    def check(self, path: str, linear: nn.Linear, r: int, model: nn.Module) -> None:
        """Refuse ranks that the module cannot hold."""
        h, d = linear.out_features, linear.in_features
        if r > min(h, d):
            raise SpecError(f"r: {r} is more than {path} ({h}×{d}) has rows or columns; at most {min(h, d)}.")

    def layer(self, linear: nn.Linear, columns: Tensor, rows: Tensor, model: nn.Module) -> CURLinear:
        """Return the layer to put in place of ``linear``."""
        raise NotImplementedError

    def end_task(self, model: nn.Module, task: Task) -> None:
        """Merge at the boundary, if there is one and that is wanted."""
        if self.options.boundary == "merge" and task.count > 1:
            for layer in layers(model):
                layer.merge()

    def weights(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Yield the path and weight of every adapted module."""
        for path, module in model.named_modules():
            if isinstance(module, CURLinear):
                yield path, module.effective_weight()

    def former_weights(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Yield the path and W_former of every adapted module, what is being trained included."""
        for path, module in model.named_modules():
            if isinstance(module, CURLinear):
                yield path, module.former() + module.delta()

    def count_parameters(self, model: nn.Module) -> ParameterCount:
        """Count the model's parameters; held are the frozen C and R, and what merges fill."""
        effective = sum(layer.effective for layer in layers(model))
        held = sum(layer.held for layer in layers(model))
        return super().count_parameters(model).with_effective(effective).with_held(held)

    def trained_state(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the trained tensors and what was merged into the cores."""
        return super().trained_state(model) | moved_tensors(model)


def layers(model: nn.Module) -> Iterator[CURLinear]:
    """Yield the adapted modules."""
    return (module for module in model.modules() if isinstance(module, CURLinear))
