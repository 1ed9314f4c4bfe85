"""The numbers of a publication, read from its CSV files into their places."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping

from secura_bench.foundation.errors import SpecError, quoted, unknown_name
from secura_bench.foundation.nearest import nearest_path
from secura_bench.foundation.regular import read_regular
from secura_bench.foundation.yaml_file import YamlFile
from secura_bench.publications.file import PublicationFile, PublishedTable
from secura_bench.publications.place import Place, Printed
from secura_bench.tasks.pattern import compile_pattern

_LARGEST = 1 << 22  # bytes: a thousand numbers are some 50,000
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_MISSING = ("", "-", "–", "—")


def read_numbers(yaml: YamlFile, file: PublicationFile) -> dict[Place, Printed]:
    """Return every number of a publication's tables.

    Raises:
        SpecError: A CSV file cannot be read, lacks a column, holds what is no number, or prints one place twice.
    """
    found: dict[Place, Printed] = {}
    for name, table in file.tables.items():
        if table.file is not None:
            _Reader(yaml, file, name, table).read_into(found)
    return found


class _Reader:
    """Reads one table of a publication."""

    def __init__(self, yaml: YamlFile, file: PublicationFile, name: str, table: PublishedTable) -> None:
        self.yaml, self.file, self.name, self.table = yaml, file, name, table
        self.path = yaml.path.parent / str(table.file)
        self.names = {
            "model": {printed: name for name, called in file.models.items() for printed in called},
            "task": {printed: name for name, called in file.tasks.items() for printed in called},
            "method": {printed: name for name, of in file.methods.items() for printed in of.printed},
            "metric": {printed: name for name, of in file.metrics.items() for printed in of.printed},
        }
        self.names["after"] = self.names["task"]

    def read_into(self, found: dict[Place, Printed]) -> None:
        rows = list(self._rows())
        texts = [row[column].strip() for _, row in rows for column in self.table.values]
        longest = max((len(text.partition(".")[2]) for text in texts if "e" not in text.lower()), default=0)
        unit = 10.0 ** -(longest if self.table.digits is None else self.table.digits)
        for line, row in rows:
            for column, own in self.table.values.items():
                if row[column].strip() in _MISSING:
                    continue
                place = self._place({**self._said(row, line), **{str(key): value for key, value in own.items()}}, line)
                if place in found:
                    raise self._wrong(line, f"a number of {place.spelled} stands in an earlier line already")
                scale = self.table.scales.get(place.metric, self.table.scale)
                marked, interval = self._beside(row)
                found[place] = Printed(self._value(row[column], line, column) * scale, unit * scale, marked, interval)

    def _rows(self) -> Iterator[tuple[int, Mapping[str, str]]]:
        try:
            text = read_regular(self.path, _LARGEST).decode("utf-8-sig")
        except (OSError, ValueError) as error:
            said = getattr(error, "strerror", None) or "is no UTF-8 text, or too large"
            near = nearest_path(self.path, (".csv",)) if not self.path.exists() else ""
            raise self.yaml.error(("tables", self.name, "file"), f"{self.path}: {said}.{near}") from None
        reader = csv.DictReader(io.StringIO(text, newline=""))
        table = self.table
        try:
            there = reader.fieldnames or ()
            lines = [(reader.line_num, row) for row in reader]
        except csv.Error as error:
            raise self._wrong(reader.line_num + 1, f"is no CSV: {error}") from None
        if not there:
            raise self._wrong(1, "has no heading: a line with the names of the columns")
        if twice := next((name for i, name in enumerate(there) if name in there[:i]), None):
            raise self._wrong(1, f"the column {quoted(twice)} stands here twice")
        for key, wanted in (
            *((("columns", key), names) for key, names in table.columns.items()),
            *((("patterns", name), (name,)) for name in table.patterns),
            *((("only", name), (name,)) for name in table.only),
            *((("values", name), (name,)) for name in table.values),
            *(((key,), (name,)) for key in ("marked", "interval") if (name := getattr(table, key))),
        ):
            for name in wanted:
                if name not in there:
                    raise self.yaml.error(
                        ("tables", self.name, *key), f"{self.path}: {unknown_name('column', name, there)}"
                    )
        for line, row in lines:
            if None in row or None in row.values():
                raise self._wrong(line, f"has not as many fields as the heading's {len(there)}")
            if all(row[name] in wanted for name, wanted in table.only.items()):
                yield line, row

    def _said(self, row: Mapping[str, str], line: int) -> dict[str, str]:
        said: dict[str, str] = {key: " ".join(row[name] for name in names) for key, names in self.table.columns.items()}
        for name, pattern in self.table.patterns.items():
            match = compile_pattern(pattern).fullmatch(row[name])
            if match is None:
                raise self._wrong(line, f"{name} {quoted(row[name])} does not match the pattern {quoted(pattern)}")
            said |= {key: value or "" for key, value in match.groupdict().items()}
        return {**{str(key): value for key, value in self.table.fixed.items()}, **said}

    def _place(self, said: Mapping[str, str], line: int) -> Place:
        of = {key: self.names.get(key, {}).get(value, value) for key, value in said.items()}
        metric = of.get("metric") or self.file.metric_of.get(of.get("task", ""))
        if metric is None or metric not in self.file.metrics:
            raise self._wrong(line, unknown_name("metric", metric or "", self.file.metrics).rstrip("."))
        step = of.get("step", "")
        if step and not step.isdecimal():
            raise self._wrong(line, f"the step {quoted(step)} is no whole number")
        return Place(
            self.name,
            of.get("model", ""),
            of.get("task", ""),
            of.get("method") or "base",
            metric,
            int(step) if step else None,
            of.get("variant", ""),
            of.get("after", ""),
        )

    def _value(self, text: str, line: int, column: str) -> float:
        value = float(text) if _NUMBER.fullmatch(text.strip()) else math.nan
        if not math.isfinite(value):
            raise self._wrong(line, f"{column} {quoted(text)} is no number; write it as 81.2, or leave the field empty")
        return value

    def _beside(self, row: Mapping[str, str]) -> tuple[bool | None, bool]:
        marked, interval = self.table.marked, self.table.interval
        return (row[marked].strip() == "1" if marked else None, bool(interval and row[interval].strip()))

    def _wrong(self, line: int, said: str) -> SpecError:
        return SpecError(f"{self.path}:{line}: {said}.")
