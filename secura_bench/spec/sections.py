"""The sections of a spec: training, evaluation, data, log and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    Strict,
    field_validator,
    model_serializer,
    model_validator,
)

from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.schema import Explained
from secura_bench.spec.each_task import EachTask, by_task, of_task
from secura_bench.spec.types import (
    Count,
    Kernel,
    Number,
    OptimizerName,
    Precision,
    Protocol,
    RowsAtOnce,
    Sampling,
    Seed,
    TextEngine,
    UserMetricName,
    as_list,
)

Rate = Annotated[Number, Field(ge=0)]
Schedule = Literal["constant", "linear", "cosine"]
EACH_TASK = ("lr", "steps", "epochs", "schedule", "warmup_steps", "schedule_steps")
"""Keys of ``train`` that may have another value for each task."""
_LATER = ("epochs", "schedule_steps", "kernels", "offload", "shard")
"""Keys that runs of before had not: unset they are left out, and a run is called what it was."""


@dataclass(frozen=True)
class Pace:
    """How fast one task is trained: its rate, and how that rises and falls."""

    lr: float
    schedule: Schedule
    warmup_steps: int
    schedule_steps: int | None


class TrainSpec(Explained):
    """How every task is trained. Defaults are the public code's, but for fp32 trained tensors.

    ``lr``, ``steps``, ``epochs`` and what says a schedule may be a list, one for each of the spec's ``tasks`` in their
    order there (in another order each task keeps its own), or a mapping of tasks to values.
    """

    lr: EachTask[Rate] = 1e-3
    """The learning rate."""

    steps: EachTask[Count] | None = 2000
    """How many optimizer steps each task is trained; null where ``epochs`` say it."""

    epochs: EachTask[Count] | None = None
    """How many times each training row of a task comes, in the place of ``steps``. Batches run on over an epoch's end:
    the steps are epochs · rows / ``batch_size``, rounded up. Unset: ``steps`` say it."""

    batch_size: Count = 1
    """How many rows make one optimizer step."""

    micro_batch_size: RowsAtOnce | None = None
    """How many rows of a batch go through the model at once (unset: all). It changes memory and time, and the result
    only where there is dropout. ``auto`` sorts them by length and cuts where padding costs more than another pass: the
    same gradient, summed in another order (in fp32 equal to 1e-6), and other draws of dropout."""

    sampling: Sampling = "replacement"
    """How rows are drawn: with ``replacement``, in ``epochs``, in each of which a row comes once, or ``sequential``, in
    epochs that all have the rows in one order, the task's. Where ``epochs`` are said, unset is ``epochs``."""

    weight_decay: Annotated[Number, Field(ge=0)] = 0.01
    """The weight decay of AdamW."""

    betas: tuple[Annotated[Number, Field(ge=0, lt=1)], Annotated[Number, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """The decay rates of AdamW's two moments."""

    eps: Annotated[Number, Field(gt=0)] = 1e-8
    """What AdamW adds to its denominator."""

    clip_norm: Annotated[Number, Field(gt=0)] | None = None
    """The largest L2 norm that the gradient may have; a larger one is scaled down to it. Unset: any."""

    schedule: EachTask[Schedule] = "constant"
    """How the rate falls over a task's steps, after the warm-up."""

    warmup_steps: EachTask[Annotated[int, Strict(), Field(ge=0)]] = 0
    """In how many of a task's first steps the rate rises to ``lr``."""

    schedule_steps: EachTask[Count] | None = None
    """At which of a task's steps the schedule ends, warm-up and all, whether the task is trained so long or not; the
    rate then stays. Unset: at the task's last."""

    precision: Precision = "fp32"
    """What is computed and held in which precision. ``bf16`` holds frozen weights in bf16 and computes under bf16
    autocast, trained tensors stay fp32. ``bf16_pure`` holds and updates everything in bf16, as the public code does,
    which loses small updates. ``bf16_stochastic`` holds everything in bf16 too, and rounds what an update changes up or
    down at random, so that nothing is lost on average."""

    parameters: Literal["all", "targets"] = "all"
    """What a method that trains everything trains: ``targets`` are the query and value projections alone."""

    optimizer: OptimizerName = "adamw"
    """The optimizer; ``adafactor`` and ``adamw_8bit`` need less memory. Adafactor has no use for ``betas``."""

    gradient_checkpointing: Annotated[bool, Strict()] = False
    """Whether activations are computed twice instead of kept: less memory, more time."""

    kernels: Annotated[tuple[Kernel, ...], BeforeValidator(as_list), Field(min_length=1)] | None = None
    """How a step is computed otherwise: ``chunked`` makes the loss of 256 answer tokens at a time and never holds all
    logits, the same to a rounding; ``liger`` computes norms and MLPs by Liger's fused kernels, on a GPU. Scoring is as
    ever. Unset: as the model does."""

    offload: Literal["activations"] | None = None
    """What waits for the backward pass in the CPU's memory instead of the GPU's: ``activations``. The numbers are the
    same, bit for bit; on a CPU nothing changes."""

    reset_optimizer: Annotated[bool, Strict()] = False
    """Whether the optimizer forgets its moments at each task's start."""

    shard: Literal["full"] | None = None
    """Whether weights, gradients and the optimizer's state are divided among the processes of a run (``full``: FSDP2,
    each layer gathered while it computes), or each process holds them all (unset). Of one process it changes nothing.
    """

    @model_validator(mode="after")
    def _rounds_by_itself(self) -> TrainSpec:
        if self.precision == "bf16_stochastic" and self.optimizer == "adafactor":
            raise ValueError("optimizer: adafactor cannot round stochastically; use adamw or adamw_8bit")
        return self

    @model_validator(mode="after")
    def _divides_moments(self) -> TrainSpec:
        if self.shard and self.optimizer == "adafactor":
            raise ValueError("shard: adafactor sums over whole matrices; use adamw or adamw_8bit, or leave shard out")
        return self

    @field_validator("kernels")
    @classmethod
    def _stand_in_one_order(cls, kernels: tuple[Kernel, ...] | None) -> tuple[Kernel, ...] | None:
        if kernels and len(set(kernels)) < len(kernels):
            raise ValueError(f"{', '.join(kernels)}: one stands here twice")
        return kernels and tuple(sorted(kernels))

    @model_validator(mode="before")
    @classmethod
    def _epochs_stand_for_steps(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("epochs") is not None:
            return {"steps": None, "sampling": "epochs", **given}
        return given

    @model_validator(mode="after")
    def _has_one_length(self) -> TrainSpec:
        if (self.steps is None) == (self.epochs is None):
            found = "none of them" if self.steps is None else "both"
            raise ValueError(
                f"steps, epochs: one of them says how long a task is trained (here: {found}); null is unset"
            )
        if self.epochs is not None and self.sampling == "replacement":
            raise ValueError("sampling: with replacement there are no epochs; use epochs or sequential, or say steps")
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = handler(self)
        return {key: value for key, value in found.items() if key not in _LATER or value is not None}

    def over(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return these settings with ``changes`` laid over; ``steps`` and ``epochs`` take each other's place."""
        mine = self.model_dump()
        if changes.get("epochs") is not None:
            gone = ["steps", *(["sampling"] if self.sampling == "replacement" else [])]
        else:
            gone = ["epochs"] if changes.get("steps") is not None else []
        return {**{key: value for key, value in mine.items() if key not in gone}, **changes}

    def for_tasks(self, tasks: Sequence[str]) -> TrainSpec:
        """Return the settings with lists by task: what stands in a list goes by ``tasks``.

        Raises:
            SpecError: A key has not one value for each task; names the key.
        """
        found = {}
        for key in EACH_TASK:
            try:
                found[key] = by_task(getattr(self, key), tasks)
            except SpecError as error:
                raise SpecError(f"{key}: {error}") from None
        return self.model_copy(update=found)

    def pace(self, task: str) -> Pace:
        """Return how fast a task is trained."""
        return Pace(
            of_task(self.lr, task),
            of_task(self.schedule, task),
            of_task(self.warmup_steps, task),
            of_task(self.schedule_steps, task),
        )

    def steps_of(self, task: str, rows: int) -> int:
        """Return how many optimizer steps a task of ``rows`` training rows is trained."""
        if self.epochs is not None:
            return math.ceil(of_task(self.epochs, task) * rows / self.batch_size)
        return of_task(self.steps or 0, task)


_LATER_EVALUATE = (("engine", "transformers"), ("probe", "each"))
"""What specs of ``evaluate`` of before had not, as it was: left out, so that a spec is called what it was."""


class EvaluateSpec(Explained):
    """What is scored, when, and by which protocols."""

    protocols: Annotated[tuple[Protocol, ...], BeforeValidator(as_list), Field(min_length=1)] = ("teacher_forced",)
    """The ways to score. Tasks of plain text are scored by ``perplexity`` and by nothing else, those that are
    classified by ``classify`` alone, and ``choice`` leaves rows without choices out."""

    every: Count | None = None
    """After how many steps the probe is scored, beside each task's end. Unset: then alone."""

    probe: Literal["each", "last"] = "each"
    """After which tasks the probe is scored: ``each``, or the ``last`` one alone, which takes less time and tells
    nothing of the way there."""

    tasks: Literal["current", "seen", "all"] = "seen"
    """Which tasks are scored at a task's end: the ``current`` one, all ``seen`` so far, or ``all`` of the run."""

    interpolate: Annotated[tuple[Annotated[Number, Field(ge=0, le=1)], ...], BeforeValidator(as_list)] = ()
    """At which α between the base's weights (0) and the trained ones (1) a run's end is scored as well: with the
    weights W_base + α (W − W_base), without training again (WiSE-FT, arXiv 2109.01903). Each is an arm of its own."""

    limit: Count | None = None
    """The most test rows of a task that are scored (unset: all); every table says so."""

    batch_size: Count = 16
    """How many rows are scored at once. It changes memory and time alone."""

    engine: TextEngine = "transformers"
    """What writes the texts of ``generate`` and ``execute``: the bench by ``transformers``, or ``vllm``, some of whose
    texts are compared with the bench's own first."""

    metrics: Annotated[tuple[UserMetricName, ...], BeforeValidator(as_list)] = ()
    """Metrics of the ``evaluate`` package, ``evaluate:<id>`` or ``evaluate:<folder>``, of what ``teacher_forced`` and
    ``generate`` wrote. They are code, and need ``--allow-code``."""

    @field_validator("protocols", "metrics", "interpolate")
    @classmethod
    def _stand_once(cls, names: tuple[Any, ...]) -> tuple[Any, ...]:
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{twice} stands here twice")
        return names

    @model_validator(mode="after")
    def _once_or_often(self) -> EvaluateSpec:
        if self.probe == "last" and self.every is not None:
            raise ValueError("every: scores the probe within tasks, and probe: last at the end alone; say one of both")
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = handler(self)
        return {key: value for key, value in found.items() if (key, value) not in _LATER_EVALUATE}


class DataSpec(Explained):
    """How rows are drawn and split; the same for all runs, so that methods and seeds meet the same test rows."""

    rows: Count = 1000
    """The most rows that are drawn of a task."""

    context: Count = 600
    """The longest row in tokens: rows with a longer prompt are left out and counted; answers are cut, and so are texts
    to be classified."""

    test_fraction: Annotated[Number, Field(gt=0, lt=1)] = 0.1
    """The share of a task's rows that is tested on and never trained on. A probe begins with these of each of its
    parts, so another share is another probe too."""

    held_out: Literal["test", "validation", "all"] = "test"
    """Which rows are scored: the ``test`` rows, or ``validation`` rows in their place, as large a share of the training
    rows, which are then trained on no more. So settings are chosen without a look at the test rows. ``all`` scores all
    rows, where no method trains; a probe that shares no task has the rows then that it has with ``test``."""

    seed: Seed = 114514
    """The seed by which rows are drawn and split."""

    shuffle: Annotated[bool, Strict()] = True
    """Whether rows are drawn and split at random; ``false`` takes the first ``rows`` in the source's order, of which
    the last ones are tested on. Training meets them in that order where ``train.sampling`` is ``sequential``."""

    system: str | None = None
    """The system message. Unset it is the bench's, ``""`` takes the system turn away (a template may then write one of
    its own), and a row's own system message goes before both."""

    prompts: Literal["chat", "bare"] = "chat"
    """How a row becomes a prompt: by the model's ``chat`` template, or ``bare``, its text alone with the answer
    straight behind, whatever template the model has. A bare prompt has no system message."""

    num_fewshot: Annotated[int, Strict(), Field(ge=0)] = 0
    """How many rows of a task's training side stand as worked examples before each prompt that is scored: the first of
    the seeded split, never scored themselves. Nothing stands before rows that are trained on."""

    @field_validator("system")
    @classmethod
    def _is_text(cls, system: str | None) -> str | None:
        if system and any("\ud800" <= character <= "\udfff" for character in system):
            raise ValueError("holds half a character (a lone surrogate)")
        return system

    @model_validator(mode="after")
    def _is_said_where_prompts_have_it(self) -> DataSpec:
        if self.bare and self.system:
            raise ValueError("system: bare prompts have no system message; leave it out, or take prompts: chat")
        return self

    @property
    def bare(self) -> bool:
        """Whether prompts are a row's text alone."""
        return self.prompts == "bare"


class LogSpec(Explained):
    """What ``log.jsonl`` holds beside a line a step."""

    every: Count = 10
    """After how many steps the method's own figures (merge survival, median Res) and gradient norms are logged."""

    gradient_norms: Annotated[bool, Strict()] = False
    """Whether the L2 norm of every trained matrix's gradient is logged, mean over layers (the paper's Figure 2)."""

    weight_norms: Annotated[bool, Strict()] = False
    """Whether the adapted weights' Frobenius norms are recorded, before and after (the paper's Figure 3)."""


class CheckpointSpec(Explained):
    """How often an unfinished run saves its state within a task, beside each task's end: by steps, by time, or both.

    No part of a run's identity: a run that was stopped and resumed has the same numbers.
    """

    every_steps: Count | None = None
    """After how many optimizer steps the state is saved; null is never."""

    every_minutes: Annotated[Number, Field(gt=0)] | None = 10.0
    """After how many minutes the state is saved; null is never."""


PROBE_ROWS = 500
"""Rows of a probe where ``probe_rows`` is not said and there are as many: the paper's number."""
