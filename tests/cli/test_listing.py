"""What `ls` prints besides names."""

from __future__ import annotations

from secura_bench.cli.listing import methods


def test_methods_that_are_not_their_papers_say_so() -> None:
    heading, *notes = methods().notes
    told = {note.partition(": ")[0]: note.partition(": ")[2] for note in notes}
    assert heading and set(told) == {"er", "ewc", "secura"}
    assert "A and B" in told["ewc"] and "Algorithm 1" in told["secura"] and "Chaudhry" in told["er"]
    assert all(note.endswith(".") and "\n" not in note for note in notes)
