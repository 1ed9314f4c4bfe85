"""What a file that is not read by its columns' names is answered with: a task file that reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from secura_bench.foundation.errors import DataError
from secura_bench.tasks.files.formats import stem_of
from secura_bench.tasks.shipped import own_task_name


class UnclearError(Exception):
    """A file's columns do not say what they are for.

    Attributes:
        why: What is unclear.
        columns: What a task file may say of them, by the keys of ``Columns``; empty where nothing can be guessed.
    """

    def __init__(self, why: str, columns: Mapping[str, str] | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.columns = dict(columns or {})


def refusal(path: Path, names: list[str], error: UnclearError) -> DataError:
    """Return the error that says what was found, and the task file that reads the file all the same."""
    message = f"{path}: {error.why} Found: {', '.join(names) or 'no column'}."
    if not error.columns:
        return DataError(message)
    name = own_task_name(path)
    return DataError(
        f"{message} A task file reads it: save these lines as {name}.yaml in a folder, change what is meant otherwise, "
        f"name the task {name}, and give --include FOLDER.\n\n{task_file(name, path, error.columns)}"
    )


def task_file(name: str, path: Path, columns: Mapping[str, str]) -> str:
    """Return the text of a task file by which ``columns`` of a file are read."""
    about = {
        "id": name,
        "title": stem_of(path),
        "licence": "unknown",
        **({"kind": "text"} if "text" in columns else {}),
        **({"answer": "choice"} if "choices" in columns else {}),
    }
    lines = [f"{key}: {_quoted(value)}" for key, value in about.items()]
    lines += ["file:", f"  path: {_quoted(str(path.resolve()))}", "  columns:"]
    lines += [f"    {key}: {_quoted(value)}" for key, value in columns.items()]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """Return ``text`` for YAML: as it is where that is plainly a word, else in double quotes."""
    plain = text.replace("_", "").isalpha() and text.lower() not in ("yes", "no", "on", "off", "true", "false", "null")
    return text if plain and text.isascii() else json.dumps(text, ensure_ascii=False)
