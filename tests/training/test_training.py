"""The loop: what the loss is made of, and that micro-batches and processes do not change a step."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from accelerate import Accelerator
from torch.nn import functional as F

from secura_bench.data.collate import collate
from secura_bench.data.example import Task
from secura_bench.data.streams import RowStream
from secura_bench.methods.build import build_method
from secura_bench.methods.method import Method
from secura_bench.spec.sections import TrainSpec
from secura_bench.training.loop import Diverged, TrainingLoop, learning_rate
from secura_bench.training.precision import new_accelerator, prepare_training


def train(model, method, examples, **settings):
    """Train and return the step reports."""
    spec = TrainSpec(**{"lr": 1e-2, "steps": 3, "batch_size": 4} | settings)
    accelerator = new_accelerator(spec.precision, cpu=True)
    loop = TrainingLoop(accelerator, model, method, spec, pad_id=0)
    reports = []
    loop.run_task(Task("task", 0, examples), RowStream(len(examples), "epochs", 0), spec.steps, reports.append)
    return reports


def test_loss_is_the_models_own_loss(llama, examples) -> None:
    """transformers computes the mean cross-entropy from labels, over all positions, with the full head."""
    model, method = llama(), Method()
    batch = collate(examples, pad_id=0)
    labels = torch.full_like(batch.input_ids, -100)
    for i, item in enumerate(examples):
        start = len(item.prompt_ids)
        labels[i, start : start + len(item.answer_ids)] = torch.tensor(item.answer_ids)
    own = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=labels).loss
    loss = method.loss(model, batch)
    assert (loss.sum / loss.tokens).item() == pytest.approx(own.item(), rel=1e-6)
    assert loss.tokens == sum(len(item.answer_ids) for item in examples)


def test_no_prompt_token_has_a_loss(llama, examples) -> None:
    """Prompt tokens are inputs alone: as targets they do not exist, whatever the head says of them."""
    batch = collate(examples, pad_id=0)
    assert sorted(batch.targets.tolist()) == sorted(token for item in examples for token in item.answer_ids)
    for row, item in enumerate(examples):
        where = batch.predicts[row].nonzero()[:, 0].tolist()
        start = len(item.prompt_ids)
        assert where == list(range(start - 1, start - 1 + len(item.answer_ids)))


def test_head_hook_leaves_nothing_behind(llama, examples) -> None:
    model = llama()
    batch = collate(examples, pad_id=0)
    before = model(batch.input_ids).logits
    Method().loss(model, batch)
    assert torch.equal(model(batch.input_ids).logits, before)


def test_soft_capped_logits_are_those_of_the_full_head(examples) -> None:
    """Gemma-2 caps its logits after the head; picking positions before it must not lose that."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    from secura_bench.models.head import answer_logits

    config = Gemma2Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, final_logit_softcapping=0.3, sliding_window=16,
    )  # fmt: skip
    model = Gemma2ForCausalLM(config).eval()
    batch = collate(examples, pad_id=0)
    full = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits[batch.predicts]
    picked = answer_logits(model, batch)
    assert torch.allclose(picked, full, atol=1e-6)
    assert picked.abs().max() <= 0.3


@pytest.mark.parametrize("name", ["seq", "secura"])
def test_one_times_eight_is_four_times_two(llama, examples, name: str) -> None:
    """Answers differ in length, so a mean of micro-batch means would be another step."""
    options = {"r": 4, "m": 6} if name == "secura" else {}
    start = llama()
    ends = []
    for size in (8, 2, 3):
        model = copy.deepcopy(start)
        method = build_method(name, **options)
        model = method.attach(model)
        reports = train(model, method, examples, batch_size=8, micro_batch_size=size, steps=4)
        ends.append((model.state_dict(), reports))
    for state, reports in ends[1:]:
        for key, value in ends[0][0].items():
            assert torch.allclose(state[key], value, atol=2e-5), key
        for mine, other in zip(ends[0][1], reports, strict=True):
            assert mine.loss == pytest.approx(other.loss, rel=1e-4)
            assert mine.tokens == other.tokens


def test_a_step_against_plain_pytorch(llama, examples) -> None:
    """The same method object in a plain loop, with AdamW and a mean over answer tokens, takes the same steps."""
    start = llama()
    ours = build_method("lora", dropout=0.0).attach(copy.deepcopy(start))
    plain = copy.deepcopy(ours)
    reports = train(ours, Method(), examples, batch_size=8, steps=3, lr=1e-2)

    method = Method()
    optimizer = torch.optim.AdamW([p for p in plain.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.01)
    stream = RowStream(8, "epochs", 0)
    for report in reports:
        loss = method.loss(plain, collate([examples[i] for i in stream.draw(8)], pad_id=0))
        (loss.sum / loss.tokens).backward()
        optimizer.step()
        optimizer.zero_grad()
        assert report.loss == pytest.approx((loss.sum / loss.tokens).item(), rel=1e-5)
    for (name, mine), other in zip(ours.named_parameters(), plain.parameters(), strict=True):
        assert torch.allclose(mine, other, atol=1e-6), name


def test_extra_terms_enter_a_step_once(llama, examples) -> None:
    class Penalised(Method):
        def terms(self, model, batch, logits):
            return {"penalty": sum(p.square().sum() for p in model.parameters())}

    results = []
    for size in (4, 1):
        torch.manual_seed(0)
        model = llama()
        reports = train(model, Penalised(), examples[:4], batch_size=4, micro_batch_size=size, steps=2)
        results.append((reports[0].terms["penalty"], reports[0].grad_norm))
    assert results[0] == pytest.approx(results[1], rel=1e-5)


def test_row_weights_weigh_tokens(llama, examples) -> None:
    from dataclasses import replace

    model, method = llama(), Method()
    heavy = [replace(examples[0], weight=3.0), examples[1]]
    loss = method.loss(model, collate(heavy, pad_id=0))
    one = method.loss(model, collate(examples[:1], pad_id=0))
    two = method.loss(model, collate(examples[1:2], pad_id=0))
    assert loss.sum.item() == pytest.approx((3 * one.sum + two.sum).item(), rel=1e-5)
    assert loss.tokens == pytest.approx(3 * one.tokens + two.tokens)


@pytest.mark.parametrize("name", ["seq", "lora", "secura"])
def test_loss_falls_and_only_the_right_tensors_move(llama, examples, name: str) -> None:
    method = build_method(name, **({"r": 4, "m": 6} if name == "secura" else {}))
    model = method.attach(llama())
    before = {key: value.clone() for key, value in model.named_parameters()}
    reports = train(model, method, examples, batch_size=8, steps=30, lr=3e-2 if name != "seq" else 3e-3)
    assert reports[-1].loss < 0.9 * reports[0].loss
    for key, value in model.named_parameters():
        if not value.requires_grad:
            assert torch.equal(value, before[key]), key


def test_a_moves_by_weight_decay_alone(llama, examples) -> None:
    method = build_method("secura", r=4, m=6)
    model = method.attach(llama())
    module = model.model.layers[0].self_attn.q_proj
    start = module.A.detach().clone()
    train(model, method, examples, steps=5, lr=1e-2, weight_decay=0.1)
    assert torch.allclose(module.A, start * (1 - 1e-2 * 0.1) ** 5, rtol=1e-5)
    assert module.K.abs().max() > 0


def test_clipping_bounds_the_gradient(llama, examples) -> None:
    ends = []
    for clip in (None, 1e-3):
        torch.manual_seed(0)
        model = llama()
        start = [p.detach().clone() for p in model.parameters()]
        reports = train(model, Method(), examples, clip_norm=clip, steps=1, lr=1e-2, weight_decay=0.0, eps=1.0)
        moved = sum((p - s).square().sum() for p, s in zip(model.parameters(), start, strict=True)).sqrt().item()
        ends.append((reports[0].grad_norm, moved))
    assert ends[0][0] == pytest.approx(ends[1][0])  # reported before clipping
    assert ends[1][0] > 1e-2
    # With eps far above the gradient, Adam's step is lr · g: the clipped one has the norm that was asked for.
    assert ends[1][1] == pytest.approx(1e-2 * 1e-3, rel=1e-2)


def test_divergence_is_an_outcome(llama, examples) -> None:
    model = llama()
    model.lm_head.weight.data[:] = math.nan
    with pytest.raises(Diverged) as outcome:
        train(model, Method(), examples)
    assert outcome.value.step == 1


def test_a_gradient_that_is_not_finite_is_divergence_too(llama, examples) -> None:
    class Poisoned(Method):
        def after_backward(self, model, step):
            next(model.parameters()).grad[0, 0] = math.inf

    model = llama()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with pytest.raises(Diverged):
        train(model, Poisoned(), examples)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_bf16_keeps_trained_tensors_in_fp32(llama, examples) -> None:
    method = build_method("secura", r=4, m=6)
    model = method.attach(llama().to(torch.bfloat16))
    prepare_training(model, TrainSpec())
    module = model.model.layers[0].self_attn.q_proj
    assert module.base.weight.dtype == torch.bfloat16
    assert module.A.dtype == module.B.dtype == module.K.dtype == torch.float32
    reports = train(model, method, examples, precision="bf16", batch_size=8, steps=20, lr=3e-2)
    assert reports[-1].loss < reports[0].loss


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("constant", 1, 0.5), ("constant", 2, 1.0), ("constant", 10, 1.0),
        ("linear", 3, 1.0), ("linear", 7, 0.5), ("linear", 10, 1 - 7 / 8),
        ("cosine", 3, 1.0), ("cosine", 7, 0.5), ("cosine", 10, 0.5 * (1 + math.cos(math.pi * 7 / 8))),
    ],
)  # fmt: skip
def test_schedules(schedule: str, step: int, expected: float) -> None:
    pace = TrainSpec(lr=1.0, steps=10, warmup_steps=2, schedule=schedule).pace("task")
    assert learning_rate(pace, step, 10) == pytest.approx(expected)


@pytest.mark.parametrize(("name", "warmup"), [("cosine", 5), ("cosine", 0), ("linear", 5)])
def test_a_schedule_is_transformers(name: str, warmup: int) -> None:
    """Of one and the same length, said by ``schedule_steps``, whether training ends before or after it.

    In the warm-up a step is ahead of theirs, whose first has rate 0; beyond their end a cosine would rise again.
    """
    import transformers

    pace = TrainSpec(lr=2.5e-4, schedule=name, warmup_steps=warmup, schedule_steps=20).pace("task")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.5e-4)
    schedule = getattr(transformers, f"get_{name}_schedule_with_warmup")(optimizer, warmup, 20)
    theirs = []
    for _ in range(20):
        theirs += schedule.get_last_lr()
        optimizer.step()
        schedule.step()
    for steps in (12, 400):
        ours = [learning_rate(pace, step, steps) for step in range(1, 21)]
        assert ours[warmup:] == pytest.approx(theirs[warmup:])
        assert ours[: max(0, warmup - 1)] == pytest.approx(theirs[1 : max(1, warmup)])
    assert learning_rate(pace, 300, 400) == 0.0


def test_every_process_takes_its_share(llama, examples, monkeypatch) -> None:
    """With two processes the micro-batches are dealt out; an odd one is matched by a batch that weighs nothing."""
    accelerator = Accelerator(cpu=True)
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    monkeypatch.setattr(Accelerator, "prepare_model", lambda self, model, **_: model)
    shares = []
    for index in (0, 1):
        monkeypatch.setattr(Accelerator, "process_index", index)
        loop = TrainingLoop(accelerator, llama(), Method(), TrainSpec(batch_size=3, micro_batch_size=1), pad_id=0)
        shares.append(loop.micro_batches.shares(examples[:3]))
    assert [len(share) for share in shares] == [2, 2]
    assert [[item.row.id for item in batch] for batch in shares[0]] == [["row-0"], ["row-2"]]
    assert shares[1][1][0].weight == 0.0


def test_streams() -> None:
    epochs = RowStream(10, "epochs", 7)
    first, second = epochs.draw(10), epochs.draw(10)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    draws = RowStream(10, "replacement", 7).draw(1000)
    assert set(draws) == set(range(10))
    stream = RowStream(10, "epochs", 7)
    stream.draw(7)
    other = RowStream(10, "epochs", 8)
    other.load_state_dict(stream.state_dict())
    assert stream.draw(20) == other.draw(20)


def test_cross_entropy_is_in_fp32(llama, examples) -> None:
    model = llama().to(torch.bfloat16)
    batch = collate(examples, pad_id=0)
    loss = Method().loss(model, batch)
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits[batch.predicts]
    assert loss.sum.dtype == torch.float32
    assert loss.sum.item() == pytest.approx(
        F.cross_entropy(logits.float(), batch.targets, reduction="sum").item(), rel=1e-3
    )
