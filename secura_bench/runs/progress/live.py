"""The live view of a terminal: a line for all runs, and one for each that is done now."""

from __future__ import annotations

from typing import Any, TextIO


def live_view(stream: TextIO) -> Any:
    """Return rich's progress on a terminal; its tasks have the fields ``title``, ``left`` and ``doing``."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    return Progress(
        TextColumn("{task.fields[title]}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=16),
        TextColumn("{task.percentage:>3.0f}%", table_column=Column(no_wrap=True)),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False, table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[doing]}", markup=False, table_column=Column(ratio=1)),
        console=Console(file=stream),
        expand=True,
        transient=True,
    )
