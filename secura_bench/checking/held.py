"""What a method holds beside the model: the tensors that are found on it, against those that it counts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from torch import Tensor, nn

from secura_bench.methods.method import Method

_TOO_SMALL = 100
"""What is held and not counted is said where it is more than one in so many of what is trained: a plan errs by less."""


def not_counted(method: Method, model: nn.Module) -> str | None:
    """Return what a trained method holds that ``count_parameters`` does not say, None where it says all."""
    count = method.count_parameters(model)
    found = numbers_held(method, model)
    if found - count.held <= count.trainable // _TOO_SMALL:
        return None
    return (
        f"its attributes hold {found:,} numbers beside the model, and count_parameters says {count.held:,}: plans and "
        f"tables lack them. Let it return super().count_parameters(model).with_held(...)"
    )


def numbers_held(method: Method, model: nn.Module) -> int:
    """Return how many floating-point numbers lie in a method's attributes, and not in ``model`` or a lent base.

    What its ``state_dict`` returns may be copies, of the trained weights too, and is held by nobody.
    """
    own = {_storage(tensor) for tensor in (*model.parameters(), *model.buffers())}
    sizes: dict[int, int] = {}
    for tensor in _tensors(method, set()):
        if tensor.is_floating_point() and _storage(tensor) not in own:
            sizes[_storage(tensor)] = max(tensor.numel(), sizes.get(_storage(tensor), 0))
    return sum(sizes.values())


def _tensors(value: Any, seen: set[int]) -> Iterator[Tensor]:
    """Yield the tensors within ``value``; of a method not those of the base that it is lent."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from (*value.parameters(), *value.buffers())
    else:
        for each in _within(value):
            yield from _tensors(each, seen)


def _within(value: Any) -> Iterable[Any]:
    if isinstance(value, Method):
        lent = {"options", "base"} if value.needs_base else {"options"}
        return [each for name, each in vars(value).items() if name not in lent]
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, list | tuple | deque | set):
        return value
    return vars(value).values() if is_dataclass(value) and not isinstance(value, type) else ()


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
