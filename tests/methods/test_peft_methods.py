"""Methods that PEFT computes: bit by bit what a plain loop around PEFT does; its other tuners by their own config."""

from __future__ import annotations

import copy
from typing import Any, get_args, get_type_hints

import peft
import pytest
import torch
from peft import AdaLoraConfig, LoraConfig, get_peft_model
from pydantic import ValidationError
from sessions import Session, assert_resumes, build_model, new_method, rows_of, tasks
from torch.nn import functional as F

from secura_bench.data.collate import IGNORE, Batch, collate
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.dora import DoRA
from secura_bench.methods.lora import LoRA
from secura_bench.methods.peft_config import tuners
from secura_bench.methods.peft_tuner import Peft, orthogonality


def plain_loop(model, batches: list[Batch], after_step=None) -> None:
    """PEFT as its documentation trains it: AdamW, no method, no loop of ours.

    The head is given the answer positions alone: the full one has the same logits, but its backward sums otherwise.
    """
    language_model = model.get_base_model()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.01)
    model.train()
    for step, batch in enumerate(batches, start=1):
        hidden = language_model.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask)[0]
        logits = language_model.lm_head(hidden[batch.predicts])
        loss = F.cross_entropy(logits, batch.targets, reduction="sum") / len(batch.targets)
        if after_step:
            loss = loss + model.peft_config["default"].orth_reg_weight * orthogonality(model.base_model)
        loss.backward()
        optimizer.step()
        if after_step:
            after_step(step)
        optimizer.zero_grad()


def batches_of(session: Session, task, count: int) -> list[Batch]:
    """Return the batches that the session's next steps will train on."""
    stream = copy.deepcopy(session.stream)
    return [collate([task.train[i] for i in stream.draw(2)], pad_id=0) for _ in range(count)]


@pytest.mark.parametrize("method", [LoRA, DoRA])
def test_lora_and_dora_are_bit_equal_to_peft(method: type[LoRA]) -> None:
    torch.manual_seed(5)
    base = build_model("llama")
    session_base, plain_base = copy.deepcopy(base), copy.deepcopy(base)
    torch.manual_seed(6)
    session = Session(session_base, new_method(method))
    torch.manual_seed(6)
    config = LoraConfig(
        r=8, lora_alpha=16, lora_dropout=0.1, target_modules=["q_proj", "v_proj"], use_dora=method is DoRA
    )
    plain = get_peft_model(plain_base, config)
    task = tasks(1)[0]
    session.begin(task)
    batches = batches_of(session, task, 5)
    torch.manual_seed(7)  # dropout
    session.steps(task, 5)
    torch.manual_seed(7)
    plain_loop(plain, batches)
    ours, theirs = session.model.state_dict(), plain.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert any("magnitude" in name for name, p in session.model.named_parameters() if p.requires_grad) == (
        method is DoRA
    )
    assert any("lora_B" in name and value.any() for name, value in ours.items())


# A q_proj is 32×32 and a v_proj 16×32, in two layers.
TUNERS: list[tuple[str, dict[str, Any], int]] = [
    ("lora", {"r": 4}, 2 * (4 * 64 + 4 * 48)),
    ("LoRA", {"r": 4, "init_lora_weights": "pissa"}, 2 * (4 * 64 + 4 * 48)),
    ("adalora", {"init_r": 4, "target_r": 2, "total_step": 30}, 2 * (4 * 65 + 4 * 49)),
    ("osf", {"effective_rank": 8}, 2 * (24 * 65 + 8 * 49)),
    ("miss", {"r": 4}, 2 * (4 * 32 + 4 * 16)),
    ("vera", {"r": 4, "projection_prng_key": 1}, 2 * (32 + 16 + 4 + 4)),
    ("ia3", {}, 2 * (32 + 16)),
    ("loha", {"r": 2}, 2 * 2 * (2 * 64 + 2 * 48)),
    ("oft", {"oft_block_size": 8}, 2 * 2 * 4 * 28),
    ("ln_tuning", {}, 5 * 32),
    ("shira", {"r": 2}, 2 * (2 * 64 + 2 * 48)),
    ("adaption_prompt", {"adapter_len": 3, "adapter_layers": 2}, 2 * (3 * 32 + 1)),
]


@pytest.mark.parametrize(("name", "config", "trained"), TUNERS, ids=[case[0] for case in TUNERS])
def test_tuners_train(name: str, config: dict[str, Any], trained: int) -> None:
    session = Session(build_model("llama"), new_method(Peft, peft_type=name, config=config), lr=3e-2, batch_size=6)
    assert session.method.count_parameters(session.model).trainable == trained
    frozen = {n: p.detach().clone() for n, p in session.model.named_parameters() if not p.requires_grad}
    reports = session.task(tasks(1)[0], 15)
    assert reports[-1].loss < 0.97 * reports[0].loss
    assert all(torch.equal(p, frozen[n]) for n, p in session.model.named_parameters() if n in frozen)
    assert not session.method.starts_as_base


@pytest.mark.parametrize(("name", "config", "trained"), TUNERS, ids=[case[0] for case in TUNERS])
def test_trained_state_makes_a_fresh_model_the_trained_one(name: str, config: dict[str, Any], trained: int) -> None:
    base, ids = build_model("llama"), torch.tensor([[5, 6, 7, 8]])
    session = Session(copy.deepcopy(base), new_method(Peft, peft_type=name, config=config))
    session.task(tasks(1)[0], 3)
    torch.manual_seed(99)
    model = new_method(Peft, peft_type=name, config=config).attach(base).eval()
    start = model(ids).logits
    assert not model.load_state_dict(session.method.trained_state(session.model), strict=False).unexpected_keys
    expected = session.model.eval()(ids).logits
    torch.testing.assert_close(model(ids).logits, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(start, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["lora", "osf", "vera", "oft"])
def test_weights_are_those_that_peft_would_merge(name: str) -> None:
    config = {case[0]: case[1] for case in TUNERS}[name]
    session = Session(build_model("llama"), new_method(Peft, peft_type=name, config=config))
    session.task(tasks(1)[0], 3)
    found = [weight.clone() for _, weight in session.method.weights(session.model)]
    merged = session.model.merge_and_unload()
    expected = [
        getattr(layer.self_attn, target).weight for target in ("q_proj", "v_proj") for layer in merged.model.layers
    ]
    assert len(found) == 4
    for weight in found:
        assert any(weight.shape == e.shape and torch.allclose(weight, e, atol=1e-5) for e in expected)


def adalora(**config: Any) -> Peft:
    return new_method(Peft, peft_type="adalora", config={"init_r": 6, "target_r": 2, "total_step": 10, **config})


def test_adalora_is_bit_equal_to_pefts_documented_loop() -> None:
    base = build_model("llama")
    session_base, plain_base = copy.deepcopy(base), copy.deepcopy(base)
    torch.manual_seed(6)
    session = Session(session_base, adalora(tinit=2, tfinal=3))
    torch.manual_seed(6)
    config = AdaLoraConfig(init_r=6, target_r=2, total_step=10, tinit=2, tfinal=3, target_modules=["q_proj", "v_proj"])
    plain = get_peft_model(plain_base, config)
    task = tasks(1)[0]
    session.begin(task)
    plain_loop(plain, batches_of(session, task, 10), plain.base_model.update_and_allocate)
    reports = session.steps(task, 10)
    ours, theirs = session.model.state_dict(), plain.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    ranks = [int((value != 0).sum()) for name, value in ours.items() if "lora_E" in name]
    assert sum(ranks) == 2 * len(ranks)  # of six singular values, two are left
    assert reports[-1].terms["orthogonality"] > 0


def test_orthogonality_is_what_peft_adds_to_a_loss() -> None:
    model = adalora().attach(build_model("llama"))
    batch = collate(rows_of(0, 2), pad_id=0)
    labels = batch.input_ids.masked_fill(batch.attention_mask == 0, IGNORE)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "labels": labels}
    added = model.base_model(**inputs).loss - model.base_model.model(**inputs).loss
    assert added.item() == pytest.approx(0.5 * orthogonality(model.base_model).item(), rel=1e-4)


def test_adalora_reaches_its_ranks_by_the_end_of_a_run_or_is_refused() -> None:
    session = Session(build_model("llama"), adalora(total_step=4))
    session.task(tasks(1)[0], 6)  # more than its schedule: the ranks stay
    ranks = [int((value != 0).sum()) for name, value in session.model.named_parameters() if "lora_E" in name]
    assert sum(ranks) == 2 * len(ranks)
    adalora(total_step=6).check_steps(6)
    with pytest.raises(SpecError, match="total_step: 7 is more than the run's 6 optimizer steps"):
        adalora(total_step=7).check_steps(6)


@pytest.mark.parametrize("at", [1, 5])
def test_adalora_resumes_with_its_ranks(at: int) -> None:
    def session() -> Session:
        torch.manual_seed(2)
        return Session(build_model("llama"), adalora(tinit=1, tfinal=1, deltaT=2))

    assert_resumes(session, at)


@pytest.mark.parametrize("name", ["lora", "adalora", "osf", "vera", "shira", "frod"])
def test_can_be_tried_on_shapes(name: str) -> None:
    config = {"adalora": {"total_step": 5}, "shira": {"r": 2}}.get(name, {})
    with torch.device("meta"):
        model = build_model("llama")
    new_method(Peft, peft_type=name, config=config).attach(model)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"peft_type": "veraa"}, "Did you mean 'vera'"),
        ({"peft_type": "vera", "config": {"rank": 4}}, "unknown key of vera 'rank'.*d_initial"),
        ({"peft_type": "lora", "config": {"inference_mode": True}}, "unknown key of lora 'inference_mode'"),
        ({"peft_type": "adalora"}, "total_step"),
        ({"peft_type": "adalora", "config": {"total_step": 5, "tfinal": 5}}, "budgeting phase"),
        ({"peft_type": "adalora", "config": {"total_step": 5, "init_r": 4}}, "target_r: 8 is not below init_r: 4"),
        ({"peft_type": "adalora", "config": {"total_step": 5, "init_r": 8}}, "no rank is left to take away"),
        ({"peft_type": "adalora", "config": {"total_step": 5, "target_r": 0}}, "target_r: 0 must be"),
        ({"peft_type": "adalora", "config": {"total_step": 5, "deltaT": 0}}, "deltaT: 0 must be"),
        ({"peft_type": "adalora", "config": {"total_step": 5, "tinit": -1}}, "tinit: -1 must be"),
        ({"peft_type": "adalora", "config": {"total_step": 5, "tfinal": -2}}, "tfinal: -2 must be"),
        ({"peft_type": "adalora", "config": {"total_step": 5.5}}, "total_step: 5.5 must be"),
        ({"peft_type": "prompt_tuning"}, "virtual tokens"),
        ({"peft_type": "xlora"}, "trained before"),
        ({"peft_type": "poly"}, "task numbers"),
        ({"peft_type": "lora", "target_modules": "q_proj", "config": {"target_modules": "all-linear"}}, "leave one"),
        ({"peft_type": "lora", "rank": 3}, "Extra inputs"),
    ],
)
def test_refused_when_the_options_are_read(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Peft.Options.model_validate(options)


def test_refused_on_the_model() -> None:
    with pytest.raises(SpecError, match="unknown module 'w_proj'"):
        new_method(Peft, peft_type="vera", target_modules=["q_proj", "w_proj"]).attach(build_model("llama"))
    with pytest.raises(SpecError, match="unknown module 'q_proj'"):
        new_method(Peft, peft_type="lora").attach(build_model("gpt2"))
    with pytest.raises(SpecError, match="PEFT refuses"):
        new_method(Peft, peft_type="miss", config={"r": 999}).attach(build_model("llama"))


def test_pefts_own_targets_reach_what_ours_do_not() -> None:
    method = new_method(Peft, peft_type="lora", config={"target_modules": ["c_attn"], "fan_in_fan_out": True})
    model = method.attach(build_model("gpt2"))
    assert method.count_parameters(model).trainable == 2 * 8 * (32 + 96)


def test_every_tuner_of_this_peft_is_known_or_refused_with_a_reason() -> None:
    for kind in peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING:
        name = kind.value.lower()
        try:
            Peft.Options.model_validate({"peft_type": name})
        except ValidationError as error:
            assert name not in tuners() or "refused by PEFT" in str(error)


def test_every_start_of_this_pefts_lora_is_made_or_refused_with_a_reason() -> None:
    """MiLoRA and LoRA-Null, of which docs/tuners.md says that they are not there, would be new here."""
    names = set(get_args(get_args(get_type_hints(LoraConfig)["init_lora_weights"])[1]))
    made = {"gaussian", "olora", "pissa", "orthogonal", "mica", "corda"}
    assert names == made | {"eva", "loftq", "pissa_niter_[number of iters]"}
    for name in sorted(names - made - {"pissa_niter_[number of iters]"} | {"lora_ga"}):
        with pytest.raises(ValidationError, match=f"init_lora_weights: {name} needs"):
            Peft.Options.model_validate({"peft_type": "lora", "config": {"init_lora_weights": name}})
