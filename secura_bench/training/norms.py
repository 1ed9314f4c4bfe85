"""Norms along training: of gradients by matrix (the paper's Figure 2), of adapted weights (Figure 3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from secura_bench.adapters.conv1d import is_conv1d, linear_weight
from secura_bench.models.sharded import whole

_ADAPTER_NAME = re.compile(r"\.(default|weight)(?=\.|$)")


def gradient_norms(model: nn.Module) -> dict[str, float]:
    """Return the L2 norm of every trained matrix's gradient, a mean over layers: ``grad_q_proj.B`` and the like.

    Modules of one name are averaged, q and v stay apart, and so do the matrices of an adapter: a matrix without any
    gradient counts as zero.
    """
    norms: dict[str, list[float]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            gradient = 0.0 if parameter.grad is None else float(whole(parameter.grad.norm()))
            norms.setdefault(f"grad_{short_name(name)}", []).append(gradient)
    return {name: sum(values) / len(values) for name, values in norms.items()}


def total_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Return the L2 norm over all gradients, as ``clip_grad_norm_`` does, without clipping them."""
    norms = [torch.linalg.vector_norm(p.grad) for p in parameters if p.grad is not None]
    return whole(torch.linalg.vector_norm(torch.stack(norms))) if norms else torch.zeros(())


def short_name(name: str) -> str:
    """Return a parameter's name without its layer: ``q_proj.lora_A`` of ``….3.….q_proj.lora_A.default.weight``."""
    parts = _ADAPTER_NAME.sub("", name).split(".")
    numbered = max((i for i, part in enumerate(parts) if part.isdigit()), default=-1)
    return ".".join(parts[numbered + 1 :][-2:])


def linear_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the path and weight of every linear module of a plain ``model``: of whatever a method may adapt."""
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear) or is_conv1d(module):
            yield path, linear_weight(module)


@torch.no_grad()
def frobenius(weights: Iterable[tuple[str, Tensor]]) -> dict[str, float]:
    """Return the mean Frobenius norm of weights by the last part of their path: the norm of their singular values."""
    norms: dict[str, list[float]] = {}
    for path, weight in weights:
        norms.setdefault(path.rpartition(".")[2], []).append(float(whole(weight.float().norm())))
    return {name: sum(values) / len(values) for name, values in norms.items()}


@torch.no_grad()
def copied(weights: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Return weights by path, copied to the CPU."""
    return {path: weight.detach().to("cpu", copy=True) for path, weight in weights}


@torch.no_grad()
def relative_change(before: Mapping[str, Tensor], weights: Iterable[tuple[str, Tensor]]) -> dict[str, float]:
    """Return ‖W − W_before‖ / ‖W_before‖ in Frobenius norms, a mean over the modules of one name that ``before`` has.

    For C U R beside W that is ‖C U R‖ / ‖W‖. Paths are compared without PEFT's beginning.
    """
    found: dict[str, list[float]] = {}
    for path, weight in weights:
        base = before.get(path.removeprefix("base_model.model."))
        if base is not None:
            base, weight = base.float(), whole(weight.detach()).cpu().float()
            found.setdefault(path.rpartition(".")[2], []).append(float((weight - base).norm() / base.norm()))
    return {name: sum(values) / len(values) for name, values in found.items()}
