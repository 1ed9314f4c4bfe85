"""Marks of values: equal for values that would compute the same, told apart by what is in them and not by identity.

A mark is a digest of everything that an object reaches: numbers, text, containers in their order, tensors and arrays by
their content, generators of random numbers by their position, any other object by its class and attributes. What is
part of a model is marked by its name there, for that has its own way to the disk.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GeneratorType,
    MappingProxyType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from secura_bench.models.sharded import local

_PLAIN = frozenset((bool, int, float, str, type(None)))
_fresh = itertools.count()


class Marker:
    """Makes marks of what a method holds beside ``model``; ``skip`` is left out wherever it is met."""

    def __init__(self, model: nn.Module, skip: nn.Module | None = None) -> None:
        self._names: dict[int, str] = {id(model): "model"}
        self._names |= {id(module): f"module {name}" for name, module in model.named_modules()}
        self._storages: dict[int, str] = {}
        tensors = itertools.chain(model.named_parameters(), model.named_buffers())
        for name, tensor in tensors:
            self._names[id(tensor)] = f"tensor {name}"
            if not tensor.is_meta and (place := local(tensor).untyped_storage().data_ptr()):
                self._storages[place] = name
        if skip is not None:
            self._names[id(skip)] = "lent"

    def __call__(self, value: Any) -> str:
        """Return the mark of ``value``."""
        digest = hashlib.blake2b(digest_size=16)
        for part in self._parts(value, {}):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return digest.hexdigest()

    def _parts(self, value: Any, above: dict[int, int]) -> Iterator[bytes]:
        """Yield what the mark is made of; ``above`` are the objects that contain ``value``, by their depth."""
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            yield f"{type(value).__name__}:{value!r}".encode()
            return
        if id(value) in self._names:
            yield self._names[id(value)].encode()
            return
        if id(value) in above:
            yield f"above:{above[id(value)]}".encode()
            return
        inside = {**above, id(value): len(above)}
        yield f"{type(value).__module__}.{type(value).__qualname__}".encode()
        for item in self._within(value):
            if isinstance(item, bytes):
                yield item
            else:
                yield from self._parts(item.value, inside)

    def _within(self, value: Any) -> Iterator[bytes | _Item]:
        """Yield the bytes and the further values that make up an object."""
        if isinstance(value, Tensor):
            yield from self._of_tensor(value)
        elif isinstance(value, np.ndarray):
            yield from (str(value.dtype).encode(), str(value.shape).encode())
            yield from map(_Item, value.tolist()) if value.dtype == object else [np.ascontiguousarray(value).tobytes()]
        elif isinstance(value, set | frozenset):
            yield from sorted(self(item).encode() for item in value)
        elif isinstance(value, Mapping | MappingProxyType):
            yield from (_Item(part) for pair in value.items() for part in pair)
            yield from _beside(value)
        elif isinstance(value, list | tuple | deque):
            plain = _PLAIN.issuperset(map(type, value))  # token ids by the thousand
            yield from [repr(list(value)).encode()] if plain else map(_Item, value)
            yield from _beside(value)
        elif (position := _position(value)) is not None:
            yield _Item(position)
        elif isinstance(value, nn.Module):
            yield from (_Item((*pair, value.training)) for pair in value.state_dict(keep_vars=True).items())
        elif isinstance(value, type | ModuleType | CodeType | BuiltinFunctionType):
            yield str(getattr(value, "__qualname__", getattr(value, "__name__", ""))).encode()
        else:
            yield _Item(_reached(value))

    def _of_tensor(self, tensor: Tensor) -> Iterator[bytes]:
        tensor = local(tensor)
        yield f"{tensor.dtype} {tuple(tensor.shape)}".encode()
        if tensor.is_meta:
            return
        if tensor.layout is torch.strided and (name := self._storages.get(tensor.untyped_storage().data_ptr())):
            yield f"memory of {name}, {tensor.storage_offset()} {tensor.stride()}".encode()
            return
        plain = tensor.detach().to_dense() if tensor.layout is not torch.strided else tensor.detach()
        yield plain.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


class _Item:
    """A value within another one."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _beside(container: Any) -> Iterator[_Item]:
    """Yield the attributes that a container of one's own kind has beside its items."""
    if attributes := _attributes(container):
        yield _Item(attributes)


def _position(value: Any) -> Any:
    """Return where a generator of random numbers stands; None for anything else."""
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, np.random.Generator):
        return dict(value.bit_generator.state)
    if isinstance(value, np.random.BitGenerator):
        return dict(value.state)
    return value.get_state() if isinstance(value, np.random.RandomState) else None


def _reached(value: Any) -> Any:
    """Return what else an object's behaviour depends on, as plain containers of further values."""
    if isinstance(value, MethodType):
        return (value.__func__, value.__self__)
    if isinstance(value, functools.partial):
        return (value.func, value.args, value.keywords)
    if isinstance(value, FunctionType):
        cells = [_content(cell) for cell in value.__closure__ or ()]
        return (value.__qualname__, cells, value.__defaults__, value.__kwdefaults__)
    if isinstance(value, GeneratorType):
        frame = value.gi_frame
        return (value.__qualname__, frame and frame.f_lasti, frame and dict(frame.f_locals))
    if hasattr(type(value), "__next__") and not hasattr(value, "__dict__"):
        return _unknown(value)
    return _attributes(value)


def _unknown(value: Any) -> Any:
    """Return how an iterator of the standard library would be made again; what cannot tell is never the same twice."""
    if isinstance(value, itertools.count | itertools.repeat):
        return repr(value)  # says where it stands
    remake: Callable[[], Any] | None = getattr(value, "__setstate__", None) and value.__reduce__
    try:
        return remake()[1:] if remake else next(_fresh)
    except TypeError:
        return next(_fresh)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled
        return None


def _attributes(value: Any) -> dict[str, Any]:
    """Return an object's attributes, those in slots too."""
    found = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return found
