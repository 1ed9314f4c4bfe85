"""The rows of a spec as a plan counts them: of the data where it is on this machine, else bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from secura_bench.data.example import Example
from secura_bench.estimates.reads import ByProtocol, Reads, reads_of, summed
from secura_bench.models.shape import Shape
from secura_bench.plan.inputs import Inputs
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.sections import PROBE_ROWS
from secura_bench.tasks.catalog import load_task
from secura_bench.tasks.file import TaskFile
from secura_bench.tasks.row import Row

_TEXT = 2.5
"""Tokens of a plain text that is not here, in windows: a guess. Four windows that overlap by half read it."""


@dataclass(frozen=True)
class Rows:
    """Rows and tokens: measured, or bounds where data is not here.

    Attributes:
        probe: rows of the probe.
        trained: of each task the rows that it trains on, their tokens, and their positions that the head reads.
        probing, testing: what the probe, and each task's test side, take when they are scored once.
        longest: tokens of the longest row, or window of plain text. answers: at most, a row's positions in training;
            predicted: in scoring.
        unknown: the tasks whose test rows are their own and not here, so that nobody knows how many there are.
    """

    probe: int
    trained: Mapping[str, Reads]
    exact: bool = False
    probing: ByProtocol = field(default_factory=dict)
    testing: Mapping[str, ByProtocol] = field(default_factory=dict)
    longest: int = 0
    answers: int = 0
    predicted: int = 0
    unknown: tuple[str, ...] = ()

    @property
    def tokens(self) -> float:
        """Tokens of a row that is trained on, on average; 0 where none is."""
        return reduce(Reads.plus, self.trained.values(), Reads()).mean.tokens

    @classmethod
    def of(cls, spec: ExperimentSpec, inputs: Inputs | None, shape: Shape | None) -> Rows:
        """Return those of ``spec``; ``inputs`` are None where the model or data is not here."""
        window = min(spec.data.context, shape.context) if shape else spec.data.context
        return _bounds(spec, window) if inputs is None else _measured(spec, inputs, window)


def _measured(spec: ExperimentSpec, inputs: Inputs, window: int) -> Rows:
    def reads(name: str, examples: Sequence[Example]) -> ByProtocol:
        file = inputs.tasks[name].file
        return reads_of(spec.protocols, file.kind, examples, file.first_tokens or window)

    trained = {name: inputs.tasks[name].train for name in spec.task_names}
    learned = [example for rows in (*trained.values(), *inputs.sources.values()) for example in rows]
    files = {name: inputs.tasks[name].file for name in inputs.probe}
    scored = [example for rows in inputs.test.values() for example in rows]
    scored += [example for name, rows in inputs.probe.items() if files[name].kind != "text" for example in rows]
    in_windows = [name for name in inputs.probe if files[name].kind == "text" and files[name].first_tokens is None]
    windows = [min(len(text), window) for name in in_windows for text in inputs.probe[name]]
    return Rows(
        probe=sum(map(len, inputs.probe.values())),
        trained={
            name: Reads(len(rows), sum(map(len, rows)), sum(map(_positions, rows))) for name, rows in trained.items()
        },
        exact=True,
        probing=summed((reads(name, rows), 1) for name, rows in inputs.probe.items()),
        testing={name: reads(name, rows) for name, rows in inputs.test.items()},
        longest=max([*map(len, learned), *map(len, scored), *windows]),
        answers=max(map(_positions, learned), default=0),
        predicted=max([*map(_positions, scored), *windows], default=0),
    )


def _bounds(spec: ExperimentSpec, window: int) -> Rows:
    """Return bounds: rows as many as a spec allows and as long as its context, half of it answers with choices."""
    context, probe = spec.data.context, spec.probe_rows or PROBE_ROWS
    parts = {name: load_task(name) for name in (*spec.own_parts, *spec.task_names)}
    sides = {name: _sides(spec, parts[name]) for name in spec.task_names}

    def reads(name: str) -> ByProtocol:
        """Return what one row of a task takes, or of a suite of the harness."""
        file = parts.get(name)
        kind = file.kind if file else "lm_eval"
        ids, row = (0,) * context, Row("", "", "", choices=("", ""), answer_index=0)
        example = Example(name, row, ids[context // 2 :], ids[: context // 2])
        if kind == "classify":
            example = replace(example, prompt_ids=ids, answer_ids=(0,), head=name)
        elif kind == "text":
            length = (file and file.first_tokens) or round(_TEXT * window)
            example = replace(example, prompt_ids=(), answer_ids=(0,) * length)
        return reads_of(spec.protocols, kind, [example], (file and file.first_tokens) or window)

    answers = {name: 0 if parts[name].labels else context // 2 for name in spec.task_names}
    trained = {name: train for name, (train, _) in sides.items()}
    return Rows(
        probe=probe,
        trained={name: Reads(rows, rows * context, rows * answers[name]) for name, rows in trained.items()},
        probing=summed((reads(name), probe / len(spec.probe_parts)) for name in spec.probe_parts),
        testing={name: summed([(reads(name), test or spec.data.rows)]) for name, (_, test) in sides.items()},
        longest=context,
        answers=max(answers.values()),
        predicted=context // 2,
        unknown=tuple(name for name, (_, test) in sides.items() if test is None),
    )


def _sides(spec: ExperimentSpec, task: TaskFile) -> tuple[int, int | None]:
    """Return how many rows a task trains on and is tested on, at most; None where nothing bounds its own test rows."""
    rows, limit = spec.data.rows, spec.evaluate.limit
    if spec.data.held_out == "all":
        return 0, min(limit or rows, rows)
    if task.tested_on is None or spec.data.held_out == "validation":
        test = round(rows * spec.data.test_fraction)
        return rows - test, min(limit or test, test)
    hub = task.tested_on.hub
    known = [bound for bound in (limit, hub and hub.first) if bound]
    return rows, min(known, default=None)


def _positions(example: Example) -> int:
    """Return at how many positions of a row the language model's head is read: none where a head of its own answers."""
    return example.supervised if example.head is None else 0
