"""The sections of a spec: training, evaluation, data, log and checkpoints."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, Strict, field_validator, model_validator

from secura_bench.foundation.schema import Part
from secura_bench.spec.types import Count, Number, OptimizerName, Precision, Protocol, Seed, UserMetricName, as_list


class TrainSpec(Part):
    """How every task is trained. Defaults are the public code's, but for fp32 trained tensors.

    ``lr`` is the learning rate, and ``steps`` the number of optimizer steps a task. ``sampling`` draws rows with
    ``replacement``, or each once in an ``epochs``' turn. ``weight_decay``, ``betas`` and ``eps`` are AdamW's.
    ``clip_norm`` bounds the gradient's L2 norm (unset: not at all). ``schedule`` says how the rate falls over a task's
    steps, after ``warmup_steps`` in which it rises. ``reset_optimizer`` forgets its moments at each task's start.
    ``batch_size`` rows make one optimizer step; ``micro_batch_size`` of them go through the model at once (all, if
    unset), which changes memory and time, and the result only where there is dropout.

    ``precision``: ``fp32``; ``bf16`` holds frozen weights in bf16 and computes under bf16 autocast, trained tensors
    stay fp32; ``bf16_pure`` holds and updates everything in bf16, as the public code does, which loses small updates;
    ``bf16_stochastic`` holds everything in bf16 too, and rounds what an update changes up or down at random, so that
    nothing is lost on average. ``parameters: targets`` trains the query and value projections alone where a method
    would train everything. ``optimizer: adafactor`` and ``adamw_8bit`` need less memory (``betas`` are AdamW's).
    ``gradient_checkpointing`` computes activations twice instead of keeping them.
    """

    lr: Annotated[Number, Field(ge=0)] = 1e-3
    steps: Count = 2000
    batch_size: Count = 1
    micro_batch_size: Count | None = None
    sampling: Literal["replacement", "epochs"] = "replacement"
    weight_decay: Annotated[Number, Field(ge=0)] = 0.01
    betas: tuple[Annotated[Number, Field(ge=0, lt=1)], Annotated[Number, Field(ge=0, lt=1)]] = (0.9, 0.999)
    eps: Annotated[Number, Field(gt=0)] = 1e-8
    clip_norm: Annotated[Number, Field(gt=0)] | None = None
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: Annotated[int, Strict(), Field(ge=0)] = 0
    precision: Precision = "fp32"
    parameters: Literal["all", "targets"] = "all"
    optimizer: OptimizerName = "adamw"
    gradient_checkpointing: Annotated[bool, Strict()] = False
    reset_optimizer: Annotated[bool, Strict()] = False

    @model_validator(mode="after")
    def _rounds_by_itself(self) -> TrainSpec:
        if self.precision == "bf16_stochastic" and self.optimizer == "adafactor":
            raise ValueError("optimizer: adafactor cannot round stochastically; use adamw or adamw_8bit")
        return self


class EvaluateSpec(Part):
    """What is scored, when, and by which protocols.

    ``protocols`` are the ways to score, ``batch_size`` the rows scored at once.
    The probe is scored every ``every`` steps, and with the tasks at the end of each task. ``tasks``: ``current``
    scores the task just trained, ``seen`` all trained so far, ``all`` every task of the run. ``limit`` caps a
    task's test rows, and every table says so. Tasks of plain text are scored by ``perplexity`` and by nothing else,
    and ``choice`` leaves rows without choices out. ``metrics`` are of the ``evaluate`` package, ``evaluate:<id>`` or
    ``evaluate:<folder>``, and score what ``teacher_forced`` and ``generate`` wrote; they are code, and need
    ``--allow-code``.
    """

    protocols: Annotated[tuple[Protocol, ...], BeforeValidator(as_list), Field(min_length=1)] = ("teacher_forced",)
    every: Count | None = None
    tasks: Literal["current", "seen", "all"] = "seen"
    limit: Count | None = None
    batch_size: Count = 16
    metrics: Annotated[tuple[UserMetricName, ...], BeforeValidator(as_list)] = ()

    @field_validator("protocols", "metrics")
    @classmethod
    def _stand_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{twice} stands here twice")
        return names


class DataSpec(Part):
    """How rows are drawn and split; the same for all runs, so that methods and seeds meet the same test rows.

    ``rows`` of a task are drawn at most, ``test_fraction`` of them to test on, both by ``seed``.
    ``context`` is the longest row in tokens: rows with a longer prompt are left out and counted, answers are cut.
    ``system`` replaces the bench's system message, and ``system: ""`` takes the system turn away (a template may then
    write one of its own); unset or null it is the bench's; a row's own system message goes before both.
    ``num_fewshot`` rows of a task's training side, the first of the seeded split and so the same before every prompt,
    stand as worked examples before each prompt that is scored, and are not scored themselves; before rows that are
    trained on stands nothing.
    """

    rows: Count = 1000
    context: Count = 600
    test_fraction: Annotated[Number, Field(gt=0, lt=1)] = 0.1
    seed: Seed = 114514
    system: str | None = None
    num_fewshot: Annotated[int, Strict(), Field(ge=0)] = 0

    @field_validator("system")
    @classmethod
    def _is_text(cls, system: str | None) -> str | None:
        if system and any("\ud800" <= character <= "\udfff" for character in system):
            raise ValueError("holds half a character (a lone surrogate)")
        return system


class LogSpec(Part):
    """What ``log.jsonl`` holds beside a line a step.

    Every ``every`` steps the method's own figures (merge survival, median Res) join the line, and with
    ``gradient_norms`` the L2 norm of every trained matrix's gradient, mean over layers (the paper's Figure 2).
    ``weight_norms`` records the adapted weights' Frobenius norms before and after (Figure 3).
    """

    every: Count = 10
    gradient_norms: Annotated[bool, Strict()] = False
    weight_norms: Annotated[bool, Strict()] = False


class CheckpointSpec(Part):
    """How often an unfinished run saves its state within a task, beside each task's end: by steps, by time, or both.

    ``every_steps`` counts optimizer steps, ``every_minutes`` time; null is never.
    No part of a run's identity: a run that was stopped and resumed has the same numbers.
    """

    every_steps: Count | None = None
    every_minutes: Annotated[Number, Field(gt=0)] | None = 10.0


PROBE_ROWS = 500
"""Rows of a probe where ``probe_rows`` is not said and there are as many: the paper's number."""
