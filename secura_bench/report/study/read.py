"""Records found and read, good ones apart from bad ones."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from secura_bench.foundation.errors import RecordError
from secura_bench.report.study.between import runs_between
from secura_bench.report.study.runs import Run
from secura_bench.results.read import find_records, no_folder, read_record

if TYPE_CHECKING:
    from pandas import DataFrame


class RunsRead(NamedTuple):
    """The runs that could be read, and a sentence for each record that could not."""

    runs: list[Run]
    problems: list[str]

    def to_dataframe(self, items: bool = False) -> DataFrame:
        """Return the runs' scores as a pandas data frame: a row a score and metric, or with ``items`` one an item.

        The columns are the tidy CSV's (``experiment``, ``model``, ``mode``, ``protocol``, ``method``, ``sequence``,
        ``seed``, ``at``, ``after``, ``step``, ``role``, ``task``, ``metric``, ``number``), then ``n``, the items behind
        a score, or ``item``, an item's id. ``seed`` and ``after`` are missing where there is none: of the base, and
        before training. Of records with the same settings and seed the newest counts, as in every table. An item of
        the probe stands once, under its part (``role`` is ``part``); a run whose items' files are gone has none.
        """
        import pandas

        from secura_bench.report.study.group import make_studies
        from secura_bench.report.study.rows import PLACE, item_rows, score_rows

        columns = [*PLACE, "metric", "number", "item" if items else "n"]
        studies = make_studies(self.runs)
        frame = pandas.DataFrame(list(item_rows(studies) if items else score_rows(studies)), columns=columns)
        whole = dict.fromkeys([*(name for name in ("seed", "at", "step", "n") if name in columns)], "Int64")
        return frame.astype({**whole, "number": "float64"})


def read_runs(paths: Iterable[Path]) -> RunsRead:
    """Return every readable record below ``paths``, each once, and a sentence for each that is not.

    A record of a run that was scored between the base's weights and its own is a run for each α as well.

    Raises:
        RecordError: A path does not exist.
    """
    runs: dict[Path, Run] = {}
    problems: list[str] = []

    def unreadable(error: OSError) -> None:
        problems.append(f"{error.filename}: cannot be read: {error.strerror or error}.")

    for root in paths:
        if not root.exists():
            raise no_folder(root)
        for path in [root] if root.is_file() else find_records(root, unreadable):
            try:
                runs[path.resolve()] = Run(read_record(path), path.parent)
            except RecordError as error:
                problems.append(str(error))
    return RunsRead([each for run in runs.values() for each in (run, *runs_between(run))], problems)
