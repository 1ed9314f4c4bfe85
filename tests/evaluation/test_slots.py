"""Answers written side by side, a waiting prompt in the place of each that has ended."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from secura_bench.data.dataset import load_data
from secura_bench.evaluation.predicting.generate import generate, greedy
from secura_bench.evaluation.prompt_cache import NO_OPENING, read_opening
from secura_bench.evaluation.slots import Rows, answer
from secura_bench.spec.sections import DataSpec

LIMIT = 12


@pytest.fixture(scope="module")
def asked(tiny: Any) -> Any:
    """Return the tiny model, its chat format, prompts of two tasks, longest first, and what each is answered alone."""
    model, chat, _ = tiny
    model.eval()
    examples = [e for task in ("tiny_choice", "tiny_arith") for e in load_data(task, DataSpec(rows=120), chat).test]
    prompts = sorted((example.prompt_ids for example in examples), key=len, reverse=True)
    return model, chat, prompts, [greedy(model, [prompt], chat, LIMIT)[0] for prompt in prompts]


@pytest.mark.parametrize(
    ("slots", "order", "opened"), [(1, 1, True), (3, 1, True), (8, -1, True), (3, -1, False), (99, 1, False)]
)
def test_answers_are_those_of_each_prompt_alone(asked: Any, slots: int, order: int, opened: bool) -> None:
    """Rows come in that are narrower than those that go on, and, short prompts first, wider ones."""
    model, chat, prompts, alone = asked
    prompts, alone = prompts[::order], alone[::order]
    assert len({len(ids) for ids in alone}) > 2
    with torch.no_grad():
        opening = read_opening(model, prompts) if opened else NO_OPENING
    assert bool(opening.ids) == opened
    said = dict(answer(model, prompts, chat.pad_id, chat.stop_ids, slots, LIMIT, opening))
    assert [said[number] for number in range(len(prompts))] == alone


def test_a_waiting_prompt_takes_the_place_of_a_row_that_ends(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All slots but one of eight are taken as long as prompts wait, and the cache is as wide as its longest row."""
    model, chat, prompts, alone = asked
    waited: list[bool] = []
    steps: list[int] = []
    step, read = Rows.step, Rows.read.__func__  # type: ignore[attr-defined]

    def stepping(self: Rows, model: Any) -> Any:
        assert self.mask.shape[1] == self.lengths.max()
        assert self.mask.sum(dim=1).tolist() == self.lengths.tolist()
        steps.append(len(self.numbers))
        waited.append(len(begun) < len(prompts))
        return step(self, model)

    begun: list[int] = []

    def reading(cls: type[Rows], model: Any, prompts: Any, numbers: list[int], *rest: Any) -> Rows:
        begun.extend(numbers)
        return read(cls, model, prompts, numbers, *rest)

    monkeypatch.setattr(Rows, "step", stepping)
    monkeypatch.setattr(Rows, "read", classmethod(reading))
    assert len(list(answer(model, prompts, chat.pad_id, chat.stop_ids, 8, LIMIT))) == len(prompts)
    assert all(taken == 8 for taken, waiting in zip(steps, waited, strict=True) if waiting)
    in_batches = sum(max(map(len, alone[at : at + 8])) - 1 for at in range(0, len(alone), 8))
    assert len(steps) < in_batches
    assert sum(steps) == sum(len(ids) - 1 for ids in alone)


def test_what_is_known_is_not_asked_again(asked: Any) -> None:
    """A restart goes on with the rows that were not finished, and says of them what it would have said."""
    model, chat, _, _ = asked
    examples = load_data("tiny_arith", DataSpec(rows=120), chat).test
    batches = list(generate(model, examples, chat, 3, LIMIT, continuous=True))
    assert all(len(batch) == 3 for batch in batches[:-1])
    whole = dict(each for batch in batches for each in batch)
    assert whole == dict(each for batch in generate(model, examples, chat, 3, LIMIT) for each in batch)
    known = dict(batches[0])
    rest = dict(each for batch in generate(model, examples, chat, 3, LIMIT, known, continuous=True) for each in batch)
    assert {**known, **rest} == whole
    assert not known.keys() & rest.keys()
