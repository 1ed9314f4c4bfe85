"""Experience replay: what the buffers hold, what a step trains on, and its loss."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import example
from pydantic import ValidationError
from scipy import stats
from sessions import Session, assert_resumes, build_model, new_method, rows_of, tasks
from torch.nn import functional as F

from secura_bench.methods.buffers import Balanced, Buffer, Reservoir, halves, new_buffer
from secura_bench.methods.er import ER, EROptions
from secura_bench.methods.ewc import EWC
from secura_bench.methods.lora import LoRA
from secura_bench.methods.method import Method
from secura_bench.methods.mtl import MultiTask
from secura_bench.methods.stack import Stack, check_parts

ROW = example(6, 2)


def fill(buffer: Buffer, task: str, numbers: range) -> None:
    for number in numbers:
        buffer.add(replace(ROW, task=task, row=replace(ROW.row, id=str(number))))


def uniformity(held: Counter[str], stream: int, capacity: int, trials: int) -> float:
    """Return the p-value that every one of ``stream`` rows is held alike, ``capacity`` at a time.

    Rows of one trial exclude each other, so the statistic of Pearson is smaller by the finite-population factor.
    """
    expected = trials * capacity / stream
    statistic = sum((held[str(i)] - expected) ** 2 / expected for i in range(stream))
    return stats.chi2.sf(statistic * (stream - 1) / (stream - capacity), stream - 1)


def test_reservoir_is_uniform_by_chi_square() -> None:
    held: Counter[str] = Counter()
    for trial in range(3000):
        buffer = Reservoir(8, seed=trial)
        fill(buffer, "task", range(30))
        held.update(row.row.id for row in buffer.examples)
    assert sum(held.values()) == 3000 * 8
    assert uniformity(held, 30, 8, 3000) > 1e-3


@pytest.mark.parametrize("first", [8, 15])  # as many rows as fit, and more
def test_each_share_of_a_balanced_buffer_is_uniform_by_chi_square(first: int) -> None:
    held: dict[str, Counter[str]] = {"a": Counter(), "b": Counter(), "c": Counter()}
    for trial in range(2000):
        buffer = Balanced(8, seed=trial)
        fill(buffer, "a", range(first))
        fill(buffer, "b", range(20))
        fill(buffer, "c", range(1))
        fill(buffer, "a", range(first, 30))  # a task that comes again, after it was cut to its share
        for row in buffer.examples:
            held[row.task][row.row.id] += 1
    assert uniformity(held["a"], 30, 3, 2000) > 1e-3
    assert uniformity(held["b"], 20, 4, 2000) > 1e-3


def test_balanced_buffer_is_balanced_and_full_after_every_row() -> None:
    buffer, plain = Balanced(50, seed=0), Reservoir(50, seed=0)
    for t, size in enumerate((400, 90, 7, 300)):
        for number in range(size):
            for each in (buffer, plain):
                fill(each, f"task{t}", range(number, number + 1))
            assert len(buffer.examples) == min(50, t * 400 + number + 1)
    counts = Counter(row.task for row in buffer.examples)
    assert counts["task2"] == 7  # all there are
    assert {14, 15} >= {counts[task] for task in ("task0", "task1", "task3")}
    assert Counter(row.task for row in plain.examples)["task0"] > 15  # what a plain reservoir does


def test_draws_are_without_replacement_and_from_a_generator_of_their_own() -> None:
    draws = []
    for _ in range(2):
        random.seed(random.random())
        buffer = new_buffer("reservoir", 10, seed=3)
        fill(buffer, "task", range(40))
        drawn = buffer.draw(6)
        assert len({row.row.id for row in drawn}) == 6
        draws.append(drawn)
    assert draws[0] == draws[1]
    assert len(buffer.draw(99)) == 10
    other = new_buffer("reservoir", 10, seed=4)
    fill(other, "task", range(40))
    assert other.examples != buffer.examples


@pytest.mark.parametrize("kind", ["reservoir", "balanced"])
def test_buffer_state_is_plain_and_goes_on(kind: str) -> None:
    buffer, other = new_buffer(kind, 5, seed=0), new_buffer(kind, 5, seed=1)
    for task in tasks(2, rows=20):
        for row in task.train:
            buffer.add(replace(row, row=replace(row.row, choices=("yes", "no"), answer_index=1)))
    other.load_state_dict(json.loads(json.dumps(buffer.state_dict())))
    assert other.examples == buffer.examples
    for each in (buffer, other):
        fill(each, "task2", range(30))
    assert other.draw(4) == buffer.draw(4) and other.examples == buffer.examples
    assert buffer.tokens == sum(len(row.prompt_ids) + len(row.answer_ids) for row in buffer.examples)


def begun(method: Method, index: int) -> Method:
    method.begin_task(torch.nn.Linear(1, 1), tasks(3)[index])
    return method


def test_first_task_is_trained_as_without_replay() -> None:
    method, rows = begun(new_method(ER), 0), rows_of(0, 4)
    assert method.mix(rows) == rows == method.mix(rows)
    assert method.buffer.examples == rows + rows


@pytest.mark.parametrize(("ratio", "batch", "replayed"), [(1, 4, 4), (0.5, 4, 2), (0.1, 4, 1), (2, 3, 6), (1.5, 1, 2)])
def test_number_of_replayed_rows(ratio: float, batch: int, replayed: int) -> None:
    method = begun(new_method(ER, ratio=ratio), 0)
    method.mix(rows_of(0, 20))
    rows = begun(method, 1).mix(rows_of(50, batch))
    assert [row.replayed for row in rows] == [False] * batch + [True] * replayed
    assert len({row.row.id for row in rows}) == batch + replayed


def test_a_replayed_row_never_enters_again() -> None:
    method = begun(new_method(ER, capacity=7), 0)
    for start in range(0, 60, 3):
        begun(method, start // 30).mix(rows_of(start, 3))
        assert all(row.weight == 1 and not row.replayed for row in method.buffer.examples)
    assert method.buffer.seen == 60 and len(method.buffer.examples) == 7
    count = method.count_parameters(torch.nn.Linear(2, 2))
    assert (count.trainable, count.held) == (6, method.buffer.tokens)


def row_losses(model, rows):
    """Every row's mean token loss, from its own ids alone and the full head."""
    losses = []
    for row in rows:
        ids = torch.tensor([row.prompt_ids + row.answer_ids])
        logits = model(input_ids=ids).logits[0, len(row.prompt_ids) - 1 : -1]
        losses.append(F.cross_entropy(logits, torch.tensor(row.answer_ids)))
    return torch.stack(losses)


def mean_over_all_tokens(model, new, replayed):
    rows = [*new, *replayed]
    sums = row_losses(model, rows) * torch.tensor([len(row.answer_ids) for row in rows])
    return sums.sum() / sum(len(row.answer_ids) for row in rows)


def mean_of_two_row_means(model, new, replayed):
    return (row_losses(model, new).mean() + row_losses(model, replayed).mean()) / 2


@pytest.mark.parametrize("micro", [None, 1, 2, 3])
@pytest.mark.parametrize("ratio", [0.5, 1.0])
@pytest.mark.parametrize(
    ("options", "formula"), [({}, mean_over_all_tokens), ({"loss": "halves"}, mean_of_two_row_means)]
)
def test_a_steps_loss(micro: int | None, ratio: float, options: dict[str, str], formula: Any) -> None:
    """By hand, and so is the gradient, through the loop with its micro-batches."""
    first, second = tasks(2)
    method = new_method(ER, ratio=ratio, **options)
    session = Session(build_model("llama"), method, batch_size=4, micro_batch_size=micro, weight_decay=0)
    session.task(first, 2)
    session.loop.optimizer = torch.optim.SGD(session.model.parameters(), lr=0.1)
    session.begin(second)
    twin, by_hand = copy.deepcopy(session.model), copy.deepcopy(session.method)
    numbers = copy.deepcopy(session.stream).draw(4)
    rows = by_hand.mix([second.train[i] for i in numbers])
    new, replayed = rows[:4], rows[4:]
    assert len(replayed) == 4 * ratio and len({row.supervised for row in rows}) > 1
    assert [row.replayed for row in rows] == [False] * 4 + [True] * len(replayed)
    loss = formula(twin, new, replayed)
    loss.backward()
    session.loop.groups = [replace(group, lr=0.1, scale=None) for group in session.loop.groups]
    (report,) = session.steps(second, 1)
    assert report.loss == pytest.approx(loss.item(), rel=1e-5)
    assert report.fed == sum(map(len, rows))
    for ours, theirs in zip(session.model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs - 0.1 * theirs.grad, rtol=1e-4, atol=1e-6)


def test_a_replayed_token_weighs_what_a_new_one_does() -> None:
    """Whatever the ratio, and so the loss of a first task is that of the next ones."""
    for ratio in (0.25, 1, 3):
        method = begun(new_method(ER, ratio=ratio), 0)
        method.mix(rows_of(0, 20))
        assert {row.weight for row in begun(method, 1).mix(rows_of(50, 4))} == {1.0}


def test_means_over_tokens_weigh_tokens_alike() -> None:
    rows = halves(rows_of(0, 2), rows_of(10, 3), mean_over="tokens")
    new, replayed = rows[:2], rows[2:]
    assert len({row.weight for row in new}) == len({row.weight for row in replayed}) == 1
    for half in (new, replayed):
        assert sum(row.weight * row.supervised for row in half) == pytest.approx(sum(r.supervised for r in rows) / 2)


@pytest.mark.parametrize("kind", ["reservoir", "balanced"])
def test_resumes(kind: str) -> None:
    def session() -> Session:
        torch.manual_seed(2)
        return Session(build_model("llama"), new_method(ER, buffer=kind, capacity=4))

    assert_resumes(session, 3)


def stack() -> Stack:
    return Stack([new_method(LoRA, boundary="continue"), new_method(ER, capacity=5), new_method(EWC, fisher_samples=3)])


def test_stack_of_adapter_replay_and_penalty() -> None:
    session = Session(build_model("llama"), stack())
    frozen = {n: p.detach().clone() for n, p in session.model.named_parameters() if not p.requires_grad}
    first, second = tasks(2)
    plain = session.task(first, 3)
    assert plain[-1].terms == {}
    replaying = session.task(second, 3)
    assert replaying[0].fed > 1.2 * plain[0].fed and set(replaying[-1].terms) == {"ewc"}
    assert all(torch.equal(p, frozen[n]) for n, p in session.model.named_parameters() if n in frozen)
    er, ewc = session.method.parts[1:]
    assert ewc.fisher.keys() == {n for n, p in session.model.named_parameters() if p.requires_grad}
    count = session.method.count_parameters(session.model)
    assert count.held == 2 * count.trainable + er.buffer.tokens


def test_stack_resumes() -> None:
    def session() -> Session:
        torch.manual_seed(2)
        return Session(build_model("llama"), stack())  # LoRA's dropout too goes on where it was

    assert_resumes(session, 2)


def test_options_that_make_no_sense() -> None:
    for wrong in ({"capacity": 0}, {"ratio": 0}, {"buffer": "ring"}, {"seed": "one"}, {"loss": "mean"}):
        with pytest.raises(ValidationError):
            ER.Options.model_validate(wrong)


def test_multi_task_is_fine_tuning_on_a_mixed_stream() -> None:
    method = new_method(MultiTask)
    assert method.stream == "mixed" and method.name == "mtl"
    with pytest.raises(Exception, match="cannot be stacked"):
        check_parts([method])


def test_a_buffer_draws_by_the_runs_seed_or_by_one_of_its_own() -> None:
    """Two seeds of a run must not share their replays, or the spread over seeds would be too small."""

    def drawn(run: int, seed: int | None) -> list[int]:
        torch.manual_seed(run)
        buffer = ER(EROptions(capacity=5, seed=seed)).buffer
        for number in range(200):
            buffer.add(number)  # type: ignore[arg-type]
        return buffer.draw(5)  # type: ignore[return-value]

    assert drawn(1, None) == drawn(1, None) != drawn(2, None)
    assert drawn(1, 7) == drawn(2, 7)
