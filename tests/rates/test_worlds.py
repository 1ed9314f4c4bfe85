"""The simulated worlds are what they are said to be: true means, spread over seeds, correlation within groups."""

from __future__ import annotations

import numpy as np
import pytest
from worlds import BINARY, CONTINUOUS, GROUPED, Kind, Truth, World, single


@pytest.mark.parametrize("kind", [CONTINUOUS, BINARY], ids=lambda kind: kind.name)
def test_a_world_has_the_mean_and_the_seeds_that_it_says(kind: Kind) -> None:
    runs = np.concatenate(
        [World(kind, single(2000), np.random.default_rng(i)).runs(Truth(60, 5, 40)).mean(axis=1) for i in range(40)]
    )
    assert runs.mean() == pytest.approx(60, abs=0.4)
    assert runs.std() == pytest.approx(5, abs=0.4), "of 2000 items next to nothing is the items' own"
    base = [World(kind, single(2000), np.random.default_rng(i)).base(70).mean() for i in range(40)]
    assert np.mean(base) == pytest.approx(70, abs=0.4)


def test_moments_of_a_sequence_have_their_means() -> None:
    drawn = [World(BINARY, single(500), np.random.default_rng(i)).sequence((80, 60), 5, 20) for i in range(40)]
    assert np.mean([[moment.mean() for moment in each] for each in drawn], axis=0) == pytest.approx([80, 60], abs=0.6)
    runs = np.concatenate([moments[1].mean(axis=1) for moments in drawn])
    assert runs.std() == pytest.approx(5, abs=0.7)


def test_items_of_a_group_correlate_and_others_do_not() -> None:
    layout = GROUPED["60 rows, 72 in 12 groups"]
    found = np.corrcoef(layout.noise(np.random.default_rng(1), 4000).T)
    alike = np.equal.outer(layout.groups, layout.groups) & ~np.eye(layout.n, dtype=bool)
    assert found[alike].mean() == pytest.approx(0.5, abs=0.02)
    assert found[~alike & ~np.eye(layout.n, dtype=bool)].mean() == pytest.approx(0, abs=0.01)
    assert found.shape == (132, 132)
