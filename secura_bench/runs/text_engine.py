"""A run's texts written by vLLM in the place of the bench's own engine, and compared with it: ``evaluate.engine``."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from secura_bench.data.example import Example
from secura_bench.evaluation.predictions import Prediction, Scored, long_first
from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.evaluation.protocols.protocol import Asked, Write, written
from secura_bench.evaluation.vllm_engine import (
    KEY,
    RANKS,
    WAY_OUT,
    Adapter,
    Engine,
    engine_version,
    in_words,
    lent_engine,
    missing_engine,
)
from secura_bench.export.as_scored import write_as_scored
from secura_bench.export.low_rank import low_rank, write_adapter
from secura_bench.foundation.errors import BenchError, SpecError
from secura_bench.methods.interpolation import adapted_modules
from secura_bench.methods.method import Method
from secura_bench.models.load import ModelFolder, shapes_in
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.run import Run
from secura_bench.results.record import Compared, EngineNote, Form
from secura_bench.training.memory import release_memory
from secura_bench.training.precision import weights_dtype
from secura_bench.training.processes import place
from secura_bench.training.seeds import generator_states, load_generator_states

COMPARED = 16
"""So many texts of a moment are written by both engines."""

LEAST = {torch.float32: 0.9, torch.bfloat16: 0.5}
"""The share of them that has to be the same, by the dtype of the weights: in 16 bits ties fall otherwise."""

Moment = tuple[str | None, int]
"""After which task, or while it is trained, and at which step of it."""

_AT_ONCE = 512
"""Rows that are handed over together: as many as vLLM answers at once, twice; what a restart repeats at most."""


@dataclass
class TextEngine:
    """What writes the texts of a run, moment by moment: an engine each, which is gone before training goes on.

    ``compared`` are the comparisons so far.
    """

    run: Run
    inputs: Inputs
    scratch: Path
    check: Callable[[], None]
    compared: list[Compared] = field(default_factory=list)

    @classmethod
    def of(cls, run: Run, inputs: Inputs, scratch: Path, check: Callable[[], None]) -> TextEngine | None:
        """Return the engine of a run, None where it writes its texts itself.

        Raises:
            SpecError: vLLM cannot be had here, or several processes do the run.
        """
        if run.spec.evaluate.engine != "vllm":
            return None
        if place()[1] > 1:
            raise SpecError(f"{KEY}: writes for one process, and {place()[1]} do this run; take --gpus, or {WAY_OUT}.")
        if missing := missing_engine(run.spec.evaluate):
            raise SpecError(missing)
        return cls(run, inputs, scratch, check)

    @property
    def note(self) -> EngineNote:
        """What a record says of it."""
        return {"name": "vllm", "version": engine_version(), "compared": list(self.compared)}

    @property
    def sentence(self) -> str:
        """What a reader of the numbers must know of it."""
        texts, same = (sum(each[key] for each in self.compared) for key in ("texts", "same"))
        held = f"of {texts} that the bench wrote too, {same} are the same" if texts else "none was asked for here"
        return f"vLLM {engine_version()} wrote the texts: {held}"

    @contextmanager
    def lent(
        self,
        method: Method,
        view: nn.Module,
        of: ModelFolder,
        moment: Moment,
        rows: Mapping[str, Sequence[Example]],
    ) -> Iterator[Write]:
        """Lend what writes in the place of ``view``, a model of ``of`` with or without an adapter, at one moment.

        ``rows`` are those that are scored then, by task. vLLM begins with the first text that is asked for. Generators
        of random numbers are where they were, after it.

        Raises:
            SpecError: vLLM fails, or does not write what the bench's own engine does.
        """
        engines: list[Engine] = []
        before = generator_states()
        with ExitStack() as lent:

            def write(asked: Asked, examples: Sequence[Example], known: Collection[int]) -> Iterator[Scored]:
                if not engines:
                    own = self._own_texts(asked, rows)  # before vLLM takes the memory
                    with self._told():
                        engine, form = lent.enter_context(self._engine(method, view, of))
                    self._compare(engine, form, own, moment)
                    engines.append(engine)
                yield from self._written(engines[0], asked, examples, known)

            yield write
        load_generator_states(before)

    def _own_texts(self, asked: Asked, rows: Mapping[str, Sequence[Example]]) -> list[tuple[Asked, Scored]]:
        """Return what the bench's own engine writes to some rows, spread over all that texts are asked of, by task."""
        places = [(task, row) for task, mine in rows.items() for row in mine if self._asks_for_texts(task, row)]
        chosen = {round(n * (len(places) - 1) / (COMPARED - 1)) for n in range(COMPARED)}
        found = []
        for task in dict.fromkeys(places[i][0] for i in sorted(chosen)):
            examples = [places[i][1] for i in sorted(chosen) if places[i][0] == task]
            part = replace(asked, file=self.inputs.tasks[task].file, examples=examples, known={}, write=None)
            found.append((part, [each for batch in written(part, examples, ()) for each in batch]))
        return found

    def _compare(self, engine: Engine, form: Form, own: Sequence[tuple[Asked, Scored]], moment: Moment) -> None:
        """Note how many texts are the same, and refuse an engine of which too few are."""
        same = texts = 0
        for part, said in own:
            theirs = dict(each for batch in self._written(engine, part, part.examples, ()) for each in batch)
            same += sum(theirs[i] == prediction for i, prediction in said)
            texts += len(said)
        after, step = moment
        self.compared.append({"after": after, "step": step, "form": form, "texts": texts, "same": same})
        least = math.ceil(LEAST[weights_dtype(self.run.train.precision)] * texts)
        if same < least:
            raise SpecError(
                f"{KEY}: {same} of {texts} texts are what the bench's own engine writes, and {least} have to be, in "
                f"{self.run.train.precision}; {WAY_OUT}."
            )

    def _written(
        self, engine: Engine, asked: Asked, examples: Sequence[Example], known: Collection[int]
    ) -> Iterator[Scored]:
        """Yield what vLLM writes, many rows at a time."""
        chat = asked.chat
        for numbers in long_first(examples, _AT_ONCE, known, length=lambda example: len(example.prompt_ids)):
            prompts = [examples[i].prompt_ids for i in numbers]
            with self._told():
                said = engine.answer(prompts, chat.stop_ids, asked.file.max_new_tokens)
            pairs = zip(numbers, said, strict=True)
            yield [(i, Prediction(chat.decode(ids), cut=not ids or ids[-1] not in chat.stop_ids)) for i, ids in pairs]

    @contextmanager
    def _engine(self, method: Method, view: nn.Module, of: ModelFolder) -> Iterator[tuple[Engine, Form]]:
        """Lend vLLM with the model that ``view`` is, from the least that has to be written for it."""
        dtype = weights_dtype(self.run.train.precision)
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True)
        try:
            folder, adapter = of.path, None
            form: Form = "folder"
            if method.trains or dict(adapted_modules(view)):
                pairs = low_rank(method, view, shapes_in(of).state_dict()) if _takes_adapters(dtype) else None
                if pairs and max(len(A) for A, _ in pairs.values()) <= max(RANKS):
                    adapter, form = Adapter(self.scratch, write_adapter(pairs, self.scratch)), "adapter"
                else:
                    write_as_scored(method, view, of, dtype, self.scratch)
                    folder, form = self.scratch, "weights"
                del pairs
            release_memory()
            with lent_engine(folder, self.inputs.model.path, dtype, self._longest(), adapter) as engine:
                yield engine, form
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def _longest(self) -> int:
        """Return the most tokens of a prompt and its answer, of all that the run ever asks for."""
        rows = [(name, row) for side in (self.inputs.probe, self.inputs.test) for name in side for row in side[name]]
        asked = [(self.inputs.tasks[name].file, row) for name, row in rows if self._asks_for_texts(name, row)]
        return max(len(row.prompt_ids) + file.max_new_tokens for file, row in asked)

    def _asks_for_texts(self, task: str, row: Example) -> bool:
        kind = self.inputs.tasks[task].file.kind
        protocols = map(PROTOCOLS.__getitem__, self.run.spec.protocols)
        return any(protocol.generates and protocol.scorable(kind, [row]) for protocol in protocols)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Have vLLM's failures told in one line; where the run was asked to stop, so was the engine's process."""
        try:
            yield
        except SpecError:
            raise
        except BenchError as error:
            raise SpecError(f"{KEY}: {str(error).rstrip('.')}; {WAY_OUT}.") from error
        except Exception as error:
            self.check()
            raise SpecError(in_words(error)) from error


def _takes_adapters(dtype: torch.dtype) -> bool:
    """Return whether vLLM computes adapters in ``dtype`` here: on a GPU its kernels are of 16 bits."""
    return dtype != torch.float32 or not torch.cuda.is_available()
