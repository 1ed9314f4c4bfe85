"""A few steps of a run, to see what it takes on this machine. Nothing is written."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from secura_bench.data.example import Example, Task
from secura_bench.data.streams import RowStream
from secura_bench.evaluation.evaluate import evaluate
from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.lending import attached
from secura_bench.models.head import lend_heads
from secura_bench.models.load import load_model
from secura_bench.plan.heads import fresh_heads
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.run import Run
from secura_bench.tasks.file import TaskFile
from secura_bench.training.loop import StepReport, TrainingLoop
from secura_bench.training.precision import new_accelerator, prepare_training, weights_dtype
from secura_bench.training.seeds import seed_everything


@dataclass(frozen=True)
class Trial:
    """Seconds of an optimizer step, and of scoring a row by each protocol."""

    step: float
    row: Mapping[str, float]

    @classmethod
    def of(cls, run: Run, inputs: Inputs, steps: int) -> Trial:
        """Train ``steps`` steps on the run's first task, after one to warm up, and score one batch of the probe."""
        seed_everything(run.seed, run.threads)
        accelerator = new_accelerator(run.train.precision)
        method = inputs.hand_to(run.build())
        base = load_model(inputs.model, weights_dtype(run.train.precision)).to(accelerator.device)
        heads = fresh_heads(run, inputs, base)

        def lent(base: nn.Module) -> nn.Module:
            lend_heads(base, heads)
            wrapped: nn.Module = accelerator.prepare_model(base, evaluation_mode=True)
            return wrapped

        model = attached(
            method, base, lambda model: prepare_training(model, run.train) if method.trains else None, lent
        )
        lend_heads(model, heads)
        moments: list[float] = []

        def on_step(report: StepReport) -> None:
            moments.append(time.perf_counter())

        if not method.trains:
            model = accelerator.prepare_model(model, evaluation_mode=True)
        else:
            name = run.tasks[0]
            task = Task(name, 0, inputs.tasks[name].train, 1)
            loop = TrainingLoop(accelerator, model, method, run.train, inputs.chat.pad_id, heads=heads)
            method.begin_task(model, task)
            loop.run_task(task, RowStream(len(task.train), run.train.sampling, "trial"), steps + 1, on_step)
        size, row = run.spec.evaluate.batch_size, {}
        with method.evaluating(model) as view:
            for protocol in run.spec.evaluate.protocols:
                file, batch = _batch(protocol, inputs, size)
                began = time.perf_counter()
                evaluate(
                    protocol,
                    view,
                    file,
                    batch,
                    inputs.chat,
                    size,
                    run.spec.data.context,
                    why_not=inputs.why_not,
                )
                row[protocol] = (time.perf_counter() - began) / len(batch)
        return cls((moments[-1] - moments[0]) / steps if moments else 0.0, row)


def _batch(protocol: str, inputs: Inputs, size: int) -> tuple[TaskFile, Sequence[Example]]:
    """Return the first batch of rows that ``protocol`` can score, the probe's before the tasks'."""
    for name, examples in (*inputs.probe.items(), *inputs.test.items()):
        file = inputs.tasks[name].file
        if rows := PROTOCOLS[protocol].scorable(file.kind, examples)[:size]:
            return file, [examples[row] for row in rows]
    raise SpecError(f"evaluate.protocols: {protocol!r} can score nothing here.")
