"""A run's record, from what it came to."""

from __future__ import annotations

import datetime

import torch
from torch import nn

from secura_bench.foundation.version import __version__
from secura_bench.methods.base import Method, ParameterCount
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.run import Run
from secura_bench.results.record import Cost, RunRecord
from secura_bench.runs.scorer import Scorer, finite
from secura_bench.runs.session import Outcome
from secura_bench.training.memory import peak_memory
from secura_bench.training.norms import frobenius


def record_of(
    run: Run,
    inputs: Inputs,
    method: Method,
    model: nn.Module,
    count: ParameterCount,
    norms: dict[str, dict[str, float | None]] | None,
    scorer: Scorer,
    outcome: Outcome,
    device: torch.device,
) -> RunRecord:
    """Return a run's record, from what it came to."""
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
        probe=run.spec.probe_name,
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
