"""Weights between the base's and the trained ones, against dense weights made by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from sessions import Session, build_model, tasks
from torch import nn

from secura_bench.adapters.peft_layers import tuner_layers
from secura_bench.data.collate import collate
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.methods.interpolation import interpolated, refuse_without_between
from secura_bench.methods.method import Method
from secura_bench.methods.peft_config import tuners
from secura_bench.methods.peft_linear import LINEAR
from secura_bench.models.head import answer_logits

SIZES = {"r": 4, "m": 6}
STACK = [{"name": "lora", "r": 2}, {"name": "er", "capacity": 5}]
ENTRIES: list[tuple[str, dict[str, Any]]] = [
    ("seq", {}),
    ("lora", {"r": 2}),  # merged at the boundary, so that W itself has moved
    ("lora", {"r": 2, "boundary": "continue", "init_lora_weights": "pissa"}),
    ("dora", {"r": 2, "boundary": "continue"}),
    ("cur_lora", {"r": 4}),
    ("cabr_lora", {**SIZES, "boundary": "continue"}),
    ("secura", SIZES),
    ("secura", {**SIZES, "fusion_step": 3}),  # Res is no number here
    ("secura", {**SIZES, "merge_dtype": "base"}),
    ("i_lora", {"r": 2}),
    ("peft", {"peft_type": "ia3"}),
    ("peft", {"peft_type": "loha", "config": {"r": 2}}),
    ("stack", {"parts": STACK}),
]


@torch.no_grad()
def logits(model: nn.Module) -> torch.Tensor:
    batch = collate(tasks(1)[0].train, pad_id=0)
    return answer_logits(model.eval(), batch)


def trained(name: str, options: dict[str, Any]) -> tuple[nn.Module, Session]:
    torch.manual_seed(1)
    base = build_model("llama")
    session = Session(copy.deepcopy(base), build_method(name, **options), lr=3e-2)
    for task in tasks(2):
        session.task(task, 4)
    return base, session


def by_hand(base: nn.Module, session: Session, alpha: float) -> nn.Module:
    """Return the base with every weight between its own and the trained one, dense."""
    dense = copy.deepcopy(base)
    own, theirs = dict(dense.named_parameters()), dict(session.model.named_parameters())
    if own.keys() == theirs.keys():
        found = theirs
    else:
        weights = session.method.weights(session.model)
        found = {f"{path.removeprefix('base_model.model.')}.weight": weight for path, weight in weights}
    with torch.no_grad():
        for name, weight in found.items():
            own[name].copy_(own[name] + alpha * (weight - own[name]))
    return dense


@pytest.mark.parametrize(("name", "options"), ENTRIES, ids=lambda value: value if isinstance(value, str) else "")
def test_between_at_both_ends_and_afterwards(name: str, options: dict[str, Any]) -> None:
    base, session = trained(name, options)
    method, model = session.method, session.model
    start, end = logits(base), logits(model)
    assert (start - end).abs().max() > 1e-2
    for alpha in (0.25, 0.6):
        with interpolated(method, model, copy.deepcopy(base), alpha):
            ours = logits(model)
        torch.testing.assert_close(ours, logits(by_hand(base, session, alpha)), rtol=2e-4, atol=2e-4)
    for alpha, exactly in ((0.0, start), (1.0, end)):
        with interpolated(method, model, copy.deepcopy(base), alpha):
            assert torch.equal(logits(model), exactly)
    assert torch.equal(logits(model), end), "the trained model is as it was"


def test_of_an_average_that_is_scored_the_average_is_interpolated() -> None:
    """I-LoRA's hidden variant scores its long-term pair: a view of the model, within which α holds."""
    base, session = trained("i_lora", {"r": 2, "consistency": "hidden", "capacity": 4})
    with session.method.evaluating(session.model) as view:
        end = logits(view)
        with interpolated(session.method, view, copy.deepcopy(base), 0.5):
            half = logits(view)
    assert not torch.equal(end, logits(session.model)) and not torch.equal(half, end)


class Grows(Method):
    name = "grows"

    def attach(self, model: nn.Module) -> nn.Module:
        model.requires_grad_(False)
        model.extra = nn.Parameter(torch.zeros(3))
        return model


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (build_method("secura", **SIZES, signorm="public_code"), "have no weight"),
        (build_method("stack", parts=[{"name": "secura", **SIZES, "signorm": "public_code"}, "er"]), "have no weight"),
        (build_method("peft", peft_type="ln_tuning"), "PEFT's ln_tuning is not known"),
        (build_method("peft", peft_type="lora", config={"layer_replication": [[0, 2], [1, 2]]}), "layer_replication"),
        (Grows(), "it trains extra, which the base has not"),
    ],
)
def test_what_has_no_weights_between_is_refused(method: Method, said: str) -> None:
    model = build_model("llama")
    names = [name for name, _ in model.named_parameters()]
    with pytest.raises(SpecError, match=f"evaluate.interpolate: .*{said}.*; leave"):
        refuse_without_between(method, method.attach(model), names)


CONFIGS: dict[str, dict[str, Any]] = {
    "adalora": {"total_step": 10, "tinit": 1, "tfinal": 1},
    "boft": {"boft_block_size": 4},
    "c3a": {"block_size": 8},
    "fourierft": {"n_frequency": 10},
    "frod": {},
    "miss": {"r": 4},
    "oft": {"r": 0, "oft_block_size": 4},
    "psoft": {"r": 4},
    "randlora": {"r": 4},
    "road": {"group_size": 8},
    "shira": {"r": 2},
    "vblora": {"num_vectors": 8, "vector_length": 4},
    "waveft": {"n_frequency": 10},
}


@pytest.mark.parametrize("tuner", LINEAR)
@torch.no_grad()
def test_a_tuner_that_is_called_linear_is(tuner: str) -> None:
    if tuner not in tuners():
        pytest.skip("this PEFT has no such tuner")
    model = build_method("peft", peft_type=tuner, config=CONFIGS.get(tuner, {})).attach(build_model("llama")).eval()
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.is_floating_point():
            parameter.add_(0.1 * torch.randn_like(parameter))
    for _, layer in tuner_layers(model):
        a, b = torch.randn(2, 1, 3, layer.get_base_layer().in_features)
        apart = layer(a) + layer(b) - layer(torch.zeros_like(a))
        torch.testing.assert_close(layer(a + b), apart, rtol=1e-4, atol=1e-4 * float(apart.abs().max()))
