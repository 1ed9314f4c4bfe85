"""How else a step may be computed, ``train.kernels``: its loss in chunks, its norms and MLPs by Liger's kernels."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from secura_bench.adapters.reached import few_logits
from secura_bench.foundation.errors import SpecError
from secura_bench.models.answer_loss import Chunks, Finish, lend_chunks
from secura_bench.models.head import output_head
from secura_bench.spec.sections import TrainSpec

_LIGER = "train.kernels: liger needs liger-kernel and a CUDA device"


def missing_kernels(train: TrainSpec) -> str | None:
    """Return what ``train`` asks for and this machine cannot compute with, if anything."""
    if "liger" not in (train.kernels or ()):
        return None
    if not find_spec("liger_kernel"):
        return f"{_LIGER}: pip install 'secura-bench[liger]' (or leave liger out)."
    if not torch.cuda.is_available():
        return f"{_LIGER}, and here is none; leave liger out."
    return None


def use_kernels(model: nn.Module, train: TrainSpec) -> None:
    """Have the steps of the attached ``model`` computed as ``train`` says. Scoring, in eval mode, stays as it is.

    Raises:
        SpecError: The model's logits are not made of its head's in a way that is known, Liger has no kernels for it, or
            they cannot run here.
    """
    kernels = train.kernels or ()
    if "chunked" in kernels:
        lend_chunks(model, Chunks(finish_of(model)))
    if "liger" in kernels:
        if missing := missing_kernels(train):
            raise SpecError(missing)
        use_liger(model)


def finish_of(model: nn.Module) -> Finish:
    """Return how ``model`` finishes its head's logits, held against what it says itself; shapes alone say nothing.

    Raises:
        SpecError: It does something else.
    """
    finish = Finish.of(model.config)
    if any(parameter.is_meta for parameter in model.parameters()):
        return finish
    raw: list[Tensor] = []
    hook = output_head(model).register_forward_hook(lambda module, inputs, output: raw.append(output))
    try:
        with torch.no_grad():
            said = few_logits(model)
    finally:
        hook.remove()
    made = finish(raw[0]).float() if len(raw) == 1 else None
    if made is None or made.shape != said.shape or not torch.allclose(made, said.float(), rtol=1e-5, atol=1e-6):
        name = type(model).__name__
        raise SpecError(f"train.kernels: chunked: {name} makes its logits in a way that is not known; leave it out.")
    return finish


def use_liger(model: nn.Module) -> None:
    """Have Liger's kernels compute the norms and MLPs of ``model`` in training mode.

    Liger exchanges the modules' ``forward`` and the classes that the library would build the next model of; these are
    put back. Its own losses stay out: they would need all positions, where ours need the answer's.

    Raises:
        SpecError: Liger knows no such model.
    """
    from liger_kernel.transformers import _apply_liger_kernel_to_instance

    outer: Any = model
    inner = outer.get_base_model() if hasattr(outer, "get_base_model") else outer
    library = vars(sys.modules[type(inner).__module__])
    before, bound = dict(library), {module for module in inner.modules() if "forward" in vars(module)}
    try:
        _apply_liger_kernel_to_instance(
            inner, rope=False, cross_entropy=False, fused_linear_cross_entropy=False, rms_norm=True
        )
    finally:
        library.update(before)
    exchanged = [module for module in inner.modules() if "forward" in vars(module) and module not in bound]
    if not exchanged:
        raise SpecError(f"train.kernels: liger: Liger has no kernels for {inner.config.model_type}; leave it out.")
    for module in exchanged:
        module.forward = MethodType(_in_training(vars(module)["forward"].__func__), module)


def _in_training(forward: Any) -> Any:
    """Return a module's forward that is ``forward`` in training mode, and its class's own in eval mode."""

    def either(self: nn.Module, *args: Any, **named: Any) -> Any:
        return forward(self, *args, **named) if self.training else type(self).forward(self, *args, **named)

    return either
