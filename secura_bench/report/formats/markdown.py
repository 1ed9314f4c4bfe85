"""Tables as GitHub Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from secura_bench.foundation.harmless import plain, plain_note
from secura_bench.report.formats.text import entry, notes_under
from secura_bench.report.tables.table import Table


def markdown(tables: Sequence[Table]) -> str:
    """Return the tables as Markdown, each with its notes as a list."""
    lines: list[str] = []
    for table in tables:
        headings = [escape(plain(f"{column.group} {column.heading}".strip())) for column in table.columns]
        rules = [" --- " if column.kind == "label" else " ---: " for column in table.columns]
        lines += [f"### {escape(plain(table.title))}", "", "| " + " | ".join(headings) + " |", f"|{'|'.join(rules)}|"]
        for row in table.rows:
            cells = [escape(entry(c, e)) for c, e in zip(table.columns, row.entries, strict=True)]
            lines.append("| " + " | ".join(cells) + " |")
        lines += ["", *(f"- {escape(plain_note(note))}" for note in notes_under(table)), ""]
    return "\n".join(lines)


def escape(text: str) -> str:
    """Return ``text`` so that it reads as it is: no markup, no HTML, no link."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~$])", r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;")
