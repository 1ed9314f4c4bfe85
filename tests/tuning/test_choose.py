"""Choices of trials made by hand: the best, the matched, the ends of grids, and who is left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from secura_bench.foundation.errors import SpecError
from secura_bench.spec.load import load_spec
from secura_bench.spec.tune import settings_of
from secura_bench.tuning.choose import _settled, choose, edges_of
from secura_bench.tuning.trials import Trial, trial_experiment

GRID = {"train.lr": (1e-4, 1e-3, 1e-2)}


def trials(family: str, losses: Sequence[float], grid: Mapping[str, tuple[Any, ...]] = GRID) -> list[Trial]:
    """Return trials of these losses, which learn 100 less ten times as much."""
    return [
        Trial(family, settings, loss, 100 - 10 * loss, (f"x-tune/{family}-{i}",), 1.0, (90, 10))
        for i, (settings, loss) in enumerate(zip(settings_of(grid), losses, strict=True))
    ]


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ((3.0, 1.0, 2.0), 1e-3),
        ((3.0, 1.0, 1.0), 1e-3),  # a tie: the smaller rate
        ((3.0, 2.5, math.inf), 1e-3),  # diverged is worst
        ((math.inf, math.inf, 9.0), 1e-2),
    ],
)
def test_the_best_is_the_lowest_loss(losses: Sequence[float], best: float) -> None:
    chosen, left_out = choose({"a": GRID}, {"a": trials("a", losses)})
    assert (chosen["a"].settings, left_out) == ({"train.lr": best}, {})
    assert chosen["a"].loss == min(losses)


def test_of_equal_ones_the_smaller_is_taken_however_the_grid_is_written() -> None:
    backwards = {"train.lr": (1e-2, 1e-3, 1e-4), "methods.r": (8, 4)}
    chosen, _ = choose({"a": backwards}, {"a": trials("a", [1.0] * 6, backwards)})
    assert chosen["a"].settings == {"train.lr": 1e-4, "methods.r": 4}


def test_a_method_that_always_diverges_is_left_out_with_the_reason() -> None:
    found = {"a": trials("a", (3.0, 1.0, 2.0)), "b": trials("b", [math.inf] * 3)}
    chosen, left_out = choose({"a": GRID, "b": GRID}, found)
    assert [*chosen] == ["a"] and left_out == {"b": "it diverged at every setting of its grid"}


def test_a_match_learns_what_the_reference_learns_at_its_best() -> None:
    """b learns 10 more a decade, from 70 at 1e-4: what a learns at its best, 86, is 1.6 decades on."""
    found = {"b": trials("b", (3.0, 2.0, 1.0)), "a": trials("a", (2.0, 1.4, 1.9)), "c": trials("c", (9.0, 8.0, 7.0))}
    chosen, left_out = choose(dict.fromkeys(found, GRID), found, "a")
    assert [*chosen] == ["b", "a"], "in the order of the spec"
    assert (chosen["a"].settings, chosen["a"].loss, chosen["a"].learned) == ({"train.lr": 1e-3}, 1.4, 86)
    assert chosen["b"].settings == {"train.lr": float(f"{10 ** (-4 + 1.6):.3g}")}
    assert (chosen["b"].loss, chosen["b"].learned) == (None, 86)
    assert left_out == {"c": "it learns 30 at most (at 0.01), and 86 is wanted"}


def test_whole_numbers_stay_whole() -> None:
    grid = {"methods.r": (2, 8, 32)}
    found = {"a": trials("a", (1.5, 1.6, 1.7), grid), "b": trials("b", (3.0, 2.0, 1.0), grid)}
    assert choose(dict.fromkeys(found, grid), found, "a")[0]["b"].settings == {"methods.r": 16}


def test_nothing_matches_a_reference_that_always_diverges() -> None:
    found = {"a": trials("a", [math.inf] * 3), "b": trials("b", (3.0, 2.0, 1.0))}
    with pytest.raises(SpecError, match="a diverged at every setting"):
        choose(dict.fromkeys(found, GRID), found, "a")


def test_ends_of_a_grid_are_named() -> None:
    grid = {
        "train.lr": (1e-2, 1e-4, 1e-3),
        "methods.merge": ("m1", "m2"),
        "train.betas": (1,),
        "train.x": (True, False),
    }
    assert edges_of(grid, {"train.lr": 1e-4, "methods.merge": "m1", "train.betas": 1}) == {"train.lr": "lowest"}
    assert edges_of(grid, {"train.lr": 1e-2, "train.x": True}) == {"train.lr": "highest"}
    assert edges_of(grid, {"train.lr": 1e-3}) == {}


def test_equal_losses_are_no_equal_learning() -> None:
    """What is matched is the score that tables call learned, whatever the losses are."""
    sure = [
        Trial("a", s, 2.0, learned, ("f",), 1.0, (9, 1))
        for s, learned in zip(settings_of(GRID), (5, 50, 40), strict=True)
    ]
    wary = [
        Trial("b", s, loss, 50.0, ("f",), 1.0, (9, 1))
        for s, loss in zip(settings_of(GRID), (3.0, 1.0, 2.0), strict=True)
    ]
    assert choose({"a": GRID, "b": GRID}, {"a": sure, "b": wary}, "b")[0]["a"].settings == {"train.lr": 1e-3}


@pytest.mark.parametrize(("key", "steps"), [("train.lr", 10), ("train.epochs", None)])
def test_a_length_that_the_grid_has_is_no_number_of_steps(key: str, steps: int | None, spec_file: Path) -> None:
    lines = f"tune: {{grid: {{{key}: [1, 3]}}, choose: best, on: tiny_count, steps: 10}}\n"
    spec_file.write_text(spec_file.read_text() + lines)
    spec = load_spec(str(spec_file))
    found = trials("lora-r-2", (2.0, 1.0), {key: (1, 3)})
    settled = _settled(spec, SimpleNamespace(spec=trial_experiment(spec)), found)
    (tuned,) = [method.tuned for method in settled.spec.methods if method.tuned]
    assert (tuned.settings, tuned.steps) == ({key: 3}, steps)
