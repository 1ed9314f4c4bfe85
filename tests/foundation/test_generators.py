"""A generator goes on where it was."""

from __future__ import annotations

import json
import random

from secura_bench.foundation.generators import move, position_of


def test_a_generator_goes_on_from_its_position_in_json() -> None:
    one, other = random.Random("a"), random.Random("b")
    one.gauss(0, 1)  # which keeps the second of a pair
    move(other, json.loads(json.dumps(position_of(one))))
    assert [one.gauss(0, 1), one.random()] == [other.gauss(0, 1), other.random()]
