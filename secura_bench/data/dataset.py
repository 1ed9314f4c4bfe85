"""A task made ready for one tokenizer: its split, as examples, with what was left out counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from secura_bench.data.chat import ChatFormat
from secura_bench.data.classified import classified_example, is_cut
from secura_bench.data.example import Example
from secura_bench.data.fewshot import after, worked_examples
from secura_bench.data.quality import duplicates
from secura_bench.data.split import Split, rows_hash, split_from, split_rows, validation_split
from secura_bench.foundation.errors import DataError
from secura_bench.spec.sections import PROBE_ROWS, DataSpec
from secura_bench.tasks.catalog import load_task
from secura_bench.tasks.file import TaskFile
from secura_bench.tasks.references import check_references, is_told
from secura_bench.tasks.row import Row
from secura_bench.tasks.sources import Origin, read_rows, read_test_rows


@dataclass(frozen=True)
class Counts:
    """What became of a task's rows, so that nothing is dropped silently.

    ``found`` rows lie in the source and ``filtered`` of them are not kept by the task file. Of those drawn,
    ``too_long`` were left out (their prompt leaves no room for an answer), ``cut_answers`` lost their answer's end and
    ``duplicates`` repeat the prompt of another. ``met`` were left out of training because they have the prompt or the
    group of a test row that the task names itself. ``marked`` rows spell special tokens, which are read as text, and of
    ``respelled`` ones the answer does not come back from its tokens as it was: it is compared as it comes back.
    ``fewshot`` training rows stand as worked examples before every scored prompt, and are not scored themselves.
    ``cut_texts`` rows to be classified lost their text's end.
    """

    found: int
    filtered: int
    too_long: int
    cut_answers: int
    duplicates: int
    met: int = 0
    marked: int = 0
    respelled: int = 0
    fewshot: int = 0
    cut_texts: int = 0


@dataclass(frozen=True)
class TaskData:
    """One task's examples, and what was left out of them.

    ``test_origin`` is where the test rows come from, where the task names them itself.
    ``shots`` are the training rows that stand as worked examples before each scored prompt. ``spare`` are the training
    rows as a probe scores them where no run trains on them: after the shots, without them and without those whose
    reference is no answer of the task's kind. ``identity`` is a hash of what else the rows are asked by, where that is
    not the bench's own.
    """

    file: TaskFile
    origin: Origin
    train: tuple[Example, ...]
    test: tuple[Example, ...]
    counts: Counts
    test_origin: Origin | None = None
    spare: tuple[Example, ...] = ()
    shots: tuple[Row, ...] = ()
    identity: str | None = None

    @property
    def spare_too_long(self) -> int:
        """How many training rows are not among the spare ones because of the worked examples before them."""
        told = sum(is_told(self.file, example.row) for example in self.train[len(self.shots) :])
        return told - len(self.spare)

    @property
    def name(self) -> str:
        """The task's name."""
        return self.file.id

    @property
    def kind(self) -> str:
        """The kind of its rows, which says what protocols can score them."""
        return self.file.kind

    def scored_hash(self, examples: Sequence[Example]) -> str:
        """Return the hash of the rows behind some of the task's examples, and of what else they are asked by."""
        rows = examples_hash(examples)
        return rows if self.identity is None else sha256(f"{self.identity} {rows}".encode()).hexdigest()


def load_data(name: str, data: DataSpec, chat: ChatFormat, rows: int | None = None) -> TaskData:
    """Read, split and tokenise one task; ``rows`` overrides how many rows a generator makes.

    Raises:
        DataError: The source cannot be read, a side of the split is empty, or it has too few rows for worked examples.
    """
    file = load_task(name)
    found, origin = read_rows(file, rows or data.rows)
    if file.first_tokens is not None:
        return _one_text(file, found, origin, chat, file.first_tokens)
    own_test, test_origin = read_test_rows(file) or (None, None)
    count, seed = max(rows or 0, data.rows), data.seed if data.shuffle else None
    if own_test is None:
        split = split_rows(found, count, data.test_fraction, seed)
    else:
        split = split_from(found, own_test, count, seed)
    if data.held_out == "validation":
        split, test_origin = validation_split(split, data.test_fraction, seed), None
        check_references(file.tested_on or file, split.test, {})
    if data.held_out == "all":  # test rows first, as a probe has them whose training rows are scored too
        split = replace(split, train=(), test=(*split.test, *split.train))
    train = _examples(file, split.train, chat, data.context)
    shots = worked_examples(name, [e.row for e in train], data.num_fewshot if file.kind == "answers" else 0)
    test = _examples(file, after(shots, split.test), chat, data.context)
    spare = _examples(file, after(shots, (e.row for e in train[len(shots) :])), chat, data.context) if shots else train
    spare = tuple(example for example in spare if is_told(file, example.row))
    for side, left, before in (("training", train, split.train), ("test", test, split.test)):
        if not left and not (data.held_out == "all" and side == "training"):
            happened = _what_happened(len(found), len(own_test or ()), split, before, data)
            raise DataError(f"task {name!r}: no {side} rows are left. {happened}")
    drawn = (*split.train, *split.test)
    origins = [origin] if test_origin is None else [origin, test_origin]
    filtered = sum(each.filtered for each in origins)
    counts = Counts(
        found=len(found) + len(own_test or ()) + filtered,
        filtered=filtered,
        too_long=len(drawn) - len(train) - len(test),
        cut_answers=len({e.row.id for e in (*train, *test, *spare) if chat.is_cut(e)}) if file.kind == "answers" else 0,
        duplicates=duplicates(drawn),
        met=split.met,
        marked=sum(any(map(chat.spelling.controls_in, row.texts)) for row in drawn),
        respelled=0
        if file.kind == "classify"
        else sum(chat.spelling.read_back(row.target) != row.target for row in drawn),
        fewshot=len(shots),
        cut_texts=sum(is_cut(e, chat.spelling, data.context) for e in (*train, *test)) if file.labels else 0,
    )
    return TaskData(file, origin, train, test, counts, test_origin, spare, shots)


def _one_text(file: TaskFile, rows: Sequence[Row], origin: Origin, chat: ChatFormat, tokens: int) -> TaskData:
    """Return a task whose rows are one text, of which the first ``tokens`` are scored; nothing is trained on.

    The number is in the row's id, and so in what identifies a score.
    """
    row = Row(f"first-{tokens}-tokens", "", "".join(row.target for row in rows))
    whole = chat.text_example(file.id, row)
    cut = replace(whole, answer_ids=whole.answer_ids[: tokens - len(whole.prompt_ids)])
    counts = Counts(len(rows) + origin.filtered, origin.filtered, too_long=0, cut_answers=0, duplicates=0)
    return TaskData(file, origin, (), (cut,), counts)


def _what_happened(found: int, own_test: int, split: Split, side: Sequence[Row], data: DataSpec) -> str:
    """Return what became of a task's rows, counted, of which a ``side`` has none left; and the way out.

    ``own_test`` rows beside the ``found`` ones are those that the task names to be tested on.
    """
    drawn = len(split.train) + len(split.test) + split.met - own_test
    counted = f"Of {found} rows {drawn} were drawn (data.rows: {data.rows}): {len(split.train)} to train"
    if own_test:
        counted += f", {split.met} left out of training for the prompt or group of one of {own_test} test rows."
    else:
        counted += f", {len(split.test)} to test."
    if side:
        shots = f" with data.num_fewshot: {data.num_fewshot} worked examples before it" if data.num_fewshot else ""
        return (
            f"{counted} All {len(side)} have a prompt{shots} that is too long for data.context: {data.context} tokens."
        )
    if split.met:
        return f"{counted} Train on rows that are not the test rows."
    if drawn == 1:
        return f"{counted} One row cannot be parted into training and test."
    return (
        f"{counted} All {drawn} share one prompt or group, and what shares one stays on one side: no test prompt is "
        f"trained on. Give it rows with other prompts, or rows to test on by a task file's 'test'."
    )


def probe_examples(
    parts: Sequence[TaskData], rows: int | None, trained: Sequence[str]
) -> Mapping[str, tuple[Example, ...]]:
    """Return the probe's examples by part, ``rows`` in all, spread equally over the parts.

    A part gives its test rows first and then, if no run trains on it, its training rows but for those that stand as
    worked examples before the others; a smaller probe is the beginning of a larger one. Where ``rows`` is not said it
    is ``PROBE_ROWS``, or as many as the smallest part allows. A part that is one text has no share: it is all there.

    Raises:
        DataError: A part has fewer rows than are asked for.
    """
    single = {part.name: part.test for part in parts if part.file.first_tokens is not None}
    found = {**_shared([part for part in parts if part.name not in single], rows, trained), **single}
    return {part.name: found[part.name] for part in parts}


def _shared(parts: Sequence[TaskData], rows: int | None, trained: Sequence[str]) -> Mapping[str, tuple[Example, ...]]:
    if not parts:
        return {}
    pools = {part.name: part.test if part.name in trained else part.test + part.spare for part in parts}
    wanted = PROBE_ROWS if rows is None else rows
    shares = [wanted // len(parts) + (i < wanted % len(parts)) for i in range(len(parts))]
    least = min(map(len, pools.values()))
    if rows is None and least < max(shares):
        shares = [least] * len(parts)
    for (name, pool), share in zip(pools.items(), shares, strict=True):
        if len(pool) < share:
            why = " that are not trained on" if name in trained else ""
            raise DataError(
                f"probe_rows: {rows} asks for {share} rows of {name!r}, which has {len(pool)}{why}; at most "
                f"{least * len(parts)}, or leave probe_rows out for as many as there are."
            )
    return {name: pool[:share] for (name, pool), share in zip(pools.items(), shares, strict=True)}


def examples_hash(examples: Sequence[Example]) -> str:
    """Return the hash of the rows behind ``examples``, in order."""
    return rows_hash([example.row for example in examples])


def _examples(file: TaskFile, rows: Sequence[Row], chat: ChatFormat, context: int) -> tuple[Example, ...]:
    if file.kind == "text":
        return tuple(chat.text_example(file.id, row) for row in rows)
    if file.kind == "classify":
        made = (classified_example(file.id, row, chat.spelling, context) for row in rows)
    else:
        made = (chat.example(file.id, row, context) for row in rows)
    return tuple(example for example in made if example is not None)
