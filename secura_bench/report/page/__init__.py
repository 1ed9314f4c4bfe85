"""One self-contained HTML file for a person who would rather look than read: no network, no framework."""

from __future__ import annotations

from collections.abc import Sequence

from secura_bench.report.page.assemble import assemble
from secura_bench.report.page.payload import make_payload
from secura_bench.report.page.texts import make_texts
from secura_bench.report.study.study import Study
from secura_bench.report.tables.table import Table


def make_page(studies: Sequence[Study], tables: Sequence[Table], problems: Sequence[str] = ()) -> str:
    """Return the page: a summary in words, charts, ``tables``, and every item's answers along the sequences.

    ``problems`` are sentences about records that could not be read. The same records give the same page.
    """
    texts = make_texts(studies)
    return assemble(make_payload(studies, texts, problems, tables), [text.blob for text in texts])
