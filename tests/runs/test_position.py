"""Where a run is, as checkpoints hold it."""

from __future__ import annotations

from secura_bench.runs.position import Position


def test_a_checkpoint_of_an_earlier_version_is_read() -> None:
    """Its keys stay what they were: a run that was stopped then goes on now."""
    assert Position.of({"course": 2, "step": 30, "due": "way"}) == Position(2, 30, "way")
    assert Position(2, 30, "way").state_dict() == {"course": 2, "step": 30, "due": "way"}


def test_after_a_tasks_end_comes_the_next_phase() -> None:
    assert Position(1, 60, "end").scored() == Position(2)
    assert Position(1, 30, "way").scored() == Position(1, 30) and not Position().begun
