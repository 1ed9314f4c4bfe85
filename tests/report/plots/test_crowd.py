"""Pictures of more methods than can be named beside them show one setting of each, and say so."""

from __future__ import annotations

from pathlib import Path

import pytest
from gridded import RATES, write_grid
from synthetic import Character

from secura_bench.report.plots import draw, make_pictures
from secura_bench.report.plots.crowd import MOST, THINNED, thinned
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.read import read_runs
from secura_bench.report.study.study import Study

NAMES = ("lora", "dora", "secura", "seq", "ewc", "er")
LEARNED = (0.2, 0.5, 0.9, 0.4)
"""By rate; every method learns most at the third."""


def study_of(root: Path, names: tuple[str, ...]) -> Study:
    grids = {name: [Character(learned, 0.1) for learned in LEARNED] for name in names}
    write_grid(root, grids, tasks=("a", "b"), seeds=(1,), mode="sequence", probe_items=40, task_items=40)
    (study,) = make_studies(read_runs([root])[0])
    return study


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return study_of(tmp_path_factory.mktemp("crowded"), NAMES)


def test_of_each_method_the_setting_that_learned_most_is_left(crowded: Study) -> None:
    assert len(crowded.methods) == len(NAMES) * len(RATES) > MOST
    assert sorted(thinned(crowded).methods) == sorted(f"{name}-lr-{RATES[2]:g}" for name in NAMES)


def test_few_methods_are_all_shown(tmp_path: Path) -> None:
    study = study_of(tmp_path, NAMES[:2])
    assert thinned(study) is study
    assert not any(THINNED in texts(picture) for picture in make_pictures(study))


def texts(picture) -> list[str]:  # type: ignore[no-untyped-def]
    return picture.figure.get_supxlabel().split("\n")


def test_pictures_say_so_and_their_names_lie_within_them(crowded: Study) -> None:
    pictures = {picture.name: picture for picture in make_pictures(crowded)}
    assert {"cost-generate", "tradeoff-generate", "frontier-generate"} <= pictures.keys()
    assert THINNED not in texts(pictures["frontier-generate"]), "which has every setting"
    for name in ("cost-generate", "tradeoff-generate"):
        assert THINNED in texts(pictures[name])
        draw(pictures[name], "png")
        figure = pictures[name].figure
        for legend in figure.legends:
            box, whole = legend.get_window_extent(), figure.bbox
            assert whole.x0 <= box.x0 < box.x1 <= whole.x1 and whole.y0 <= box.y0 < box.y1 <= whole.y1, name
