"""What of a command's runs other processes do or have done, so that the time left is this one's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from secura_bench.plan.run import Run
from secura_bench.results.folder import RunFolder
from secura_bench.results.lock import note_of, read_holder


@dataclass
class Elsewhere:
    """The units of work of runs below ``results``, by name, of which some are none of this process's.

    ``anew``: whether a record that is there is of no use, since all runs are done again.
    """

    results: Path
    runs: Mapping[str, Run]
    units: Mapping[str, float]
    anew: bool = False
    here: set[str] = field(default_factory=set)
    """The names of the runs that this process took."""

    def __call__(self) -> float:
        """Return the units of the runs that others hold now, or have ended since this command began."""
        return sum(self.units[name] for name in self.runs if name not in self.here and self._is_elsewhere(name))

    def _is_elsewhere(self, name: str) -> bool:
        folder = RunFolder(self.results / self.runs[name].folder)
        holder = read_holder(note_of(folder))
        return (folder.finished and not self.anew) or (holder is not None and holder.alive)
