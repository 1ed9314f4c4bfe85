"""A kept result back on its base: every tensor there, of the right shape, and a number."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from secura_bench.adapters.put_back import make_room
from secura_bench.foundation.errors import BenchError
from secura_bench.methods.lending import attached
from secura_bench.methods.method import Method
from secura_bench.models.load import ModelFolder, load_model
from secura_bench.models.quantised import in_fp32
from secura_bench.models.sound import not_finite
from secura_bench.models.tensors import named_tensors
from secura_bench.training.precision import train_targets_alone


def restore(
    base: ModelFolder,
    method: Method,
    kept: Path,
    dtype: torch.dtype = torch.float32,
    *,
    targets_alone: bool = False,
) -> nn.Module:
    """Return the trained model in fp32: the base, with the method attached and its kept tensors put back.

    ``dtype`` is the dtype in which the run held the base. A CUR method chooses columns and rows by norms in it.
    ``targets_alone`` says that the run trained query and value projections alone (``train.parameters``).

    Raises:
        BenchError: The kept result lacks a tensor, or holds one that is strange, misshapen or no number.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    model = attached(method, load_model(base, dtype), train_targets_alone if targets_alone else lambda model: None)
    try:
        tensors = load_file(kept)
    except (SafetensorError, OSError) as error:
        raise BenchError(f"{kept}: cannot be read: {error}.") from None
    make_room(model, tensors)
    own = named_tensors(model)
    shared: dict[int, list[str]] = {}
    for name, tensor in own.items():
        shared.setdefault(id(tensor), []).append(name)
    for name in method.trained_state(model):
        if not any(other in tensors for other in (name, *shared.get(id(own.get(name)), ()))):
            raise BenchError(f"{kept}: lacks {name}; do the run again, with --force, to export it.")
    for name, tensor in tensors.items():
        if name not in own:
            raise BenchError(f"{kept}: holds {name}, which {method.name!r} on {base.label} does not have.")
        if tensor.shape != own[name].shape:
            there, wanted = tuple(tensor.shape), tuple(own[name].shape)
            raise BenchError(f"{kept}: {name} is of shape {there}, and the model's is {wanted}.")
    if faults := not_finite(tensors):
        raise BenchError(f"{kept}: {faults[0]} holds NaN or infinity: there is nothing to export.")
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].data = tensor.to(own[name].device)
    return in_fp32(model).eval()
