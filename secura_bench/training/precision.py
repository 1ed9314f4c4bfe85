"""In which precision a run computes, on which device, and which of its tensors are trained how."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from secura_bench.adapters.injection import DEFAULT_TARGETS
from secura_bench.adapters.reached import refuse_unreached
from secura_bench.foundation.errors import SpecError
from secura_bench.spec.sections import TrainSpec
from secura_bench.spec.types import Precision
from secura_bench.training.kernels import use_kernels


def new_accelerator(precision: Precision, cpu: bool = False) -> Accelerator:
    """Return an accelerator for one run: on this process's device, under bf16 autocast if asked for.

    Accelerate keeps one precision a process; runs of one plan may differ, so what the last run set is forgotten.
    """
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision="bf16" if precision == "bf16" else "no", cpu=cpu)


def weights_dtype(precision: Precision) -> torch.dtype:
    """Return the dtype in which frozen weights are held."""
    return torch.float32 if precision == "fp32" else torch.bfloat16


def trained_dtype(precision: Precision) -> torch.dtype:
    """Return the dtype of trained tensors: fp32, since small updates vanish in bf16, unless that is asked for."""
    return torch.float32 if precision in ("fp32", "bf16") else torch.bfloat16


def prepare_training(model: nn.Module, train: TrainSpec) -> None:
    """Make the attached ``model`` train as ``train`` says: which tensors, in which dtype and how, and what is kept.

    Raises:
        SpecError: ``parameters: targets`` leaves nothing to train, the model never calls what was adapted, or it cannot
            be computed by the kernels that are asked for.
    """
    if train.parameters == "targets":
        train_targets_alone(model)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(trained_dtype(train.precision))
    device = next(model.parameters()).device.type
    with torch.autocast(device, torch.bfloat16, enabled=train.precision == "bf16" and device != "meta"):
        refuse_unreached(model)
        use_kernels(model, train)
    if train.gradient_checkpointing:
        # Transformers 5 renamed it on the way.
        enable = getattr(model, "activation_checkpointing_enable", None)
        enable = enable or getattr(model, "gradient_checkpointing_enable", None)
        if enable is None:
            raise SpecError(f"train.gradient_checkpointing: {type(model).__name__} cannot do it.")
        enable({"use_reentrant": False})


def train_targets_alone(model: nn.Module) -> None:
    """Freeze whatever lies outside of the query and value projections.

    Raises:
        SpecError: Nothing trained lies in them.
    """
    trained = 0
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and not set(DEFAULT_TARGETS).isdisjoint(name.split(".")))
        trained += parameter.requires_grad
    if not trained:
        raise SpecError(f"train.parameters: targets: nothing is trained in {', '.join(DEFAULT_TARGETS)}.")
