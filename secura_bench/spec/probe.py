"""What of a spec's ``probe`` is lm-evaluation-harness's: its tasks as parts of the probe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Discriminator, Field, Strict, StringConstraints, Tag

from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.home import from_home, without_home
from secura_bench.foundation.nearest import nearest_path
from secura_bench.foundation.schema import Explained
from secura_bench.foundation.yaml_file import YamlFile
from secura_bench.spec.types import Count, as_list

PREFIX = "lm_eval:"
"""What the names of those parts begin with."""

_Name = Annotated[str, StringConstraints(pattern=r"^[^\s/\\:]+$")]


class LmEvalProbe(Explained):
    """Tasks of lm-evaluation-harness (the extra ``lm-eval``) as parts of the probe, each scored by itself."""

    lm_eval: Annotated[tuple[_Name, ...], BeforeValidator(as_list), Field(min_length=1)]
    """The harness's own names of tasks, groups or tags; each is a part."""

    num_fewshot: Annotated[int, Strict(), Field(ge=0)] | None = None
    """How many worked examples stand before each item; unset: as the task has it. One written for none keeps none."""

    limit: Count | None = None
    """How many items of a task are scored at most; of a group, of each of its tasks."""

    include_path: Annotated[str, StringConstraints(min_length=1)] | None = None
    """A folder with task files of one's own for the harness. They are code, and need ``--allow-code``."""


ProbeEntry = Annotated[
    Annotated[str, StringConstraints(min_length=1), Tag("<task>")] | Annotated[LmEvalProbe, Tag("<lm_eval>")],
    Discriminator(lambda value: "<lm_eval>" if isinstance(value, (dict, LmEvalProbe)) else "<task>"),
]
"""An entry of ``probe``: a task or a named list, ``lm_eval:NAME``, or the harness's tasks with settings."""


@dataclass(frozen=True)
class Suite:
    """One part of the probe that is the harness's: a task, group or tag of it, and how it is asked."""

    name: str
    num_fewshot: int | None = None
    limit: int | None = None
    include_path: str | None = None

    @property
    def part(self) -> str:
        """The part's name."""
        return f"{PREFIX}{self.name}"


def suites_of(entry: str | LmEvalProbe) -> Iterator[Suite]:
    """Yield the harness's parts that an entry of ``probe`` stands for; none of one that is the bench's own."""
    if isinstance(entry, LmEvalProbe):
        for name in entry.lm_eval:
            yield Suite(name, entry.num_fewshot, entry.limit, entry.include_path)
    elif entry.startswith(PREFIX):
        yield Suite(entry.removeprefix(PREFIX))


def place_suites(file: YamlFile) -> None:
    """Let the folders of ``include_path`` start at the spec's folder, then at the working directory.

    Raises:
        SpecError: There is no such folder.
    """
    for entry in as_list(file.data.get("probe", [])):
        if isinstance(entry, dict) and isinstance(entry.get("include_path"), str):
            given = from_home(entry["include_path"])
            places = [file.path.parent / given, given]
            found = next((place for place in places if place.is_dir()), None)
            if found is None:
                error = SpecError(f"include_path: {given}: no such folder.{nearest_path(places[0])}")
                raise file.error(("probe",), str(error))
            entry["include_path"] = without_home(str(found.resolve()))


def folder_of(suite: Suite) -> Path | None:
    """Return the folder of a part's own task files, if it has one."""
    return None if suite.include_path is None else from_home(suite.include_path)
