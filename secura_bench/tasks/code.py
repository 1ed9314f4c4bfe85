"""The column ``code`` of tasks whose answers are programs that are run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from secura_bench.execution.languages import LANGUAGES
from secura_bench.foundation.errors import DataError, unknown_name
from secura_bench.tasks.row import Code

_TEXTS = ("language", "begin", "tests")


def read_code(value: Any, where: str) -> Code | None:
    """Return what a row's column ``code`` holds, None where it has none.

    Raises:
        DataError: It is no mapping of a language, two texts and a list of texts.
    """
    if value is None:
        return None
    given: dict[str, Any] = {"stop": (), **value} if isinstance(value, Mapping) else {}
    if given.keys() != {*_TEXTS, "stop"} or not all(isinstance(given[key], str) for key in _TEXTS):
        raise DataError(f"{where}: code must map language, begin and tests to a text each, and may map stop to a list.")
    stop = given["stop"]
    if isinstance(stop, str) or not isinstance(stop, Iterable) or not all(isinstance(text, str) for text in stop):
        raise DataError(f"{where}: the stop of code must be a list of texts, not {stop!r}.")
    if given["language"] not in LANGUAGES:
        raise DataError(f"{where}: code: {unknown_name('language', given['language'], LANGUAGES)}")
    return Code(given["language"], given["begin"], given["tests"], tuple(filter(None, stop)))
