"""Several methods as one.

model ← attach of the one part that adapts it; start of each
for each step:
    rows ← mix of each part in turn
    loss = cross-entropy + Σ terms of each part
    after_backward of each;  θ ← optimizer(θ, ∇ loss);  after_step of each
at the end of a task: end_task of each
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from pydantic import field_serializer, field_validator, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from secura_bench.data.collate import Batch
from secura_bench.data.example import Example, Task
from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.registry import METHODS
from secura_bench.methods.build import build_method
from secura_bench.methods.footprint import Footprint, joined
from secura_bench.methods.method import Method, Options, StepContext
from secura_bench.methods.parameters import ParameterCount
from secura_bench.methods.sharding import why_not_sharded
from secura_bench.results.record import EARLIER


class StackOptions(Options):
    """What is stacked."""

    parts: tuple[dict[str, Any], ...]
    """The methods, by name or as mappings with ``name`` and options, in the order of their hooks."""

    @field_validator("parts", mode="before")
    @classmethod
    def _from_entries(cls, entries: Any) -> Any:
        if not isinstance(entries, (list, tuple)):
            raise ValueError("a stack is a list of methods")
        parts = [{"name": entry} if isinstance(entry, str) else entry for entry in entries]
        for part in parts:
            if not isinstance(part, dict) or not isinstance(part.get("name"), str):
                raise ValueError("a part of a stack is a name, or a mapping with 'name' and its options")
        return parts

    @field_serializer("parts")
    def _spelled_out(self, parts: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
        """Return the parts as written, and in them what a record must not leave out, or it reads as an earlier one."""
        told = []
        for part in parts:
            own = METHODS.get(part["name"]).Options.model_fields
            told.append({**{key: own[key].default for key in EARLIER.get(part["name"], ())}, **part})
        return told

    @model_validator(mode="after")
    def _makes_sense(self) -> StackOptions:
        try:
            check_parts(self.build())
        except SpecError as error:
            raise ValueError(str(error)) from None
        return self

    def build(self) -> list[Method]:
        """Return the parts, fresh.

        Beside a part that anchors weights, an adapter goes on over boundaries unless its ``boundary`` is spelled out.
        """
        given = [{key: value for key, value in part.items() if key != "name"} for part in self.parts]
        names = [part["name"] for part in self.parts]
        built = [build_method(name, **options) for name, options in zip(names, given, strict=True)]
        if any(method.anchors_weights for method in built):
            for place, (name, options) in enumerate(zip(names, given, strict=True)):
                if "boundary" in METHODS.get(name).Options.model_fields and "boundary" not in options:
                    built[place] = build_method(name, **options, boundary="continue")
        return built


class Stack(Method[StackOptions]):
    """Runs its parts' hooks in the order given: an adapter first, then replay, penalties and the like.

    One forward serves all: the parts' extra terms are joined to the first part's cross-entropy. State is nested by
    position and name. Whatever ``Method`` has is said here again, part by part: a test compares the two.

    Raises:
        SpecError: A part anchors weights while another merges into them, more than one part replaces the model, the
            loss or the optimizer's groups, or nothing is stacked.
    """

    name = "stack"
    Options = StackOptions

    def __init__(self, parts: Sequence[Method] | StackOptions) -> None:
        if isinstance(parts, StackOptions):
            super().__init__(parts)
            parts = parts.build()
        else:
            super().__init__(StackOptions.model_construct(parts=()))
            check_parts(parts)
        self.parts = tuple(parts)

    @property
    def merges(self) -> bool:
        """Whether any part does."""
        return any(part.merges for part in self.parts)

    @property
    def renews(self) -> bool:
        """Whether any part does."""
        return any(part.renews for part in self.parts)

    @property
    def replays(self) -> bool:
        """Whether any part does."""
        return any(part.replays for part in self.parts)

    @property
    def sources(self) -> tuple[str, ...]:
        """Those of all parts."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.sources))

    def take(self, source: str, rows: Sequence[Example]) -> None:
        """Hand rows to the parts that read them."""
        for part in self.parts:
            if source in part.sources:
                part.take(source, rows)

    @property
    def starts_as_base(self) -> bool:
        """Whether every part leaves the base as it is at the start."""
        return all(part.starts_as_base for part in self.parts)

    @property
    def anchors_weights(self) -> bool:  # type: ignore[override]
        """Whether any part does."""
        return any(part.anchors_weights for part in self.parts)

    @property
    def needs_base(self) -> bool:  # type: ignore[override]
        """Whether any part does."""
        return any(part.needs_base for part in self.parts)

    @property
    def not_between(self) -> str | None:
        """The first part's reason."""
        return next(filter(None, (part.not_between for part in self.parts)), None)

    @property
    def not_quantised(self) -> str | None:
        """The first reason of a part that attaches something; without one, everything trains."""
        return next(filter(None, (part.not_quantised for part in self._attaching)), None)

    @property
    def not_sharded(self) -> str | None:  # type: ignore[override]
        """The first part's reason."""
        return next(filter(None, map(why_not_sharded, self.parts)), None)

    @property
    def _attaching(self) -> list[Method]:
        return [part for part in self.parts if overrides(type(part), "attach")] or [Method()]

    def attach(self, model: nn.Module) -> nn.Module:
        """Let the part that adapts the model do so; without one, everything trains.

        Other parts may look at the adapted model in their ``attach``, after it. They do not decide what trains there.

        Raises:
            SpecError: Two parts put tensors or modules of their own into the model.
        """
        first, *others = self._attaching
        model = first.attach(model)
        for part in others:
            trained = {name: p.requires_grad for name, p in model.named_parameters()}
            modules = list(map(id, model.modules()))
            after = part.attach(model)
            own = dict(after.named_parameters())
            if own.keys() != trained.keys() or list(map(id, after.modules())) != modules:
                raise SpecError(
                    f"a stack adapts the model once, and {part.name!r} changes it after {first.name!r}. List "
                    f"the one that adapts first; what only looks at the model does so in 'start'."
                )
            for name, parameter in own.items():
                parameter.requires_grad_(trained[name])
        return model

    def lend(self, base: nn.Module) -> None:
        """Lend the untouched model to the parts that need it: one for all."""
        super().lend(base)
        for part in self.parts:
            if part.needs_base:
                part.lend(base)

    def start(self, model: nn.Module) -> None:
        """Thread the hook through the parts, all on the adapted model."""
        for part in self.parts:
            type(part).start(part, model)  # the class's: an attribute that a plug-in calls so is no hook

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Return the groups of the one part that makes its own; without one, one group of all."""
        return self._one("parameter_groups").parameter_groups(model)

    def begin_task(self, model: nn.Module, task: Task) -> None:
        """Thread the hook through the parts."""
        for part in self.parts:
            part.begin_task(model, task)

    def mix(self, examples: Sequence[Example]) -> Sequence[Example]:
        """Thread the step's examples through the parts."""
        for part in self.parts:
            examples = part.mix(examples)
        return examples

    def terms(self, model: nn.Module, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Join the parts' extra losses; two of one name are told apart by position."""
        joined: dict[str, Tensor] = {}
        for position, part in enumerate(self.parts):
            for name, term in part.terms(model, batch, logits).items():
                joined[name if name not in joined else f"{name}-{position}"] = term
        return joined

    def after_backward(self, model: nn.Module, step: StepContext) -> None:
        """Thread the hook through the parts."""
        for part in self.parts:
            part.after_backward(model, step)

    def after_step(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Thread the hook through the parts."""
        for part in self.parts:
            part.after_step(model, optimizer)

    def end_task(self, model: nn.Module, task: Task) -> None:
        """Thread the hook through the parts."""
        for part in self.parts:
            part.end_task(model, task)

    def evaluating(self, model: nn.Module) -> AbstractContextManager[nn.Module]:
        """Nest the parts' views of the model."""

        @contextmanager
        def nested() -> Iterator[nn.Module]:
            view = model
            with ExitStack() as stack:
                for part in self.parts:
                    view = stack.enter_context(part.evaluating(view))
                yield view

        return nested()

    def count_parameters(self, model: nn.Module) -> ParameterCount:
        """Count the model once, and what every part holds."""
        counts = [part.count_parameters(model) for part in self.parts]
        return replace(
            counts[0],
            held=sum(count.held for count in counts),
            effective=min(count.effective for count in counts),
        )

    def check_steps(self, steps: int) -> None:
        """Ask every part."""
        for part in self.parts:
            part.check_steps(steps)

    def anew(self) -> Method:
        """Return a stack of such parts."""
        return Stack([part.anew() for part in self.parts])

    def footprint(self) -> Footprint:
        """Join the parts'; counted once attached: what others hold beside an adapter, the adapted model alone tells."""
        parts = [part.footprint() for part in self.parts]
        return joined(parts, super().footprint(), self._one("attach").footprint())

    def measures(self, model: nn.Module) -> Mapping[str, float]:
        """Join the parts' figures."""
        return {name: value for part in self.parts for name, value in part.measures(model).items()}

    def weights(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights as the part that adapts the model has them."""
        return self._one("attach").weights(model)

    def former_weights(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights before a normalisation."""
        return self._one("attach").former_weights(model)

    def trained_state(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the tensors of the part that adapts the model."""
        return self._one("attach").trained_state(model)

    def _one(self, hook: str) -> Method:
        """Return the first part that replaces ``hook``, of those that only one part can; else plain fine-tuning."""
        return next((part for part in self.parts if overrides(type(part), hook)), Method())

    def state_dict(self) -> dict[str, Any]:
        """Nest the parts' states."""
        return {f"{i}.{part.name}": part.state_dict() for i, part in enumerate(self.parts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Hand each part its own state."""
        for i, part in enumerate(self.parts):
            part.load_state_dict(state[f"{i}.{part.name}"])


def is_ours(method: type[Method]) -> bool:
    """Return whether a method class is one of this package."""
    return method.__module__.partition(".")[0] == "secura_bench"


def overrides(method: type[Method], hook: str) -> bool:
    """Return whether a method class replaces ``hook`` of plain fine-tuning."""
    return getattr(method, hook) is not getattr(Method, hook)


def check_parts(parts: Sequence[Method]) -> None:
    """Refuse a combination that makes no sense, before anything is built.

    Raises:
        SpecError: Names the parts and says why.
    """
    if not parts:
        raise SpecError("a stack needs at least one method.")
    for part in parts:
        if part.stream != "in_order":
            raise SpecError(f"{part.name!r} cannot be stacked: it decides by itself what is trained.")
        if overrides(type(part), "loss"):
            raise SpecError(f"{part.name!r} cannot be stacked: it replaces the loss; extra terms belong in 'terms'.")
    # A part of someone else's may only look at the model in its 'attach': the model's shapes tell, in Stack.attach.
    adapters = [part.name for part in parts if overrides(type(part), "attach") and is_ours(type(part))]
    if len(adapters) > 1:
        raise SpecError(f"a stack adapts the model once, and {' and '.join(map(repr, adapters))} both do.")
    grouping = [part.name for part in parts if overrides(type(part), "parameter_groups")]
    if len(grouping) > 1:
        raise SpecError(
            f"a stack has one optimizer, and {' and '.join(map(repr, grouping))} both make its 'parameter_groups'."
        )
    mixing = [part.name for part in parts if part.replays]
    if len(mixing) > 1:
        raise SpecError(f"a stack replays once, and {' and '.join(map(repr, mixing))} both do.")
    anchored = [part.name for part in parts if part.anchors_weights]
    merging = [part.name for part in parts if part.merges]
    if anchored and merging:
        raise SpecError(
            f"{anchored[0]!r} holds trained weights near an anchor, and {merging[0]!r} merges them away and resets "
            f"them: the anchor would mean nothing."
        )
