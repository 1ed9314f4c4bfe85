"""Tables as LaTeX: tabulars in table floats, with booktabs and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from secura_bench.harmless import plain, plain_note
from secura_bench.report.formats.text import entry
from secura_bench.report.table import Column, Table

WIDEST = 92
"""Characters in a row of a tabular, about a page's width in \\scriptsize; wider tables are dealt to several."""

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "–": "--", "−": "$-$", "·": r"$\cdot$", "…": r"\dots{}", "≤": r"$\le$",
    "≥": r"$\ge$", "σ": r"$\sigma$", "→": r"$\to$", "≈": r"$\approx$", "×": r"$\times$", "±": r"$\pm$", "ρ": r"$\rho$",
    "τ": r"$\tau$", "Σ": r"$\Sigma$", "Δ": r"$\Delta$", "'": "'", "`": r"\textasciigrave{}", "-": "{-}", "[": "{[}",
    "]": "{]}", "*": r"\textsuperscript{*}", "λ": r"$\lambda$", "²": r"$^2$",
}  # fmt: skip


def latex(tables: Sequence[Table]) -> str:
    """Return the tables as LaTeX to be input by a document that loads booktabs; feet are below the tabulars."""
    lines = ["% Needs \\usepackage{booktabs}. \\input this file."]
    for table in tables:
        cells = [[entry(c, e) for c, e in zip(table.columns, row.entries, strict=True)] for row in table.rows]
        parts = _parts(table.columns, cells)
        for n, part in enumerate(parts, 1):
            which = f" ({n} of {len(parts)})" if len(parts) > 1 else ""
            lines += [r"\begin{table}", r"\centering\scriptsize\setlength{\tabcolsep}{3pt}"]
            lines.append(rf"\caption{{{escape(plain(table.title) + which)}}}")
            lines += _tabular(table, cells, part)
            if n == len(parts):
                lines.append(r"\par\smallskip\begin{minipage}{\linewidth}\tiny\raggedright")
                lines += [*(escape(plain_note(note)) + r"\par" for note in table.notes), r"\end{minipage}"]
            lines += [r"\end{table}", ""]
        lines.append(r"\clearpage")
    return "\n".join([*lines, ""])


def escape(text: str) -> str:
    """Return ``text`` so that LaTeX prints it: no command, no mathematics; what a font may lack is spelled out."""
    return "".join(_SPECIAL.get(c) or (c if _printable(c) else _code(c)) for c in text)


def _printable(character: str) -> bool:
    """Return whether every LaTeX font has the character: ASCII, and letters up to Latin Extended-A."""
    return character.isascii() or (character.isalpha() and ord(character) < 0x180)


def _code(character: str) -> str:
    return rf"\texttt{{U+{ord(character):04X}}}"


def _tabular(table: Table, cells: Sequence[Sequence[str]], part: Sequence[int]) -> list[str]:
    columns = [table.columns[i] for i in part]
    lines = [rf"\begin{{tabular}}{{{''.join('l' if c.kind == 'label' else 'r' for c in columns)}}}", r"\toprule"]
    if any(column.group for column in columns):
        from secura_bench.report.formats.terminal import spans

        over = spans(columns, [column.group for column in columns])
        lines.append(" & ".join(_over(text, len(of)) for text, of in over) + r" \\")
        lines += [rf"\cmidrule(lr){{{of[0] + 1}-{of[-1] + 1}}}" for text, of in over if text]
    lines.append(" & ".join(escape(plain(column.heading)) for column in columns) + r" \\")
    lines.append(r"\midrule")
    before = table.rows[0].section if table.rows else ""
    for row, line in zip(table.rows, cells, strict=True):
        if row.section != before:
            lines.append(r"\midrule")
        before = row.section
        shown = [escape(line[i]) for i in part]
        lines.append(" & ".join(rf"\textbf{{{c}}}" if row.strong and c else c for c in shown) + r" \\")
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _over(text: str, columns: int) -> str:
    """Return a group's name over its columns."""
    return rf"\multicolumn{{{columns}}}{{c}}{{{escape(plain(text))}}}" if text else ""


def _parts(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[list[int]]:
    from secura_bench.report.formats.terminal import chunks, fitting

    kept = fitting(columns, cells, 10**6)  # labels that say nothing go, all numbers stay
    return chunks(columns, cells, kept, WIDEST)
