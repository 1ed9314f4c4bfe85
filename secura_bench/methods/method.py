"""The seam everything hangs on. The plainest method, sequential fine-tuning, is the base class.

for each task, in order:
    for each of its steps:
        rows ~ the task's training rows
        loss = mean over their answer tokens of the cross-entropy
        θ ← optimizer(θ, ∇ loss)
    score the tasks and the probe
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, cast

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import TypeVar

from secura_bench.adapters.injection import DEFAULT_TARGETS
from secura_bench.adapters.towers import freeze_other_towers
from secura_bench.methods.absent import no_logits
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.former_hooks import with_former_hooks
from secura_bench.methods.kept import Kept
from secura_bench.methods.lending import attached
from secura_bench.methods.parameters import ParameterCount
from secura_bench.models.answer_loss import answer_loss
from secura_bench.models.quantised import dense_weight, scalars
from secura_bench.spec.sources import sources_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from secura_bench.data.collate import Batch
    from secura_bench.data.example import Example, Task


class Options(BaseModel):
    """A method's options: typed, unknown ones refused; the text under an option is what users are told of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


OptionsT = TypeVar("OptionsT", bound=Options, default=Options, covariant=True)
"""A method's own kind of options: ``class LoRA(Method[LoRAOptions])``; a plain ``Method`` need not say it."""


@dataclass(frozen=True)
class Loss:
    """What one batch cost.

    Attributes:
        sum: Sum over answer tokens of weight times cross-entropy, with gradient; a scalar.
        tokens: Sum of the weights. The loop divides a step's sums by a step's tokens, over micro-batches and ranks.
        terms: Named extra terms, weighted already, as means or penalties: each enters the step's loss once.
    """

    sum: Tensor
    tokens: float
    terms: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class StepContext:
    """What the loop lends in ``after_backward``: collation, loss, the step's number, and how many rows go at once.

    ``cut`` divides rows as a step's are: with ``micro_batch_size: auto`` by length, in another order then.
    """

    step: int
    collate: Callable[[Sequence[Example]], Batch]
    loss: Callable[[nn.Module, Batch], Loss]
    micro_batch: int | None = None
    cut: Callable[[Sequence[Example]], list[list[Example]]] | None = None

    def parts(self, rows: Sequence[Example]) -> list[list[Example]]:
        """Return ``rows`` as they go through the model: a micro-batch at once."""
        if self.cut is not None:
            return self.cut(rows)
        size = self.micro_batch or len(rows)
        return [list(rows[start : start + size]) for start in range(0, len(rows), size)]


class Method(Generic[OptionsT]):
    """Plain sequential fine-tuning (``seq``); every other method is a difference from it.

    A method owns no loop, optimizer, device or logger. ``train()`` and ``eval()`` mode are the loop's business too.

    A run may be killed at any moment and goes on in another process, from its last checkpoint, on a new object of the
    class and the untouched model. There ``attach``, ``start`` and the *first* task's ``begin_task`` are called again,
    all on the model as it was before the first step; then the trained tensors come back into the model and
    ``load_state_dict`` gets what ``state_dict`` returned; then the next step follows. No other hook is called for what
    was done before. So whatever else a method keeps belongs into its state: an attribute that changed and that nothing
    brings back ends the run at its next checkpoint, by name.
    """

    Options: ClassVar[type[Options]] = Options
    name: ClassVar[str] = "seq"
    stream: ClassVar[Literal["in_order", "mixed", "none"]] = "in_order"
    """``mixed`` draws from all tasks at once, ``none`` trains nothing."""
    anchors_weights: bool = False
    """Whether a merge into the weights would break it: such a method cannot be stacked on one that merges."""

    needs_base: bool = False
    """Whether it compares with the untouched model, which then is lent as ``base``."""

    base: nn.Module | None = None
    """The untouched model, where it is needed: frozen, in eval mode, from ``start`` on, and there again on a resume.

    It shares whatever tensors stay as they are, so beside an adapter it costs next to nothing, and beside full
    fine-tuning one copy. ``answer_logits(self.base, batch)`` belongs under ``torch.no_grad()``. In a loop of one's own
    ``methods.lending.attached`` attaches, lends and starts.
    """

    not_sharded: str | None = None
    """Why its weights cannot be divided among processes (``train.shard``), None where they can: a class that is not
    ours says so itself. Outside of the model's own call its tensors are parts then: ``models.sharded``."""

    published_per_layer: ClassVar[int | None] = None
    """What the SECURA paper's Table 7 gives for a layer of two 4096×4096 modules, where it gives anything."""

    def __init__(self, options: OptionsT | None = None) -> None:
        self.options: OptionsT = options if options is not None else cast("OptionsT", self.Options())

    @property
    def trains(self) -> bool:
        """Whether it trains anything: where not, a run scores the model as it is, once."""
        return self.stream != "none"

    @property
    def merges(self) -> bool:
        """Whether trained tensors are moved into frozen ones, along the way or at a boundary, and reset."""
        return False

    @property
    def renews(self) -> bool:
        """Whether trained tensors are made anew at a boundary: the optimizer then begins each task with no moments."""
        return False

    @property
    def replays(self) -> bool:
        """Whether a step's rows are more than the task's: two such methods cannot be stacked."""
        return type(self).mix is not Method.mix

    @property
    def sources(self) -> tuple[str, ...]:
        """The tasks whose rows it reads beside those it is trained on: whatever options of kind ``Source`` name."""
        return sources_in(self.options)

    def take(self, source: str, rows: Sequence[Example]) -> None:
        """Get the training rows of one of ``sources``, in every process before ``attach``: they need no state."""

    @property
    def starts_as_base(self) -> bool:
        """Whether the attached model computes what the base does; where not, runs score the start as well."""
        return True

    @property
    def not_between(self) -> str | None:
        """Why there are no weights between the base's and its own, None where there are: ``methods.interpolation``."""
        return None if self.trains else "it trains nothing"

    @property
    def not_quantised(self) -> str | None:
        """Why it goes with no base whose weights are held in few bits, None where it does: it changes those weights."""
        return "it trains the base's weights" if self.trains and type(self).attach is Method.attach else None

    def attach(self, model: nn.Module) -> nn.Module:
        """Return the model to train; exactly its trainable tensors require grad: here, whatever of it reads text.

        Called on the base model, in every process of a run: on a resume too. Perhaps on the meta device (shapes alone).

        Raises:
            SpecError: The options do not fit the model's modules.
        """
        model.requires_grad_(True)
        freeze_other_towers(model)
        return model

    def lend(self, base: nn.Module) -> None:
        """Take the untouched model, if ``needs_base``; called before ``start``."""
        self.base = base

    def start(self, model: nn.Module) -> None:
        """Look at the attached model as it is before the first step: the place for anchors, copies and hooks.

        Called once in every process of a run, on a resume too, and there *before* the trained tensors come back; so
        what is made from ``model`` here needs no state. In a stack every part's is called, on the adapted model.
        """

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Return the optimizer's parameter groups, as torch's: every trained tensor of ``model`` in one of them, once.

        Beside ``params`` a group may have a rate, ``lr`` (absolute) or ``lr_scale`` (times the spec's), and
        ``weight_decay``; what it leaves out is the spec's. A schedule multiplies every group's own rate. Called in
        every process, on a resume too, and when the optimizer is made anew; the order must be the same each time.
        """
        return [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad]}]

    def begin_task(self, model: nn.Module, task: Task) -> None:
        """Prepare for ``task``, before its first step.

        On a resume it is called again for the run's first task alone, right after ``start``: a copy of the model that
        is made there once is there again. What is made anew for each task needs ``state_dict``.
        """

    def mix(self, examples: Sequence[Example]) -> Sequence[Example]:
        """Return one step's examples, before padding and micro-batches: once a step. Replay adds its own here."""
        return examples

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """Return the cross-entropy of the batch's answer tokens and ``terms``, in one call of the (wrapped) model."""
        total, logits = answer_loss(model, batch)
        seen = no_logits(self.name, total.device) if logits is None else logits
        return Loss(sum=total, tokens=float(batch.weights.sum()), terms=self.terms(model, batch, seen))

    def terms(self, model: nn.Module, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return named extra losses, weighted; ``logits`` (N, vocabulary) are those of the answer positions.

        A step's term is the mean over its micro-batches, by their weighted answer tokens: exact for penalties and for
        weighted means over answer positions. A micro-batch may weigh nothing.
        """
        return {}

    def after_backward(self, model: nn.Module, step: StepContext) -> None:
        """Work on the gradients: once per optimizer step, before clipping; never again for a step that is done."""

    def after_step(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Work on the weights: once per optimizer step, never per micro-batch. Averages and merges live here.

        Never again for a step that is done: what it moves outside of the trained tensors belongs in ``trained_state``.
        """

    def end_task(self, model: nn.Module, task: Task) -> None:
        """Consolidate ``task``: Fisher information, buffers, merging at the boundary. Once a task, never again."""

    def evaluating(self, model: nn.Module) -> AbstractContextManager[nn.Module]:
        """Lend the model as it is to be scored; called as often as it is, in every process; leaves it as it was."""
        return nullcontext(model)

    def count_parameters(self, model: nn.Module) -> ParameterCount:
        """Count the attached model's parameters, and what the method holds beside them: here, of a lent base."""
        trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
        trainable = sum(trained.values())
        layers = {match.group() for name in trained if (match := re.search(r"\.\d+\.", name))}
        own = {id(p) for p in model.parameters()}
        base = self.base.parameters() if self.needs_base and self.base is not None else ()
        return ParameterCount(
            trainable=trainable,
            total=sum(scalars(p) for p in model.parameters()),
            held=sum(scalars(p) for p in base if id(p) not in own),
            effective=trainable,
            per_layer=trainable / max(1, len(layers)),
        )

    def check_steps(self, steps: int) -> None:
        """Refuse options that do not go with a run of ``steps`` optimizer steps, over all its tasks.

        Raises:
            SpecError: Names the option.
        """

    def anew(self) -> Method:
        """Return a method of the same kind and options that no model has seen."""
        return type(self)(self.options)

    def footprint(self) -> Footprint:
        """Return what runs take, for a plan: of a method that says nothing, what plain training does.

        One that says something returns ``dataclasses.replace(super().footprint(), relative_work=2.0)``. A lent base
        adds a forward. Adapters count by formula: attaching imports libraries for seconds, even to shapes.
        """

        def count(model: nn.Module) -> ParameterCount:
            fresh = self.anew()
            return fresh.count_parameters(attached(fresh, model))

        plain = Footprint(
            key=(type(self), repr(self.options)),
            trains=self.trains,
            mixes_tasks=self.stream == "mixed",
            starts_as_base=self.starts_as_base,
            anchors_weights=self.anchors_weights,
            counts_by_layer=True,
            relative_rows=1.0,
            relative_work=1.5 if self.needs_base else 1.0,
            adapted=tuple(getattr(self.options, "target_modules", None) or DEFAULT_TARGETS),
            kept_weights=0,
            kept_logits=0,
            held_bytes=(4, 0),
            task_bytes=0,
            boundary_bytes=(0, 0),
            boundary_held=1.0,
            boundary_weights=0,
            start_rows=0,
            memory_gradients=lambda task: 0,
            memory_rows=lambda task: 0.0,
            memory_logits=(0, 0),
            published_per_layer=self.published_per_layer,
            count_on_shapes=count,
            extra_rows=lambda rows, task: 0,
            kept=lambda inputs, outputs, computing: Kept(),
        )
        return with_former_hooks(self, plain)

    def measures(self, model: nn.Module) -> Mapping[str, float]:
        """Return named figures for the log, as they are after a step (merge survival, median Res)."""
        return {}

    def weights(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Yield the path and the h×d weight of the modules that a study of weights looks at: query and value.

        An adapter yields what its modules compute with, in fp32.
        """
        for path, module in model.named_modules():
            if path.rpartition(".")[2] in DEFAULT_TARGETS and isinstance(module, nn.Linear):
                yield path, dense_weight(module)

    def former_weights(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Yield the same weights before a normalisation, where the method has one."""
        return self.weights(model)

    def trained_state(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the tensors that, put into a freshly attached and started model, make it the trained one.

        A checkpoint asks it of the model as it trains; for what a run keeps and exports it is asked in ``evaluating``.
        """
        return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}

    def state_dict(self) -> dict[str, Any]:
        """Return what the method holds outside the model: tensors and plain containers alone. Asked at checkpoints."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned: on a resume, after ``attach``, ``start`` and the model's tensors.

        Tensors come on the CPU.
        """
