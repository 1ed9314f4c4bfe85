"""One run from base model to record: the only module that knows models, methods, data, training and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import nn

from secura_bench.checkpoints.lend import Lender
from secura_bench.foundation.wording import duration
from secura_bench.methods.lending import attached
from secura_bench.models.head import lend_heads
from secura_bench.models.load import load_model
from secura_bench.plan.heads import fresh_heads
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.phases import work_units
from secura_bench.plan.run import Run
from secura_bench.results.folder import RunFolder
from secura_bench.results.record import RunRecord
from secura_bench.runs.loaded import Norms, base_norms, count_loaded, score_loaded
from secura_bench.runs.manifest import make_manifest
from secura_bench.runs.progress.events import Meter, Progress
from secura_bench.runs.resuming import go_on, take_up
from secura_bench.runs.scorer import Scorer
from secura_bench.runs.session import Session, TrainingOutcome
from secura_bench.runs.stopping import Stop
from secura_bench.runs.trackers import Trackers
from secura_bench.runs.write_record import record_of
from secura_bench.training.checkpoints import read_checkpoint
from secura_bench.training.memory import release_memory, reset_peak_memory
from secura_bench.training.norms import copied, frobenius, linear_weights, relative_change
from secura_bench.training.precision import new_accelerator, prepare_training, trained_dtype, weights_dtype
from secura_bench.training.processes import is_main, on_main
from secura_bench.training.seeds import seed_everything
from secura_bench.training.sharding import divides, gathered, home, shard

if TYPE_CHECKING:
    from collections.abc import Iterator


def do_run(
    run: Run,
    inputs: Inputs,
    folder: RunFolder,
    progress: Progress,
    stop: Stop,
    fresh: bool = False,
    report_to: Sequence[str] = (),
    lender: Lender | None = None,
) -> RunRecord:
    """Do one run, from its last checkpoint if there is one, and write its folder. The record is written last.

    The whole state goes to disk before each scoring, and as often as ``checkpoint`` says. So a run that is killed and
    done again ends with the same numbers, bit for bit on a CPU. ``fresh`` scores the base model again, and a start that
    runs share. ``lender`` may hold the base from a run before.

    Raises:
        Stopped: ``stop`` was asked to; the state is on the disk.
    """
    seed_everything(run.seed, run.threads)
    accelerator = new_accelerator(run.train.precision)
    reset_peak_memory(accelerator.device)
    manifest = make_manifest(run, inputs, accelerator.device)
    saved, notes = on_main(lambda: take_up(run, folder, manifest, progress))
    state = read_checkpoint(saved, copied=not divides(run.train)) if saved else None
    progress.start_run(run.name, _title(run), work_units(run, inputs), state["run"]["units"] if state else 0.0)
    method = inputs.hand_to(run.build())
    meter = Meter(progress)
    scorer = Scorer(run, inputs, folder, meter, stop.check)
    lender = lender or Lender()
    norms: Norms | None
    if not method.trains:
        norms = on_main(lambda: base_norms(run, inputs, home(run.train, accelerator.device), lender))
        score_loaded(run, inputs, folder, accelerator.device, scorer, lender, stop.check, fresh)
        outcome, count = TrainingOutcome(notes=tuple(dict.fromkeys(scorer.notes))), count_loaded(run, inputs)
    else:
        if lender.release():
            release_memory()
        model = load_model(inputs.model, weights_dtype(run.train.precision), scorer.notes.append)
        model = model.to(home(run.train, accelerator.device))
        norms = {"before": dict(frobenius(linear_weights(model)))} if run.spec.log.weight_norms else None
        adapted = set(method.footprint().adapted) if run.spec.log.weight_norms else set()
        untrained = copied((path, W) for path, W in linear_weights(model) if path.rpartition(".")[2] in adapted)
        bases = {id(parameter) for parameter in model.parameters()}
        heads = fresh_heads(run, inputs, model)

        def prepare(model: nn.Module) -> None:
            prepare_training(model, run.train)
            lend_heads(model, heads)

        def wrap(base: nn.Module) -> nn.Module:
            lend_heads(base, heads)
            wrapped: nn.Module = accelerator.prepare_model(base, evaluation_mode=True)
            return wrapped

        model = attached(method, model, prepare, wrap)
        # Full fine-tuning under bf16 computes from fp32 weights what the base computes from bf16 ones: another start.
        recast = weights_dtype(run.train.precision) != trained_dtype(run.train.precision) and any(
            parameter.requires_grad and id(parameter) in bases for parameter in model.parameters()
        )
        if divides(run.train):
            shard(model, accelerator.device, run.train)
        session = Session(run, inputs, folder, accelerator, method, model, scorer, meter, stop, fresh, heads)
        session.notes += notes
        if recast or not method.starts_as_base:
            session.at.due = "start"
        if state is not None and saved is not None:
            go_on(session.load, state, saved)
        with _trackers(run, folder, report_to, progress) as session.log.trackers:
            outcome = session.go()
        count = method.count_parameters(model)  # at the end: what is held has grown by then
        if norms is not None:
            with method.evaluating(model):  # of what was scored
                norms["former"] = dict(frobenius(method.former_weights(model)))
                norms["updated"] = dict(frobenius(method.weights(model)))
                norms["moved"] = dict(relative_change(untrained, method.weights(model)))
            norms["before"] = {name: norm for name, norm in norms["before"].items() if name in norms["updated"]}

    if method.trains and not outcome.diverged and run.spec.keeps(count.trainable, count.total):
        with method.evaluating(model):  # as it was scored; and written so, since these are the model's own tensors
            kept = gathered(method.trained_state(model))
            on_main(lambda: folder.keep(kept, None if heads is None else heads.state_dict()))

    def close() -> RunRecord:
        record = record_of(run, inputs, method, count, norms, scorer, outcome, accelerator.device)
        folder.finish(record)
        return record

    record = on_main(close)
    spent = duration(outcome.seconds + scorer.seconds)
    diverged = outcome.diverged
    summary = f"diverged at {diverged['task']} step {diverged['step']}" if diverged else f"done in {spent}"
    progress.end_run(record.status, summary)
    return record


@contextmanager
def _trackers(run: Run, folder: RunFolder, names: Sequence[str], progress: Progress) -> Iterator[Trackers | None]:
    """Lend the trackers that were asked for, in the first process."""
    if not names or not is_main():
        yield None
        return
    config: dict[str, Any] = {"experiment": run.spec.experiment, "method": run.method.label, "seed": run.seed}
    if isinstance(run.train.lr, float):  # trackers take single values; what each task has, each step says
        config["lr"] = run.train.lr
    trackers = Trackers(names, folder.path.parent / "trackers", folder.path.name, config, progress.note)
    try:
        yield trackers
    finally:
        trackers.finish()


def _title(run: Run) -> str:
    if run.method.is_base:
        return "base"
    what = run.tasks[0] if len(run.tasks) == 1 else f"{len(run.tasks)} tasks"
    return f"{run.method.label}, {what}, seed {run.seed}"
