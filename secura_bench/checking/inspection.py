"""A task under the glass: what the model will see of it, and what is wrong with its rows."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from secura_bench.answers.options import alike, same_number
from secura_bench.answers.reference import read_reference
from secura_bench.data import quality
from secura_bench.data.chat import ChatFormat
from secura_bench.data.dataset import TaskData, load_data
from secura_bench.data.example import Example
from secura_bench.data.fewshot import own_history
from secura_bench.evaluation.extraction import extract, is_right
from secura_bench.foundation.errors import DataError
from secura_bench.spec.sections import DataSpec
from secura_bench.tasks.catalog import expand, load_task
from secura_bench.tasks.file import TaskFile, restriction
from secura_bench.tasks.references import shorten
from secura_bench.tasks.row import Row
from secura_bench.tasks.sources import read_rows

_SHOWN = 3  # examples
_SEAM = 5  # tokens on each side of a seam
_BEGINNING = 60  # characters of an answer


def inspect(name: str, settings: DataSpec, chat: ChatFormat, probe: str = "f_task") -> Iterator[str]:
    """Yield the lines of a task's report: its rows, what is to be known of them, and three examples.

    Where worked examples stand before scored prompts, one of those follows. ``probe`` is the task or list that training
    rows should share nothing with.
    """
    data = load_data(name, settings, chat)
    train = [e.row for e in data.train]
    test = [replace(e.row, history=own_history(data.shots, e.row)) for e in data.test]
    rows = [*train, *test]
    yield from _source(data)
    yield from _reading(data)
    yield from _counts(data, settings, train, test)
    yield from _prompts(data, rows, chat)
    yield _overlap(name, rows, probe)
    yield from _options(rows, data.file.labels)
    yield from _references(data.file, rows)
    yield from _lengths(data)
    shown = data.train[:_SHOWN] if data.file.first_tokens is None else data.test
    for number, example in enumerate(shown, start=1):
        yield ""
        yield f"example {number} of {len(shown)}: {example.row.id}"
        yield from render(example, chat)
    if data.shots:
        yield ""
        yield f"a scored example, after {len(data.shots)} of the training rows: {data.test[0].row.id}"
        yield from render(data.test[0], chat)


def render(example: Example, chat: ChatFormat) -> Iterator[str]:
    """Yield an example exactly as the model sees it, then its seams token by token."""
    spelled = chat.tokenizer.decode(example.read_ids, clean_up_tokenization_spaces=False)
    yield from (f"  | {line}" for line in spelled.split("\n"))
    if example.head is not None:
        yield f"  last token {_tokens(example.prompt_ids[-1:], chat)} of {len(example)}, label {example.row.target!r}"
        return
    end = chat.end_of_turn if not chat.is_cut(example) and example.prompt_ids and example.row.prompt else ()
    answer = example.answer_ids[: len(example.answer_ids) - len(end)]
    if example.row.prompt:
        yield f"  prompt | answer      {_tokens(example.prompt_ids[-_SEAM:], chat)} | {_tokens(answer[:_SEAM], chat)}"
        last = _tokens(end, chat) if end else "cut by the context, no end of turn"
        yield f"  answer | end of turn {_tokens(answer[-_SEAM:], chat)} | {last}"
    else:
        yield f"  begins with          {_tokens(example.prompt_ids, chat) or 'no token of its own'}"
    yield f"  {len(example.prompt_ids)} prompt tokens and {len(example.answer_ids)} with a loss"


def _tokens(ids: Sequence[int], chat: ChatFormat) -> str:
    return " ".join(f"{chat.tokenizer.decode([token])!r}·{token}" for token in ids)


def _source(data: TaskData) -> Iterator[str]:
    origin = data.origin
    mark = restriction(origin.licence)
    yield f"{data.name}: {data.file.title}"
    yield _line("source", origin.source + (f" at {origin.revision}" if origin.revision else ""))
    if data.test_origin:
        tested = data.test_origin
        yield _line("test rows", tested.source + (f" at {tested.revision}" if tested.revision else ""))
    if origin.stand_in:
        yield _line("stand-in", origin.stand_in)
    yield _line("licence", origin.licence + (f"   ! {mark}" if mark else ""))


def _reading(data: TaskData) -> Iterator[str]:
    """Yield how a user's own file was read."""
    if data.origin.reading:
        yield _line("read as", data.origin.reading)


def _counts(data: TaskData, settings: DataSpec, train: Sequence[Row], test: Sequence[Row]) -> Iterator[str]:
    counts = data.counts
    yield _line("rows", f"{counts.found} found, {counts.filtered} not kept; {len(train)} to train, {len(test)} to test")
    if counts.met:
        yield _line("met", f"{counts.met} left out of training for the prompt or group of a test row")
    if data.file.kind == "answers":
        yield _line(
            "left out",
            f"{counts.too_long} with a prompt too long for {settings.context} tokens; {counts.cut_answers} answers cut",
        )
    if data.file.labels:
        yield _line("texts", f"{counts.cut_texts} cut to {settings.context} tokens")
    yield _line("duplicates", f"{counts.duplicates} rows repeat another's prompt")
    groups = {row.group for row in (*train, *test) if row.group is not None}
    grouped = f" ({len(groups)} groups)" if groups else ""
    yield _line(
        "leakage", f"{quality.leaked(train, test)} test rows share group or prompt with a training row{grouped}"
    )


def _prompts(data: TaskData, rows: Sequence[Row], chat: ChatFormat) -> Iterator[str]:
    """Yield what the tokenizer does to texts, and how prompts differ from its own, where there is anything to say."""
    counts = data.counts
    if counts.marked:
        texts = (text for row in rows for text in row.texts)
        spelled = ", ".join(dict.fromkeys(token for text in texts for token in chat.spelling.controls_in(text)))
        yield _line("special", f"{counts.marked} rows spell special tokens, which are read as text: {spelled}")
    if counts.respelled:
        yield _line("respelled", f"{counts.respelled} answers are compared as they come back from their tokens")
        yield from (_line("", change) for change in _respelled(rows, chat))
    earlier = [len(row.history) for row in rows if row.history]
    if earlier:
        yield _line("history", f"{len(earlier)} rows have earlier turns, the most {max(earlier)}")
    for number, difference in enumerate(chat.differences if data.file.kind == "answers" else ()):
        yield _line("" if number else "prompts", difference)


def _respelled(rows: Sequence[Row], chat: ChatFormat, shown: int = 2) -> Iterator[str]:
    """Return the first answers that their tokens change, before and after."""
    told = ((row.target, chat.spelling.read_back(row.target)) for row in rows)
    changed = (f"{before[:_BEGINNING]!r} → {after[:_BEGINNING]!r}" for before, after in told if before != after)
    return islice(changed, shown)


def _overlap(name: str, rows: Sequence[Row], probe: str) -> str:
    others: list[Row] = []
    looked: list[str] = []
    missing: dict[str, DataError] = {}
    for part in expand(probe):
        if part == name:
            continue
        try:
            others += read_rows(load_task(part), DataSpec().rows)[0]
            looked.append(part)
        except DataError as error:
            missing[part] = error
    said = []
    if looked:
        said.append(f"{quality.overlap(rows, others)} rows share 13 words in a row with {', '.join(looked)}")
    if missing:  # one reason: it is most often the same, a network that is not there
        said.append(f"not looked at: {', '.join(missing)} ({next(iter(missing.values()))})")
    return _line("overlap", "; ".join(said or ["not looked at"]))


def _options(rows: Sequence[Row], labels: Sequence[str] = ()) -> Iterator[str]:
    """Yield where right options stand, or how often each of ``labels`` is right; and what guessing gives."""
    bias, best, luck = quality.position_bias(rows), quality.majority(rows), quality.chance(rows)
    if bias is None or best is None or luck is None:
        return
    if labels:
        yield _line("labels", ", ".join(f"{label} {count}" for label, count in zip(labels, bias.counts, strict=False)))
    else:
        places = " ".join(f"({chr(ord('A') + i)}) {count}" for i, count in enumerate(bias.counts))
        verdict = "may be chance" if bias.p >= 0.01 else "not by chance"
        yield _line("right at", f"{places}; chi-square {bias.statistic:.1f}, p = {bias.p:.2g}: {verdict}")
    yield _line("guessing", f"best constant answer {best:.1f} %, uniform draw {luck:.1f} %")


def _references(file: TaskFile, rows: Sequence[Row]) -> Iterator[str]:
    """Yield how references are read, and which would not be right if a model wrote them word for word."""
    if file.kind != "answers":
        return
    read = {row.id: read_reference(file.answer, row.target, row.choices, row.answer_index) for row in rows}
    telling = sorted(rows, key=lambda row: row.target == read[row.id])  # those that are read as something else first
    shown = "; ".join(f"{shorten(row.target)!r} → {shorten(read[row.id] or '–')}" for row in telling[:_SHOWN])
    yield _line("references", f"{file.answer}: {sum(map(bool, read.values()))} of {len(rows)} read, as {shown}")
    wrong = [row for row in rows if not is_right(file.answer, extract(file.answer, row.target, row, file.extract), row)]
    if wrong:
        said = extract(file.answer, wrong[0].target, wrong[0], file.extract)
        example = f"{shorten(wrong[0].target)!r}, read as {said!r}"
        yield _line("", f"{len(wrong)} would not be right if a model wrote them word for word: {example}")
    if near := [pair for row in rows if row.choices and (pair := alike(row.choices))]:
        first = " and ".join(map(repr, near[0]))
        yield _line("", f"{len(near)} rows have options that case, quotes or a full stop alone tell apart: {first}")
    if twice := [pair for row in rows if row.choices and (pair := same_number(row.choices))]:
        first = " and ".join(map(repr, twice[0]))
        yield _line(
            "", f"{len(twice)} rows have options that are the same number, told apart by their text alone: {first}"
        )


def _lengths(data: TaskData) -> Iterator[str]:
    examples = (*data.train, *data.test)
    sides = [("prompt", [len(e.prompt_ids) for e in examples]), ("answer", [len(e.answer_ids) for e in examples])]
    if data.file.kind == "text":
        sides = [("text", sides[1][1])]
    if data.file.labels:
        sides = [("text", sides[0][1])]
    said = "; ".join(f"{side} median {statistics.median(n):g}, longest {max(n)}" for side, n in sides)
    yield _line("tokens", said)


def _line(label: str, text: str) -> str:
    return f"  {label:<11}{text}"
