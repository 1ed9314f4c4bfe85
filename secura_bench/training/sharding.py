"""Weights divided among the processes of a run: torch's FSDP2, and a run's state whole again.

torch's ``fully_shard`` is called by itself. Accelerate's way to it takes model and optimizer in one ``prepare``, moves
the optimizer's parameters by their addresses, and holds its settings for the whole process; here an optimizer is made
anew at boundaries, and a process does runs of several kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from secura_bench.foundation.errors import SpecError
from secura_bench.models.sharded import is_sharded, whole
from secura_bench.spec.sections import TrainSpec
from secura_bench.training.processes import count, is_main, together


def divides(train: TrainSpec) -> bool:
    """Return whether a run's weights are divided: where that is asked for, and there are several processes."""
    return train.shard == "full" and together()


def home(train: TrainSpec, device: torch.device) -> torch.device:
    """Return where a run's model is loaded: on its device, or whole on the CPU, from where each part goes there."""
    return torch.device("cpu") if divides(train) else device


def shard(model: nn.Module, device: torch.device, train: TrainSpec) -> None:
    """Divide the parameters of the attached ``model``, in place, and put each process's part on its device.

    Each decoder layer is gathered by itself while it computes, and so are embedding and head where they are two; what
    is left is gathered for a whole forward. Nothing else than the model's own call gathers anything, and the call is
    one of all processes at once.

    Raises:
        SpecError: torch is older than FSDP2 needs, a tensor lies outside of the language model, or one cannot be
            divided into parts of one size, where moments of 8 bits want them.
    """
    try:
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    except ImportError:
        raise SpecError(f"train.shard: needs torch 2.6 or newer (here: {torch.__version__}).") from None
    from torch.distributed.device_mesh import init_device_mesh

    mesh = init_device_mesh(device.type, (count(),))
    inner: Any = model
    if hasattr(inner, "get_base_model"):
        inner = inner.get_base_model()
    layers = set(getattr(inner, "_no_split_modules", None) or ())
    units = [module for module in inner.modules() if type(module).__name__ in layers]
    ends = [inner.get_input_embeddings(), inner.get_output_embeddings()]
    if ends[0].weight is ends[1].weight:
        ends = []
    # Autocast would keep the bf16 copy that it makes of every whole weight. So these are gathered in bf16; but for the
    # embedding, whose numbers add up through all layers.
    bf16 = torch.bfloat16 if train.precision == "bf16" else None
    low = MixedPrecisionPolicy(bf16, reduce_dtype=bf16 and torch.float32, cast_forward_inputs=False)
    for unit in (*units, *ends, inner):
        policy = low if unit in units or unit in ends[1:] else MixedPrecisionPolicy()
        # Divided again after each forward: whoever looks between two of them meets parts alone.
        fully_shard(unit, mesh=mesh, reshard_after_forward=True, mp_policy=policy)
    if outside := [name for name, parameter in model.named_parameters() if not is_sharded(parameter)]:
        raise SpecError(f"train.shard: {outside[0]} lies outside of the language model, and cannot be divided.")
    if train.optimizer == "adamw_8bit":
        _check_parts(model)
    for buffer in model.buffers():  # of modules that no unit has
        buffer.data = buffer.data.to(device)


def _check_parts(model: nn.Module) -> None:
    """Refuse trained tensors whose parts would hold moments of other kinds: torchao quantises whole blocks alone.

    Raises:
        SpecError: Names the first, or says that torchao is missing: bitsandbytes knows no parts.
    """
    if not find_spec("torchao"):
        raise SpecError("train.shard: optimizer: adamw_8bit needs torchao: pip install 'secura-bench[lowmem]'.")
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and len(parameter) % count():
            raise SpecError(
                f"train.optimizer: adamw_8bit: {name} has {len(parameter)} rows, which {count()} processes cannot "
                f"divide evenly; use adamw, or another number of processes."
            )


@torch.no_grad()
def gathered(state: Any) -> Any:
    """Return ``state``, nested containers, with each divided tensor whole, on the CPU of the first process alone.

    Tensor by tensor, so that a device holds one of them beside its parts; elsewhere None stands for it. Every process
    must ask at once. What is whole stays what it is.
    """
    if isinstance(state, Tensor) and is_sharded(state):
        full = _whole(state)
        return full.cpu() if is_main() else None
    if isinstance(state, Mapping):
        return {key: gathered(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(map(gathered, state))
    return state


def _whole(state: Any) -> Tensor:
    """Return a divided tensor whole; moments of 8 bits by what they are made of, of which torchao's own way waits not.

    Their parts are of one size (``shard``), in whole blocks.
    """
    part = state.to_local()
    if not hasattr(part, "__tensor_flatten__"):
        return whole(state)
    from torch.distributed.tensor import DTensor

    names, attributes = part.__tensor_flatten__()
    inner = {name: getattr(part, name) for name in names}
    for name in ("codes", "scale"):
        inner[name] = whole(DTensor.from_local(inner[name], state.device_mesh, state.placements, run_check=False))
    full: Tensor = type(part).__tensor_unflatten__(inner, attributes)
    return full
