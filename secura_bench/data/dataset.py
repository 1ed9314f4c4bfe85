"""A task made ready for one tokenizer: its split, as examples, with what was left out counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secura_bench.data.chat import ChatFormat
from secura_bench.data.check import duplicates
from secura_bench.data.example import Example, Row
from secura_bench.data.fewshot import after, worked_examples
from secura_bench.data.sources import Origin, read_rows
from secura_bench.data.split import rows_hash, split_rows
from secura_bench.data.tasks import TaskFile, load_task
from secura_bench.errors import DataError
from secura_bench.spec import DataSpec


@dataclass(frozen=True)
class Counts:
    """What became of a task's rows, so that nothing is dropped silently.

    ``found`` rows lie in the source and ``filtered`` of them are not kept by the task file. Of those drawn,
    ``too_long`` were left out (their prompt leaves no room for an answer), ``cut_answers`` lost their answer's end and
    ``duplicates`` repeat the prompt of another. ``marked`` rows spell special tokens, which are read as text, and of
    ``respelled`` ones the answer does not come back from its tokens as it was: it is compared as it comes back.
    ``fewshot`` training rows stand as worked examples before every scored prompt, and are not scored themselves.
    """

    found: int
    filtered: int
    too_long: int
    cut_answers: int
    duplicates: int
    marked: int = 0
    respelled: int = 0
    fewshot: int = 0


@dataclass(frozen=True)
class TaskData:
    """One task's examples, and what was left out of them.

    ``shots`` are the training rows that stand as worked examples before each scored prompt. ``spare`` are the training
    rows as a probe scores them where no run trains on them: after the shots, and without them.
    """

    file: TaskFile
    origin: Origin
    train: tuple[Example, ...]
    test: tuple[Example, ...]
    counts: Counts
    spare: tuple[Example, ...] = ()
    shots: tuple[Row, ...] = ()

    @property
    def spare_too_long(self) -> int:
        """How many training rows are not among the spare ones because of the worked examples before them."""
        return len(self.train) - len(self.shots) - len(self.spare)

    @property
    def name(self) -> str:
        """The task's name."""
        return self.file.id


def load_data(name: str, data: DataSpec, chat: ChatFormat, rows: int | None = None) -> TaskData:
    """Read, split and tokenise one task; ``rows`` overrides how many rows a generator makes.

    Raises:
        DataError: The source cannot be read, a side of the split is empty, or it has too few rows for worked examples.
    """
    file = load_task(name)
    found, origin = read_rows(file, rows or data.rows)
    split = split_rows(found, max(rows or 0, data.rows), data.test_fraction, data.seed)
    train = _examples(file, split.train, chat, data.context)
    shots = worked_examples(name, [e.row for e in train], data.num_fewshot if file.kind == "answers" else 0)
    test = _examples(file, after(shots, split.test), chat, data.context)
    spare = _examples(file, after(shots, (e.row for e in train[len(shots) :])), chat, data.context) if shots else train
    for side, examples in (("training", train), ("test", test)):
        if not examples:
            raise DataError(
                f"task {name!r}: no {side} rows are left of {len(found)} rows, in at most {data.context} tokens "
                f"(data.rows, data.test_fraction, data.context and data.num_fewshot decide that)."
            )
    drawn = (*split.train, *split.test)
    counts = Counts(
        found=len(found) + origin.filtered,
        filtered=origin.filtered,
        too_long=len(drawn) - len(train) - len(test),
        cut_answers=len({e.row.id for e in (*train, *test, *spare) if chat.is_cut(e)}) if file.kind == "answers" else 0,
        duplicates=duplicates(drawn),
        marked=sum(any(map(chat.spelling.controls_in, row.texts)) for row in drawn),
        respelled=sum(chat.spelling.read_back(row.target) != row.target for row in drawn),
        fewshot=len(shots),
    )
    return TaskData(file, origin, train, test, counts, spare, shots)


def probe_examples(parts: Sequence[TaskData], rows: int, trained: Sequence[str]) -> Mapping[str, tuple[Example, ...]]:
    """Return the probe's examples by part, ``rows`` in all, spread equally over the parts.

    A part gives its test rows first and then, if no run trains on it, its training rows but for those that stand as
    worked examples before the others; a smaller probe is the beginning of a larger one.

    Raises:
        DataError: A part has too few rows.
    """
    shares = [rows // len(parts) + (i < rows % len(parts)) for i in range(len(parts))]
    probe = {}
    for part, share in zip(parts, shares, strict=True):
        pool = part.test if part.name in trained else part.test + part.spare
        if len(pool) < share:
            why = " that are not trained on" if part.name in trained else ""
            raise DataError(
                f"probe_rows: {rows} asks for {share} rows of {part.name!r}, which has {len(pool)}{why}; at most "
                f"{len(pool) * len(parts)}."
            )
        probe[part.name] = pool[:share]
    return probe


def examples_hash(examples: Sequence[Example]) -> str:
    """Return the hash of the rows behind ``examples``, in order."""
    return rows_hash([example.row for example in examples])


def _examples(file: TaskFile, rows: Sequence[Row], chat: ChatFormat, context: int) -> tuple[Example, ...]:
    if file.kind == "text":
        return tuple(chat.text_example(file.id, row) for row in rows)
    made = (chat.example(file.id, row, context) for row in rows)
    return tuple(example for example in made if example is not None)
