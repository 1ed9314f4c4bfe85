"""A run's record, from what it came to."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

import torch

from secura_bench.foundation.version import __version__
from secura_bench.methods.method import Method
from secura_bench.methods.parameters import ParameterCount
from secura_bench.plan.fingerprint import code_of
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.run import Run
from secura_bench.results.record import Cost, Interpolated, ModelNote, Parameters, RunRecord
from secura_bench.runs.scorer import Scorer, finite
from secura_bench.runs.session import TrainingOutcome
from secura_bench.training.memory import peak_memory


def record_of(
    run: Run,
    inputs: Inputs,
    method: Method,
    count: ParameterCount,
    norms: Mapping[str, dict[str, float | None]] | None,
    scorer: Scorer,
    outcome: TrainingOutcome,
    device: torch.device,
) -> RunRecord:
    """Return a run's record, from what it came to."""
    return RunRecord(
        version=__version__,
        name=run.name,
        fingerprint=run.fingerprint,
        experiment=run.spec.experiment,
        mode=run.spec.mode,
        status="diverged" if outcome.diverged else "done",
        diverged_at=outcome.diverged,
        notes=(
            *_held_out(run),
            *_cut(inputs),
            *inputs.chat.differences,
            *(run.loads.notes_for(run.tasks) if run.loads else ()),
            *outcome.notes,
            *([scorer.engine.sentence] if scorer.engine else []),
        ),
        model=_model(run, inputs),
        method={
            **run.method.named,
            "options": run.loads.told if run.loads else method.options.model_dump(mode="json"),
            "train": run.train.model_dump(mode="json") if method.trains else {},
            **({"code": code} if method.trains and run.loads is None and (code := code_of(method)) else {}),
            **({} if run.method.tuned is None else {"tuned": run.method.tuned.told}),
        },
        tasks=run.tasks,
        probe=run.spec.probe_name,
        probe_parts=run.spec.probe_parts,
        seed=run.seed,
        limit=run.spec.evaluate.limit,
        precision=run.spec.train.precision,
        context=run.spec.data.context,
        parameters=_parameters(run, count, method),
        weight_norms=norms and {moment: {k: finite(v) for k, v in each.items()} for moment, each in norms.items()},
        data={name: inputs.notes[name] for name in dict.fromkeys((*run.tasks, *run.spec.probe_parts, *method.sources))},
        signatures=scorer.signatures,
        scores=tuple(scorer.scores),
        interpolated=tuple(Interpolated(alpha=a, scores=tuple(found)) for a, found in scorer.interpolated.items()),
        engine=scorer.engine and scorer.engine.note,
        cost=Cost(
            train_seconds=round(outcome.seconds, 3),
            evaluate_seconds=round(scorer.seconds, 3),
            tokens=outcome.tokens,
            peak_memory=peak_memory(device),
            device=device.type,
        ),
        finished_at=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )


def _model(run: Run, inputs: Inputs) -> ModelNote:
    load = run.spec.load
    note: ModelNote = {"label": inputs.model.label + load.mark, "identity": inputs.model.identity}
    return {**note, "load": told} if (told := load.told(run.train.precision)) else note


def _held_out(run: Run) -> tuple[str, ...]:
    """Return what a reader must know of the rows that the trained tasks are scored on, where they are no test rows."""
    validation = run.spec.data.held_out == "validation"
    return ("scored on rows held out from the training rows, not on the test rows",) if validation else ()


def _cut(inputs: Inputs) -> tuple[str, ...]:
    """Return of which tasks texts to be classified were cut."""
    cut = {name: data.counts.cut_texts for name, data in inputs.tasks.items() if data.counts.cut_texts}
    return tuple(f"{name}: {count} texts to be classified are cut at the context" for name, count in cut.items())


def _parameters(run: Run, count: ParameterCount, method: Method) -> Parameters:
    """Return a run's numbers of scalars; of what others trained an adapter's alone, and no layer's share, are known."""
    if run.loads is not None:
        return {"trainable": count.trainable, "total": count.total} if count.trainable else {"total": count.total}
    return {**vars(count), "published_per_layer": method.published_per_layer}  # type: ignore[typeddict-item]
