"""Memory that is given back: of what was made since, and, where it ran out, of everything."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from secura_bench.training.memory import release_all_memory, release_memory, set_aside


class Cycle:
    """Only a collection frees it."""

    def __init__(self) -> None:
        self.own = self


def gone() -> weakref.ref[Cycle]:
    return weakref.ref(Cycle())


@pytest.fixture(autouse=True)
def nothing_aside() -> Iterator[None]:
    aside = gc.get_freeze_count()
    gc.unfreeze()
    gc.disable()
    yield
    gc.enable()
    if aside:  # conftest's, which spares the other tests time
        gc.freeze()


def test_what_was_made_within_is_given_back_and_all_where_memory_ran_out() -> None:
    before = gone()
    with set_aside():
        within = gone()
        release_memory()
        assert within() is None and before() is not None
        with set_aside():  # a plan's trials within a plan
            pass
        release_memory()
        assert before() is not None
        release_all_memory()
        assert before() is None
    after = gone()
    release_memory()
    assert after() is None


def test_nothing_stays_set_aside() -> None:
    with set_aside():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0
