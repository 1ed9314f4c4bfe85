"""A task's training rows as a trainer wants them, made as the bench makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from secura_bench.data.chat import ChatFormat
from secura_bench.data.collate import IGNORE
from secura_bench.data.dataset import load_data
from secura_bench.data.example import Example, Task
from secura_bench.data.general import general_rows
from secura_bench.foundation.errors import DataError
from secura_bench.integrations.no_heads import needs_head
from secura_bench.spec.sections import DataSpec
from secura_bench.tasks.catalog import CATALOG, find_data_file, is_data_file
from secura_bench.tasks.row import Row

if TYPE_CHECKING:
    from datasets import Dataset


def read_task(name: str, tokenizer: Any, data: DataSpec | None = None, *, index: int = 0, count: int = 1) -> Task:
    """Return the training rows of a task or a file of rows, as ``secura-bench run`` splits and tokenises them.

    The test rows are not among them: what scores the task by the same ``data`` meets rows that were not trained on.
    ``index`` and ``count`` are where the task stands in a sequence.

    Raises:
        SpecError: There is no such task or file. DataError: Its rows cannot be read.
    """
    read = load_data(task_named(name), data or DataSpec(), ChatFormat(tokenizer))
    if read.file.labels:
        raise needs_head(name)
    return Task(read.name, index, read.train, count)


def read_source(name: str, tokenizer: Any, data: DataSpec | None = None) -> tuple[Example, ...]:
    """Return the training rows of a task or a file of rows, of plain text too, for a method that reads some beside.

    They are those of ``read_task``; apart from what scores other tasks they are only where no row lies in both.

    Raises:
        SpecError: There is no such task or file. DataError: Its rows cannot be read.
    """
    settings = data or DataSpec()
    read = load_data(task_named(name), settings, ChatFormat(tokenizer))
    if read.file.labels:
        raise needs_head(name)
    return general_rows(read, (), settings.context)


def task_named(name: str) -> str:
    """Return the name of a task, of which a file of rows is made one.

    Raises:
        SpecError: There is no such file, or the name is taken. DataError: It cannot be read.
    """
    return CATALOG.add_file(find_data_file(name)) if is_data_file(name) else name


def dataset_of(examples: Sequence[Example]) -> Dataset:
    """Return ``examples`` as a dataset that TRL takes as it is: ``input_ids``, and ``labels`` on the answers alone."""
    from datasets import Dataset

    rows = [feature_of(example) for example in examples]
    return Dataset.from_dict({key: [row[key] for row in rows] for key in ("input_ids", "labels")})


def feature_of(example: Example) -> dict[str, list[int]]:
    """Return an example as TRL's collator takes one."""
    ids = [*example.prompt_ids, *example.answer_ids]
    return {"input_ids": ids, "labels": [IGNORE] * len(example.prompt_ids) + list(example.answer_ids)}


def example_of(feature: dict[str, Any], task: str) -> Example:
    """Return what TRL made of a row as an example: what has no label before the first label is its prompt.

    Raises:
        DataError: Something after the first label has none, as between an assistant's turns: a buffer's row is a prompt
            and an answer.
    """
    ids, labels = feature["input_ids"], feature.get("labels", feature["input_ids"])
    start = next((at for at, label in enumerate(labels) if label != IGNORE), len(labels))
    if list(labels[start:]) != list(ids[start:]):
        raise DataError(
            f"task {task!r}: a row's loss leaves out tokens after its answer's first; what is replayed is a prompt and "
            f"one answer. Make a row of each turn."
        )
    return Example(task, Row(id="", prompt="", target=""), tuple(ids[:start]), tuple(ids[start:]))
