"""A file's columns, as its layout is found from them: names, the first row's values, and how Jinja2 says a column."""

from __future__ import annotations

import json
import keyword
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from secura_bench.tasks.templates import own_name

# What Jinja2 takes for its own before it looks for a column.
_RESERVED = frozenset(["true", "false", "none", "self", "super", "loop", "caller", "varargs", "kwargs", "recursive"])


@dataclass(frozen=True)
class Table:
    """The columns of one record.

    Attributes:
        fields: Names and values as they stand in the file.
        cells: That they are texts of a table, where pandas writes "nan" for what is missing.
    """

    fields: Mapping[str, Any]
    cells: bool = False

    def actual(self, name: str) -> str | None:
        """Return the column that ``name``, in lower case, means whatever its case, or None."""
        return next((own for own in self.fields if own.strip().lower() == name), None)

    def there(self, names: Iterable[str]) -> list[str]:
        """Return those of ``names`` that are columns."""
        return [name for name in names if self.actual(name) is not None]

    def filled(self, names: Iterable[str]) -> list[str]:
        """Return those of ``names`` that are columns and hold something."""
        return [name for name in self.there(names) if self.value(name) not in (None, "", [], {})]

    def value(self, name: str) -> Any:
        """Return the value of the column that ``name`` means."""
        own = self.actual(name)
        return None if own is None else self.fields[own]

    def ref(self, name: str) -> str:
        """Return the Jinja2 expression of the column that ``name`` means, or that is called that."""
        own = name if name in self.fields else self.actual(name) or name
        if own.isidentifier() and not keyword.iskeyword(own) and own not in _RESERVED:
            return own
        return f"{own_name('columns', self.fields)}[{json.dumps(own)}]"

    def braces(self, name: str) -> str:
        """Return the template that writes a column as it is."""
        return "{{ " + self.ref(name) + (" | present" if self.cells else "") + " }}"


def reach(expression: str, value: Any) -> str:
    """Return the expression of the text within ``value``: the first of a list, the text of a mapping."""
    if isinstance(value, (list, tuple)) and value:
        return reach(f"{expression}[0]", value[0])
    if isinstance(value, Mapping) and value:
        key = next(key for key in ("text", "value", "content", *value) if key in value)
        return reach(f"{expression}[{json.dumps(key)}]", value[key])
    return expression


def is_turns(value: Any) -> bool:
    """Return whether ``value`` is a list of objects, as the turns of a conversation are."""
    return isinstance(value, list) and bool(value) and all(isinstance(turn, Mapping) for turn in value)
