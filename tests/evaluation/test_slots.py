"""Answers written side by side, a waiting prompt in the place of each that has ended."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from secura_bench.data.dataset import load_data
from secura_bench.evaluation.evaluate import evaluate
from secura_bench.evaluation.predicting import generate as generating
from secura_bench.evaluation.predicting.generate import TOGETHER, generate, greedy
from secura_bench.evaluation.predictions import Prediction, long_first
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


def test_a_restart_repeats_what_is_answered_together(asked: Any) -> None:
    """Twelve rows, eight of them together: a row has the same company after a restart, and says the same."""
    model, chat, _, _ = asked
    examples = load_data("tiny_arith", DataSpec(rows=120), chat).test
    order = [i for numbers in long_first(examples, TOGETHER, length=lambda e: len(e.prompt_ids)) for i in numbers]
    assert len(order) == 12

    def said(known: Any, continuous: bool = True) -> dict[int, Prediction]:
        batches = generate(model, examples, chat, 1, LIMIT, known, continuous)
        return {i: prediction for batch in batches for i, prediction in batch}

    whole = said({})
    assert whole == said({}, continuous=False)
    for known, wanted in ((TOGETHER, order[TOGETHER:]), (TOGETHER - 1, order), (TOGETHER + 1, order[TOGETHER:])):
        assert said(order[:known]) == {i: whole[i] for i in wanted}


def test_batches_stay_together_where_a_row_s_company_may_move_it(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, chat, _, _ = asked
    data = load_data("tiny_arith", DataSpec(rows=120), chat)
    sizes: list[int] = []

    def heard(batch: Any) -> None:
        sizes.append(len(batch))

    taken: list[int] = []

    def answering(*given: Any) -> Any:
        taken.append(1)
        return answer(*given)

    monkeypatch.setattr(generating, "answer", answering)
    kept = evaluate("generate", model, data.file, data.test, chat, 5, 600, on_batch=heard)
    assert sizes == [5, 5, 2] and not taken
    replaced = evaluate("generate", model, data.file, data.test, chat, 5, 600, on_batch=heard, company=False)
    assert sizes[3:] == [5, 5, 2] and taken
    assert replaced.predictions == kept.predictions


def test_a_cache_with_room_holds_what_transformers_own_holds() -> None:
    """Columns come one by one and by more than there is room for, and rows leave in between."""
    from transformers.cache_utils import DynamicLayer

    from secura_bench.evaluation.roomy_cache import RoomyLayer

    mine, theirs = RoomyLayer(), DynamicLayer()
    torch.manual_seed(0)
    for layer in (mine, theirs):
        layer.lazy_initialization(torch.zeros(1), torch.zeros(1))
    begin = torch.randn(3, 2, 5, 4), torch.randn(3, 2, 5, 4)
    for layer in (mine, theirs):
        layer.keys, layer.values = (tensor.clone() for tensor in begin)
    for columns in (1, 1, 40, 1, 0, 1):
        if not columns:  # rows leave
            for layer in (mine, theirs):
                layer.batch_select_indices(torch.tensor([2, 0]))
            continue
        new = torch.randn(len(mine.keys), 2, columns, 4), torch.randn(len(mine.keys), 2, columns, 4)
        before = mine.keys.data_ptr()
        for said, wanted in zip(mine.update(*new), theirs.update(*new), strict=True):
            assert torch.equal(said, wanted)
        moved = mine.keys.data_ptr() != before
        assert mine.get_seq_length() == theirs.get_seq_length() and moved == (mine.keys.shape[2] in (6, 47, 49))
