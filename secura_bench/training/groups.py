"""A method's parameter groups, checked: every trained tensor in one of them, once, and each with its own rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from secura_bench.foundation.errors import SpecError, unknown_name
from secura_bench.methods.method import Method
from secura_bench.spec.each_task import of_first_task
from secura_bench.spec.sections import TrainSpec

_KEYS = ("params", "lr", "lr_scale", "weight_decay")


@dataclass(frozen=True)
class Group:
    """Parameters that share a rate; ``names`` stand for identity.

    ``lr`` is the rate before any schedule, of the run's first task; ``scale`` the multiple that it is of the spec's,
    None where the method says a rate of its own.
    """

    names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]
    lr: float
    weight_decay: float
    scale: float | None = None

    def rate(self, lr: float) -> float:
        """Return the rate before any schedule where the spec's is ``lr``."""
        return self.lr if self.scale is None else lr * self.scale

    def settings(self) -> dict[str, Any]:
        """Return the group as torch's optimizers take it."""
        return {"params": list(self.parameters), "lr": self.lr, "weight_decay": self.weight_decay}


def groups_of(method: Method, model: nn.Module, train: TrainSpec) -> list[Group]:
    """Return what ``method.parameter_groups`` says, with the spec's values where it says none.

    Raises:
        SpecError: A trained tensor is in no group or in two, one that is not trained is in a group, or a key of a
            group is unknown or has no meaning; names the tensor or the key.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    where = f"method {method.name!r}: parameter_groups"
    groups: list[Group] = []
    seen: dict[int, int] = {}
    for number, given in enumerate(method.parameter_groups(model)):
        parameters = _parameters(given, f"{where}: group {number}")
        for parameter in parameters:
            name = names.get(id(parameter), "a tensor that is none of the model's parameters")
            if id(parameter) not in trained:
                raise SpecError(f"{where}: group {number} has {name}, which is not trained.")
            if id(parameter) in seen:
                raise SpecError(f"{where}: {name} is in group {seen[id(parameter)]} and again in group {number}.")
            seen[id(parameter)] = number
        if parameters:
            lr, decay = _rates(given, train, f"{where}: group {number}")
            scale = None if "lr" in given else given.get("lr_scale", 1.0)
            groups.append(Group(tuple(names[id(p)] for p in parameters), tuple(parameters), lr, decay, scale))
    if missing := [names[key] for key in names if key in trained - set(seen)]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise SpecError(f"{where}: {missing[0]}{more} is trained, and in no group.")
    return groups


def heads_group(heads: Mapping[str, nn.Parameter], train: TrainSpec) -> Group:
    """Return the group of the tasks' classification heads, by name: they are trained at the spec's rate."""
    lr = float(of_first_task(train.lr))
    return Group(tuple(heads), tuple(heads.values()), lr, train.weight_decay, scale=1.0)


def check_order(method: Method, now: Sequence[Group], before: Sequence[Sequence[str]]) -> None:
    """Refuse groups that are others than those whose optimizer state comes back.

    Raises:
        SpecError: Says where they differ.
    """
    for number, (group, names) in enumerate(zip(now, before, strict=False)):
        for mine, theirs in zip(group.names, names, strict=False):
            if mine != theirs:
                raise SpecError(
                    f"method {method.name!r}: parameter_groups: group {number} has {mine} where the stopped run had "
                    f"{theirs}; the order must be the same each time (a set has none)."
                )
    if [len(group.names) for group in now] != list(map(len, before)):
        raise SpecError(f"method {method.name!r}: parameter_groups: the groups are others than the stopped run's.")


def _parameters(given: Mapping[str, Any], where: str) -> list[nn.Parameter]:
    if not isinstance(given, Mapping) or "params" not in given:
        raise SpecError(f"{where}: a group is a dict with 'params', a list of the model's parameters.")
    if unknown := [key for key in given if key not in _KEYS]:
        raise SpecError(f"{where}: {unknown_name('key', unknown[0], _KEYS)}")
    held = given["params"]
    return [held] if isinstance(held, nn.Parameter) else list(held)


def _rates(given: Mapping[str, Any], train: TrainSpec, where: str) -> tuple[float, float]:
    if "lr" in given and "lr_scale" in given:
        raise SpecError(f"{where}: 'lr' is a rate and 'lr_scale' a multiple of the spec's; leave one of them out.")
    first = of_first_task(train.lr)
    lr = given["lr"] if "lr" in given else first * given["lr_scale"] if "lr_scale" in given else first
    decay = given.get("weight_decay", train.weight_decay)
    for key, value in (("lr", lr), ("weight_decay", decay)):
        if not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise SpecError(f"{where}: {key} must be a finite number, 0 or more (here: {value!r}).")
    return float(lr), float(decay)
