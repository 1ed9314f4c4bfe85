"""A run's training and scoring, from where it stands to its end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from secura_bench.adapters.put_back import put_back
from secura_bench.data.example import Task
from secura_bench.methods.method import Method
from secura_bench.models.task_heads import TaskHeads
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.phases import scored_tasks, training_phases
from secura_bench.plan.run import Run
from secura_bench.results.folder import RunFolder
from secura_bench.runs.base_scores import BaseScores
from secura_bench.runs.interpolating import score_between
from secura_bench.runs.position import Position
from secura_bench.runs.progress.events import Meter
from secura_bench.runs.scorer import Scorer, stage_cache
from secura_bench.runs.starts import start_of
from secura_bench.runs.step_log import StepLog
from secura_bench.runs.stopping import Stop
from secura_bench.training.checkpoints import save_checkpoint
from secura_bench.training.loop import Diverged, StepReport, TrainingLoop
from secura_bench.training.processes import gather, on_main
from secura_bench.training.seeds import generator_states, load_generator_states
from secura_bench.training.sharding import gathered
from secura_bench.training.unsaved import Unsaved

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class TrainingOutcome:
    """What training came to: its seconds and tokens, where it diverged, and what a reader must know."""

    seconds: float = 0.0
    tokens: int = 0
    diverged: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


class Session:
    """A run that trains: its parts, its position, and how both get to the disk and back."""

    def __init__(
        self,
        run: Run,
        inputs: Inputs,
        folder: RunFolder,
        accelerator: Accelerator,
        method: Method,
        model: nn.Module,
        scorer: Scorer,
        meter: Meter,
        stop: Stop,
        fresh: bool = False,
        heads: TaskHeads | None = None,
    ) -> None:
        self.run, self.inputs, self.folder, self.fresh = run, inputs, folder, fresh
        self.method, self.model = method, model
        self.scorer, self.meter, self.stop = scorer, meter, stop
        self.heads = heads
        self.loop = TrainingLoop(accelerator, model, method, run.train, inputs.chat.pad_id, run.spec.log, heads)
        self.phases = list(training_phases(run, inputs, method))
        self.unsaved = Unsaved(method, model)
        self.at = Position()
        self.seconds, self.tokens, self.steps = 0.0, 0, 0
        self.notes: list[str] = []
        self.log = StepLog(folder, meter)
        self._saved: Path | None = None
        self._saved_at = self._ticked = time.monotonic()

    def go(self) -> TrainingOutcome:
        """Do what is left of the run."""
        diverged = None
        try:
            self._score()
            while self.at.phase < len(self.phases):
                self._train()
                self._score()
        except Diverged as outcome:
            self._tick()
            diverged = {"task": self.phases[self.at.phase][0].name, "step": outcome.step}
        return TrainingOutcome(self.seconds, self.tokens, diverged, (*self._own_notes(), *self.loop.notes))

    def _own_notes(self) -> tuple[str, ...]:
        """Return the notes of this process and those before it, each once; the loop keeps its own."""
        return tuple(dict.fromkeys((*self.notes, *self.scorer.notes)))

    def _train(self) -> None:
        """Train the rest of a phase, and end it."""
        task, stream, steps = self.phases[self.at.phase]
        self._ticked = time.monotonic()
        if self.at.step == 0:
            self._begin(task)
        self.loop.run_task(task, stream, steps, self._on_step, self.at.step)
        self.method.end_task(self.model, task)
        self.log.boundary(task.name, steps, self.method.measures(self.model))
        self._tick()
        self.at = Position(self.at.phase, steps, "end")

    def _begin(self, task: Task) -> None:
        """Begin a task: when it comes, and the first one on a resume too, on the model as it was then."""
        self.method.begin_task(self.model, task)
        if task is self.phases[0][0]:
            self.unsaved.began()

    def _on_step(self, report: StepReport) -> None:
        task, _, steps = self.phases[self.at.phase]
        every = self.run.spec.evaluate.every
        before = self.seconds
        self._tick()
        self.tokens += report.fed
        self.steps += 1
        self.at.step = report.step
        self.log.step(task.name, steps, report, self.seconds - before, self.steps)
        if report.step == steps:
            return  # the end of the task is saved, boundary and all
        if every and report.step % every == 0:
            self.at.due = "way"
            self._score()
            self.loop.resume_training()
        elif self._asked_to_stop():
            self._save()
            self.stop.check()
        elif self._save_is_due(report.step):
            self._save()
        self._ticked = time.monotonic()

    def _score(self) -> None:
        """Do the scoring that is due, if one is: from a checkpoint, on which its predictions build."""
        if self.at.due is None:
            return
        task, _, _ = self.phases[self.at.phase]
        after = None if self.at.due == "start" else task.name
        tasks = {
            "start": self.run.tasks,
            "way": (),
            "end": scored_tasks(self.run, task.index, self.method),
        }[self.at.due]
        finished = self.at.due != "way"
        if self._saved is None:
            self._save()
        if self._asked_to_stop():
            self.stop.check()
        predictions = self._saved / "predictions" if self._saved else Path()
        cache, step = stage_cache(predictions), self.at.step

        kept = self._shared_starts() if after is None else cache
        probed = self.run.spec.evaluate.probe == "each" or (self.at.phase == len(self.phases) - 1 and after is not None)
        self.scorer.score(self.method, self.model, after, step, finished, tasks, kept, probed=probed)
        if after and finished and self.at.phase == len(self.phases) - 1 and self.run.spec.evaluate.interpolate:
            score_between(self.scorer, self.method, self.model, after, step, tasks, predictions / "between")
        self._saved = None
        self.at = self.at.scored()

    def _shared_starts(self) -> BaseScores:
        """Return the cache in which all runs that start alike look first."""
        start = start_of(self.run, self.model)
        return BaseScores(self.folder.shared, self.run, self.inputs, self.stop.check, self.fresh, start=start)

    def _asked_to_stop(self) -> bool:
        """Return whether any process of the run was asked to stop; then all of them were."""
        asked = [signal for signal in gather(self.stop.signal) if signal is not None]
        if asked:
            self.stop.signal = asked[0]
        return bool(asked)

    def _save_is_due(self, step: int) -> bool:
        often = self.run.spec.checkpoint
        due = bool(often.every_minutes) and time.monotonic() - self._saved_at >= 60 * (often.every_minutes or 0)
        return bool(often.every_steps and step % often.every_steps == 0) or any(gather(due))

    def _save(self) -> None:
        """Write the whole state to disk.

        Raises:
            SpecError: It would not be the whole state.
        """
        self.unsaved.check()
        _, stream, _ = self.phases[self.at.phase]
        generators = gather(generator_states())
        held = gathered(
            {
                "model": self.method.trained_state(self.model),
                "method": self.method.state_dict(),
                "loop": self.loop.state_dict(),
            }
        )

        def write() -> Path:
            run = {
                "fingerprint": self.run.fingerprint,
                "at": self.at.state_dict(),
                "seconds": self.seconds,
                "tokens": self.tokens,
                "steps": self.steps,
                "units": self.meter.units,
                "notes": list(self._own_notes()),
                "log": self.folder.settle_log(),
            }
            return save_checkpoint(
                self.folder.checkpoint,
                {
                    "run": run,
                    "scores": self.scorer.state_dict(),
                    "stream": stream.state_dict(),
                    "generators": generators,
                    **held,
                    **({} if self.heads is None else {"heads": self.heads.state_dict()}),
                },
            )

        saved = on_main(write)
        self._saved = saved if self.at.due else None
        self._saved_at = time.monotonic()

    def load(self, state: Mapping[str, Any], folder: Path) -> None:
        """Go on from a checkpoint; the model is as it was before the first step."""
        run = state["run"]
        self.at = Position.of(run["at"])
        if self.at.begun:
            self._begin(self.phases[0][0])
        self.seconds, self.tokens, self.steps = run["seconds"], run["tokens"], run["steps"]
        self.meter.units = run["units"]
        self.notes += [note for note in run["notes"] if note not in self.notes]
        self.scorer.load_state_dict(state["scores"])
        self.phases[self.at.phase][1].load_state_dict(state["stream"])
        put_back(self.model, state["model"])
        self.method.load_state_dict(state["method"])
        self.loop.load_state_dict(state["loop"])
        if self.heads is not None:
            self.heads.load_state_dict(state["heads"])
        generators = state["generators"]
        load_generator_states(generators[self.loop.accelerator.process_index % len(generators)])
        self._saved = folder if self.at.due else None

    def _tick(self) -> None:
        """Count the time since the last look as training's."""
        now = time.monotonic()
        self.seconds += now - self._ticked
        self._ticked = now
