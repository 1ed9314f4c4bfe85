"""Options of methods that name rows to read beside the trained tasks': a task, or a file of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, Strict

from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.yaml_file import KeyPath, YamlFile
from secura_bench.spec.types import as_list
from secura_bench.tasks.catalog import CATALOG, find_data_file, is_data_file

_NAMES_ROWS = "names rows"

Source = Annotated[Annotated[str, Strict()] | None, _NAMES_ROWS]
"""Rows that a method reads beside those it is trained on: a task or a file of rows; None for none.

Of an option of this kind a spec's file becomes a task, a plan reads the rows, and the method's ``take`` gets them.
"""


def sources_in(options: BaseModel) -> tuple[str, ...]:
    """Return the tasks that a method's options name, each once."""
    named = (getattr(options, field) for field, _ in _marked(type(options)))
    return tuple(dict.fromkeys(name for name in named if name is not None))


def place_sources(file: YamlFile) -> None:
    """Make tasks of the data files that options of kind ``Source`` name, and put the tasks' names in their place.

    A relative path starts at the spec's folder, then at the working directory.

    Raises:
        SpecError: There is no such task or file. DataError: The file cannot be read.
    """
    for key, entry in _entries(file):
        for _, option in _marked(_options_of(entry)):
            name = entry.get(option)
            if not isinstance(name, str):
                continue
            try:
                if is_data_file(name):
                    entry[option] = CATALOG.add_file(find_data_file(name, file.path.parent))
                else:
                    CATALOG.load(name)
            except SpecError as error:
                raise file.error((*key, option), str(error)) from None


def _marked(options: type[BaseModel]) -> list[tuple[str, str]]:
    """Return the options of kind ``Source``, as fields and as a spec writes them."""
    fields = options.model_fields.items()
    return [(name, field.alias or name) for name, field in fields if _NAMES_ROWS in field.metadata]


def _entries(file: YamlFile) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """Yield every method of a spec that has options, the parts of a stack too, and the key at which it stands."""
    methods = file.data.get("methods", [])
    for index, entry in enumerate(as_list(methods)):
        if not isinstance(entry, dict):
            continue
        yield ("methods", index), entry
        for stacked in ("stack", "parts"):
            for place, part in enumerate(as_list(entry.get(stacked, []))):
                if isinstance(part, dict):
                    yield ("methods", index, stacked, place), part


def _options_of(entry: dict[str, Any]) -> type[BaseModel]:
    """Return the options of the method that an entry names; none where there is no such method, which is said later."""
    try:
        return METHODS.get(entry["name"]).Options
    except (LookupError, TypeError, SpecError):
        return BaseModel
