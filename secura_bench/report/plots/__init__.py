"""Pictures for a paper, from records alone: PNG for the eye, PDF and SVG for the page; each made where it has data."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg

from secura_bench.foundation.schema import slug
from secura_bench.report.plots.cost import cost_against_quality
from secura_bench.report.plots.crowd import THINNED, thinned
from secura_bench.report.plots.forgetting import what_was_forgotten
from secura_bench.report.plots.frontier import methods_at_equal_learning
from secura_bench.report.plots.matrix import accuracy_matrices
from secura_bench.report.plots.norms import gradients, weights
from secura_bench.report.plots.retention import retention_along_the_sequence
from secura_bench.report.plots.style import RC, Picture, write_below
from secura_bench.report.plots.tradeoff import learning_against_retention
from secura_bench.report.study.study import Study

PICTURES: tuple[Callable[[Study], Iterator[Picture]], ...] = (
    methods_at_equal_learning,
    retention_along_the_sequence,
    learning_against_retention,
    accuracy_matrices,
    gradients,
    weights,
    what_was_forgotten,
    cost_against_quality,
)
NAMING = (retention_along_the_sequence, learning_against_retention, cost_against_quality)
"""Those in which every method has its name: of many methods, each has a single setting there."""
FORMATS = ("png", "pdf", "svg")

# The same records give the same bytes: no date, no version of a library that drew them.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}


def make_pictures(study: Study) -> Iterator[Picture]:
    """Yield every picture that the study has data for."""
    with rc_context(RC):
        few = thinned(study)
        for make in PICTURES:
            shown = few if make in NAMING else study
            for picture in make(shown):
                if shown is not study:
                    below = picture.figure.get_supxlabel()
                    write_below(picture.figure, f"{below}\n{THINNED}" if below else THINNED)
                yield picture


def draw(picture: Picture, format: str) -> bytes:
    """Return a picture as the bytes of a ``png``, ``pdf`` or ``svg`` file."""
    stream = io.BytesIO()
    with rc_context(RC):
        FigureCanvasAgg(picture.figure)
        picture.figure.savefig(stream, format=format, metadata=_METADATA[format])
        picture.figure.set_layout_engine("none")  # found once; the next format takes it as it is
    return stream.getvalue()


def write_pictures(studies: Sequence[Study], folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write every picture of ``studies`` into ``folder``, in each format, and return the files' paths.

    A file is called experiment, model, what tells the study apart, and picture; ``folder`` must be the caller's own,
    new files replace none there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for study in studies:
        for picture in make_pictures(study):
            stem = slug("-".join(filter(None, (study.experiment, study.model, study.apart, picture.name))), "picture")
            taken = {path.stem for path in written}
            while stem in taken:  # names that differ in what no file's name may have
                stem += "-2"
            for format in formats:
                path = folder / f"{stem}.{format}"
                with path.open("xb") as stream:
                    stream.write(draw(picture, format))
                written.append(path)
    return written
