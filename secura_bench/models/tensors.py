"""A model's tensors by all of their names: several modules may share one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from secura_bench.models.sharded import is_sharded


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name; one that several modules share under each of its names."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return parameters | dict(model.named_buffers(remove_duplicate=False))


def without_copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``tensors`` with each that several names share under the first of them alone; divided ones are apart."""
    kept: dict[str, Tensor] = {}
    seen: set[tuple[object, ...]] = set()
    for name, tensor in tensors.items():
        if is_sharded(tensor):
            kept[name] = tensor
            continue
        place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride())
        if tensor.is_meta or tensor.numel() == 0 or place not in seen:
            kept[name] = tensor
        seen.add(place)
    return kept


def sharing(model: nn.Module) -> dict[str, list[str]]:
    """Return, for each name of a parameter that has more than one, the others: a tied head's embedding, for one."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    groups = (several for several in names.values() if len(several) > 1)
    return {name: [other for other in several if other != name] for several in groups for name in several}


def places_of(model: nn.Module, parameter: nn.Parameter) -> Iterator[tuple[nn.Module, str]]:
    """Yield the modules that hold ``parameter``, and under which name."""
    for module in model.modules():
        for name, own in module._parameters.items():
            if own is parameter:
                yield module, name
