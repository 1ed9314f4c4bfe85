"""What no checkpoint would bring back is found, by name; and nothing else is."""

from __future__ import annotations

import collections
import copy
import functools
import itertools
import random
import typing
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from secura_bench.data.example import Task
from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.registry import METHODS
from secura_bench.methods.build import build_method
from secura_bench.methods.cur_lora import CURLoRA
from secura_bench.methods.ewc import EWC
from secura_bench.methods.lending import attached
from secura_bench.methods.method import Method
from secura_bench.methods.stack import Stack
from secura_bench.training.marks import Marker
from secura_bench.training.unsaved import Unsaved

MODEL = nn.Linear(2, 2)


class Holder:
    def __init__(self) -> None:
        self.inner = [1]
        self.me = self


class Slotted:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Counting:
    n = 0

    def __iter__(self) -> Counting:
        return self

    def __next__(self) -> int:
        self.n += 1
        return self.n


def closure() -> Any:
    held = [0]

    def step() -> None:
        held[0] += 1

    return step


VALUES: list[tuple[str, Any, Any]] = [
    ("a number", lambda: [1], lambda v: v.__setitem__(0, 2)),
    ("1 and 1.0", lambda: [1], lambda v: v.__setitem__(0, 1.0)),
    ("a list", list, lambda v: v.append(None)),
    ("a dict", dict, lambda v: v.update(a=1)),
    ("the order of a dict", lambda: {1: 1, 2: 2}, lambda v: v.update({1: v.pop(1)})),
    ("a defaultdict", lambda: collections.defaultdict(list), lambda v: v["a"].append(1)),
    ("a deque", collections.deque, lambda v: v.append(1)),
    ("a set", set, lambda v: v.add(1)),
    ("a tensor", lambda: torch.ones(2), lambda v: v.add_(1)),
    ("a tensor behind autograd", lambda: nn.Parameter(torch.ones(2)), lambda v: v.data.add_(1)),
    ("a bf16 tensor", lambda: torch.ones(2, dtype=torch.bfloat16), lambda v: v.mul_(2)),
    ("a module", lambda: nn.Linear(2, 2), lambda v: v.weight.data.zero_()),
    ("a module's mode", lambda: nn.Linear(2, 2), lambda v: v.eval()),
    ("an array", lambda: np.zeros(3), lambda v: v.__setitem__(0, 1)),
    ("a generator", lambda: random.Random(1), lambda v: v.random()),
    ("a generator of torch", torch.Generator, lambda v: torch.randn(1, generator=v)),
    ("a generator of NumPy", lambda: np.random.default_rng(1), lambda v: v.random()),
    ("an older one of NumPy", lambda: np.random.RandomState(1), lambda v: v.rand()),
    ("an object", Holder, lambda v: v.inner.append(2)),
    ("an object with slots", Slotted, lambda v: setattr(v, "value", 1)),
    ("a list in a tuple", lambda: ([],), lambda v: v[0].append(1)),
    ("a closure", closure, lambda v: v()),
    ("a partial", lambda: functools.partial(print, []), lambda v: v.args[0].append(1)),
    ("a count", itertools.count, next),
    ("a cycle", lambda: itertools.cycle([1, 2]), next),
    ("an iterator", lambda: iter([1, 2]), next),
    ("an iterator of one's own", Counting, next),
    ("a generator function", lambda: (i for i in range(3)), next),
    ("an optimizer", lambda: torch.optim.SGD([MODEL.bias], lr=1), lambda v: v.param_groups[0].update(lr=2)),
    ("an attribute of a list", lambda: type("L", (list,), {})(), lambda v: setattr(v, "seen", 1)),
]  # fmt: skip


@pytest.mark.parametrize(("make", "change"), [value[1:] for value in VALUES], ids=[value[0] for value in VALUES])
def test_marks_are_of_what_is_in_a_value(make: Any, change: Any) -> None:
    mark, value = Marker(MODEL), make()
    first = mark(value)
    assert mark(value) == first, "to look changes nothing"
    change(value)
    assert mark(value) != first


def test_equal_values_have_equal_marks_and_the_models_own_are_no_ones_state() -> None:
    mark = Marker(MODEL)
    assert mark({"a": [torch.ones(2), (1, "x")]}) == mark({"a": [torch.ones(2), (1, "x")]})
    assert mark({1, 2, 3}) == mark({3, 2, 1})
    own = [MODEL, MODEL.weight, MODEL.weight.data, MODEL.weight.detach()[0], MODEL.state_dict()]
    before = mark(own)
    with torch.no_grad():
        MODEL.weight += 1
    assert mark(own) == before
    assert mark([MODEL.weight.detach().clone()]) != mark([MODEL.weight.detach().clone() + 1])


class Plain(Method):
    name = "plain"
    kept: list[int] = []  # noqa: RUF012 - as newcomers write it


FILE_LIST: list[int] = []


class WithState(Plain):
    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]


class OwnEWC(EWC):
    name = "own_ewc"


class OnlySaves(Method):
    name = "only_saves"

    def state_dict(self):
        return {}


class OnlyLoads(Method):
    name = "only_loads"

    def load_state_dict(self, state):
        pass


def started(method: Method, llama: Any) -> tuple[nn.Module, Unsaved]:
    model = attached(method, llama())
    return model, Unsaved(method, model)


CHANGES: list[tuple[str, Any, str]] = [
    ("set", lambda m, model: setattr(m, "memory", [1]), "'memory'"),
    ("counted", lambda m, model: setattr(m, "steps", 1), "'steps'"),
    ("two", lambda m, model: m.__dict__.update(a=1, b=2), "attributes 'a', 'b' changed"),
    ("many", lambda m, model: m.__dict__.update(a=1, b=2, c=3, d=4, e=5), "'a', 'b', 'c' and 2 more"),
    ("a list of the class", lambda m, model: m.kept.append(1), r"'Plain\.kept'"),
    ("a list of the file", lambda m, model: FILE_LIST.append(1), r"'FILE_LIST \(of its file\)'"),
    ("a copy of the model", lambda m, model: setattr(m, "teacher", copy.deepcopy(model)), "'teacher'"),
    ("a frozen tensor", lambda m, model: model.lm_head.weight.requires_grad_(False), r"'lm_head\.weight' became"),
    ("a hook", lambda m, model: model.lm_head.register_forward_hook(lambda *_: None), "hooks on the model's modules"),
    ("a hook on a tensor", lambda m, model: model.lm_head.weight.register_hook(lambda g: g), "hooks on the model's"),
]


@pytest.mark.parametrize(("change", "named"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_a_change_is_refused_by_its_name(llama, change: Any, named: str, monkeypatch) -> None:
    monkeypatch.setattr(Plain, "kept", [])
    method = Plain()
    model, unsaved = started(method, llama)
    unsaved.check()
    change(method, model)
    try:
        with pytest.raises(SpecError, match=f"test_unsaved.py: method 'plain': .*{named}"):
            unsaved.check()
    finally:
        FILE_LIST.clear()


@pytest.mark.parametrize("method", [Plain(), build_method("lora")], ids=["theirs", "ours"])
def test_what_every_method_stands_on_is_no_file_of_its_own(llama, method: Method, monkeypatch) -> None:
    """``Method`` is generic, and lists of ``typing`` grow with imports: a plug-in's own file alone is watched."""
    monkeypatch.setattr(typing, "_kept_by_typing", {}, raising=False)
    _, unsaved = started(method, llama)
    typing._kept_by_typing["a module"] = 1
    unsaved.check()


def test_a_part_of_a_stack_is_refused_as_itself(llama) -> None:
    part = Plain()
    _, unsaved = started(Stack([build_method("lora"), part]), llama)
    unsaved.check()
    part.memory = 1
    with pytest.raises(SpecError, match="method 'plain': its attribute 'memory' changed after the start"):
        unsaved.check()


def test_a_tensor_that_moves_and_is_not_in_the_trained_state_is_refused(llama) -> None:
    class Moves(CURLoRA):
        name = "moves"

    method = Moves(Moves.Options(r=4))
    model, unsaved = started(method, llama)
    with torch.no_grad():
        model.model.layers[0].self_attn.q_proj.U += 1
        unsaved.check()
        model.lm_head.weight += 1
    with pytest.raises(SpecError, match=r"tensor 'lm_head\.weight' of the model moved, and trained_state does not"):
        unsaved.check()

    class Forgets(Method):
        name = "forgets"

        def trained_state(self, model):
            return {name: p for name, p in super().trained_state(model).items() if "norm" not in name}

    _, unsaved = started(Forgets(), llama)
    with pytest.raises(SpecError, match=r"norm.* and 2 more of the model moved"):
        unsaved.check()


def test_a_state_of_its_own_is_taken_at_its_word_and_an_inherited_one_for_what_it_knows(llama) -> None:
    method = WithState()
    _, unsaved = started(method, llama)
    method.seen = method.other = 1
    unsaved.check()
    ewc = OwnEWC()
    _, unsaved = started(ewc, llama)
    ewc.fisher, ewc.offset = {"x": torch.ones(1)}, 2.0
    unsaved.check()
    ewc.memory = [1]
    with pytest.raises(SpecError, match="'memory'"):
        unsaved.check()


@pytest.mark.parametrize(("kind", "missing"), [(OnlySaves, "no load_state_dict"), (OnlyLoads, "no state_dict")])
def test_half_a_state_is_refused_before_anything_is_trained(llama, kind: type[Method], missing: str) -> None:
    with pytest.raises(SpecError, match=missing):
        started(kind(), llama)


def test_what_the_first_task_copies_of_the_model_is_there_again_and_nothing_else_is(llama, examples) -> None:
    class Copies(Method):
        name = "copies"
        teacher = None

        def begin_task(self, model, task):
            if self.teacher is None:
                self.teacher = copy.deepcopy(model)

    class Numbers(Method):
        name = "numbers"

        def begin_task(self, model, task):
            self.task = task.index

    for method, holds in ((Copies(), True), (Numbers(), False)):
        model, unsaved = started(method, llama)
        method.begin_task(model, Task("task", 0, examples, 2))
        unsaved.began()
        if holds:
            unsaved.check()
            method.teacher.lm_head.weight.data += 1
        with pytest.raises(SpecError, match="'teacher'" if holds else "'task'"):
            unsaved.check()


def test_what_start_makes_again_and_the_lent_base_are_no_change(llama) -> None:
    class Anchors(Method):
        name = "anchors"
        needs_base = True

        def start(self, model):
            self.anchor = [p.detach().clone() for p in model.parameters()]
            self.first = next(model.parameters())

    method = Anchors()
    model, unsaved = started(method, llama)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    unsaved.check()


@pytest.mark.parametrize("name", sorted(set(METHODS.names()) & {"seq", "mtl", "cur_lora", "cabr_lora"}))
def test_ours_without_a_state_have_none(llama, name: str) -> None:
    """Those with one are looked at whenever a test saves a session of theirs."""
    method = build_method(name, **({"r": 4, "m": 6} if name == "cabr_lora" else {"r": 4} if "lora" in name else {}))
    _, unsaved = started(method, llama)
    unsaved.check()
