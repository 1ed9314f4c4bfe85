"""What each training step came to: a line of the run's log, the trackers' numbers, and where progress is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secura_bench.plan.phases import TRAINED_ROW
from secura_bench.results.folder import RunFolder
from secura_bench.runs.progress.events import Meter, RunActivity
from secura_bench.runs.scorer import finite
from secura_bench.runs.trackers import Trackers
from secura_bench.training.loop import StepReport
from secura_bench.training.processes import is_main


class StepLog:
    """Tells of steps. ``trackers`` are those that were asked for, if any."""

    def __init__(self, folder: RunFolder, meter: Meter) -> None:
        self.folder, self.meter = folder, meter
        self.trackers: Trackers | None = None

    def step(self, task: str, steps: int, report: StepReport, seconds: float, count: int) -> None:
        """Tell of a step of ``task``, which took ``seconds``: number ``count`` of the run."""
        figures = {name: finite(value) for name, value in report.figures.items()}
        self._write(
            {
                "task": task,
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
        speed = report.fed / max(1e-9, seconds)
        if self.trackers:
            numbers = {"loss": report.loss, "lr": report.lr, "grad_norm": report.grad_norm, "tokens_per_second": speed}
            self.trackers.log({**numbers, **report.terms, **report.figures}, count)
        self.meter.advance(
            report.rows * TRAINED_ROW, RunActivity("training", task, report.step, steps, report.loss, speed)
        )

    def boundary(self, task: str, steps: int, figures: Mapping[str, Any]) -> None:
        """Tell of the merge at a task's end, after which no step may follow."""
        if figures:
            self._write({"task": task, "step": steps, "boundary": True, **figures})

    def _write(self, entry: Mapping[str, Any]) -> None:
        if is_main():
            self.folder.log(entry)
