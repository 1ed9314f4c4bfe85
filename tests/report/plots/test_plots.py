"""The pictures: made where there is data, the same bytes each time, no name upon another."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import secura_bench
from gridded import write_grid
from matplotlib.figure import Figure
from matplotlib.text import Text
from synthetic import Character, write_records

from secura_bench.report.plots import PICTURES, draw, make_pictures, write_pictures
from secura_bench.report.plots.kept_scale import _forward, _inverse, around_100, by_decades
from secura_bench.report.plots.norms import POINTS, gradient_curves
from secura_bench.report.plots.point_names import name_points
from secura_bench.report.plots.style import RC, label, series, spread
from secura_bench.report.statistics import ENOUGH
from secura_bench.report.study.axis import positions
from secura_bench.report.study.cells import Cell
from secura_bench.report.study.forgetting import every_forgetting, forgetting
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.logged import weight_changes
from secura_bench.report.study.read import read_runs
from secura_bench.report.study.runs import Moment
from secura_bench.report.study.study import Study

METHODS = {f"method-{i}": Character(0.7 + 0.02 * i, 0.05 * i) for i in range(3)}


def study_of(folder: Path) -> Study:
    (study,) = make_studies(read_runs([folder])[0])
    return study


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_records(tmp_path_factory.mktemp("records"), METHODS, ("colours", "counting"), (1,), every=20)


@pytest.fixture(scope="module")
def study(records: Path) -> Study:
    return study_of(records)


def test_every_kind_of_picture_is_made_where_there_is_data(study: Study) -> None:
    names = {picture.name.split("-")[0] for picture in make_pictures(study)}
    assert names == {"retention", "tradeoff", "matrix", "gradients", "weights", "forgetting", "cost"}
    assert len(PICTURES) == len(names) + 1, "and of methods at equal learning, of which there are none"


def test_no_data_no_picture(tmp_path: Path) -> None:
    write_records(tmp_path, {"lora": Character(0.5, 0.1)}, ("colours",), (1,), protocols=("teacher_forced",))
    for log in tmp_path.rglob("log.jsonl"):
        log.unlink()
    names = {picture.name.split("-")[0] for picture in make_pictures(study_of(tmp_path))}
    assert names == {"tradeoff", "matrix", "weights", "cost"}
    write_records(tmp_path / "base", {}, ("colours",))
    assert list(make_pictures(study_of(tmp_path / "base"))) == []


@pytest.mark.parametrize("format", ["png", "pdf", "svg"])
def test_the_same_records_give_the_same_bytes(study: Study, format: str) -> None:
    one, other = (next(iter(make_pictures(study))) for _ in range(2))
    assert draw(one, format) == draw(other, format)


def test_out_writes_page_and_pictures_beside_the_tables(tmp_path: Path) -> None:
    write_records(tmp_path, {"lora": Character(0.5, 0.1)}, ("colours",), (1,), protocols=("generate",))
    done = secura_bench("report", "trial", "--out", "paper", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    pictures = tmp_path / "paper" / "pictures"
    assert (tmp_path / "paper" / "page.html").is_file()
    assert {path.name for path in pictures.glob("*tradeoff*")} == {
        f"trial-toy-tradeoff-generate.{format}" for format in ("png", "pdf", "svg")
    }
    with pytest.raises(FileExistsError):
        write_pictures([study_of(tmp_path / "trial")], pictures, ["svg"])


def test_settings_of_one_method_have_no_matrix_each(tmp_path: Path) -> None:
    root = write_grid(tmp_path / "grid", mode="sequence", tasks=("colours", "counting"), seeds=(1,))
    names = {picture.name.split("-")[0] for picture in make_pictures(study_of(root))}
    assert "frontier" in names and "matrix" not in names


def test_positions_along_the_sequence() -> None:
    moments = [Moment(None, 0, True), Moment("a", 5, False), Moment("a", 10, True), Moment("b", 10, True)]
    assert positions(moments, ("a", "b")) == [0.0, 0.5, 1.0, 2.0]
    assert positions([Moment("all-tasks", 20, True)], ("a", "b")) == [2.0]


def test_losses_are_of_what_the_base_had_right(study: Study) -> None:
    arm = study.arms[-1]
    found = forgetting(study, [arm])
    assert found is not None and found.kept + found.format + found.gone + found.cut == pytest.approx(100)
    before, after = {}, {}
    for part in ("facts", "sums"):
        for one, into in ((study.base, before), (arm, after)):
            assert one is not None
            run, score = one.scores("generate", "part", part, "end")[0]  # type: ignore[misc]
            items = run.items(score)
            assert items is not None
            into |= dict(zip(items.ids, zip(items.column("accuracy"), items.column("gone"), strict=True), strict=True))
    had = [id_ for id_, (right, _) in before.items() if right]
    assert found.n == len(had) < len(before)
    assert found.kept == pytest.approx(100 * sum(after[id_][0] > 0 for id_ in had) / len(had))
    assert found.gone == pytest.approx(100 * sum(after[id_][1] > 0 for id_ in had) / len(had))


def test_gradient_curves_count_steps_over_tasks(study: Study) -> None:
    curves = gradient_curves(study.arms[0])
    assert set(curves) == {"q_proj.lora_A", "q_proj.lora_B", "v_proj.lora_A"}
    steps = [step for step, *_ in curves["q_proj.lora_A"]]
    assert steps == sorted(steps) and steps[-1] == 80 and len(steps) <= POINTS
    assert all(low <= mean <= high for _, mean, low, high in curves["q_proj.lora_B"])


def test_weight_changes_are_percent_of_the_base(study: Study) -> None:
    change = weight_changes(study.arms)["method-2"]["q_proj"]
    assert (change.former, change.updated) == pytest.approx((10.0, 0.0))


def test_spread_keeps_order_and_distance() -> None:
    for wishes in ([0.5, 0.5, 0.5], [0.0, 0.01, 0.99, 1.0], [0.9, 0.95, 1.0], [0.1], []):
        places = spread(wishes, 0.1, 0.0, 1.0)
        assert all(later - earlier >= 0.1 - 1e-9 for earlier, later in pairwise(places))
        assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)


def drawn_names(points: list[tuple[float, float, str, str]], radius: float = 3.2) -> tuple[bool, dict[str, Any], Any]:
    """Return whether all were named, each name's box, and the axes."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with rc_context(RC):
        figure = Figure(figsize=(3.4, 2.7))
        axes = figure.add_subplot()
        axes.scatter([x for x, *_ in points], [y for _, y, *_ in points])
        axes.set(xlim=(0, 100), ylim=(0, 100))
        named = name_points(figure, axes, points, radius=radius)
        renderer = FigureCanvasAgg(figure).get_renderer()
        boxes = {text.get_text(): text.get_window_extent(renderer) for text in axes.texts if text.get_text()}
    return named, boxes, axes


def test_no_name_lies_on_another() -> None:
    named, found, _ = drawn_names([(20 + i * 7, 50 - 15 * (i % 3), f"method {i}", "k") for i in range(9)])
    boxes = list(found.values())
    assert named and len(boxes) == 9
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


@pytest.mark.parametrize("seed", range(6))
def test_no_name_lies_nearer_to_anothers_point_than_to_its_own(seed: int) -> None:
    """However points lie: names beside their own point, or led to, or none at all."""
    rng = random.Random(seed)
    points = [(rng.gauss(50, 12), rng.gauss(60, 12), f"method {i}", "k") for i in range(7)]
    named, boxes, axes = drawn_names(points)
    assert len(boxes) == 7 * named
    led = {round(float(text.xy[0]), 6) for text in axes.texts if not text.get_text()}
    step = axes.figure.dpi / 72 * 3.2

    def away(box: Any, point: tuple[float, float, str, str]) -> float:
        x, y = axes.transData.transform(point[:2])
        return math.hypot(max(box.x0 - x, x - box.x1, 0), max(box.y0 - y, y - box.y1, 0))

    for point in points if named else ():
        others = [away(boxes[point[2]], other) for other in points if other is not point]
        own = away(boxes[point[2]], point)
        assert own < min(others) or (round(point[0], 6) in led and min(others) > 1.5 * step)


def test_where_points_crowd_no_name_is_written_and_a_legend_has_them(tmp_path: Path) -> None:
    named, boxes, _ = drawn_names(
        [(50 + 0.1 * i, 50 + 0.1 * (i % 3), f"a method of a long name {i}", "k") for i in range(16)]
    )
    assert not named and not boxes
    same = {f"a-method-of-a-long-name-{i:02d}": Character(0.7, 0.1) for i in range(16)}
    write_records(tmp_path, same, ("colours",), (1,), protocols=("generate",))
    (picture,) = (one for one in make_pictures(study_of(tmp_path)) if one.name == "tradeoff-generate")
    (legend,) = picture.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [f"{name}†" for name in same]


def test_what_has_one_seed_is_marked_as_in_tables(study: Study, tmp_path: Path) -> None:
    for picture in make_pictures(study):
        kind = picture.name.split("-")[0]
        said = [text.get_text() for text in picture.figure.findobj(Text)]
        if kind in ("tradeoff", "cost", "retention", "forgetting"):
            assert {f"{name}†" for name in METHODS} <= set(said), kind
            assert any(text.startswith("† one seed") for text in said), kind
        elif kind == "matrix":
            assert "†" in picture.figure.axes[0].get_title(loc="left")
    write_records(tmp_path, METHODS, ("colours", "counting"), (1, 2))
    for picture in make_pictures(study_of(tmp_path)):
        assert not any("†" in text.get_text() for text in picture.figure.findobj(Text)), picture.name


def test_shares_of_few_items_are_not_drawn(tmp_path: Path) -> None:
    write_records(tmp_path, METHODS, ("colours",), (1,), probe_items=18)
    study = study_of(tmp_path)
    assert {each.n for _, each in every_forgetting(study)} and all(
        each.n < ENOUGH for _, each in every_forgetting(study)
    )
    pictures = {picture.name: picture.figure for picture in make_pictures(study)}
    assert "forgetting" not in pictures
    below = [text.get_text() for text in pictures["tradeoff-generate"].findobj(Text)]
    assert any("hollow: too few items" in text for text in below)


def test_before_and_after_alone_are_no_course(tmp_path: Path) -> None:
    write_records(tmp_path, METHODS, ("colours",), (1,))
    assert not [picture for picture in make_pictures(study_of(tmp_path)) if "retention" in picture.name]


def test_the_scale_of_what_was_kept_lies_around_100() -> None:
    axes = Figure().add_subplot()
    assert around_100(axes, [Cell(97.0), Cell(101.0), Cell(99.0)]) == ""
    low, high = axes.get_ylim()
    assert 96 < low < 97 and 101 < high < 102, "differences of a point can be seen"
    axes = Figure().add_subplot()
    assert "log around 100" in around_100(axes, [Cell(97.0), Cell(101.0), Cell(99.0), Cell(2.0)])
    places = [axes.transScale.transform((0, y))[1] for y in (2, 97, 99, 100, 101)]
    assert places == sorted(places) and places[2] - places[1] > 0.1 * (places[1] - places[0])
    assert axes.get_ylim()[0] < 2 and axes.get_ylim()[1] > 101
    assert not by_decades([20.0, 60.0, 95.0]) and not by_decades([]) and by_decades([98.0, 99.0, 40.0])
    assert _inverse(_forward([0.0, 63.5, 100.0, 233.0])) == pytest.approx([0.0, 63.5, 100.0, 233.0])


def test_a_name_further_off_has_a_line_and_none_crosses_a_name_or_a_point() -> None:
    from matplotlib import rc_context
    from matplotlib.text import Annotation

    with rc_context(RC):
        figure = Figure(figsize=(3.4, 2.7))
        axes = figure.add_subplot()
        axes.set(xlim=(0, 100), ylim=(0, 100))
        name_points(figure, axes, [(50, 50 + i * 0.5, f"arm {i}", "k") for i in range(4)])
    written = [each for each in axes.texts if isinstance(each, Annotation)]
    lines = [each for each in written if not each.get_text()]
    assert [each.get_text() for each in written if each.get_text()] == [f"arm {i}" for i in range(4)]
    assert 1 <= len(lines) < 4, "two names have room beside their points, the rest are led to"


def test_a_large_point_keeps_its_name_off() -> None:
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with rc_context(RC):
        figure = Figure(figsize=(3.4, 2.7))
        axes = figure.add_subplot()
        axes.set(xlim=(0, 100), ylim=(0, 100))
        name_points(figure, axes, [(50, 50, "arm", "k")], radius=9)
        renderer = FigureCanvasAgg(figure).get_renderer()
        box = axes.texts[0].get_window_extent(renderer)
    x, _ = axes.transData.transform((50, 50))
    assert box.x0 - x >= 9 * figure.dpi / 72


def test_of_many_methods_nothing_is_cut_off(tmp_path: Path) -> None:
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    many = {f"secura-public_code-{i}": Character(0.7, 0.05 * i) for i in range(11)}
    write_records(tmp_path, many, ("colours", "counting"), (1,), mode="separate", protocols=("generate",))
    pictures = {picture.name: picture.figure for picture in make_pictures(study_of(tmp_path))}
    for name in ("forgetting", "weights", "tradeoff-generate", "cost-generate"):
        figure = pictures[name]
        with rc_context(RC):
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
        for axes in figure.axes:
            for text in (axes.xaxis.label, axes.yaxis.label, axes.title, *axes.texts):
                box = text.get_window_extent(canvas.get_renderer())
                inside = box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1
                assert inside or not text.get_text(), f"{name}: {text.get_text()}"
    titles = [figure.axes[0].get_title(loc="left") for name, figure in pictures.items() if "gradients" in name]
    assert len(set(titles)) == 22, "the task tells them apart"


@pytest.mark.parametrize(("count", "panels"), [(6, 1), (7, 6), (10, 9)])
def test_of_many_curves_each_has_its_own_axes_beside_the_first(tmp_path: Path, count: int, panels: int) -> None:
    grids = {f"method-{i:02}": [Character(0.2, 0.1 + i / 50), Character(0.8, 0.3 + i / 50)] for i in range(count)}
    write_grid(tmp_path, grids, seeds=(1,))
    (figure,) = (p.figure for p in make_pictures(study_of(tmp_path)) if p.name == "frontier-generate")
    axes = [each for each in figure.axes if each.axison]
    assert len(axes) == panels
    if panels > 1:
        assert [each.get_title(loc="left")[:9] for each in axes] == [f"method-{i:02}" for i in range(1, count)]
        left, right = axes[0].get_shared_x_axes(), axes[0].get_shared_y_axes()
        assert left.joined(axes[0], axes[-1]) and right.joined(axes[0], axes[-1]), "panels are of one scale"
        assert "method-00† (grey)" in figure.get_suptitle()


def test_hostile_labels_are_drawn_as_text(study: Study) -> None:
    assert label("a\x1b[31m\u202eb\x00") == "a□[31m□b□" and len(label("x" * 1000)) == 28
    assert len({label(f"secura-lr-0.001-merge_dtype-{of}") for of in ("base", "core")}) == 2, "variants stay apart"
    with_math = Figure()
    from matplotlib import rc_context

    with rc_context(RC):
        with_math.text(0.5, 0.5, r"$\frac$")
        from secura_bench.report.plots.style import Picture

        assert draw(Picture("hostile", with_math), "png").startswith(b"\x89PNG")


def test_methods_are_never_told_apart_by_colour_alone() -> None:
    look = series([str(i) for i in range(60)])
    assert len({(each.colour, str(each.dash)) for each in look.values()}) == 60
    assert len({(each.colour, each.marker) for each in list(look.values())[:36]}) == 36
    assert len({each.colour for each in list(look.values())[:12]}) == 12
    assert len({each.marker for each in list(look.values())[:9]}) == 9
