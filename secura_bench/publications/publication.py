"""A publication, whole: its file, its numbers, and what of them cannot be right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from secura_bench.foundation.errors import BenchError, unknown_name
from secura_bench.foundation.nearest import nearest_path
from secura_bench.foundation.resources import shipped
from secura_bench.foundation.yaml_file import YamlFile
from secura_bench.publications.checks import check_names, check_numbers
from secura_bench.publications.file import PublicationFile
from secura_bench.publications.flaws import Flaw, flaws_of
from secura_bench.publications.follows import followed
from secura_bench.publications.numbers import read_numbers
from secura_bench.publications.place import Numbers, Place

ALIASES = {"paper": "secura"}
"""Other names of publications that ship: ``paper`` is older than the others."""


@dataclass(frozen=True, eq=False)
class Publication:
    """A publication: ``name`` is its file's; ``numbers`` are all that its tables hold, by their places."""

    name: str
    file: PublicationFile
    numbers: Numbers

    @cached_property
    def values(self) -> Mapping[Place, float]:
        """The numbers alone."""
        return {place: printed.value for place, printed in self.numbers.items()}

    @cached_property
    def flaws(self) -> tuple[Flaw, ...]:
        """What is found of the numbers by ``flaws.RULES``."""
        return tuple(flaws_of(self.file, self.numbers))

    @cached_property
    def wrong(self) -> Mapping[Place, tuple[str, ...]]:
        """The printed numbers that cannot be right, each with the reasons."""
        return self._by_place(True)

    @cached_property
    def remarked(self) -> Mapping[Place, tuple[str, ...]]:
        """The printed numbers of which something else must be known, each with what."""
        return self._by_place(False)

    def source(self, table: str) -> str:
        """Return where a table's numbers are from, and whether that is a copy."""
        of = self.file.tables[table]
        secondary = (of.kind or self.file.kind) == "secondary"
        return (of.source or self.file.source) + (" (secondary: somebody's copy)" if secondary else "")

    def tolerance(self, place: Place) -> float:
        """Return how far a number may lie from the printed one and be the same."""
        due = followed(self.file, self.numbers, place)
        if due is not None:
            return due.tolerance
        tolerance = self.file.tables[place.table].tolerance
        return self.numbers[place].unit / 2 if tolerance is None else tolerance

    def _by_place(self, wrong: bool) -> Mapping[Place, tuple[str, ...]]:
        found: dict[Place, list[str]] = {}
        for flaw in self.flaws:
            if flaw.wrong == wrong:
                for place, said in flaw.places.items():
                    found.setdefault(place, []).append(said)
        return {place: tuple(said) for place, said in found.items()}


def shipped_publications() -> dict[str, Path]:
    """Return the path of every publication that ships by name."""
    return {path.stem: path for path in sorted(shipped("publications").glob("*.yaml"))}


_READ: dict[Path, Publication] = {}


def publication(name: str) -> Publication:
    """Return the publication of a name that ships, or of a file (``mine.yaml``).

    Raises:
        BenchError: There is none, or its file or one of its tables is not as it must be.
    """
    known = shipped_publications()
    path = known.get(ALIASES.get(name, name))
    if path is None:
        path = Path(name)
        if path.suffix not in (".yaml", ".yml"):
            said = unknown_name("publication", name, {**known, **ALIASES})
            raise BenchError(f"{said} A file of your own is named by its path, with .yaml at its end.")
        if not path.is_file():
            raise BenchError(f"{path}: no such file.{nearest_path(path, ('.yaml', '.yml'))}")
    path = path.resolve()
    if path not in _READ:
        _READ[path] = read(path)
    return _READ[path]


def read(path: Path) -> Publication:
    """Read a publication's file and the tables that it names.

    Raises:
        SpecError: One of them is not as it must be.
    """
    yaml = YamlFile.read(path)
    file = yaml.validate_as(PublicationFile)
    check_names(yaml, file)
    numbers = read_numbers(yaml, file)
    check_numbers(yaml, file, numbers)
    return Publication(path.stem, file, numbers)
