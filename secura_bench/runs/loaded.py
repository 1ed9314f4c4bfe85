"""Runs that train nothing: the base, and what others trained, loaded phase by phase and scored."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from secura_bench.checkpoints.adapter import read_tensors
from secura_bench.checkpoints.lend import Lender
from secura_bench.methods.lending import attached
from secura_bench.methods.method import Method
from secura_bench.methods.parameters import ParameterCount
from secura_bench.models.head import lent_heads
from secura_bench.models.load import ModelFolder, shapes_in
from secura_bench.plan.heads import loaded_heads
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.phases import LoadedPhase, loaded_phases
from secura_bench.plan.run import Run
from secura_bench.results.folder import RunFolder
from secura_bench.runs.base_scores import BaseScores
from secura_bench.runs.scorer import Scorer
from secura_bench.training.memory import release_memory
from secura_bench.training.norms import frobenius
from secura_bench.training.precision import weights_dtype
from secura_bench.training.processes import everywhere, on_main
from secura_bench.training.sharding import divides, home, shard

Norms = dict[str, dict[str, float | None]]


def score_loaded(
    run: Run,
    inputs: Inputs,
    folder: RunFolder,
    device: torch.device,
    scorer: Scorer,
    lender: Lender,
    check: Callable[[], None],
    fresh: bool,
) -> None:
    """Score every phase of a run that trains nothing.

    Predictions are kept for all experiments of the results: so a run that was killed goes on where it was, and a phase
    of which all are there loads no model.
    """
    method = run.build()
    lender.use(inputs.model, weights_dtype(run.train.precision), home(run.train, device))
    for phase in loaded_phases(run):
        cache = BaseScores(folder.shared, run, inputs, check, fresh, phase.checkpoint)
        if on_main(partial(scorer.has_all, phase.tasks, cache)):
            shapes = shapes_in(_folder(phase, inputs))
            scorer.score(method, shapes, phase.after, 0, True, phase.tasks, cache)
        else:
            with ExitStack() as lent:
                model = attached(method, everywhere(partial(_lend, phase, run, inputs, lender, scorer, lent)))
                if divides(run.train):
                    shard(model, device, run.train)
                scorer.score(method, model, phase.after, 0, True, phase.tasks, cache, of=_folder(phase, inputs))
            del model
            release_memory()
    if divides(run.train) or (run.loads is None and not run.method.is_base):
        lender.release()  # it is in parts; what a method of someone else's does to the base is its own


def _lend(phase: LoadedPhase, run: Run, inputs: Inputs, lender: Lender, scorer: Scorer, lent: ExitStack) -> nn.Module:
    """Return a phase's model with the heads that its tasks are answered by, until ``lent`` is closed."""
    model = lent.enter_context(lender.lend(phase.checkpoint, scorer.notes.append))
    lent.enter_context(lent_heads(model, loaded_heads(phase.checkpoint, run, inputs, model, phase.tasks)))
    return model


def base_norms(run: Run, inputs: Inputs, device: torch.device, lender: Lender) -> Norms | None:
    """Return the norms of the base's weights, where the spec asks for them; of what is loaded none are recorded."""
    if not run.spec.log.weight_norms or run.loads is not None:
        return None
    lender.use(inputs.model, weights_dtype(run.train.precision), device)
    with lender.lend(None, lambda note: None) as model:
        norms = dict(frobenius(Method().weights(model)))
    return {**{moment: dict(norms) for moment in ("before", "former", "updated")}, "moved": dict.fromkeys(norms, 0.0)}


def count_loaded(run: Run, inputs: Inputs) -> ParameterCount:
    """Return the numbers of scalars at the run's end: of an adapter those of its file count as trained."""
    last = loaded_phases(run)[-1]
    method = run.build()
    count = method.count_parameters(method.attach(shapes_in(_folder(last, inputs))))
    if last.checkpoint is None or last.checkpoint.adapter is None:
        return count
    trained = sum(tensor.numel() for tensor in read_tensors(last.checkpoint).values())
    return replace(count, trainable=trained, effective=trained, total=count.total + trained)


def _folder(phase: LoadedPhase, inputs: Inputs) -> ModelFolder:
    """Return the folder that says what the phase's model looks like."""
    if phase.checkpoint is not None and phase.checkpoint.adapter is None:
        return phase.checkpoint.folder
    return inputs.model
