"""The method seam: registry, stack, and the ten-line loop of plain PyTorch."""

from __future__ import annotations

from inspect import get_annotations
from typing import Any, get_args

import pytest
import torch

from secura_bench.adapters.cur_layers import CURLinear
from secura_bench.data.collate import collate
from secura_bench.data.example import Task
from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.registry import METHODS, Registry
from secura_bench.methods.base_model import Base
from secura_bench.methods.build import build_method
from secura_bench.methods.lora import LoRA
from secura_bench.methods.method import Method, Options
from secura_bench.methods.secura import Secura
from secura_bench.methods.stack import Stack
from secura_bench.models.load import shape_of

SIZES = {name: {"r": 4, "m": 6} for name in ("secura", "cabr_lora")} | {"cur_lora": {"r": 4}}


@pytest.mark.parametrize("name", ["seq", "lora", "dora", "cur_lora", "cabr_lora", "secura"])
def test_ten_lines_of_plain_pytorch(llama, examples, name: str) -> None:
    method = build_method(name, **SIZES.get(name, {}))
    model = method.attach(llama())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-2)
    task, losses = Task("task", 0, examples), []
    method.begin_task(model, task)
    for _ in range(40):
        loss = method.loss(model, collate(method.mix(examples), pad_id=0))
        (loss.sum / loss.tokens + sum(loss.terms.values())).backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step(model, optimizer)
        losses.append((loss.sum / loss.tokens).item())
    method.end_task(model, task)
    assert losses[-1] < 0.9 * losses[0]


class Penalty(Method):
    name = "penalty"

    def terms(self, model, batch, logits):
        return {"norm": sum(p.square().sum() for p in model.parameters() if p.requires_grad)}

    def state_dict(self):
        return {"seen": 3}

    def load_state_dict(self, state):
        self.seen = state["seen"]


class Doubling(Method):
    name = "doubling"

    def mix(self, examples):
        return [*examples, *examples]


class Anchored(Method):
    name = "anchored"
    anchors_weights = True


def test_stack_threads_every_hook(llama, examples) -> None:
    stack = Stack([build_method("secura", r=4, m=6), Doubling(), Penalty()])
    model = stack.attach(llama())
    assert not stack.starts_as_base
    assert len(stack.mix(examples)) == 16
    batch = collate(examples, pad_id=0)
    loss = stack.loss(model, batch)
    assert set(loss.terms) == {"norm"}
    assert loss.sum.item() == pytest.approx(Method().loss(model, batch).sum.item())
    stack.after_step(model, torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0))
    state = stack.state_dict()
    assert list(state) == ["0.secura", "1.doubling", "2.penalty"]
    assert state["0.secura"]["steps"] == 1 and state["2.penalty"] == {"seen": 3}
    other = Stack([build_method("secura", r=4, m=6), Doubling(), Penalty()])
    other.attach(llama())
    other.load_state_dict(state)
    assert other.parts[0].steps == 1 and other.parts[2].seen == 3
    with stack.evaluating(model) as view:
        assert view is model
    alone = build_method("secura", r=4, m=6).count_parameters(model)
    assert stack.count_parameters(model) == alone
    assert alone.effective == alone.trainable - 4 * 4 * 6  # A, of four modules, has no gradient
    adapted = [m.base.weight.shape for m in model.modules() if isinstance(m, CURLinear)]
    assert alone.held == sum(4 * h + 4 * d + 4 * 4 for h, d in adapted)  # C, R and K


def test_a_stack_replays_once_but_not_with_what_has_no_buffer() -> None:
    Stack([build_method("i_lora", consistency="logits"), build_method("er")])
    with pytest.raises(SpecError, match="replays once"):
        Stack([build_method("i_lora", consistency="hidden"), build_method("er")])


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], "at least one"),
        ([Base], "decides by itself"),
        ([Secura, Secura], "adapts the model once"),
        ([Secura, Anchored], "anchor"),
        ([LoRA, Anchored], "anchor"),
        ([Doubling, Doubling], "replays once"),
    ],
)
def test_stacks_that_make_no_sense(parts: list[type[Method]], reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        Stack([part() for part in parts])


def test_two_terms_of_one_name_are_both_kept(llama, examples) -> None:
    stack = Stack([Penalty(), Penalty()])
    model = stack.attach(llama())
    assert len(stack.loss(model, collate(examples, pad_id=0)).terms) == 2


def test_registry_is_lazy_and_helpful() -> None:
    registry = Registry("thing", {"broken": "no.such.module:Thing", "sqrt": "math:sqrt"})
    assert registry.names() == ["broken", "sqrt"]
    assert registry.get("sqrt")(4) == 2
    with pytest.raises(SpecError, match=r"unknown thing 'sqr'. Did you mean 'sqrt'\?"):
        registry.get("sqr")
    registry.add("mine", 3)
    assert registry.get("mine") == 3
    with pytest.raises(SpecError, match="exists already"):
        registry.add("sqrt", 3)


def test_entry_points_join_in(monkeypatch) -> None:
    class Point:
        name = "theirs"

        def load(self):
            return Penalty

    monkeypatch.setattr("secura_bench.foundation.registry.entry_points", lambda group: [Point()])
    registry = Registry("method", {}, group="secura_bench.methods")
    assert registry.names() == ["theirs"]
    assert registry.get("theirs") is Penalty


@pytest.mark.parametrize("name", METHODS.names())
def test_every_registered_method_has_its_name(name: str) -> None:
    method = METHODS.get(name)
    assert method.name == name
    assert method.__doc__


def test_build_method_is_public() -> None:
    import secura_bench

    assert secura_bench.build_method("lora", r=4).options.r == 4
    with pytest.raises(SpecError, match="unknown method"):
        secura_bench.build_method("lorra")
    with pytest.raises(AttributeError):
        _ = secura_bench.nothing


def test_the_base_model_and_what_others_trained_train_nothing() -> None:
    told = {"checkpoint": {"path": "out/final"}, "peft": {"peft_type": "ia3"}, "stack": {"parts": ["lora"]}}
    built = {name: build_method(name, **told.get(name, {})) for name in METHODS.names()}
    assert {name for name, method in built.items() if not method.trains} == {"base", "checkpoint"}


class SpeaksAsBefore(Method):
    name = "speaks_as_before"
    relative_work = 2.0

    def extra_rows(self, rows, task):
        return rows


def test_a_plan_hears_what_a_plug_in_says_by_the_former_hooks() -> None:
    footprint = SpeaksAsBefore().footprint()
    assert footprint.relative_work == 2.0 and footprint.extra_rows(3, 0) == 3
    assert (footprint.relative_rows, footprint.held_bytes) == (1.0, (4, 0))


@pytest.mark.parametrize("hook", ["count_on", "kept_weights", "held_memory", "boundary_memory"])
def test_a_former_hook_that_no_plan_asks_is_refused_by_name(hook: str) -> None:
    kind = type("Before", (Method,), {"name": "before", hook: lambda self, *_: 0})
    with pytest.raises(SpecError, match=rf"method 'before': Before\.{hook} is not asked any more; say it by"):
        kind().footprint()


def test_footprints_are_equal_where_class_and_options_are() -> None:
    def of(rank: int) -> Any:
        return build_method("stack", parts=[{"name": "lora", "r": rank}, "er"]).footprint()

    assert of(4) == of(4) and hash(of(4)) == hash(of(4)) and of(4) != of(5)
    by_hand = [Stack([build_method("lora", r=rank)]).footprint() for rank in (4, 4, 5)]
    assert by_hand[0] == by_hand[1] != by_hand[2], "a stack of parts alone has no options of its own"
    assert by_hand[0].count_on_shapes(shape_of("tiny").skeleton(1)).trainable > 0


def said_options(kind: type[Method]) -> Any:
    """Return the kind of options that a type checker reads of a method: of the nearest class that says one."""
    for each in kind.__mro__:
        if said := get_annotations(each, eval_str=True).get("options"):
            return said
        for base in vars(each).get("__orig_bases__", ()):
            if get_args(base):
                return get_args(base)[0]
    return None


@pytest.mark.parametrize("name", METHODS.names())
def test_a_type_checker_reads_the_options_that_a_method_has(name: str) -> None:
    kind = METHODS.get(name)
    assert kind.Options is Options or said_options(kind) is kind.Options
