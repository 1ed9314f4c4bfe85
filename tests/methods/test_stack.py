"""Stacks: whatever a method has, a stack threads through its parts; and what its plan says of them together."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from sessions import build_model, tasks

from secura_bench.data.collate import collate
from secura_bench.estimates.formulas import count_on_shape
from secura_bench.estimates.memory import Scoring, memory_of
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.methods.kept import Kept
from secura_bench.methods.method import Method
from secura_bench.methods.stack import Stack
from secura_bench.models.load import shape_of
from secura_bench.spec.sections import TrainSpec

RANKS = {"r": 8, "m": 12}
NOT_THREADED = {
    "name", "Options", "__init__", "__doc__", "__module__",  # a class's own
    "stream", "trains", "published_per_layer",  # parts that decide what is trained are refused; none is published
    "loss",  # parts that replace it are refused; what they add is in 'terms'
    "base",  # 'lend' hands it on
}  # fmt: skip


def test_a_stack_says_again_whatever_a_method_has() -> None:
    """A hook that is added to Method and forgotten in Stack would be plain fine-tuning's there, without a word."""
    own = {name for name in vars(Method) if not name.startswith("__") or name in NOT_THREADED}
    assert own - NOT_THREADED - {"__dict__", "__weakref__"} - set(vars(Stack)) == set()
    assert {"loss", "base", "stream", "published_per_layer"} <= own, "no exception that is none any more"


COSTS = {
    "counts_by_layer": False, "relative_rows": 3.0, "relative_work": 5.0, "adapted": ("told",), "kept_weights": 17,
    "kept_logits": 37, "held_bytes": (19, 23), "boundary_bytes": (41, 0),
    "boundary_weights": 43, "start_rows": 47,
}  # fmt: skip


class Told(Method):
    """Notes which of its hooks are called, and answers so that a stack's answer shows it."""

    name = "told"
    anchors_weights = True
    needs_base = True
    merging = False
    merges = property(lambda self: self.merging)
    starts_as_base = property(lambda self: False)

    def __init__(self, options=None):
        super().__init__(options)
        self.told: list[str] = []

    def note(self, hook: str, answer: Any = None) -> Any:
        self.told.append(hook)
        return answer

    def attach(self, model):
        return self.note("attach", super().attach(model))

    def lend(self, base):
        self.note("lend", super().lend(base))

    def start(self, model):
        self.note("start")

    def parameter_groups(self, model):
        return self.note("parameter_groups", [{**group, "lr": 7.0} for group in super().parameter_groups(model)])

    def begin_task(self, model, task):
        self.note("begin_task")

    def mix(self, examples):
        return self.note("mix", [*examples, examples[0]])

    def terms(self, model, batch, logits):
        return self.note("terms", {"told": torch.ones(())})

    def after_backward(self, model, step):
        self.note("after_backward")

    def after_step(self, model, optimizer):
        self.note("after_step")

    def end_task(self, model, task):
        self.note("end_task")

    @contextmanager
    def evaluating(self, model):
        self.note("evaluating")
        yield model

    def count_parameters(self, model):
        return self.note("count_parameters", super().count_parameters(model).with_held(13).with_effective(1))

    def anew(self):
        return self.note("anew", Told())

    def footprint(self):
        return self.note("footprint", replace(super().footprint(), **COSTS, kept=self.kept_by, extra_rows=max))

    @staticmethod
    def kept_by(inputs, outputs, computing):
        return Kept(7.0)

    def measures(self, model):
        return self.note("measures", {"told": 29.0})

    def weights(self, model):
        return iter([self.note("weights", ("told", torch.ones(1)))])

    def former_weights(self, model):
        return iter([self.note("former_weights", ("former", torch.ones(1)))])

    def trained_state(self, model):
        return self.note("trained_state", {"told": torch.ones(1)})

    def state_dict(self):
        return self.note("state_dict", {"told": 31})

    def load_state_dict(self, state):
        self.note("load_state_dict", state["told"])


def test_every_hook_of_a_part_is_called_and_heard() -> None:
    part = Told()
    stack = Stack([Method(), part])
    part.merging = True  # one that merges and anchors at once would have been refused
    (task,), batch = tasks(1), collate(tasks(1)[0].train, pad_id=0)
    model = stack.attach(build_model("llama"))
    stack.lend(build_model("llama"))
    stack.start(model)
    stack.begin_task(model, task)
    stack.after_backward(model, None)
    stack.after_step(model, None)
    stack.end_task(model, task)
    stack.load_state_dict(stack.state_dict())
    assert stack.parameter_groups(model)[0]["lr"] == 7.0
    assert len(stack.mix(task.train)) == len(task.train) + 1
    assert set(stack.loss(model, batch).terms) == {"told"}
    with stack.evaluating(model) as view:
        assert view is model
    count = stack.count_parameters(model)
    assert (count.effective, count.held) == (1, 13)
    assert stack.measures(model) == {"told": 29.0}
    assert next(stack.weights(model))[0] == "told" and next(stack.former_weights(model))[0] == "former"
    assert stack.trained_state(model).keys() == {"told"}
    assert stack.merges and stack.replays and not stack.starts_as_base and stack.anchors_weights and stack.needs_base
    assert isinstance(stack.anew().parts[1], Told) and stack.anew().parts[1] is not part
    footprint = stack.footprint()
    assert {name: getattr(footprint, name) for name in COSTS} == COSTS
    assert footprint.trains and footprint.anchors_weights and not footprint.starts_as_base
    assert footprint.extra_rows(5, 2) == 5 and footprint.kept(1, 1, None) == Kept(7.0)
    assert footprint.held_memory(count) == (19 * 13, 23 * 13)
    assert footprint.boundary_memory(count) == (41 * count.trainable, 0)
    threaded = {name for name, value in vars(Told).items() if callable(value)} - {"__init__", "note", "kept_by"}
    assert set(part.told) >= threaded - {"name"}


@pytest.mark.parametrize(
    ("parts", "as_much_as"),
    [
        (["ewc", "er"], ("ewc", {})),
        ([{"name": "ewc", "device": "cpu", "dtype": "bf16"}, "er"], ("ewc", {"device": "cpu", "dtype": "bf16"})),
        (["er", "ewc"], ("ewc", {})),
        ([{"name": "i_lora", "boundary": "continue"}, "er"], ("i_lora", {})),
        ([{"name": "secura", "fusion_step": 20, **RANKS}, "er"], ("secura", {"fusion_step": 20, **RANKS})),
    ],
)  # fmt: skip
def test_a_stack_needs_what_its_largest_part_needs(parts: list, as_much_as: tuple[str, dict]) -> None:
    """Rows of a micro-batch are the same for both: what is compared is what is held and kept."""
    shape, train = shape_of("smollm2-135m"), TrainSpec(batch_size=2, micro_batch_size=1)
    scoring = Scoring(1, 64, 16, 0, ("teacher_forced",))
    name, options = as_much_as
    stack, alone = build_method("stack", parts=parts).footprint(), build_method(name, **options).footprint()
    together, single = (memory_of(of, count_on_shape(of, shape), shape, train, scoring, 16) for of in (stack, alone))
    assert vars(together) == vars(single)


def test_the_adapters_count_is_the_stacks_wherever_it_stands() -> None:
    """SECURA's A is trained and has no gradient: what counts all that is trained, beside it, does not hide that."""
    options = {"r": 4, "m": 6}
    alone = build_method("secura", **options)
    expected = alone.count_parameters(alone.attach(build_model("llama")))
    assert expected.effective < expected.trainable
    for parts in (["er", {"name": "secura", **options}], [{"name": "secura", **options}, "er"]):
        stack = build_method("stack", parts=parts)
        assert stack.count_parameters(stack.attach(build_model("llama"))).effective == expected.effective


class LooksInAttach(Method):
    name = "looks"

    def attach(self, model):
        model = super().attach(model)
        self.start = [p.detach().clone() for p in model.parameters()]  # of that name before there was a hook
        return model


class Grows(Method):
    name = "grows"

    def attach(self, model):
        model.requires_grad_(False)
        model.extra = torch.nn.Parameter(torch.zeros(3))
        return model


class Groups(Method):
    name = "groups"

    def parameter_groups(self, model):
        return super().parameter_groups(model)


def test_a_part_that_only_looks_in_attach_leaves_what_is_trained_to_the_adapter() -> None:
    from secura_bench.methods.lending import attached

    stack = Stack([build_method("lora", boundary="continue"), LooksInAttach()])
    model = attached(stack, build_model("llama"))
    assert {"lora_A", "lora_B"} == {name.split(".")[-3] for name, p in model.named_parameters() if p.requires_grad}
    assert len(stack.parts[1].start) == len(list(model.parameters()))
    assert stack.trained_state(model).keys() == {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (lambda: [build_method("lora"), Grows()], "'grows' changes it after 'lora'. List the one that adapts first"),
        (lambda: [LooksInAttach(), build_method("lora")], "'lora' changes it after 'looks'"),
        (lambda: [Groups(), Groups()], "a stack has one optimizer"),
    ],
)
def test_parts_that_both_want_the_model_or_the_optimizer_are_refused(parts: Any, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        Stack(parts()).attach(build_model("llama"))


def test_an_adapter_goes_on_beside_an_anchor_of_any_kind() -> None:
    stack = build_method("stack", parts=["lora", "ewc"])
    assert [part.merges for part in stack.parts] == [False, False]
    assert build_method("stack", parts=["lora", "er"]).parts[0].merges
