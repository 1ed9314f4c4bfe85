"""The sections of a spec: training, evaluation, data, log and checkpoints."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict, field_validator, model_validator

from secura_bench.foundation.schema import Explained
from secura_bench.spec.types import Count, Number, OptimizerName, Precision, Protocol, Seed, UserMetricName, as_list


class TrainSpec(Explained):
    """How every task is trained. Defaults are the public code's, but for fp32 trained tensors."""

    lr: Annotated[Number, Field(ge=0)] = 1e-3
    """The learning rate."""

    steps: Count = 2000
    """How many optimizer steps each task is trained."""

    batch_size: Count = 1
    """How many rows make one optimizer step."""

    micro_batch_size: Count | None = None
    """How many rows of a batch go through the model at once (unset: all). It changes memory and time, and the result
    only where there is dropout."""

    sampling: Literal["replacement", "epochs"] = "replacement"
    """How rows are drawn: with ``replacement``, or in ``epochs``, in each of which a row comes once."""

    weight_decay: Annotated[Number, Field(ge=0)] = 0.01
    """The weight decay of AdamW."""

    betas: tuple[Annotated[Number, Field(ge=0, lt=1)], Annotated[Number, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """The decay rates of AdamW's two moments."""

    eps: Annotated[Number, Field(gt=0)] = 1e-8
    """What AdamW adds to its denominator."""

    clip_norm: Annotated[Number, Field(gt=0)] | None = None
    """The largest L2 norm that the gradient may have; a larger one is scaled down to it. Unset: any."""

    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How the rate falls over a task's steps, after the warm-up."""

    warmup_steps: Annotated[int, Strict(), Field(ge=0)] = 0
    """In how many of a task's first steps the rate rises to ``lr``."""

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

    reset_optimizer: Annotated[bool, Strict()] = False
    """Whether the optimizer forgets its moments at each task's start."""

    @model_validator(mode="after")
    def _rounds_by_itself(self) -> TrainSpec:
        if self.precision == "bf16_stochastic" and self.optimizer == "adafactor":
            raise ValueError("optimizer: adafactor cannot round stochastically; use adamw or adamw_8bit")
        return self


class EvaluateSpec(Explained):
    """What is scored, when, and by which protocols."""

    protocols: Annotated[tuple[Protocol, ...], BeforeValidator(as_list), Field(min_length=1)] = ("teacher_forced",)
    """The ways to score. Tasks of plain text are scored by ``perplexity`` and by nothing else, and ``choice`` leaves
    rows without choices out."""

    every: Count | None = None
    """After how many steps the probe is scored, beside each task's end. Unset: then alone."""

    tasks: Literal["current", "seen", "all"] = "seen"
    """Which tasks are scored at a task's end: the ``current`` one, all ``seen`` so far, or ``all`` of the run."""

    interpolate: Annotated[tuple[Annotated[Number, Field(ge=0, le=1)], ...], BeforeValidator(as_list)] = ()
    """At which α between the base's weights (0) and the trained ones (1) a run's end is scored as well: with the
    weights W_base + α (W − W_base), without training again (WiSE-FT, arXiv 2109.01903). Each is an arm of its own."""

    limit: Count | None = None
    """The most test rows of a task that are scored (unset: all); every table says so."""

    batch_size: Count = 16
    """How many rows are scored at once. It changes memory and time alone."""

    metrics: Annotated[tuple[UserMetricName, ...], BeforeValidator(as_list)] = ()
    """Metrics of the ``evaluate`` package, ``evaluate:<id>`` or ``evaluate:<folder>``, of what ``teacher_forced`` and
    ``generate`` wrote. They are code, and need ``--allow-code``."""

    @field_validator("protocols", "metrics", "interpolate")
    @classmethod
    def _stand_once(cls, names: tuple[Any, ...]) -> tuple[Any, ...]:
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{twice} stands here twice")
        return names


class DataSpec(Explained):
    """How rows are drawn and split; the same for all runs, so that methods and seeds meet the same test rows."""

    rows: Count = 1000
    """The most rows that are drawn of a task."""

    context: Count = 600
    """The longest row in tokens: rows with a longer prompt are left out and counted, answers are cut."""

    test_fraction: Annotated[Number, Field(gt=0, lt=1)] = 0.1
    """The share of a task's rows that is tested on and never trained on."""

    held_out: Literal["test", "validation"] = "test"
    """Which rows are scored: the ``test`` rows, or ``validation`` rows in their place, as large a share of the training
    rows, which are then trained on no more. So settings are chosen without a look at the test rows."""

    seed: Seed = 114514
    """The seed by which rows are drawn and split."""

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
