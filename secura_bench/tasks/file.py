"""A task file, as a typed and frozen value."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict, model_validator

from secura_bench.foundation.schema import Explained, Slug
from secura_bench.tasks.columns import Columns


def _compiles(pattern: str) -> str:
    from secura_bench.tasks.pattern import compile_pattern

    compile_pattern(pattern)
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]
"""A regular expression in RE2's language, which is matched in linear time: no pattern can hang."""


def _installed(name: str) -> str:
    wanted = {"ja-mecab": ("MeCab", "sacrebleu[ja]"), "ko-mecab": ("mecab_ko", "sacrebleu[ko]")}
    module, package = wanted.get(name, ("sacrebleu", "sacrebleu"))
    if find_spec(module) is None:
        raise ValueError(f"{name!r} wants a package that is not installed: pip install '{package}'; or take 'char'")
    return name


Tokenizer = Annotated[Literal["13a", "intl", "zh", "char", "ja-mecab", "ko-mecab"], AfterValidator(_installed)]
"""A tokenizer of sacreBLEU that needs no download."""


TextMetric = Literal["exact_match", "edit_similarity", "sari"]
"""A metric of generated texts that only the tasks have which name it."""


class HubSource(Explained):
    """A data set of the Hugging Face Hub whose files are parquet, JSON or CSV (no loading scripts)."""

    path: str
    """The id of the data set."""

    columns: Columns
    """How its columns become rows."""

    config: str | None = None
    """The configuration of the data set that is read."""

    split: str = "train"
    """The split that is read."""

    revision: str = "main"
    """A commit where one is attested, else a branch; a run's manifest records the commit used."""

    files: dict[str, str] | tuple[str, ...] | str | None = None
    """Files of the repository that are read instead of a split, by their paths or by patterns
    (``main/train-*.parquet``); of a mapping the key of each is the column ``file`` of its rows."""

    first: Annotated[int, Field(gt=0)] | None = None
    """How many rows are read, from the beginning (unset: all)."""

    stand_in: str | None = None
    """What the rows stand in for, if they do; tables say it."""

    licence: str | None = None
    """The licence of these rows, where it is not the task's."""


class LocalSource(Explained):
    """A file of rows in the folder ``SECURA_BENCH_DATA``."""

    file: str
    """The name of the file in that folder, or its path from there."""

    columns: Columns
    """How its columns become rows."""

    stand_in: str | None = None
    """What the rows stand in for, if they do; tables say it."""

    licence: str | None = None
    """The licence of these rows, where it is not the task's."""

    found_at: str | None = None
    """Where the file can be had, for whoever has it not."""


class FileSource(Explained):
    """A user's own file of rows."""

    path: Path
    """The file; a relative path starts at the task file's folder."""

    columns: Columns | None = None
    """How its columns become rows; unset, they are found by name (``secura_bench.tasks.files.layouts``)."""


class GeneratedSource(Explained):
    """Rows that are drawn by a program."""

    generator: str
    """The name of a generator in ``secura_bench.tasks.generators``."""

    seed: int = 0
    """The seed of the draw."""


class Sources(Explained):
    """Where a task's rows come from; of several, see ``TaskFile``."""

    hub: HubSource | None = None
    """A data set of the Hugging Face Hub."""

    local: LocalSource | None = None
    """A file of rows in the folder ``SECURA_BENCH_DATA``."""

    file: FileSource | None = None
    """A user's own file of rows."""


NEVER_TRAINED = {"text": "plain text", "code": "code that is run"}
"""What rows are, in words, of the kinds that can be a probe alone."""


class TaskFile(Explained):
    """One task: where its rows come from, how they read, and how an answer is judged.

    Of several sources ``file`` comes first, then ``generated``, then ``local`` where the folder ``SECURA_BENCH_DATA``
    has the file, then ``hub``.
    """

    id: Slug
    """The name of the task, which is the file's."""

    title: str
    """What tables call the task."""

    licence: str
    """The licence of the rows."""

    kind: Literal["answers", "text", "code", "classify"] = "answers"
    """What a row is: a prompt with an answer; plain text for perplexity, or a program to be completed, which is run
    with its tests (both probes, never trained on); or a text (or a pair of texts) that a classification head of the
    task's own gives one of ``labels`` (``docs/classify.md``)."""

    labels: tuple[str, ...] = ()
    """The labels of a task of ``kind: classify``, in the order of its head's outputs: each row's target is one."""

    answer: Literal["number", "choice", "text"] = "text"
    """How answers and references are read, by the rule in ``docs/answers.md``: a number, a choice (a letter or an
    option's text), or the whole text, white space folded."""

    extract: Pattern | None = None
    """An RE2 regular expression: only what it finds last is read, its first group, or the whole where it has none."""

    metric: tuple[Literal["accuracy", "bleu", "rouge", "perplexity", TextMetric], ...] = ("accuracy",)
    """What whoever made the task scores it by, the chief metric first. ``generate`` measures the last three of those
    tasks alone that name them, and ``own_metric`` scores each task by its first."""

    tokenize: Tokenizer | None = None
    """The tokenizer of sacreBLEU by which BLEU and ROUGE take texts apart. Unset, BLEU has ``13a`` and ROUGE its own,
    which knows a to z alone: Chinese wants ``zh``, most other writing ``intl`` or ``char``."""

    max_new_tokens: int = Field(default=128, gt=0)
    """After how many tokens generation stops."""

    first_tokens: Annotated[int, Strict(), Field(gt=1)] | None = None
    """Of plain text: its rows, in their order and joined without anything between, are one text, of which so many
    tokens are scored in one forward, the tokenizer's beginning among them. Unset, each row is a text of its own."""

    hub: HubSource | None = None
    """A data set of the Hugging Face Hub."""

    local: LocalSource | None = None
    """A file of rows in the folder ``SECURA_BENCH_DATA``."""

    file: FileSource | None = None
    """A user's own file of rows."""

    generated: GeneratedSource | None = None
    """A generator of rows."""

    test: Sources | None = None
    """Rows to test on (a published test split, say, or another data set): under ``hub``, ``local`` and ``file`` the
    keys that are others there than in the source of that name. Where ``path`` is another data set, ``columns`` alone
    are taken from there. Then all rows of the task's own sources are for training."""

    version: int = 1
    """The version of the task file."""

    @model_validator(mode="before")
    @classmethod
    def _complete_the_test(cls, data: Any) -> Any:
        """Give each source of ``test`` what it does not say itself from the task's own."""
        test = data.get("test") if isinstance(data, dict) else None
        if not isinstance(test, dict):
            return data
        whole = {
            name: {**_shared(own, given), **given}
            if isinstance(given, dict) and isinstance(own := data.get(name), dict)
            else given
            for name, given in test.items()
        }
        return {**data, "test": whole}

    @model_validator(mode="after")
    def _has_a_source(self) -> TaskFile:
        if not (self.hub or self.local or self.file or self.generated):
            raise ValueError("a task needs a source: 'hub', 'local', 'file' or 'generated'")
        if self.test is not None and (self.generated or not (self.test.hub or self.test.local or self.test.file)):
            raise ValueError("'test' names a 'hub', 'local' or 'file' beside the task's own (a generator has none)")
        if self.first_tokens is not None and (self.kind != "text" or self.test is not None):
            raise ValueError("'first_tokens' belongs to tasks of kind: text, whose rows are one text: it has no 'test'")
        tests = self.test or Sources()
        for source in (self.hub, self.local, self.file, tests.hub, tests.local, tests.file):
            columns = source.columns if source else None
            if columns is not None and (columns.text is not None) != (self.kind == "text"):
                raise ValueError("the column 'text' belongs to tasks of kind: text, and those have nothing else")
            if columns is not None and (columns.code is not None) != (self.kind == "code"):
                raise ValueError("the column 'code' belongs to tasks of kind: code, and those need it")
            if columns is not None and (columns.pair is not None) and self.kind != "classify":
                raise ValueError("the column 'pair' belongs to tasks of kind: classify; write both texts in 'prompt'")
        return self

    @model_validator(mode="after")
    def _has_labels_to_classify_by(self) -> TaskFile:
        if self.kind != "classify" and self.labels:
            raise ValueError("'labels' belong to tasks of kind: classify")
        if self.kind == "classify" and len(set(self.labels)) < max(2, len(self.labels)):
            raise ValueError("a task of kind: classify needs 'labels', two at least and each once")
        return self

    @property
    def tested_on(self) -> TaskFile | None:
        """The task whose rows are this one's test rows; None where its own rows are split."""
        if self.test is None:
            return None
        return self.model_copy(update={**dict(self.test), "test": None})


def _shared(own: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return what a source of test rows takes from the task's ``own``: of another data set no more than its columns."""
    another = given.get("path", own.get("path")) != own.get("path")
    return {key: value for key, value in own.items() if key == "columns" or not another}


def restriction(licence: str) -> str | None:
    """Return "non-commercial" or "unknown" where a licence is that, None where it allows what a user may expect."""
    if re.search(r"unknown|no (formal )?licence|belongs? to", licence, re.IGNORECASE):
        return "unknown"
    if re.search(r"\bNC\b|non-?commercial|research use", licence, re.IGNORECASE):
        return "non-commercial"
    return None
