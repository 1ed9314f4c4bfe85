"""One run from base model to record: the only module that knows models, methods, data, training and evaluation."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from secura_bench import __version__
from secura_bench.base_scores import BaseScores
from secura_bench.data.example import Task
from secura_bench.manifest import make_manifest
from secura_bench.methods.base import Method, ParameterCount
from secura_bench.methods.lending import attached
from secura_bench.models.load import load_model, shapes_in
from secura_bench.models.tensors import named_tensors
from secura_bench.plan import Inputs, Run
from secura_bench.progress import At, Progress, duration
from secura_bench.records import Cost, RunRecord
from secura_bench.resuming import go_on, take_up
from secura_bench.scorer import Scorer, finite, shelf_in
from secura_bench.stopping import Stop
from secura_bench.store import RunFolder
from secura_bench.trackers import Trackers
from secura_bench.training.checkpoints import read_checkpoint, save_checkpoint
from secura_bench.training.loop import Diverged, StepReport, TrainingLoop
from secura_bench.training.memory import peak_memory, reset_peak_memory
from secura_bench.training.norms import frobenius
from secura_bench.training.precision import new_accelerator, prepare_training, trained_dtype, weights_dtype
from secura_bench.training.processes import gather, is_main, on_main
from secura_bench.training.seeds import generator_states, load_generator_states, seed_everything
from secura_bench.training.unsaved import Unsaved
from secura_bench.work import TRAINED_ROW, courses, scored_tasks, work_units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accelerate import Accelerator


def run_experiment(
    run: Run,
    inputs: Inputs,
    folder: RunFolder,
    progress: Progress,
    stop: Stop,
    fresh: bool = False,
    report_to: Sequence[str] = (),
) -> RunRecord:
    """Do one run, from its last checkpoint if there is one, and write its folder; the record is written last.

    ``fresh`` takes no score of the base model for known. Killed anywhere and called again, it ends with the same
    numbers, bit for bit on a CPU: before each scoring and now and then the whole state goes to disk.

    Raises:
        Stopped: ``stop`` was asked to; the state is on the disk.
    """
    seed_everything(run.seed, run.threads)
    accelerator = new_accelerator(run.train.precision)
    reset_peak_memory(accelerator.device)
    manifest = make_manifest(run, inputs, accelerator.device)
    saved, notes = on_main(lambda: take_up(run, folder, manifest, progress))
    state = read_checkpoint(saved) if saved else None
    progress.start_run(run.name, _title(run), work_units(run, inputs), state["run"]["units"] if state else 0.0)
    method = run.build()
    meter = _Meter(progress)
    scorer = Scorer(run, inputs, folder, meter, stop.check)
    shelf = BaseScores(folder.shared, run, inputs, stop.check, fresh) if method.stream == "none" else None
    if shelf and not run.spec.log.weight_norms and on_main(lambda: scorer.knows_all(run.tasks, shelf)):
        model = shapes_in(inputs.model)  # nothing is left to compute
    else:
        model = load_model(inputs.model, weights_dtype(run.train.precision), scorer.notes.append).to(accelerator.device)
    norms: dict[str, dict[str, float | None]] | None = None
    if run.spec.log.weight_norms:
        norms = {"before": dict(frobenius(Method().weights(model)))}
    bases = {id(parameter) for parameter in model.parameters()}
    model = attached(
        method,
        model,
        lambda model: prepare_training(model, run.train) if method.stream != "none" else None,
        lambda base: accelerator.prepare_model(base, evaluation_mode=True),
    )
    # Full fine-tuning under bf16 computes from fp32 weights what the base computes from bf16 ones: another start.
    recast = weights_dtype(run.train.precision) != trained_dtype(run.train.precision) and any(
        parameter.requires_grad and id(parameter) in bases for parameter in model.parameters()
    )
    if shelf:
        on_main(lambda: scorer.score(method, model, None, 0, True, run.tasks, shelf))
        outcome = _Outcome(notes=tuple(scorer.notes))
    else:
        session = _Session(run, inputs, folder, accelerator, method, model, scorer, meter, stop)
        session.notes += notes
        if recast or not method.starts_as_base:
            session.at.due = "start"
        if state is not None and saved is not None:
            go_on(session.load, state, saved)
        with _trackers(run, folder, report_to, progress) as session.trackers:
            outcome = session.go()

    def close() -> RunRecord:
        count = method.count_parameters(model)  # at the end: what is held has grown by then
        if method.stream != "none" and not outcome.diverged and _keeps(run, count):
            folder.keep(method.trained_state(model))
        record = _record(run, inputs, method, model, count, norms, scorer, outcome, accelerator.device)
        folder.finish(record)
        return record

    record = on_main(close)
    spent = duration(outcome.seconds + scorer.seconds)
    diverged = outcome.diverged
    summary = f"diverged at {diverged['task']} step {diverged['step']}" if diverged else f"done in {spent}"
    progress.end_run(record.status, summary)
    return record


@dataclass(frozen=True)
class _Outcome:
    """What training came to: its seconds and tokens, where it diverged, and what a reader must know."""

    seconds: float = 0.0
    tokens: int = 0
    diverged: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


@dataclass
class _Position:
    """Where a run is: ``step`` steps into course number ``course``, with a scoring due or not.

    ``due`` is ``start`` (before any training), ``way`` (the probe, within a task) or ``end`` (the task's end, its
    boundary behind it).
    """

    course: int = 0
    step: int = 0
    due: Literal["start", "way", "end"] | None = None


class _Meter:
    """Counts the units that are done, for the checkpoint, and passes everything on."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.units = 0.0

    def advance(self, units: float, at: At) -> None:
        self.units += units
        self._progress.advance(units, at)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._progress, name)


class _Session:
    """A run that trains, under way: what it is made of, where it is, and how that gets to the disk and back."""

    def __init__(
        self,
        run: Run,
        inputs: Inputs,
        folder: RunFolder,
        accelerator: Accelerator,
        method: Method,
        model: nn.Module,
        scorer: Scorer,
        meter: _Meter,
        stop: Stop,
    ) -> None:
        self.run, self.folder = run, folder
        self.method, self.model = method, model
        self.scorer, self.meter, self.stop = scorer, meter, stop
        self.loop = TrainingLoop(accelerator, model, method, run.train, inputs.chat.pad_id, run.spec.log)
        self.courses = list(courses(run, inputs, method))
        self.unsaved = Unsaved(method, model)
        self.at = _Position()
        self.seconds, self.tokens, self.steps = 0.0, 0, 0
        self.notes: list[str] = []
        self.trackers: Trackers | None = None
        self._saved: Path | None = None
        self._saved_at = self._ticked = time.monotonic()

    def go(self) -> _Outcome:
        """Do what is left of the run."""
        diverged = None
        try:
            self._score()
            while self.at.course < len(self.courses):
                self._train()
                self._score()
        except Diverged as outcome:
            self._tick()
            diverged = {"task": self.courses[self.at.course][0].name, "step": outcome.step}
        return _Outcome(self.seconds, self.tokens, diverged, (*self._own_notes(), *self.loop.notes))

    def _own_notes(self) -> tuple[str, ...]:
        """Return the notes of this process and those before it, each once; the loop keeps its own."""
        return tuple(dict.fromkeys((*self.notes, *self.scorer.notes)))

    def _train(self) -> None:
        """Train the rest of a course, and end it."""
        task, stream, steps = self.courses[self.at.course]
        self._ticked = time.monotonic()
        if self.at.step == 0:
            self._begin(task)
        self.loop.run_task(task, stream, steps, self._on_step, self.at.step)
        self.method.end_task(self.model, task)
        if figures := self.method.measures(self.model):  # of the boundary's merge, after which no step may follow
            self._log({"task": task.name, "step": steps, "boundary": True, **figures})
        self._tick()
        self.at = _Position(self.at.course, steps, "end")

    def _begin(self, task: Task) -> None:
        """Begin a task: when it comes, and the first one on a resume too, on the model as it was then."""
        self.method.begin_task(self.model, task)
        if task is self.courses[0][0]:
            self.unsaved.began()

    def _on_step(self, report: StepReport) -> None:
        task, _, steps = self.courses[self.at.course]
        every = self.run.spec.evaluate.every
        before = self.seconds
        self._tick()
        self.tokens += report.fed
        self.steps += 1
        self.at.step = report.step
        self._note(task, steps, report, report.fed / max(1e-9, self.seconds - before))
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
        task, _, _ = self.courses[self.at.course]
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
        shelf, step = shelf_in(predictions), self.at.step
        on_main(lambda: self.scorer.score(self.method, self.model, after, step, finished, tasks, shelf))
        self._saved = None
        self.at = _Position(self.at.course + 1) if self.at.due == "end" else _Position(self.at.course, self.at.step)

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
        _, stream, _ = self.courses[self.at.course]
        generators = gather(generator_states())

        def write() -> Path:
            run = {
                "fingerprint": self.run.fingerprint,
                "at": asdict(self.at),
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
                    "model": self.method.trained_state(self.model),
                    "method": self.method.state_dict(),
                    "loop": self.loop.state_dict(),
                },
            )

        saved = on_main(write)
        self._saved = saved if self.at.due else None
        self._saved_at = time.monotonic()

    def load(self, state: Mapping[str, Any], folder: Path) -> None:
        """Go on from a checkpoint; the model is as it was before the first step."""
        run = state["run"]
        self.at = _Position(**run["at"])
        if self.at.course or self.at.step:
            self._begin(self.courses[0][0])
        self.seconds, self.tokens, self.steps = run["seconds"], run["tokens"], run["steps"]
        self.meter.units = run["units"]
        self.notes += [note for note in run["notes"] if note not in self.notes]
        self.scorer.load_state_dict(state["scores"])
        self.courses[self.at.course][1].load_state_dict(state["stream"])
        own = named_tensors(self.model)
        with torch.no_grad():
            for name, tensor in state["model"].items():
                own[name].copy_(tensor)
        self.method.load_state_dict(state["method"])
        self.loop.load_state_dict(state["loop"])
        generators = state["generators"]
        load_generator_states(generators[self.loop.accelerator.process_index % len(generators)])
        self._saved = folder if self.at.due else None

    def _tick(self) -> None:
        """Count the time since the last look as training's."""
        now = time.monotonic()
        self.seconds += now - self._ticked
        self._ticked = now

    def _note(self, task: Task, steps: int, report: StepReport, speed: float) -> None:
        figures = {name: finite(value) for name, value in report.figures.items()}
        self._log(
            {
                "task": task.name,
                "step": report.step,
                "lr": report.lr,
                "loss": report.loss,
                "terms": report.terms,
                "grad_norm": finite(report.grad_norm),
                "answer_tokens": report.tokens,
                "tokens": report.fed,
                **figures,
            }
        )
        if self.trackers:
            numbers = {"loss": report.loss, "lr": report.lr, "grad_norm": report.grad_norm, "tokens_per_second": speed}
            self.trackers.log({**numbers, **report.terms, **report.figures}, self.steps)
        at = At("training", task.name, report.step, steps, report.loss, speed)
        self.meter.advance(report.rows * TRAINED_ROW, at)

    def _log(self, entry: Mapping[str, Any]) -> None:
        if is_main():
            self.folder.log(entry)


@contextmanager
def _trackers(run: Run, folder: RunFolder, names: Sequence[str], progress: Progress) -> Iterator[Trackers | None]:
    """Lend the trackers that were asked for, in the first process."""
    if not names or not is_main():
        yield None
        return
    config = {"experiment": run.spec.experiment, "method": run.method.label, "seed": run.seed, "lr": run.train.lr}
    trackers = Trackers(names, folder.path.parent / "trackers", folder.path.name, config, progress.note)
    try:
        yield trackers
    finally:
        trackers.finish()


def _record(
    run: Run,
    inputs: Inputs,
    method: Method,
    model: nn.Module,
    count: ParameterCount,
    norms: dict[str, dict[str, float | None]] | None,
    scorer: Scorer,
    outcome: _Outcome,
    device: torch.device,
) -> RunRecord:
    if norms is not None:
        for moment, weights in (("former", method.former_weights(model)), ("updated", method.weights(model))):
            norms[moment] = {name: finite(norm) for name, norm in frobenius(weights).items()}
    return RunRecord(
        version=__version__,
        name=run.name,
        fingerprint=run.fingerprint,
        experiment=run.spec.experiment,
        mode=run.spec.mode,
        status="diverged" if outcome.diverged else "done",
        diverged_at=outcome.diverged,
        notes=(*inputs.chat.differences, *outcome.notes),
        model={"label": inputs.model.label, "identity": inputs.model.identity},
        method={
            **run.method.named,
            "options": method.options.model_dump(mode="json"),
            "train": run.train.model_dump(mode="json") if method.stream != "none" else {},
        },
        tasks=run.tasks,
        probe=run.spec.probe,
        probe_parts=run.spec.probe_parts,
        seed=run.seed,
        limit=run.spec.evaluate.limit,
        precision=run.spec.train.precision,
        context=run.spec.data.context,
        parameters={**vars(count), "published_per_layer": method.published_per_layer},
        weight_norms=norms,
        data={name: inputs.notes[name] for name in dict.fromkeys((*run.tasks, *run.spec.probe_parts))},
        signatures=scorer.signatures,
        scores=tuple(scorer.scores),
        cost=Cost(
            train_seconds=round(outcome.seconds, 3),
            evaluate_seconds=round(scorer.seconds, 3),
            tokens=outcome.tokens,
            peak_memory=peak_memory(device),
            device=device.type,
        ),
        finished_at=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )


def _keeps(run: Run, count: ParameterCount) -> bool:
    """Return whether the trained result stays in the run's folder."""
    return run.spec.keep == "all" or (run.spec.keep == "adapters" and count.trainable < count.total)


def _title(run: Run) -> str:
    if run.method.name == "base":
        return "base"
    what = run.tasks[0] if len(run.tasks) == 1 else f"{len(run.tasks)} tasks"
    return f"{run.method.label}, {what}, seed {run.seed}"
