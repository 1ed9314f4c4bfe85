"""Methods on a base that is held in few bits, against the same on whole weights that are what the bits stand for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from few_bits import REASON, folder, held_in, twin_of
from sessions import Session, assert_resumes, tasks

pytest.importorskip("bitsandbytes", reason=REASON)

from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.methods.cur_adapter import layers
from secura_bench.methods.peft_quantised import ON_FEW_BITS
from secura_bench.models.load import load_model
from secura_bench.models.quantised import dense_weight
from secura_bench.training.norms import frobenius, linear_weights

SMALL = {"r": 8, "m": 16}
LORA = {"r": 2, "dropout": 0.0, "boundary": "continue"}
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("lora", LORA),
    ("dora", LORA),
    ("i_lora", {"r": 2, "boundary": "continue"}),
    ("o_lora", {"r": 2, "dropout": 0.0}),
    ("cur_lora", {"r": 8}),
    ("cur_lora", {"r": 8, "selection": "sampled", "seed": 1}),
    ("cabr_lora", SMALL),
    ("secura", SMALL),
    ("secura", {**SMALL, "fusion_step": 3}),
    ("secura", {**SMALL, "signorm": "off", "merge": "m2"}),
    ("secura", {**SMALL, "signorm": "public_code"}),
    ("stack", {"parts": [{"name": "lora", **LORA}, {"name": "ewc", "fisher_samples": 2}]}),
    ("stack", {"parts": [{"name": "secura", **SMALL}, "kl_to_base"]}),
]
EVERY = pytest.mark.parametrize(("name", "options"), METHODS, ids=lambda value: value if isinstance(value, str) else "")
IDS = torch.arange(3, 25)[None]


def trained(model: torch.nn.Module, name: str, options: dict[str, Any]) -> Session:
    torch.manual_seed(0)
    session = Session(model, build_method(name, **options), lr=0.02)
    for task in tasks(2):
        session.task(task, 2)
    return session


def logits(session: Session) -> torch.Tensor:
    with torch.no_grad(), session.method.evaluating(session.model) as view:
        return view.eval()(input_ids=IDS).logits


@EVERY
def test_it_trains_what_it_would_on_the_dense_weights(name: str, options: dict[str, Any]) -> None:
    model = held_in(4)
    twin = twin_of(model)
    untrained = twin(input_ids=IDS).logits
    ours, theirs = trained(model, name, options), trained(twin, name, options)
    moved = (logits(theirs) - untrained).abs().max()
    assert moved > 1e-3
    assert (logits(ours) - logits(theirs)).abs().max() < 1e-3 * moved + 2e-6 * untrained.abs().max()
    counts = [each.method.count_parameters(each.model) for each in (ours, theirs)]
    if ours.method.needs_base:  # of weights that nothing is merged into, no copy is lent
        assert counts[0].held < counts[1].held
        counts = [replace(count, held=0) for count in counts]
    assert counts[0] == counts[1]


@EVERY
def test_it_resumes_bit_for_bit(name: str, options: dict[str, Any]) -> None:
    def make() -> Session:
        torch.manual_seed(0)
        return Session(held_in(4), build_method(name, **options))

    assert_resumes(make, at=2)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("name", ["cur_lora", "cabr_lora", "secura"])
def test_a_merge_into_the_core_changes_no_function_and_no_bit_of_the_base(name: str, bits: int) -> None:
    """M1 and CUR-LoRA's: K + A B, and what is trained zero. On a base of whole weights in bf16 a merge is rounded."""
    options = {"r": 8} if name == "cur_lora" else SMALL
    off = {"signorm": "off", "fusion_step": 100, "merge": "m1"} if name == "secura" else {}
    torch.manual_seed(0)
    session = Session(held_in(bits), build_method(name, **options, **off), lr=0.02)
    (task,) = tasks(1)
    session.task(task, 3)
    adapted = list(layers(session.model))
    before, held = logits(session), [layer.base.weight.detach().clone() for layer in adapted]
    moved = [layer.trained_core().abs().max() for layer in adapted]
    for layer in adapted:
        layer.merge()
    assert min(moved) > 1e-3 and all(not layer.trained_core().any() and layer.K.any() for layer in adapted)
    torch.testing.assert_close(logits(session), before, atol=1e-6 * float(before.abs().max()), rtol=0)
    assert all(torch.equal(layer.base.weight, then) for layer, then in zip(adapted, held, strict=True))


def test_columns_and_rows_are_those_of_what_the_bits_stand_for() -> None:
    for bits in (4, 8):
        model = build_method("secura", **SMALL).attach(held_in(bits))
        for layer in layers(model):
            weight = dense_weight(layer.base)
            lowest = weight.float().square().sum(0).argsort(stable=True)[:8]
            assert torch.equal(layer.C, weight[:, lowest]) and torch.equal(layer.A, weight[:8, :16].float())


def test_under_bf16_the_compute_dtype_is_bf16_and_it_trains() -> None:
    for bits in (4, 8):
        torch.manual_seed(0)
        session = Session(held_in(bits, dtype=torch.bfloat16), build_method("secura", **SMALL), precision="bf16")
        (task,) = tasks(1)
        session.task(task, 2)
        assert all(layer.K.dtype == torch.float32 and layer.K.any() for layer in layers(session.model))


def test_norms_are_of_what_the_bits_stand_for() -> None:
    model = held_in(4)
    ours, theirs = (dict(build_method("base").weights(each)) for each in (model, twin_of(model)))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[path], theirs[path]) for path in ours)
    assert frobenius(linear_weights(model)) == frobenius(linear_weights(twin_of(model)))


TUNERS = {
    "adalora": {"init_r": 3, "target_r": 2, "tinit": 1, "tfinal": 1, "deltaT": 2, "total_step": 8},
    "ia3": {"feedforward_modules": []},
    "ln_tuning": {"target_modules": ["input_layernorm"]},
    "road": {"group_size": 16},
}


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("name", ON_FEW_BITS)
def test_each_tuner_that_is_offered_trains(name: str, bits: int) -> None:
    torch.manual_seed(0)
    session = Session(held_in(bits), build_method("peft", peft_type=name, config=TUNERS.get(name, {})), lr=0.02)
    (task,) = tasks(1)
    start = logits(session)
    session.task(task, 3)
    assert (logits(session) - start).abs().max() > 1e-4


def test_the_tuners_that_are_offered_are_those_that_peft_has_layers_for() -> None:
    import peft.tuners

    made = {path.parent.name for path in Path(peft.tuners.__path__[0]).glob("*/bnb.py")}
    assert set(ON_FEW_BITS) == made | {"ln_tuning"}


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("seq", {}, "it trains the base's weights"),
        ("ewc", {}, "it trains the base's weights"),
        ("lora", {}, "boundary: merge merges into the weights; set continue"),
        ("i_lora", {}, "boundary: merge merges"),
        ("secura", {"merge_dtype": "base"}, "take core"),
        ("stack", {"parts": ["er", "ewc"]}, "it trains the base's weights"),
        ("peft", {"peft_type": "vera"}, "PEFT's vera has no layer for such weights; adalora"),
    ],
)
def test_what_would_change_the_base_is_refused_before_it_begins(name: str, options: Any, reason: str) -> None:
    with pytest.raises(SpecError, match=f"held in few bits: .*{reason}"):
        Session(held_in(4), build_method(name, **options))


def test_a_base_of_whole_weights_is_as_it_was() -> None:
    Session(load_model(folder()), build_method("seq"))
