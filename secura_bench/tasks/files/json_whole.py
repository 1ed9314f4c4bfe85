"""Files named .json: a list of objects, a list inside one object, or JSON lines after all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from secura_bench.foundation.errors import DataError
from secura_bench.tasks.files.json_text import DECODER, strict_mapping
from secura_bench.tasks.files.record import Record, Records
from secura_bench.tasks.files.text import read_whole

Placed = tuple[int, Any]  # the line on which a value begins, from 1, and the value

_SPACE = re.compile(r"[ \t\n\r]*")
_WANTED = 'Read are a list of objects, one object that holds one such list (as {"data": […]}), and an object a line.'


def read_json(path: Path) -> tuple[str, Records]:
    """Return how the file is laid out, and its objects, each with the line on which it begins.

    Raises:
        DataError: It holds no list of objects, or several; the message names the keys.
    """
    scan = _Scan(path, read_whole(path))
    if scan.at("["):
        return "a list of objects", _records(path, scan.whole_list())
    if not scan.at("{"):
        raise DataError(f"{path}:1: holds no objects. {_WANTED}")
    line = scan.line()
    first, lists = scan.mapping()
    if not scan.at(""):
        return "objects one behind the other", _records(path, chain([(line, first)], scan.run()))
    if len(lists) != 1:
        number = "no list of objects" if not lists else f"{len(lists)} lists of objects ({', '.join(lists)})"
        raise DataError(
            f"{path}:1: holds one object with {number}. Found the keys: {', '.join(first) or 'none'}. {_WANTED}"
        )
    ((key, values),) = lists.items()
    return f"the list {key!r}", _records(path, values)


def _records(path: Path, values: Iterable[Placed]) -> Records:
    """Yield the records that ``values`` are, which must be objects."""
    for index, (line, fields) in enumerate(values):
        if not isinstance(fields, dict):
            raise DataError(f"{path}:{line}: row {index + 1} must be an object, not a {type(fields).__name__}.")
        yield Record(f"{line} (row {index + 1})", index, fields)


class _Scan:
    """A walk through JSON text, value by value, that knows its line."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text
        self.place = 0
        self._counted = 0
        self._line = 1

    def at(self, character: str) -> bool:
        """Return whether ``character`` comes next behind white space; "" is the end of the text."""
        match = _SPACE.match(self.text, self.place)
        self.place = match.end() if match else self.place
        return self.text[self.place : self.place + 1] == character

    def line(self) -> int:
        """Return the line of the present place, from 1."""
        self._line += self.text.count("\n", self._counted, self.place)
        self._counted = self.place
        return self._line

    def value(self) -> Any:
        """Return the value that comes next, and go behind it."""
        try:
            value, self.place = DECODER.raw_decode(self.text, self.place)
        except json.JSONDecodeError as error:
            raise self._error(error.lineno, f"{error.msg} at column {error.colno}") from None
        except (RecursionError, ValueError) as error:
            raise self._error(self.line(), str(error)) from None
        return value

    def expect(self, character: str) -> None:
        """Go behind ``character``, which must come next."""
        if not self.at(character):
            raise self._error(self.line(), f"expecting {character!r}")
        self.place += 1

    def whole_list(self) -> Iterator[Placed]:
        """Yield the values of the list that comes next, behind which the text must end."""
        yield from self.elements()
        if not self.at(""):
            raise self._error(self.line(), "there is something behind the list")

    def run(self) -> Iterator[Placed]:
        """Yield the values that stand one behind the other up to the end."""
        while not self.at(""):
            yield self.line(), self.value()

    def elements(self) -> Iterator[Placed]:
        """Yield the values of the list that comes next."""
        self.expect("[")
        closed = self.at("]")
        while not closed:
            self.at("")
            yield self.line(), self.value()
            closed = self.at("]")
            if not closed:
                self.expect(",")
        self.place += 1

    def mapping(self) -> tuple[dict[str, Any], dict[str, list[Placed]]]:
        """Return the object that comes next, and those of its values that are lists of objects, placed."""
        pairs: list[tuple[str, Any]] = []
        lists: dict[str, list[Placed]] = {}
        self.expect("{")
        closed = self.at("}")
        while not closed:
            if not self.at('"'):
                raise self._error(self.line(), "expecting a key in double quotes")
            key = self.value()
            self.expect(":")
            if self.at("["):
                values = [*self.elements()]
                pairs.append((key, [value for _, value in values]))
                if values and all(isinstance(value, dict) for _, value in values):
                    lists[key] = values
            else:
                pairs.append((key, self.value()))
            closed = self.at("}")
            if not closed:
                self.expect(",")
        self.place += 1
        try:
            return strict_mapping(pairs), lists
        except ValueError as error:
            raise self._error(self.line(), str(error)) from None

    def _error(self, line: int, what: str) -> DataError:
        return DataError(f"{self.path}:{line}: is not JSON that can be read: {what}.")
