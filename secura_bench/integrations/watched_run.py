"""A run that a Trainer of someone else's trains: scored and recorded as the bench does its own."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from secura_bench.foundation.files import to_json, write_atomically
from secura_bench.methods.method import Method
from secura_bench.models.load import load_model
from secura_bench.plan.make import Plan
from secura_bench.plan.run import Run
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.protocols import PROTOCOLS
from secura_bench.report.study.runs import Moment
from secura_bench.report.study.runs import Run as Recorded
from secura_bench.results.folder import LOG, RECORD, RunFolder
from secura_bench.results.lock import Held, RunLock
from secura_bench.results.read import read_record
from secura_bench.results.record import RunRecord, Score
from secura_bench.runs.base_scores import BaseScores
from secura_bench.runs.manifest import make_manifest
from secura_bench.runs.progress.events import NoProgress
from secura_bench.runs.scorer import Scorer, stage_cache
from secura_bench.runs.session import TrainingOutcome
from secura_bench.runs.write_record import record_of
from secura_bench.spec.method import MethodSpec
from secura_bench.spec.sections import TrainSpec
from secura_bench.training.memory import release_memory
from secura_bench.training.precision import weights_dtype

_STATE = "scores.json"


class WatchedRun:
    """The folder and the scores of what Trainers train, task after task, and those of the base model beside it.

    ``plan`` is of the base model alone: what is scored, and how. ``settings`` are the Trainer's, for the record.
    ``seconds`` are those of training.
    """

    def __init__(
        self,
        plan: Plan,
        results: Path,
        method: MethodSpec,
        options: Mapping[str, Any],
        train: TrainSpec,
        settings: Mapping[str, Any],
        seed: int,
    ) -> None:
        (self.base,) = plan.runs
        self.inputs = plan.inputs
        self.options, self.train = dict(options), {**train.model_dump(mode="json"), **settings}
        self.tasks, mode = self.base.tasks, plan.spec.mode
        made = [self.base.fingerprint, mode, method.named, self.options, self.train, seed]
        fingerprint = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:10]
        trained_on = self.tasks[0] if len(self.tasks) == 1 else f"{len(self.tasks)}-tasks"
        name = self.base.name.removesuffix("-base") + f"-{method.label}-{trained_on}-s{seed}"
        self.run: Run = replace(self.base, method=method, train=train, seed=seed, name=name, fingerprint=fingerprint)
        self.folder, self.base_folder = (RunFolder(results / run.folder) for run in (self.run, self.base))
        self.scorer = Scorer(self.run, self.inputs, self.folder, NoProgress(), lambda: None)
        self.seconds = 0.0
        self._later: list[Score] = []

    def begin(self, device: Any, index: int, step: int) -> None:
        """Make the folder ready: anew, or with what was scored up to ``step`` of task number ``index``."""
        if self.folder.finished:
            self.folder.move_aside()
        state = self.folder.path / _STATE
        if (index or step) and state.is_file():
            self._take_up(json.loads(state.read_text(encoding="utf-8")), (index, step))
            return
        self.folder.begin(self.run.resolved(), make_manifest(self.run, self.inputs, device))
        lost = f"taken up at step {step} of {self.tasks[index]}: what was scored before is not here"
        self.scorer.notes += [lost] if index or step else []

    def _take_up(self, state: dict[str, Any], place: tuple[int, int]) -> None:
        """Go on with what was scored before ``place``; what came after may be met again, by a later task's trainer."""
        self.scorer.load_state_dict(state)
        at = {None: -1} | {name: index for index, name in enumerate(self.tasks)}

        def before(after: str | None, step: int, finished: bool) -> bool:
            return at[after] < place[0] or (at[after] == place[0] and step <= place[1] and not finished)

        every = self.scorer.scores
        self.scorer.scores = [score for score in every if before(score.after, score.step, score.finished)]
        self._later = [score for score in every if at[score.after] > place[0]]
        self.scorer.stage = 1 + max((score.stage for score in self.scorer.scores), default=-1)
        path = self.folder.path / LOG
        if path.is_file():
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            kept = [x for x in lines if at[x["task"]] > place[0] or before(x["task"], x["step"], False)]
            write_atomically(path, "".join(json.dumps(line, sort_keys=True) + "\n" for line in kept))

    def score_base(self, device: Any) -> None:
        """Score the base model, unless these results have its record, and write that; wait for whoever does it."""
        lock = RunLock(self.base_folder)
        while not self.base_folder.finished:
            try:
                lock.acquire()
            except Held:
                time.sleep(1)
                continue
            try:
                if not self.base_folder.finished:
                    self._score_base(device)
            finally:
                lock.release()

    def _score_base(self, device: Any) -> None:
        self.base_folder.begin(self.base.resolved(), make_manifest(self.base, self.inputs, device))
        method = self.base.build()
        scorer = Scorer(self.base, self.inputs, self.base_folder, NoProgress(), lambda: None)
        cache = BaseScores(self.base_folder.shared, self.base, self.inputs, lambda: None)
        model = load_model(self.inputs.model, weights_dtype(self.base.train.precision), scorer.notes.append).to(device)
        scorer.score(method, model, None, 0, True, self.base.tasks, cache)
        outcome = TrainingOutcome(notes=tuple(scorer.notes))
        count = method.count_parameters(model)
        record = record_of(self.base, self.inputs, method, count, None, scorer, outcome, device)
        self.base_folder.finish(record)
        del model
        release_memory()

    def score(self, method: Method, model: nn.Module, moment: Moment) -> None:
        """Score the probe and the task under way (at its end those before it too), and keep it for a resume."""
        here = 0 if moment.after is None else self.tasks.index(moment.after)
        tasks = self.tasks if moment.after is None else self.tasks[: here + 1] if moment.finished else (moment.after,)
        cache = stage_cache(self.folder.checkpoint / f"{self.scorer.stage:04d}")
        self.scorer.score(method, model, moment.after, moment.step, moment.finished, tasks, cache)
        done = {(score.after, score.step, score.finished) for score in self.scorer.scores}
        self._later = [score for score in self._later if (score.after, score.step, score.finished) not in done]
        state = self.scorer.state_dict()
        state["scores"] += [score.model_dump(mode="json") for score in self._later]
        write_atomically(self.folder.path / _STATE, to_json(state))

    def cells(self, record: RunRecord, moment: Moment) -> tuple[Cell, Cell]:
        """Return what was kept, and learned of the task under way, by the first protocol, as ``report`` has it."""
        base = Recorded(read_record(self.base_folder.path / RECORD), self.base_folder.path)
        (study,) = make_studies([base, Recorded(record, self.folder.path)])
        protocol = PROTOCOLS[self.run.spec.evaluate.protocols[0]]
        (arm,) = study.arms
        kept = study.retention(arm, protocol.id, protocol.main.id, moment)
        return kept, study.task(arm, protocol.id, protocol.main.id, str(moment.after), moment)

    def record(self, method: Method, model: nn.Module, outcome: TrainingOutcome, device: Any) -> RunRecord:
        """Return the run's record, as far as it has come."""
        count = method.count_parameters(model)
        found = record_of(self.run, self.inputs, method, count, None, self.scorer, outcome, device)
        named = {**self.run.method.named, "options": self.options, "train": self.train}
        return RunRecord.model_validate({**found.model_dump(), "method": named})

    def finish(self, record: RunRecord) -> None:
        """Write the record."""
        self.folder.finish(record)
        (self.folder.path / _STATE).unlink(missing_ok=True)
