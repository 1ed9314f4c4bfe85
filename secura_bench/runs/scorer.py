"""Scores a run's model at its moments, and files what it finds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import nn

from secura_bench.data.example import Example
from secura_bench.data.fewshot import own_history
from secura_bench.evaluation.evaluate import judged, left, pool, split_wrong_answers
from secura_bench.evaluation.memory import note_of
from secura_bench.evaluation.outcome import Evaluation
from secura_bench.evaluation.prediction_file import PredictionFile
from secura_bench.evaluation.predictions import Prediction
from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.evaluation.protocols.protocol import Asked, Write
from secura_bench.methods.method import Method
from secura_bench.models.load import ModelFolder
from secura_bench.models.sharded import has_shards
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.run import Run
from secura_bench.results.folder import RunFolder, as_file
from secura_bench.results.record import LARGEST, Score
from secura_bench.runs.divided import UNLIKE, ask, is_alike, unwrapped
from secura_bench.runs.progress.events import Progress, RunActivity
from secura_bench.runs.text_engine import TextEngine
from secura_bench.tasks.row import Row
from secura_bench.tasks.ties import group_column
from secura_bench.training.memory import release_all_memory
from secura_bench.training.processes import everywhere, on_main

Role = Literal["part", "task"]


class PredictionCache(Protocol):
    """Where the predictions of one evaluation are kept until it is whole."""

    def __call__(
        self, role: Role, protocol: str, task: str, rows: Sequence[Example]
    ) -> AbstractContextManager[PredictionFile]:
        """Lend the evaluation's file."""


def stage_cache(folder: Path) -> PredictionCache:
    """Return the cache of one stage: a folder that goes when the stage is over."""

    def lend(role: Role, protocol: str, task: str, rows: Sequence[Example]) -> AbstractContextManager[PredictionFile]:
        return nullcontext(PredictionFile(folder / protocol / f"{role}-{as_file(task)}.jsonl"))

    return lend


@dataclass
class Scorer:
    """Scores a run's model at its moments and writes what it finds to the run's folder.

    The processes of a run score together, each its share of an evaluation's batches. Only the first one reads what
    they said, and has the scores.

    ``check`` is called after each batch. If memory runs out, half as many rows are scored at once, and ``notes`` say
    so. In fp32 that changes no number.
    """

    run: Run
    inputs: Inputs
    folder: RunFolder
    progress: Progress
    check: Callable[[], None]
    scores: list[Score] = field(default_factory=list)
    signatures: dict[str, dict[str, str]] = field(default_factory=dict)
    seconds: float = 0.0
    stage: int = 0
    notes: list[str] = field(default_factory=list)
    interpolated: dict[float, list[Score]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.batch_size = self.run.spec.evaluate.batch_size
        self.engine = TextEngine.of(self.run, self.inputs, self.folder.path / "engine", self.check)
        self._write: Write | None = None
        self._divide = True

    def score(
        self,
        method: Method,
        model: nn.Module,
        after: str | None,
        step: int,
        finished: bool,
        tasks: Sequence[str],
        cache: PredictionCache,
        within: Callable[[nn.Module], AbstractContextManager[None]] = lambda view: nullcontext(),
        into: list[Score] | None = None,
        of: ModelFolder | None = None,
        probed: bool = True,
    ) -> None:
        """Score the probe (where it is to be ``probed``) and ``tasks`` by every protocol, as one stage.

        ``of`` is the folder of the model, without the adapter that may be on it; the run's base where it is not said.
        ``within`` alters the model as it is scored; such scores go ``into`` a list of their own, and nobody is told.
        """
        began = time.monotonic()
        parts: dict[str, list[Evaluation]] = {}
        own: dict[str, list[Evaluation]] = {}
        scored = {task: self.inputs.test[task] for task in tasks}
        probing = self.inputs.probe if probed else {}

        def file() -> None:
            for group in (parts, own):
                if "generate" in group and "choice" in group:
                    group["generate"] = _with_wrong_answers_split(group["generate"], group["choice"])
            for protocol in self.run.spec.protocols:
                probe = [pool(self.run.spec.probe_name, parts[protocol])] if parts[protocol] else []
                for role, evaluations in (("probe", probe), ("part", parts[protocol]), ("task", own[protocol])):
                    for evaluation in evaluations:
                        self._file(role, evaluation, after, step, finished, into)

        try:
            with ExitStack() as lent:
                view = unwrapped(everywhere(lambda: lent.enter_context(method.evaluating(model))))
                everywhere(lambda: lent.enter_context(within(view)))
                self._divide = is_alike(view)
                with ExitStack() as engine:
                    if self.engine:
                        asked = {**probing, **scored}
                        lent_engine = self.engine.lent(method, view, of or self.inputs.model, (after, step), asked)
                        self._write = engine.enter_context(lent_engine)
                    for protocol in self._protocols:
                        if not PROTOCOLS[protocol].generates:
                            engine.close()  # its memory is free for what comes
                        parts[protocol] = self._evaluate_all(view, protocol, "part", probing, cache)
                        own[protocol] = self._evaluate_all(view, protocol, "task", scored, cache)
                self._note(note_of(view))
                self._note(None if self._divide else UNLIKE)
            on_main(file)
        finally:
            self.seconds += time.monotonic() - began
        self.stage += 1

    def has_all(self, tasks: Sequence[str], cache: PredictionCache) -> bool:
        """Return whether ``cache`` holds every prediction of a stage that scores the probe and ``tasks``."""
        scored = {task: self.inputs.test[task] for task in tasks}
        sides: tuple[tuple[Role, Mapping[str, Sequence[Example]]], ...] = (
            ("part", self.inputs.probe),
            ("task", scored),
        )
        for protocol in self.run.spec.protocols:
            for role, rows in sides:
                for task, mine in rows.items():
                    if wanted := PROTOCOLS[protocol].scorable(self.inputs.tasks[task].file.kind, mine):
                        with cache(role, protocol, task, mine) as kept:
                            if not kept.read().keys() >= set(wanted):
                                return False
        return True

    @property
    def _protocols(self) -> list[str]:
        """The protocols in the order in which they ask: with an engine of texts, what wants it first."""
        return sorted(self.run.spec.protocols, key=lambda name: bool(self.engine) and not PROTOCOLS[name].generates)

    def state_dict(self) -> dict[str, Any]:
        """Return what was scored so far as plain containers."""
        scores = [score.model_dump(mode="json") for score in self.scores]
        state = {"scores": scores, "signatures": self.signatures, "seconds": self.seconds, "stage": self.stage}
        return {**state, "compared": self.engine.compared} if self.engine else state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        self.scores = [Score.model_validate(score) for score in state["scores"]]
        self.signatures, self.seconds, self.stage = state["signatures"], state["seconds"], state["stage"]
        if self.engine:
            self.engine.compared = state["compared"]

    def _evaluate_all(
        self, model: nn.Module, protocol: str, role: Role, rows: Mapping[str, Sequence[Example]], cache: PredictionCache
    ) -> list[Evaluation]:
        """Return the evaluations of the tasks that the protocol can score; none in any process but the first."""
        tasks = [t for t, mine in rows.items() if PROTOCOLS[protocol].scorable(self.inputs.tasks[t].file.kind, mine)]
        return [each for task in tasks for each in self._evaluate(model, protocol, role, task, rows[task], cache)]

    def _evaluate(
        self, model: nn.Module, protocol: str, role: Role, task: str, rows: Sequence[Example], cache: PredictionCache
    ) -> list[Evaluation]:
        """Return the evaluation of one task in the first process, none in the others."""
        evaluations: list[Evaluation] = []
        counted: set[int] = set()
        with ExitStack() as lent:
            kept = on_main(lambda: lent.enter_context(cache(role, protocol, task, rows)))
            while (asked := self._attempt(model, protocol, task, rows, kept, counted)) is None:
                self._halve()
            on_main(lambda: evaluations.append(judged(protocol, asked, self.inputs.metrics)))
        return evaluations

    def _attempt(
        self,
        model: nn.Module,
        protocol: str,
        task: str,
        rows: Sequence[Example],
        kept: PredictionFile,
        counted: set[int],
    ) -> Asked | None:
        """Ask what is not kept yet, and keep it; return what was asked and said, None if memory ran out on the way.

        ``counted`` are the positions that progress has been told of.
        """
        at = RunActivity(f"scoring {task} ({protocol})", task)
        inputs, spec = self.inputs, self.run.spec
        said: dict[int, Prediction] = {}

        def count(positions: Iterable[int]) -> None:
            new = set(positions) - counted
            counted.update(new)
            self.progress.advance(len(new) * PROTOCOLS[protocol].row_cost, at)

        def begin() -> dict[int, Prediction]:
            known = kept.read()
            count(known)
            return known

        def receive(batch: Sequence[tuple[int, Prediction]]) -> None:
            kept.append(batch)
            said.update(batch)
            count(i for i, _ in batch)

        asked = Asked(
            model,
            inputs.tasks[task].file,
            rows,
            inputs.chat,
            self.batch_size,
            spec.data.context,
            known=on_main(begin),
            why_not=inputs.why_not,
            company=self.run.train.precision != "fp32" or spec.load.bits is not None,
            write=self._write,
        )
        try:
            if left(protocol, asked):
                ask(protocol, asked, receive, self.check, self._divide)
        except torch.OutOfMemoryError:
            # In bf16 the company of a row changes its numbers, so there the batch stays what the spec says; and in the
            # middle of a forward that others wait for, of a model in parts, nothing can be tried again.
            if self.run.train.precision != "fp32" or self.batch_size == 1 or has_shards(model):
                raise
            return None
        return replace(asked, known={**asked.known, **said})

    def _note(self, note: str | None) -> None:
        if note and note not in self.notes:
            self.notes.append(note)

    def _halve(self) -> None:
        """Score half as many rows at once from now on, and say so."""
        self.batch_size = math.ceil(self.batch_size / 2)
        self.notes.append(f"out of memory while scoring: evaluate.batch_size halved to {self.batch_size}")
        release_all_memory()

    def _file(
        self, role: Any, evaluation: Evaluation, after: str | None, step: int, finished: bool, into: list[Score] | None
    ) -> None:
        values = {metric: finite(value) for metric, value in evaluation.scores.items()}
        score = Score(
            stage=self.stage,
            after=after,
            step=step,
            finished=finished,
            role=role,
            protocol=evaluation.protocol,
            task=evaluation.task,
            n=evaluation.n,
            values=values,
        )
        if into is None:
            self.scores.append(score)
            self.progress.scored(score)
        else:
            into.append(score)
        known = self.signatures.setdefault(evaluation.protocol, {})  # not all tasks have all, nor the same
        known.update({name: either(known.get(name), text) for name, text in evaluation.signatures.items()})
        if role != "probe":  # the pool's items are its parts'
            said = [*evaluation.notes, *_constant(evaluation, after)]
            self.notes += [note for note in said if note not in self.notes]
            shots = self.inputs.tasks[evaluation.task].shots
            self.folder.write_items(score, _items(evaluation), _texts(evaluation, shots))


def _constant(evaluation: Evaluation, after: str | None) -> list[str]:
    """Say where a head gives one label to every row: its accuracy is then that label's share of them."""
    label, moment = evaluation.constant_answer, f"after {after}" if after else "before training"
    return [f"{evaluation.task} {moment}: all {evaluation.n} rows are answered {label!r}"] if label else []


def _items(evaluation: Evaluation) -> dict[str, Any]:
    """Return every item's scores, columnar, and where some of the rows are tied, which: ``tasks/ties.py``."""
    groups = group_column([example.row for example in evaluation.examples])
    return {
        "id": [example.row.id for example in evaluation.examples],
        **({} if groups is None else {"group": groups}),
        **{metric: [finite(value) for value in values] for metric, values in evaluation.columns.items()},
    }


def _texts(evaluation: Evaluation, shots: Sequence[Row]) -> list[dict[str, Any]]:
    """Return every item's texts, and its own earlier turns where it has any: not ``shots``, the same before all."""
    return [
        {
            "id": example.row.id,
            **({"history": own} if (own := own_history(shots, example.row)) else {}),
            "prompt": example.row.prompt,
            "reference": reference,
            "prediction": prediction.text,
            "extracted": extracted,
            **({} if prediction.verdict is None else {"verdict": prediction.verdict, "said": prediction.said}),
        }
        for example, prediction, extracted, reference in zip(
            evaluation.examples, evaluation.predictions, evaluation.extracted, evaluation.references, strict=True
        )
    ]


def _with_wrong_answers_split(generated: Sequence[Evaluation], chosen: Sequence[Evaluation]) -> list[Evaluation]:
    """Return what was generated, wrong answers told apart wherever the same task was scored by choice too."""
    by_task = {evaluation.task: evaluation for evaluation in chosen}
    return [split_wrong_answers(e, by_task[e.task]) if e.task in by_task else e for e in generated]


def either(known: str | None, signature: str) -> str:
    """Return the signatures of one metric on several tasks, each once. Tasks may have other tokenizers."""
    return " or ".join(dict.fromkeys([*(known.split(" or ") if known else []), *signature.split(" or ")]))


def finite(value: float | None) -> float | None:
    """Return ``value``, or None where it is not a number that a record holds: JSON has no NaN."""
    return value if value is not None and abs(value) < LARGEST else None
