"""I-LoRA: the two pairs, the average, both consistency losses against two models made by hand, and the boundary."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from sessions import Session, assert_resumes, build_model, new_method, rows_of, tasks
from torch.func import functional_call
from torch.nn import functional as F

from secura_bench.adapters.lora_pair import dual_layers
from secura_bench.data.collate import collate
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.i_lora import ILoRA

KINDS = ["llama", "qwen2", "gemma2"]


def attached(kind: str = "llama", **options):
    """Return a base model, and a copy with I-LoRA whose two pairs are random and differ."""
    base = build_model(kind)
    method = new_method(ILoRA, r=3, **options)
    model = method.attach(copy.deepcopy(base))
    for layer in dual_layers(model):
        for tensor in (layer.B.data, layer.long_A, layer.long_B):
            torch.nn.init.normal_(tensor, std=0.3)
    return base, method, model


def weights_of(model, pair: str, leaves=None):
    """Return W + B A of every adapted module by hand, by its name in the base model."""
    weights = {}
    for path, layer in ((p, m) for p, m in model.named_modules() if hasattr(m, "long_A")):
        A, B = (layer.A, layer.B) if pair == "working" else (layer.long_A, layer.long_B)
        if leaves is not None:
            A, B = leaves[path] = (A.detach().requires_grad_(), B.detach().requires_grad_())
        weights[f"{path}.weight"] = layer.base.weight.detach() + B @ A
    return weights


def answers(base, weights, row, **keywords):
    """Return one row's logits at its answer positions and the whole output, from its unpadded ids."""
    ids = torch.tensor([row.prompt_ids + row.answer_ids])
    output = functional_call(base, weights, (), {"input_ids": ids, **keywords})
    return output.logits[0, len(row.prompt_ids) - 1 : -1], output


@pytest.mark.parametrize("kind", KINDS)
def test_starts_as_the_base_and_trains_the_working_pair_alone(kind: str) -> None:
    base = build_model(kind)
    method = new_method(ILoRA)
    model = method.attach(copy.deepcopy(base))
    ids = torch.tensor([[5, 6, 7, 8]])
    assert torch.equal(model(ids).logits, base(ids).logits)
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name.split(".")[-1] for name in names} == {"A", "B"} and len(names) == 2 * 2 * 2
    layers = list(dual_layers(model))
    sizes = sum(8 * (layer.base.in_features + layer.base.out_features) for layer in layers)
    count = method.count_parameters(model)
    assert (count.trainable, count.held) == (sizes, sizes)
    assert all(torch.equal(x.A, x.long_A) and torch.equal(x.B, x.long_B) for x in layers)
    assert all(x.base.bias is not None for x in layers) == (kind == "qwen2")


@pytest.mark.parametrize("kind", KINDS)
def test_logits_loss_against_two_models_made_by_hand(kind: str) -> None:
    base, method, model = attached(kind, weight=0.7)
    rows = rows_of(0, 4)
    loss = method.loss(model, collate(rows, pad_id=0))
    (loss.sum / loss.tokens + loss.terms["consistency"]).backward()

    leaves = {}
    working, remembered = weights_of(model, "working", leaves), weights_of(model, "long_term")
    ours = torch.cat([answers(base, working, row)[0] for row in rows])
    target = torch.cat([answers(base, remembered, row)[0] for row in rows]).detach()
    labels = torch.tensor([token for row in rows for token in row.answer_ids])
    cross_entropy, gap = F.cross_entropy(ours, labels), F.mse_loss(ours, target)
    (cross_entropy + 0.7 * gap).backward()
    assert (loss.sum / loss.tokens).item() == pytest.approx(cross_entropy.item(), rel=1e-4)
    assert loss.terms["consistency"].item() == pytest.approx(0.7 * gap.item(), rel=1e-4)
    assert gap > 0.1
    for path, (A, B) in leaves.items():
        layer = model.get_submodule(path)
        torch.testing.assert_close(layer.A.grad, A.grad, rtol=1e-3, atol=1e-5 * A.grad.abs().max().item())
        torch.testing.assert_close(layer.B.grad, B.grad, rtol=1e-3, atol=1e-5 * B.grad.abs().max().item())


def replaying(base_options=None, kind: str = "llama"):
    base, method, model = attached(kind, consistency="hidden", weight=2.0, **(base_options or {}))
    first, second = tasks(2)
    method.begin_task(model, first)
    assert method.mix(first.train) == first.train
    assert method.loss(model, collate(first.train, pad_id=0)).terms == {}
    method.begin_task(model, second)
    return base, method, model, method.mix(second.train[:3])


@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_hidden_loss_against_two_models_made_by_hand(kind: str) -> None:
    """Rows one at a time: so padding, new rows and other rows' lengths can play no part in it."""
    base, method, model, rows = replaying(kind=kind)
    assert [row.replayed for row in rows] == [False] * 3 + [True] * 3
    loss = method.loss(model, collate(rows, pad_id=0))
    total = loss.sum / loss.tokens + loss.terms["consistency"]
    total.backward()

    leaves = {}
    working, remembered = weights_of(model, "working", leaves), weights_of(model, "long_term")
    means = []
    for half in (rows[:3], rows[3:]):
        losses = [
            F.cross_entropy(answers(base, working, r)[0], torch.tensor(r.answer_ids), reduction="sum") for r in half
        ]
        means.append(sum(losses) / sum(len(r.answer_ids) for r in half))
    gaps = []
    for row in rows[3:]:
        h_work = answers(base, working, row, output_hidden_states=True)[1].hidden_states
        h_ema = answers(base, remembered, row, output_hidden_states=True)[1].hidden_states
        assert len(h_work) == 3  # embeddings and two layers
        gaps.append(
            torch.stack([torch.relu(e.detach() - w) ** 2 for e, w in zip(h_ema, h_work, strict=True)]).flatten()
        )
    gap = torch.cat(gaps).mean()
    expected = (means[0] + means[1]) / 2 + 2.0 * gap
    expected.backward()
    assert loss.terms["consistency"].item() == pytest.approx(2.0 * gap.item(), rel=1e-4)
    assert total.item() == pytest.approx(expected.item(), rel=1e-4)
    assert gap > 1e-3
    for path, (A, B) in leaves.items():
        layer = model.get_submodule(path)
        torch.testing.assert_close(layer.A.grad, A.grad, rtol=1e-3, atol=1e-4 * A.grad.abs().max().item())
        torch.testing.assert_close(layer.B.grad, B.grad, rtol=1e-3, atol=1e-4 * B.grad.abs().max().item())


def test_hidden_gap_pulls_up_only() -> None:
    """A long-term state below the working one costs nothing."""
    _, method, model, rows = replaying()
    for layer in dual_layers(model):
        layer.long_A.copy_(layer.A.detach())
        layer.long_B.copy_(layer.B.detach())
    assert method.loss(model, collate(rows, pad_id=0)).terms["consistency"].item() == 0


@pytest.mark.parametrize("consistency", ["logits", "hidden"])
@pytest.mark.parametrize("micro", [1, 2, 4])
def test_micro_batches_do_not_change_a_step(consistency: str, micro: int) -> None:
    results = []
    for size in (None, micro):
        torch.manual_seed(3)
        method = new_method(ILoRA, consistency=consistency, r=3, weight=5.0)
        session = Session(build_model("llama"), method, batch_size=4, micro_batch_size=size)
        first, second = tasks(2)
        session.task(first, 3)
        session.begin(second)
        report = session.steps(second, 4)[-1]
        assert report.terms["consistency"] > 0
        results.append((report.loss, report.terms["consistency"], report.grad_norm))
    assert results[0] == pytest.approx(results[1], rel=2e-3)


@pytest.mark.parametrize(("consistency", "decay"), [("logits", 0.99), ("hidden", 0.25)])
def test_average_against_its_closed_form(consistency: str, decay: float) -> None:
    """After n steps: decayⁿ θ₀ + (1 − decay) Σ decayⁿ⁻ᵏ θₖ."""
    session = Session(build_model("llama"), new_method(ILoRA, consistency=consistency, r=3))
    task, layer = tasks(1)[0], next(iter(dual_layers(session.model)))
    starts = [layer.A.detach().clone(), layer.B.detach().clone()]
    path: list[list[torch.Tensor]] = []
    session.begin(task)
    for _ in range(6):
        session.steps(task, 1)
        path.append([layer.A.detach().clone(), layer.B.detach().clone()])
    for i, average in enumerate((layer.long_A, layer.long_B)):
        expected = decay**6 * starts[i] + (1 - decay) * sum(decay ** (6 - k) * path[k - 1][i] for k in range(1, 7))
        torch.testing.assert_close(average, expected, rtol=1e-5, atol=1e-7)
        assert not torch.allclose(average, path[-1][i], rtol=1e-3, atol=1e-5)


def test_boundary_merges_the_working_pair() -> None:
    _, method, model = attached("qwen2")
    ids = torch.tensor([[5, 6, 7, 8]])
    before, As = model(ids).logits, [layer.A.detach().clone() for layer in dual_layers(model)]
    expected = weights_of(model, "working")
    method.end_task(model, tasks(1)[0])  # a run of one task has no boundary
    assert all(layer.B.any() for layer in dual_layers(model)) and method.measures(model) == {}
    method.end_task(model, tasks(2)[0])
    torch.testing.assert_close(model(ids).logits, before, rtol=1e-4, atol=1e-5)
    for (name, weight), A in zip(expected.items(), As, strict=True):
        layer = model.get_submodule(name.removesuffix(".weight"))
        torch.testing.assert_close(layer.base.weight, weight)
        assert torch.equal(layer.A, A) and torch.equal(layer.long_A, A)
        assert not layer.B.any() and not layer.long_B.any()
    assert method.merges and method.measures(model)["merge_kept_step"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("options", [{"boundary": "continue"}, {"consistency": "hidden"}])
def test_boundary_continues(options) -> None:
    _, method, model = attached(**options)
    before = copy.deepcopy(model.state_dict())
    method.end_task(model, tasks(2)[0])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not method.merges and method.measures(model) == {}


@pytest.mark.parametrize(
    ("options", "pair"),
    [
        ({}, "working"),
        ({"consistency": "hidden"}, "long_term"),
        ({"evaluate": "long_term"}, "long_term"),
        ({"consistency": "hidden", "evaluate": "working"}, "working"),
    ],
)
def test_which_pair_is_scored(options, pair: str) -> None:
    base, method, model = attached(**options)
    ids = torch.tensor([[5, 6, 7, 8]])
    trained = model(ids).logits
    with method.evaluating(model) as view:
        scored = view(ids).logits
    expected = functional_call(base, weights_of(model, pair), (ids,)).logits
    torch.testing.assert_close(scored, expected, rtol=1e-3, atol=1e-4)
    assert torch.equal(model(ids).logits, trained)
    by_hand = weights_of(model, pair)
    assert all(torch.allclose(weight, by_hand[f"{path}.weight"], atol=1e-6) for path, weight in method.weights(model))


def test_hidden_states_are_collected_in_replaying_steps_alone() -> None:
    _, method, model, rows = replaying()
    assert model(torch.tensor([[5, 6]])).hidden_states is not None
    method.loss(model, collate(rows, pad_id=0))
    assert method._hidden == ()
    method.after_step(model, torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1))
    assert model(torch.tensor([[5, 6]])).hidden_states is None


def test_memory_is_bounded() -> None:
    method = new_method(ILoRA, consistency="hidden", capacity=5, r=3)
    session = Session(build_model("llama"), method)
    for task in tasks(3):
        session.task(task, 4)
        assert len(method.buffer.examples) == 5
    assert all(not row.replayed and row.weight == 1 for row in method.buffer.examples)
    assert method.buffer.seen == 3 * 4 * 2


@pytest.mark.parametrize("consistency", ["logits", "hidden"])
def test_loss_falls_in_bf16(consistency: str) -> None:
    method = new_method(ILoRA, consistency=consistency)
    session = Session(build_model("llama").to(torch.bfloat16), method, lr=3e-2, precision="bf16", batch_size=6)
    first, second = tasks(2)
    reports = session.task(first, 15)
    assert reports[-1].loss < 0.9 * reports[0].loss
    assert session.task(second, 2)[-1].terms["consistency"] >= 0
    assert {t.dtype for layer in dual_layers(session.model) for t in (layer.A, layer.long_A)} == {torch.float32}


@pytest.mark.parametrize("consistency", ["logits", "hidden"])
def test_resumes(consistency: str) -> None:
    def session() -> Session:
        torch.manual_seed(2)
        return Session(build_model("llama"), new_method(ILoRA, consistency=consistency, r=3))

    assert_resumes(session, 3)


@pytest.mark.parametrize("consistency", ["logits", "hidden"])
def test_trained_state_makes_a_fresh_model_the_trained_one(consistency: str) -> None:
    base, ids = build_model("llama"), torch.tensor([[5, 6, 7, 8]])
    session = Session(copy.deepcopy(base), new_method(ILoRA, consistency=consistency, r=3))
    for task in tasks(2):
        session.task(task, 3)
    fresh = new_method(ILoRA, consistency=consistency, r=3)
    model = fresh.attach(base)
    state = session.method.trained_state(session.model)
    assert not model.load_state_dict(state, strict=False).unexpected_keys
    with session.method.evaluating(session.model.eval()) as trained, fresh.evaluating(model) as loaded:
        assert torch.equal(loaded(ids).logits, trained(ids).logits)
    assert any("base" in name for name in state) == (consistency == "logits")


def test_a_row_that_only_fills_up_a_process_is_worth_nothing() -> None:
    _, method, model = attached()
    filler = replace(rows_of(0, 1)[0], weight=0.0)
    loss = method.loss(model, collate([filler], pad_id=0))
    assert loss.tokens == 0 and loss.terms["consistency"].item() == 0


def test_refusals() -> None:
    with pytest.raises(SpecError, match="unknown module 'q_proj'"):
        new_method(ILoRA).attach(build_model("gpt2"))
    with pytest.raises(SpecError, match="Conv1D alone"):
        new_method(ILoRA, target_modules="wte").attach(build_model("gpt2"))
    for wrong in ({"consistency": "hidden", "boundary": "merge"}, {"capacity": 3}, {"decay": 1.1}, {"seed": 1}):
        with pytest.raises(ValidationError):
            ILoRA.Options.model_validate(wrong)


def test_defaults_of_both_versions() -> None:
    logits, hidden = ILoRA.Options(), ILoRA.Options(consistency="hidden")
    assert (logits.weight, logits.decay, logits.boundary, logits.evaluate) == (0.99, 0.99, "merge", "working")
    assert (hidden.weight, hidden.decay, hidden.boundary, hidden.evaluate) == (1.0, 0.25, "continue", "long_term")
    assert ILoRA.Options(consistency="hidden", decay=0.5, capacity=9).decay == 0.5
