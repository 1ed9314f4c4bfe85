"""Classification heads: how they begin, what they read, and that they are read beside the model's own head."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import example
from sessions import build_model
from torch import nn
from torch.nn import functional as F

from secura_bench.data.collate import collate
from secura_bench.data.example import Example
from secura_bench.methods.build import build_method
from secura_bench.methods.lending import attached
from secura_bench.models.head import answer_logits, hidden_width, lend_heads, lent_heads
from secura_bench.models.task_heads import TaskHeads

CLASSES = {"two": 2, "five": 5}


def labelled(task: str, length: int, label: int, seed: int = 0) -> Example:
    """Return a row of ``length`` random tokens, to be classified."""
    row = example(length + 1, 1, seed=seed)
    return replace(row, task=task, head=task, answer_ids=(label,))


ROWS = [labelled("two", 9, 1, 1), labelled("two", 4, 0, 2), labelled("five", 7, 4, 3), labelled("five", 3, 2, 4)]


def of_hand(model: Any, heads: TaskHeads, row: Example) -> torch.Tensor:
    """Return a row's logits by transformers' own last hidden state, the row alone and without padding."""
    hidden = model.get_decoder()(input_ids=torch.tensor([row.prompt_ids])).last_hidden_state[0, -1]
    layer = heads.layers[row.task]
    return layer.weight @ hidden + layer.bias


@pytest.mark.parametrize("kind", ["llama", "gemma2", "gpt2"])
def test_a_head_reads_the_last_hidden_state_at_the_last_real_token(kind: str) -> None:
    model = build_model(kind)  # gemma2's own logits are capped, which a head's are not
    heads = TaskHeads(CLASSES, hidden_width(model), seed=3)
    lend_heads(model, heads)
    for rows in (ROWS[:2], ROWS[2:]):
        logits = answer_logits(model, collate(rows, pad_id=0))
        for found, row in zip(logits, rows, strict=True):
            torch.testing.assert_close(found, of_hand(model, heads, row), rtol=1e-4, atol=1e-5)


def test_rows_of_all_heads_and_the_models_own_go_in_one_batch() -> None:
    model = build_model("llama")
    heads = TaskHeads(CLASSES, hidden_width(model), seed=3)
    lend_heads(model, heads)
    own = example(8, 3, seed=9)
    mixed = collate([ROWS[0], own, ROWS[2]], pad_id=0)
    logits = answer_logits(model, mixed)
    alone = [answer_logits(model, collate([row], pad_id=0)) for row in (ROWS[0], own, ROWS[2])]
    losses = F.cross_entropy(logits, mixed.targets, reduction="none")
    expected = [
        F.cross_entropy(z, collate([row], 0).targets, reduction="none")
        for z, row in zip(alone, (ROWS[0], own, ROWS[2]), strict=True)
    ]
    assert mixed.heads == ("two", None, None, None, "five")
    torch.testing.assert_close(losses, torch.cat(expected))
    torch.testing.assert_close(logits[1:4], alone[1])
    probabilities = logits.softmax(-1)
    assert not probabilities[0, 2:].any() and not probabilities[4, 5:].any()


def test_it_begins_as_torchs_linear_layer_and_is_drawn_by_seed_and_task() -> None:
    before = torch.get_rng_state()
    heads = TaskHeads({"a": 3, "b": 3}, 400, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    layer = heads.layers["a"]
    for tensor in (layer.weight, layer.bias):
        assert isinstance(tensor, nn.Parameter) and tensor.abs().max() <= 1 / 20  # U(−1/√width, 1/√width)
    assert layer.weight.std().item() == pytest.approx(1 / 20 / 3**0.5, rel=0.1)
    same, other = TaskHeads({"a": 3}, 400, seed=1), TaskHeads({"a": 3}, 400, seed=2)
    assert torch.equal(layer.weight, same.layers["a"].weight)
    assert not torch.equal(layer.weight, other.layers["a"].weight)
    assert not torch.equal(layer.weight, heads.layers["b"].weight)


def test_a_model_without_heads_says_so() -> None:
    model = build_model("llama")
    with lent_heads(model, TaskHeads(CLASSES, 32, seed=0)):
        answer_logits(model, collate(ROWS[:1], 0))
    with pytest.raises(TypeError, match="was lent no heads"):
        answer_logits(model, collate(ROWS[:1], 0))


def test_copies_and_a_lent_base_are_read_through_the_same_heads() -> None:
    model = build_model("llama")
    heads = TaskHeads(CLASSES, 32, seed=0)
    method = build_method("kl_to_base")
    trained = attached(method, model, lambda model: lend_heads(model, heads), lambda base: lend(base, heads))
    batch = collate(ROWS[:2], 0)
    loss = method.loss(trained, batch)
    assert loss.terms["kl"].item() == 0  # nothing was trained
    with torch.no_grad():
        heads.layers["two"].weight.mul_(-3)
    assert method.loss(trained, batch).terms["kl"].item() == 0
    assert copy.deepcopy(heads) is heads


def lend(base: nn.Module, heads: TaskHeads) -> nn.Module:
    """Lend the heads and return the base."""
    lend_heads(base, heads)
    return base
