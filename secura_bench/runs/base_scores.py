"""What the untouched model and checkpoints of it answer, computed once for all experiments in one results folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from secura_bench.checkpoints.find import Checkpoint
from secura_bench.checkpoints.heads import heads_identity
from secura_bench.data.example import Example
from secura_bench.evaluation.prediction_file import PredictionFile
from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.models.config import memory_mark
from secura_bench.plan.fingerprint import RESULTS_VERSION, device_kind, engine_mark, load_mark
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.run import Run
from secura_bench.plan.running import EXECUTE, run_mark


class BaseScores:
    """The prediction cache of base runs: a file for each model, template, rows, protocol and what else moves a number.

    So a base run scores only what no base run before it has scored. It goes on in the middle of a task.
    ``fresh`` deletes what is known and scores it again. ``checkpoint`` is what others made of the base, where that is
    scored; ``start`` says what a method made of it before the first step, where it is that: ``start_of``.
    """

    def __init__(
        self,
        root: Path,
        run: Run,
        inputs: Inputs,
        check: Callable[[], None],
        fresh: bool = False,
        checkpoint: Checkpoint | None = None,
        start: str | None = None,
    ) -> None:
        self.root, self.run, self.inputs = root, run, inputs
        self.check = check
        self.fresh = fresh
        self.checkpoint = checkpoint
        self.start = start

    @contextmanager
    def __call__(self, role: str, protocol: str, task: str, rows: Sequence[Example]) -> Iterator[PredictionFile]:
        """Lend the file of one evaluation, to this process alone; wait while another scores the same."""
        path = self.root / f"{self.fingerprint(protocol, task, rows)}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        while True:
            try:
                lock.acquire(timeout=0.5)
                break
            except Timeout:
                self.check()
        try:
            if self.fresh:
                path.unlink(missing_ok=True)
            yield PredictionFile(path)
        finally:
            lock.release()

    def fingerprint(self, protocol: str, task: str, rows: Sequence[Example]) -> str:
        """Return sixteen hex digits over everything that changes a prediction of the model."""
        spec, precision = self.run.spec, self.run.train.precision
        identity = {
            "model": self.inputs.model.identity,
            "template": self.inputs.chat.template_hash,
            "rows": self.inputs.tasks[task].scored_hash(rows),
            "context": spec.data.context,
            "protocol": protocol,
            "max_new_tokens": self.inputs.tasks[task].file.max_new_tokens,
            "precision": precision,
            "batch": spec.evaluate.batch_size if precision != "fp32" else None,
            "threads": self.run.threads,
            "device": device_kind(),
            "numbers": RESULTS_VERSION,
            **memory_mark(self.inputs.model.path),
            **load_mark(spec, self.run.train),
            **(run_mark(self.inputs.why_not) if protocol == EXECUTE else {}),
            **(engine_mark(spec) if PROTOCOLS[protocol].generates else {}),
        }
        if protocol == "classify":
            identity["heads"] = self.run.seed  # which draws them
        if self.checkpoint is not None:
            identity["checkpoint"] = self.checkpoint.folder.identity
            if protocol == "classify":
                identity["heads"] = heads_identity(self.checkpoint)
        if self.start is not None:
            identity["start"] = self.start
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
