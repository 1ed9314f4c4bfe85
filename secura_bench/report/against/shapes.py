"""The SECURA paper's tables as shapes: which experiment's scores stand where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from secura_bench.report.against.published import MEAN, MODELS, QA, SEQUENTIAL

PROTOCOL = "teacher_forced"
MCQ_TASKS = ("absnarr", "objcount", "playdiag", "colorreason")
QA_TASKS = ("gsm8k", "newsde", "newsit", "newses", "alpaca")
EXP2_TASKS = ("absnarr", "disflqa", "langid", "logdeduc", "objcount", "playdiag", "colorreason", "trackobj")
EXP3_TASKS = (
    "absnarr", "disflqa", "cnndm", "langid", "lingpuzz", "logdeduc", "newsde", "newses", "newsit", "objcount",
    "playdiag", "questsel", "colorreason", "stratqa", "trackobj", "alpaca",
)  # fmt: skip
PEFT = ("lora", "dora", "cur_lora", "i_lora", "secura")
CONTINUAL = ("seq", "ewc", "er", "i_lora", "secura")


@dataclass(frozen=True)
class Part:
    """What one experiment gives to a table: the score of ``tasks`` themselves, or of the probe after them."""

    experiment: Literal["exp1", "exp2", "exp3"]
    tasks: tuple[str, ...]
    metrics: tuple[str, ...]

    @property
    def mode(self) -> str:
        """The mode of the experiment's runs."""
        return "sequence" if self.experiment == "exp3" else "separate"


@dataclass(frozen=True)
class Shape:
    """One of the paper's tables: its parts, methods, models; ``merged`` averages over models and QA metrics.

    ``vary`` is the option whose values the rows are, in an ablation.
    """

    id: str
    caption: str
    parts: tuple[Part, ...]
    methods: tuple[str, ...] = PEFT
    models: tuple[str, ...] = MODELS
    merged: bool = False
    vary: str = ""
    values: tuple[object, ...] = ()


_MCQ, _QA = Part("exp1", MCQ_TASKS, ("accuracy",)), Part("exp1", QA_TASKS, QA)
_EXP2 = Part("exp2", EXP2_TASKS, QA)
SHAPES = {
    shape.id: shape
    for shape in (
        Shape("1", "EXP1: what each method learns, averages", (_MCQ, replace(_QA, metrics=(MEAN,))), merged=True),
        Shape("2", "EXP2: the F-task after each task, averages", (replace(_EXP2, metrics=(MEAN,)),), merged=True),
        Shape(
            "3", "EXP2: SECURA's fusion step", (replace(_EXP2, metrics=(MEAN,)),), ("secura",),
            ("qwen2-7b", "llama3.1-8b"), vary="fusion_step", values=(1, 200),
        ),
        Shape(
            "4", "EXP1 and EXP2: SECURA's merge", (_MCQ, replace(_EXP2, tasks=MCQ_TASKS)), ("secura",),
            ("gemma2-2b",), vary="merge", values=("m1", "m2"),
        ),
        Shape("8", "EXP1: multiple choice by model", (_MCQ,)),
        Shape("9", "EXP1: question answering by model", (_QA,)),
        Shape("10", "EXP2: the F-task after each task, by model", (_EXP2,)),
        *(
            Shape(table, "EXP3: the F-task every 1,000 steps", (Part("exp3", EXP3_TASKS, QA),), CONTINUAL, (model,))
            for model, table in SEQUENTIAL.items()
        ),
    )
}  # fmt: skip
"""The paper's tables of scores by number."""
PAPER = (*SHAPES, "6", "7")
