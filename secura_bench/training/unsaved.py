"""Changes that no checkpoint holds: a run that was killed would lose them, and resume wrong. So they are refused."""

from __future__ import annotations

import inspect
import random
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from secura_bench.foundation.errors import SpecError
from secura_bench.methods.lending import bits_of
from secura_bench.methods.method import Method
from secura_bench.methods.stack import Stack, is_ours
from secura_bench.models.sharded import is_sharded, local
from secura_bench.training.marks import Marker

_IN_A_FILE = (bool, int, float, str, list, dict, set, deque, Tensor, random.Random, torch.Generator, np.ndarray)
"""What of a plug-in's file is looked at beside its classes."""


class Unsaved:
    """Compares a method and its model with what they were at the start, less what checkpoints hold.

    Made when the method is attached and started, in every process of a run. A method that writes its own
    ``state_dict`` is taken at its word; one that inherits one of ours is, for what ours looks at.

    Raises:
        SpecError: A method writes one of ``state_dict`` and ``load_state_dict``, and not the other.
    """

    def __init__(self, method: Method, model: nn.Module) -> None:
        self._method, self._model = method, model
        self._parts = list(_leaves(method))
        for part in self._parts:
            _refuse_half_a_state(part)
        self._marks = [self._marks_of(part) for part in self._parts]
        self._tensors = {name: bits_of(tensor) for name, tensor in _persistent(model) if not tensor.requires_grad}
        self._trained = {name for name, p in model.named_parameters() if p.requires_grad}
        self._hooks = self._hooks_on_model()

    def began(self) -> None:
        """Take note that the first task began: copies of the model that are made then are made again on a resume."""
        for part, marks in zip(self._parts, self._marks, strict=True):
            now = self._marks_of(part)
            values = dict(_watched(part))
            marks |= {name: mark for name, mark in now.items() if _is_a_copy(values[name])}

    def check(self) -> None:
        """Refuse to write a checkpoint that would not bring everything back.

        Raises:
            SpecError: Names the attributes or tensors, and the way out.
        """
        for part, marks in zip(self._parts, self._marks, strict=True):
            now = self._marks_of(part)
            changed = sorted(name for name in {*now, *marks} if now.get(name) != marks.get(name))
            if changed:
                raise SpecError(
                    f"{_place(part)}its {_these('attribute', changed)} changed after the start, and no checkpoint "
                    f"holds {'it' if len(changed) == 1 else 'them'}: stopped and resumed, the run would end with "
                    f"other numbers. Return {'it' if len(changed) == 1 else 'them'} from state_dict and go on from "
                    f"there in load_state_dict; what is made from the model as it was before the first step belongs "
                    f"in start."
                )
        self._check_model()

    def _check_model(self) -> None:
        kept = self._method.trained_state(self._model).keys()
        trained = {name for name, p in self._model.named_parameters() if p.requires_grad}
        if other := sorted(trained ^ self._trained):
            raise SpecError(
                f"{_place(self._method)}{_these('tensor', other)} became trained or frozen after the start, which no "
                f"checkpoint holds, nor does the optimizer heed it; decide it in attach or start."
            )
        moved = [
            name
            for name, tensor in _persistent(self._model)
            if name not in kept and (name in trained or bits_of(tensor) != self._tensors.get(name))
        ]
        if moved:
            raise SpecError(
                f"{_place(self._method)}{_these('tensor', moved)} of the model moved, and trained_state does not "
                f"return {'it' if len(moved) == 1 else 'them'}: no checkpoint holds what was learned there."
            )
        if self._hooks_on_model() != self._hooks:
            raise SpecError(
                f"{_place(self._method)}hooks on the model's modules came or went after the start, and no checkpoint "
                f"holds them; register them in attach or start, which are called again on a resume."
            )

    def _hooks_on_model(self) -> int:
        """Return how many hooks the method's own code has on the model; transformers puts its own there as it goes."""
        packages = {one.__module__.partition(".")[0] for part in self._parts for one in type(part).__mro__}
        return sum(_package(hook) in packages for hook in _hooks(self._model))

    def _marks_of(self, part: Method) -> dict[str, str]:
        marker = Marker(self._model, part.base if part.needs_base else None)
        return {name: marker(value) for name, value in _watched(part)}


def _leaves(method: Method) -> Iterator[Method]:
    if isinstance(method, Stack):
        for part in method.parts:
            yield from _leaves(part)
    else:
        yield method


def _refuse_half_a_state(part: Method) -> None:
    kinds = {hook: _definer(type(part), hook) for hook in ("state_dict", "load_state_dict")}
    theirs = [hook for hook, kind in kinds.items() if not is_ours(kind)]
    if len(theirs) == 1:
        missing = next(hook for hook in kinds if hook not in theirs)
        raise SpecError(
            f"{_place(part)}it has a {theirs[0]} of its own and no {missing}: what the one returns, the other takes."
        )


def _watched(part: Method) -> Iterator[tuple[str, Any]]:
    """Yield by name what may change of a method and is not in its state: its attributes, its class's, its file's."""
    kind = type(part)
    definer = _definer(kind, "state_dict")
    if not is_ours(definer):
        return
    covered = _named_in(definer) if definer is not Method else set()
    for name, value in vars(part).items():
        if name not in covered and name != "options" and not (name == "base" and part.needs_base):
            yield name, value
    foreign = [one for one in kind.__mro__ if one not in Method.__mro__ and not is_ours(one)]
    for one in foreign:
        yield from ((f"{one.__name__}.{name}", value) for name, value in _data_of(one))
    for module in dict.fromkeys(one.__module__ for one in foreign):
        for name, value in vars(sys.modules[module]).items():
            if isinstance(value, _IN_A_FILE) and not name.startswith("__"):
                yield f"{name} (of its file)", value
            elif isinstance(value, type) and value.__module__ == module and value not in foreign:
                yield from ((f"{name}.{key}", inner) for key, inner in _data_of(value))


def _data_of(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield what of a class is data of the kinds that change."""
    for name, value in vars(kind).items():
        if not name.startswith("__") and isinstance(value, _IN_A_FILE):
            yield name, value


def _definer(kind: type, hook: str) -> type:
    return next(one for one in kind.__mro__ if hook in vars(one))


def _named_in(kind: type) -> set[str]:
    """Return every name that the code of a class and of those above it speaks of: what its own state is made from."""
    functions = (f for one in kind.__mro__ for f in vars(one).values() if inspect.isfunction(f))
    return {name for function in functions for name in function.__code__.co_names}


def _is_a_copy(value: Any) -> bool:
    """Return whether a value is made of tensors and modules alone."""
    if isinstance(value, Mapping):
        return bool(value) and all(map(_is_a_copy, value.values()))
    if isinstance(value, list | tuple):
        return bool(value) and all(map(_is_a_copy, value))
    return isinstance(value, Tensor | nn.Module)


def _persistent(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the plain tensors that make up a model's state, each once, or what this process has of them."""
    names = model.state_dict().keys()
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if name in names and (is_sharded(tensor) or type(tensor) in (Tensor, nn.Parameter)):
            yield name, local(tensor)


def _hooks(model: nn.Module) -> Iterator[Any]:
    """Yield the hooks on the modules and parameters of ``model``."""
    for module in model.modules():
        for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            yield from getattr(module, kind).values()
    for parameter in model.parameters():
        for kind in ("_backward_hooks", "_post_accumulate_grad_hooks"):
            yield from (getattr(parameter, kind, None) or {}).values()


def _package(hook: Any) -> str:
    """Return the package of a hook's code, or of the class whose object it is."""
    inner = getattr(hook, "func", hook)  # of a partial
    return str(getattr(inner, "__module__", None) or type(inner).__module__).partition(".")[0]


def _these(what: str, names: list[str]) -> str:
    """Return ``attribute 'x'``, or ``attributes 'x', 'y' and 3 more``."""
    shown = ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{what}{'s' if len(names) > 1 else ''} {shown}"


def _place(method: Method) -> str:
    kind = type(method)
    file = None if is_ours(kind) else getattr(sys.modules.get(kind.__module__), "__file__", None)
    return f"{file + ': ' if file else ''}method {method.name!r}: "
