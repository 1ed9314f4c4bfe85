"""Execution: what a model writes after the prompt, greedily, is run with the row's tests, in a sandbox."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from secura_bench.evaluation.outcome import Judged
from secura_bench.evaluation.predictions import Prediction, Scored, long_first
from secura_bench.evaluation.protocols.protocol import Asked, Protocol, written
from secura_bench.foundation.errors import SpecError

if TYPE_CHECKING:
    from secura_bench.data.example import Example
    from secura_bench.tasks.row import Code

NOT_ALLOWED = "evaluate.protocols: execute runs what the model writes, in a sandbox; if it may, say so: --allow-code."


class Execute(Protocol):
    """The programs that a model writes, run with their tests."""

    def scorable(self, kind: str, examples: Sequence[Example]) -> list[int]:
        """Return the positions of all programs to be completed, and of nothing else."""
        return list(range(len(examples))) if kind == "code" else []

    def predict(self, asked: Asked) -> Iterator[Scored]:
        """Return what the model writes; a language that cannot be run is skipped, and not asked.

        Raises:
            SpecError: Nobody allowed to run it.
        """
        skipped = _skipped(asked)
        if left := [(i, Prediction(verdict="skipped", said=why)) for i, why in skipped.items() if i not in asked.known]:
            yield left
        places = [i for i in range(len(asked.examples)) if i not in skipped]
        known = {n for n, i in enumerate(places) if i in asked.known}
        for batch in written(asked, [asked.examples[i] for i in places], known):
            yield [(places[n], prediction) for n, prediction in batch]

    def length(self, example: Example) -> int:
        """Return the tokens of the prompt."""
        return len(example.prompt_ids)

    def batches(self, asked: Asked) -> list[list[int]]:
        """Return the batches of programs that can be run."""
        among = sorted(set(range(len(asked.examples))) - _skipped(asked).keys())
        return list(long_first(asked.examples, asked.answered_together, asked.known, among, self.length))

    def complete(self, asked: Asked, batch: Scored) -> Scored:
        """Return a batch with what became of its programs: they are run here.

        Raises:
            SandboxError: There is no sandbox any more.
        """
        written = [each for each in batch if each[1].verdict is None]  # of those that are skipped nothing was
        return _run(written, asked) if written else batch

    def judge(self, asked: Asked, predictions: Sequence[Prediction]) -> Judged:
        """Return whether each program passed; nothing of one that was skipped."""
        examples = asked.examples
        run = [prediction.verdict not in (None, "skipped") for prediction in predictions]
        pairs = list(zip(predictions, run, strict=True))
        columns = {
            "pass_at_1": [100.0 * (p.verdict == "passed") if was_run else None for p, was_run in pairs],
            "cut": [100.0 * bool(p.cut) if was_run else None for p, was_run in pairs],
        }
        return Judged(examples, [None] * len(examples), [e.row.target for e in examples], columns, {})


def code_of(example: Example) -> Code:
    """Return what makes a program of an example's answer."""
    if example.row.code is None:
        raise TypeError(f"{example.row.id} is no program to be completed")
    return example.row.code


def _allowed(asked: Asked) -> Mapping[str, str]:
    """Return of each language why its programs are not run, "" where they are.

    Raises:
        SpecError: Nobody allowed to run any.
    """
    if asked.why_not is None:
        raise SpecError(NOT_ALLOWED)
    return asked.why_not


def _skipped(asked: Asked) -> dict[int, str]:
    """Return the positions of the programs that cannot be run, and why."""
    why_not = _allowed(asked)
    return {i: reason for i, e in enumerate(asked.examples) if (reason := why_not[code_of(e).language])}


def _run(batch: Scored, asked: Asked) -> Scored:
    """Return the predictions of a batch with what became of their programs."""
    from secura_bench.answers.said import spoken
    from secura_bench.execution.many import run_programs
    from secura_bench.execution.reading import program_of

    programs = []
    for n, prediction in batch:
        code = code_of(asked.examples[n])
        source = program_of(code.language, code.begin, spoken(prediction.text), code.tests, code.stop)
        programs.append((code.language, source))
    verdicts = run_programs(programs, _allowed(asked))
    return [
        (n, replace(prediction, verdict=verdict.word, said=verdict.said))
        for (n, prediction), verdict in zip(batch, verdicts, strict=True)
    ]


EXECUTE = Execute(
    "execute",
    metrics=("pass_at_1",),
    learned=(),
    meaning="greedy generation, and what was written is run with the row's tests, in a sandbox; rows without tests are "
    "left out",
    warning="rows without tests are left out",
    no_claim="anything about programs that were not run: execute leaves out rows without tests",
    signatures={
        "pass_at_1": "the program ends with status 0 behind its tests, within its limits; one greedy answer a row",
        "cut": "no end of turn within the task's max_new_tokens",
    },
    wants="tasks of kind: code, such as multipl_e_run, in 'probe'",
    row_cost=5.0,
    generates=True,
)
