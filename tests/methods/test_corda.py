"""CorDA: the start that PEFT makes of rows, at the beginning and at boundaries, held against its paper's formulas."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sessions import Session, assert_resumes, build_model, new_method, rows_of, tasks
from torch import nn
from transformers.pytorch_utils import Conv1D

from secura_bench.adapters.peft_layers import tuner_layers
from secura_bench.estimates.formulas import work_of
from secura_bench.estimates.reads import Reads
from secura_bench.estimates.rows import Rows
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.peft_tuner import Peft
from secura_bench.spec.load import load_spec

ROWS = rows_of(500, 8)
IDS = torch.tensor([[5, 6, 7, 8, 9]])
START = {"r": 4, "init_lora_weights": "corda", "corda_config": {"corda_method": "kpm"}}


def corda(boundary: str = "continue", rows: int = len(ROWS), handed: Any = ROWS, **config: Any) -> Peft:
    """Return the method with its rows handed over; ``config`` is what differs from ``START``."""
    options = {"peft_type": "lora", "config": {**START, **config}, "from": "general", "rows": rows}
    method = new_method(Peft, **options, boundary=boundary)
    if handed:
        method.take("general", handed)
    return method


def session(boundary: str = "renew", **train: Any) -> Session:
    torch.manual_seed(2)
    return Session(build_model("llama"), corda(boundary), **train)


def inputs_of(model: nn.Module, names: tuple[str, ...]) -> dict[str, list[np.ndarray]]:
    """Return what every row brings to the input of each module of these names, tokens×d in fp64."""
    found: dict[str, list[np.ndarray]] = {}
    hooks = [
        module.register_forward_pre_hook(
            lambda _, given, path=path: found.setdefault(path, []).append(given[0][0].double().numpy())
        )
        for path, module in model.named_modules()
        if path.rpartition(".")[2] in names
    ]
    with torch.no_grad():
        for row in ROWS:
            model(torch.tensor([[*row.prompt_ids, *row.answer_ids]]))
    for hook in hooks:
        hook.remove()
    return found


def by_the_paper(weight: np.ndarray, inputs: list[np.ndarray], last: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return U √Σ and √Σ Vᵀ C⁻¹ of four components of W C (arXiv 2406.05223)."""
    C = sum(X.T @ X / X.max() ** 2 for X in inputs) / len(inputs)
    C = C + 0.01 * np.diag(C).mean() * np.eye(len(C))
    U, S, Vt = np.linalg.svd(weight @ C, full_matrices=False)
    chosen = slice(-4, None) if last else slice(None, 4)
    root = np.sqrt(S[chosen])
    return U[:, chosen] * root, root[:, None] * (Vt[chosen] @ np.linalg.inv(C))


def layers(model: nn.Module) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield path, B √s, A √s and the weight beneath, h×d, of every adapted module in fp64."""
    for path, layer in tuner_layers(model):
        A, B = (part["default"].weight.detach().double().numpy() for part in (layer.lora_A, layer.lora_B))
        base, root = layer.get_base_layer(), layer.scaling["default"] ** 0.5
        weight = base.weight.detach().double().numpy()
        yield (
            path.removeprefix("base_model.model."),
            B * root,
            A * root,
            weight.T if isinstance(base, Conv1D) else weight,
        )


def assert_as_the_paper(model: nn.Module, base: nn.Module, names: tuple[str, ...], last: bool = True) -> None:
    """Assert that the adapters of ``model`` are those that the paper's formulas make of ``base``."""
    inputs, seen = inputs_of(base, names), 0
    for path, B, A, beneath in layers(model):
        module = base.get_submodule(path)
        weight = module.weight.detach().double().numpy()
        weight = weight.T if isinstance(module, Conv1D) else weight
        wanted_B, wanted_A = by_the_paper(weight, inputs[path], last)
        np.testing.assert_allclose(B @ A, wanted_B @ wanted_A, rtol=0, atol=2e-5)
        np.testing.assert_allclose(B @ B.T, wanted_B @ wanted_B.T, rtol=0, atol=2e-5)
        np.testing.assert_allclose(beneath + B @ A, weight, rtol=0, atol=1e-6)
        assert np.abs(B @ A).max() > 1e-2 and np.abs(B @ B.T).max() > 1e-3
        seen += 1
    assert seen == len(inputs) > 0


@pytest.mark.parametrize("mode", ["kpm", "ipm"])
def test_it_starts_as_its_paper_says(mode: str) -> None:
    base = build_model("llama")
    model = corda(corda_config={"corda_method": mode}, lora_alpha=16).attach(copy.deepcopy(base))
    assert_as_the_paper(model, base, ("q_proj", "v_proj"), last=mode == "kpm")
    torch.testing.assert_close(model.eval()(IDS).logits, base(IDS).logits, rtol=0, atol=1e-5)


def test_it_starts_so_on_weights_that_lie_the_other_way_round() -> None:
    base = build_model("gpt2")
    model = corda(target_modules=["c_attn"]).attach(copy.deepcopy(base))
    assert_as_the_paper(model, base, ("c_attn",))


@pytest.mark.parametrize("config", [{}, {"target_modules": "all-linear", "rank_pattern": {"q_proj": 3}}])
def test_it_is_bit_equal_to_what_peft_does_with_a_whole_model(config: dict[str, Any]) -> None:
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora.config import CordaConfig
    from peft.tuners.lora.corda import preprocess_corda

    ours, method = build_model("llama"), corda(**config)
    theirs = copy.deepcopy(ours)
    given = {"target_modules": ["q_proj", "v_proj"], **START, **config}
    if config:
        linear = {path for path, module in ours.named_modules() if isinstance(module, nn.Linear) and "head" not in path}
        given["target_modules"] = sorted(linear)
    plain = LoraConfig(**{**given, "corda_config": CordaConfig(corda_method="kpm")})

    def run_model() -> None:
        for row in method.rows:
            theirs(torch.tensor([[*row.prompt_ids, *row.answer_ids]]))

    preprocess_corda(theirs, plain, run_model)
    state, wanted = method.attach(ours).state_dict(), get_peft_model(theirs, plain).state_dict()
    assert state.keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in state.items())


def test_it_learns_and_is_made_again_of_the_merged_model() -> None:
    """The rows then go through the model as it was trained; what it computes stays."""
    ours = session()
    first = tasks(2)[0]
    reports = ours.task(tasks(1)[0], 15)
    assert reports[-1].loss < 0.97 * reports[0].loss
    merged = copy.deepcopy(ours.model).merge_and_unload().eval()
    trained, position = ours.model.eval()(IDS).logits, torch.get_rng_state()
    ours.model.train()
    ours.method.end_task(ours.model, first)
    assert ours.model.training and torch.equal(torch.get_rng_state(), position)
    assert_as_the_paper(ours.model, merged, ("q_proj", "v_proj"))
    torch.testing.assert_close(ours.model.eval()(IDS).logits, trained, rtol=0, atol=1e-5)
    assert ours.method.measures(ours.model)["merge_kept_step"] == pytest.approx(1)


@pytest.mark.parametrize(("boundary", "at"), [("renew", 0), ("renew", 3), ("continue", 3)])
def test_killed_after_a_boundary_it_ends_the_same(boundary: str, at: int) -> None:
    assert_resumes(lambda: session(boundary), at)


def test_without_rows_what_was_trained_comes_back_and_nothing_is_trained() -> None:
    """An export has no rows, and puts back the weights beneath the adapter too."""
    ours = session()
    ours.task(tasks(2)[0], 3)
    torch.manual_seed(2)
    method = corda("renew", handed=())
    model = method.attach(build_model("llama"))
    assert not model.load_state_dict(ours.method.trained_state(ours.model), strict=False).unexpected_keys
    assert torch.equal(model.eval()(IDS).logits, ours.model.eval()(IDS).logits)
    with pytest.raises(SpecError, match="begins from rows of 'general', and was handed none"):
        method.begin_task(model, tasks(1)[0])


def test_rows_are_drawn_by_the_runs_seed_each_once() -> None:
    drawn = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        drawn.append(corda(rows=5).rows)
    assert drawn[0] == drawn[2] != drawn[1]
    assert all(len({row.prompt_ids for row in rows}) == 5 for rows in drawn)
    with pytest.raises(SpecError, match="rows: 9 are asked for, and general has 8 to give; set rows: 8"):
        corda(rows=9)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"from": None}, "corda looks at rows; name a task or a file of them by 'from'"),
        ({"config": {"r": 4}}, "from is for a start with init_lora_weights: corda"),
        ({"config": {"r": 4}, "from": None, "rows": 3}, "(from|rows) is for a start with"),
        ({"config": {"init_lora_weights": "corda"}}, "corda_method: kpm.*corda_method: ipm"),
        ({"config": {**START, "corda_config": {"corda_method": "kmp"}}}, "corda_method: kpm.*corda_method: ipm"),
        (
            {"config": {**START, "corda_config": {"corda_method": "kpm", "cache_file": "x"}}},
            "cache_file is not offered",
        ),
        ({"config": {**START, "init_lora_weights": "CorDA"}}, "CorDA is init_lora_weights: corda of peft_type"),
        ({"peft_type": "adalora", "config": {**START, "total_step": 5}}, "adalora"),
        ({"config": {**START, "lora_bias": True}}, "refused by PEFT: .*lora_bias"),
        (
            {"config": {**START, "init_lora_weights": "pissa"}, "from": None},
            "corda_config is for init_lora_weights: corda",
        ),
        ({"config": {"init_lora_weights": "eva"}, "from": None}, "eva needs the activations of the task's rows"),
        ({"config": {"init_lora_weights": "lora_ga"}, "from": None}, "lora_ga needs the gradients"),
    ],
)
def test_refused_when_the_options_are_read(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Peft.Options.model_validate({"peft_type": "lora", "config": START, "from": "general", **options})


def quantised() -> nn.Module:
    model = build_model("llama")
    weight = model.get_submodule("model.layers.0.self_attn.q_proj").weight
    weight.requires_grad_(False).data = weight.data.to(torch.int8)
    return model


@pytest.mark.parametrize("meta", [False, True])
@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"r": 17}, "r 17 is more than model.layers.0.self_attn.v_proj has singular values, 16"),
        ({"target_modules": ["embed_tokens"]}, "embed_tokens is a Embedding"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "shares its weight"),
    ],
)
def test_refused_on_the_model_and_on_its_shapes(config: dict[str, Any], told: str, meta: bool) -> None:
    with torch.device("meta" if meta else "cpu"):
        model = build_model("llama")
    with pytest.raises(SpecError, match=told):
        corda(**config).attach(model)


def test_what_cannot_be_looked_at_is_refused() -> None:
    model = build_model("llama")
    model.add_module("idle", nn.Linear(32, 32))
    with pytest.raises(SpecError, match="no row reaches idle"):
        corda(target_modules=["q_proj", "idle"]).attach(model)
    model = build_model("llama")
    model.get_input_embeddings().weight.data.fill_(torch.nan)
    with pytest.raises(SpecError, match="PEFT refuses: ValueError: Invalid value found in input"):
        corda().attach(model)
    with pytest.raises(SpecError, match=r"q_proj is quantised|PEFT refuses"):
        corda().attach(quantised())


def test_what_is_trained_elsewhere_is_as_without_it() -> None:
    base = build_model("llama")
    logits = base(IDS).logits
    model = corda(modules_to_save=["lm_head"], use_dora=True).attach(base).eval()
    assert any("lm_head.modules_to_save" in name for name, p in model.named_parameters() if p.requires_grad)
    torch.testing.assert_close(model(IDS).logits, logits, rtol=0, atol=1e-5)


def test_a_plan_counts_the_rows_at_the_start_and_at_each_boundary(spec_file: Path) -> None:
    spec = load_spec(str(spec_file))
    rows = Rows(1, dict.fromkeys("abc", Reads(1)), testing={name: {} for name in "abc"})
    for boundary, looked_at in (("continue", 8), ("renew", 24)):
        footprint = corda(boundary).footprint()
        assert work_of(spec, footprint, spec.train, dict.fromkeys("abc", 2), rows).looked_at == looked_at
    assert corda(target_modules=["c_attn"]).footprint().adapted == ("c_attn",)
