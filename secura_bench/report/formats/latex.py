"""Tables as LaTeX that can be pasted into a paper: one float a table, with booktabs and graphicx and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

from secura_bench.foundation.harmless import plain, plain_note
from secura_bench.foundation.schema import slug
from secura_bench.report.formats.terminal import chunks, fitting, spans
from secura_bench.report.formats.text import notes_under, pieces
from secura_bench.report.tables.footnotes import TIED
from secura_bench.report.tables.table import ONE_SEED, Column, Number, Row, Table

FITS, WIDEST = 92, 170
"""Characters of a row that are as wide as a page of \\scriptsize; up to WIDEST it is shrunk, then dealt to several."""
_LINE, _NOTE, _PAGE = 8.5, 6.0, 470.0  # points: a row, a line of a note, and the text of a page
_NOTE_WIDTH = 150  # characters

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedblright{}", "–": "--", "−": "$-$", "·": r"$\cdot$", "…": r"\dots{}",
    "≤": r"$\le$", "≥": r"$\ge$", "σ": r"$\sigma$", "→": r"$\to$", "≈": r"$\approx$", "×": r"$\times$", "±": r"$\pm$",
    "ρ": r"$\rho$", "τ": r"$\tau$", "Σ": r"$\Sigma$", "Δ": r"$\Delta$", "'": "'", "`": r"\textquoteleft{}",
    "-": "{-}", "[": "{[}", "]": "{]}", "*": r"\textsuperscript{*}", "λ": r"$\lambda$", "²": r"$^2$",
    "†": r"\textsuperscript{$\dagger$}", "‖": r"$\Vert$", "⟨": r"$\langle$", "⟩": r"$\rangle$", "√": r"$\surd$",
    "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "µ": r"$\mu$",
}  # fmt: skip
_IN_NO_OT1_FONT = frozenset("ªºÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲųſ")


def latex(tables: Sequence[Table]) -> str:
    """Return the tables as LaTeX, a float each, their feet below the tabulars; a page's worth a float at the most."""
    lines = ["% Needs \\usepackage{booktabs,graphicx}. Paste a table, or \\input this file."]
    labels: dict[str, int] = {}
    for table in tables:
        name = _label(table)
        labels[name] = labels.get(name, 0) + 1
        lines += _floats(table, name if labels[name] == 1 else f"{name}-{labels[name]}")
        lines.append(r"\clearpage")
    return "\n".join([*lines, ""])


def escape(text: str) -> str:
    """Return ``text`` so that LaTeX prints it: no command, no mathematics; what a font may lack is spelled out."""
    return "".join(_SPECIAL.get(c) or (c if _printable(c) else _code(c)) for c in text)


def _printable(character: str) -> bool:
    """Return whether every LaTeX font has the character: ASCII, and most letters up to Latin Extended-A."""
    latin = character.isalpha() and ord(character) < 0x180 and character not in _IN_NO_OT1_FONT
    return character.isascii() or latin


def _code(character: str) -> str:
    return rf"\texttt{{U+{ord(character):04X}}}"


def _label(table: Table) -> str:
    r"""Return what \ref calls a table: what it is of, and which it is."""
    of = (table.of.get(key, "") for key in ("experiment", "model", "protocol"))
    return "tab:" + slug(" ".join([*of, table.id]).replace("_", "-").replace(".", "-"), "table")


def _floats(table: Table, label: str) -> Iterator[str]:
    """Yield a table's float; of one that no page has room for, floats that go on with it, the notes under the last."""
    widths = [[_as_wide(c, e) for c, e in zip(table.columns, row.entries, strict=True)] for row in table.rows]
    kept = fitting(table.columns, widths, 10**6)  # labels that say nothing go, all numbers stay
    parts = chunks(table.columns, widths, kept, WIDEST)
    notes = ["Bold: " + note.removeprefix("*: ") if note == TIED else note for note in notes_under(table)]
    pages = _pages(table, widths, parts, notes)
    for n, rows in enumerate(pages):
        yield from (r"\begin{table}", r"\centering\scriptsize\setlength{\tabcolsep}{3pt}")
        continued = " (continued)" if n else ""
        yield rf"\caption{{{escape(plain(table.title) + continued)}}}"
        yield rf"\label{{{label}{f'-continued-{n}' if n else ''}}}"
        for i, part in enumerate(parts):
            yield from ([r"\par\medskip"] if i else [])
            yield r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
            yield from _tabular(table, rows, part)
            yield "}"
        if notes and n == len(pages) - 1:
            yield r"\par\smallskip\begin{minipage}{\linewidth}\tiny\raggedright"
            yield from (escape(plain_note(note)) + r"\par" for note in notes)
            yield r"\end{minipage}"
        yield from (r"\end{table}", "")


def _as_wide(column: Column, value: str | Number) -> str:
    """Return a text about as wide as what is printed: intervals are small."""
    if isinstance(value, str):
        return plain(value)
    shown = pieces(column, value)
    return shown.number + shown.interval[: math.ceil(0.7 * len(shown.interval))] + shown.published


def _pages(
    table: Table, widths: Sequence[Sequence[str]], parts: Sequence[Sequence[int]], notes: Sequence[str]
) -> list[list[Row]]:
    """Return the rows of each float: all in one where a page has room for them and the notes, else by sections."""
    widest = max((sum(_characters(table, widths, i) for i in part) for part in parts), default=1)
    line = _LINE * min(1.0, FITS / widest) * len(parts)
    below = _NOTE * sum(math.ceil(len(plain_note(note)) / _NOTE_WIDTH) for note in notes)
    room = max(int((_PAGE - below) / line) - 4, 10)
    pages: list[list[Row]] = [[]]
    for _, section in groupby(table.rows, key=lambda row: row.section):
        left = list(section)
        if pages[-1] and len(pages[-1]) + len(left) > room:
            pages.append([])
        while len(left) > room:
            pages[-1], left = left[:room], left[room:]
            pages.append([])
        pages[-1] += left
    return pages


def _characters(table: Table, widths: Sequence[Sequence[str]], i: int) -> int:
    return max(map(len, (table.columns[i].heading, *(line[i] for line in widths)))) + 2


def _tabular(table: Table, rows: Sequence[Row], part: Sequence[int]) -> Iterator[str]:
    columns = [table.columns[i] for i in part]
    yield rf"\begin{{tabular}}{{{''.join('l' if c.kind == 'label' else 'r' for c in columns)}}}"
    yield r"\toprule"
    if any(column.group for column in columns):
        over = spans(columns, [column.group for column in columns])
        yield " & ".join(_over(text, len(of)) for text, of in over) + r" \\"
        yield from (rf"\cmidrule(lr){{{of[0] + 1}-{of[-1] + 1}}}" for text, of in over if text)
    yield " & ".join(escape(plain(column.heading)) for column in columns) + r" \\"
    yield r"\midrule"
    before = rows[0].section if rows else ""
    for row in rows:
        if row.section != before:
            yield r"\midrule"
        before = row.section
        yield " & ".join(_cell(table.columns[i], row.entries[i], row.strong) for i in part) + r" \\"
    yield from (r"\bottomrule", r"\end{tabular}")


def _cell(column: Column, value: str | Number, reference: bool) -> str:
    """Return a cell: the best in bold (no reference is: the base, MTL), the interval small."""
    if isinstance(value, str):
        return escape(plain(value))
    shown = pieces(column, value)
    number = rf"\textbf{{{escape(shown.number)}}}" if value.best and not reference else escape(shown.number)
    interval = rf"\,{{\tiny{escape(shown.interval.strip())}}}" if shown.interval else ""
    return number + interval + escape(ONE_SEED * shown.one_seed + shown.published)


def _over(text: str, columns: int) -> str:
    """Return a group's name over its columns."""
    return rf"\multicolumn{{{columns}}}{{c}}{{{escape(plain(text))}}}" if text else ""
