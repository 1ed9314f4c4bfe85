"""Work divided over processes: who does what of it."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import pytest
from forked import together
from shared_work import share_work

from secura_bench.training.shares import deal, do_shares


def most(shares: list[list[int]], costs: list[float]) -> float:
    return max(sum(costs[i] for i in mine) for mine in shares)


@pytest.mark.parametrize("hands", [1, 2, 3, 5])
def test_every_work_is_dealt_once_and_nobody_has_much_more_than_the_best_division_gives(hands: int) -> None:
    """Against every division there is: who has most is within Graham's bound of the least possible."""
    draw = random.Random(hands)
    for count in range(9 if hands < 4 else 7):
        costs = [float(draw.choice([1, 2, 3, 5, 8, 40])) for _ in range(count)]
        shares = deal(costs, hands)
        assert len(shares) == hands and all(mine == sorted(mine) for mine in shares)
        assert sorted(i for mine in shares for i in mine) == list(range(count))
        best = min(
            most([[i for i in range(count) if to[i] == hand] for hand in range(hands)], costs)
            for to in itertools.product(range(hands), repeat=count)
        )
        assert most(shares, costs) <= (4 / 3 - 1 / (3 * hands)) * best + 1e-9


def test_the_longest_is_the_first_process_s_and_equals_go_round() -> None:
    assert deal([2.0] * 7, 3) == [[0, 3, 6], [1, 4], [2, 5]]
    assert deal([1.0, 9.0], 2) == [[1], [0]]
    assert deal([5.0], 3) == [[0], [], []] and deal([], 2) == [[], []]


def test_one_process_does_all_and_looks_after_each_whether_it_is_to_stop() -> None:
    seen: list[str] = []

    def check() -> None:
        seen.append("?")
        if seen.count("?") == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        do_shares(iter("abc"), seen.append, check)
    assert seen == ["a", "?", "b", "?"]


def test_two_processes_share_works_and_whatever_one_of_them_meets(tmp_path: Path) -> None:
    """The first gets all that was done; an error ends both, long before the other one is through."""
    ends = together(2, share_work, tmp_path, cwd=tmp_path)
    assert [code for code, _, _ in ends] == [0, 0], ends
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    (peace, failed, starved), others = first["shared"], second["shared"]
    assert sorted(peace[0]) == [0, 1, 2, 1000, 1001, 1002, 1003] and peace[1] == ""
    assert failed[1] == others[1][1] == "DataError: no second one for all"
    assert starved[1] == others[2][1] == "OutOfMemoryError: full for all"
    assert all({0, 1000} <= set(got) and len(got) < 50 for got, _ in (failed, starved))
    assert [got for got, _ in others] == [[], [], []]
    assert first["whole"] == [0, 0] and second["whole"] == [0, 1]
