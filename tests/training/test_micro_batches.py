"""``micro_batch_size: auto``: where rows are cut, and that a step's gradient is the one of all rows at once."""

from __future__ import annotations

import copy
import itertools
import random
from typing import Any

import pytest
import torch
from conftest import example
from test_training import train

from secura_bench.data.example import Example
from secura_bench.methods.method import Method, StepContext
from secura_bench.training.loop import TrainingLoop
from secura_bench.training.micro_batches import MicroBatches, cuts


def parts(lengths: list[int], ends: list[int]) -> list[list[int]]:
    return [lengths[start:end] for start, end in itertools.pairwise([0, *ends])]


def cost(lengths: list[int], ends: list[int], price: int) -> int:
    return sum(len(part) * max(part) + price for part in parts(lengths, ends))


@pytest.mark.parametrize("most", [None, 40, 1])
def test_no_other_cut_costs_less(most: int | None) -> None:
    """Against every cut that there is."""
    draw = random.Random(0)
    for _ in range(60):
        lengths = sorted((draw.randint(1, 30) for _ in range(draw.randint(1, 7))), reverse=True)
        price, places = draw.choice([0, 1, 5, 40]), range(1, len(lengths))
        every = [[*inner, len(lengths)] for n in range(len(lengths)) for inner in itertools.combinations(places, n)]
        if most is not None:
            small = [all(len(p) == 1 or len(p) * max(p) <= most for p in parts(lengths, ends)) for ends in every]
            every = list(itertools.compress(every, small))
        ends = cuts(lengths, price, most)
        assert ends in every
        assert cost(lengths, ends, price) == min(cost(lengths, other, price) for other in every)


def test_equal_rows_stay_together_and_unlike_ones_part() -> None:
    assert cuts([50] * 8, 32) == [8]
    assert cuts([500, 499, 40, 40, 39], 32) == [2, 5]
    assert cuts([], 32) == []


def rows(*lengths: int) -> list[Example]:
    return [example(length, 2, seed=seed) for seed, length in enumerate(lengths)]


@pytest.mark.parametrize("lengths", [(9, 200, 60, 190, 10), (7, 7, 7), (30,)])
def test_every_process_has_as_many_parts_and_every_row_is_somewhere(lengths: tuple[int, ...]) -> None:
    given = rows(*lengths)
    shares = [MicroBatches("auto", processes=2, index=index).shares(given) for index in range(2)]
    assert [len(part) for part in shares[0]] == [len(part) for part in shares[1]]
    fed = [row for share in shares for part in share for row in part]
    assert sorted(id(row) for row in fed if row.weight) == sorted(map(id, given))
    assert len(fed) - len(given) == len(given) % 2


def test_out_of_memory_halves_the_tokens_down_to_single_rows() -> None:
    given = rows(40, 40, 40, 40)
    batches = MicroBatches("auto")
    assert batches.at_once(given) == 4
    assert batches.halve(given) == "micro_batch_size: auto takes 80 tokens at once at most from here on"
    assert batches.at_once(given) == 2
    batches.halve(given)
    assert batches.at_once(given) == 1 and batches.state == 40
    resumed = MicroBatches("auto")
    resumed.state = batches.state
    assert resumed.parts(given) == batches.parts(given)


class Seen(Method):
    """Keeps a step's gradients, and what goes through the model together."""

    def __init__(self) -> None:
        super().__init__()
        self.gradients: list[torch.Tensor] = []
        self.sizes: list[tuple[int, int]] = []
        self.context: StepContext | None = None

    def loss(self, model: Any, batch: Any) -> Any:
        self.sizes.append(tuple(batch.input_ids.shape))
        return super().loss(model, batch)

    def after_backward(self, model: Any, step: StepContext) -> None:
        self.context = step
        self.gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))


def test_a_steps_gradient_is_that_of_all_rows_at_once(llama: Any) -> None:
    start, given, seen = llama(), rows(9, 200, 60, 190, 10, 12), {}
    for size in (None, "auto"):
        seen[size] = Seen()
        train(copy.deepcopy(start), seen[size], given, batch_size=6, micro_batch_size=size, steps=1, lr=0.0)
    whole, cut = seen[None], seen["auto"]
    assert whole.sizes == [(6, 200)] and cut.sizes == [(2, 200), (1, 60), (3, 12)]
    worst = (cut.gradients[0] - whole.gradients[0]).abs().max()
    assert worst <= 1e-6 * whole.gradients[0].abs().max().clamp(min=1)
    assert cut.context is not None and cut.context.micro_batch == 3
    assert [len(part) for part in cut.context.parts(given)] == [2, 1, 3]


def test_a_step_that_runs_out_of_memory_is_done_in_smaller_parts(llama: Any, monkeypatch: Any) -> None:
    given, start = rows(60, 60, 60, 10), llama()
    whole = train(copy.deepcopy(start), Method(), given, batch_size=4, steps=1)[0]
    inner = TrainingLoop._collate

    def tight(self: TrainingLoop, examples: Any) -> Any:
        if sum(map(len, examples)) > 120:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return inner(self, examples)

    monkeypatch.setattr(TrainingLoop, "_collate", tight)
    cut = train(copy.deepcopy(start), Method(), given, batch_size=4, micro_batch_size="auto", steps=1)[0]
    assert (cut.loss, cut.grad_norm) == (pytest.approx(whole.loss, rel=1e-5), pytest.approx(whole.grad_norm, rel=1e-5))
