"""O-LoRA: its penalty against the authors' formula, frozen pairs, their sum, fresh moments, and the export."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from sessions import Session, assert_resumes, build_model, new_method, rows_of, tasks

from secura_bench.adapters.pair_sum import pair_layers
from secura_bench.data.collate import collate
from secura_bench.export.pairs import pairs_as_lora
from secura_bench.export.restore import restore
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.methods.lending import attached
from secura_bench.methods.o_lora import OLoRA
from secura_bench.models.load import find_model, load_model


def session(**options: Any) -> Session:
    torch.manual_seed(1)
    return Session(build_model("llama"), new_method(OLoRA, r=3, dropout=0.0, **options))


def trained_on(count: int, **options: Any) -> tuple[Session, list[list[tuple[torch.Tensor, torch.Tensor]]]]:
    """Return a session at the begin of the last of ``count`` tasks, and each earlier task's pairs by layer."""
    ours, earlier = session(**options), []
    every = tasks(count)
    for task in every[:-1]:
        ours.begin(task)
        ours.steps(task, 3)
        earlier.append([(x.A.detach().clone(), x.B.detach().clone()) for _, x in pair_layers(ours.model)])
        ours.method.end_task(ours.model, task)
    ours.begin(every[-1])
    return ours, earlier


def authors_loss(model: torch.nn.Module, earlier: Any, lambda1: float, lambda2: float) -> torch.Tensor:
    """Return what the authors' trainer adds: Σ |lora_A loranew_Aᵀ| and Σ ‖loranew_‖₂, lora_A being all earlier ones."""
    total = torch.zeros(())
    for number, (_, layer) in enumerate(pair_layers(model)):
        lora_A = torch.cat([pairs[number][0] for pairs in earlier])
        total = total + lambda1 * torch.abs(torch.mm(lora_A, layer.A.T)).sum()
        total = total + lambda2 * (torch.norm(layer.A, p=2) + torch.norm(layer.B, p=2))
    return total


def test_the_penalties_are_the_authors_and_their_gradients_finite_differences() -> None:
    ours, earlier = trained_on(3, lambda1=[9.0, 9.0, 0.5], lambda2=0.2)
    batch = collate(rows_of(0, 2), pad_id=0)

    def penalty() -> torch.Tensor:
        terms = ours.method.terms(ours.model, batch, torch.empty(0))
        return terms["orthogonality"] + terms["norms"]

    assert torch.allclose(penalty(), authors_loss(ours.model, earlier, 0.5, 0.2), rtol=1e-5)
    penalty().backward()
    gradients = [layer.A.grad.clone() for _, layer in pair_layers(ours.model)]
    ours.model.double()
    earlier = [[(A.double(), B.double()) for A, B in pairs] for pairs in earlier]
    step = 1e-7
    for (_, layer), gradient in zip(pair_layers(ours.model), gradients, strict=True):
        for place in ((0, 0), (2, 5)):
            with torch.no_grad():
                value, sides = layer.A[place].item(), []
                for moved in (value + step, value - step):
                    layer.A[place] = moved
                    sides.append(authors_loss(ours.model, earlier, 0.5, 0.2).item())
                layer.A[place] = value
            assert gradient[place].item() == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-3, abs=1e-4)


def test_earlier_pairs_stay_bit_by_bit_and_the_forward_is_the_sum() -> None:
    ours, earlier = trained_on(3)
    third = tasks(3)[2]
    ours.steps(third, 3)
    base = build_model_like(ours)
    with torch.no_grad():
        for number, (path, layer) in enumerate(pair_layers(ours.model)):
            assert torch.equal(layer.earlier_A, torch.cat([pairs[number][0] for pairs in earlier]))
            assert torch.equal(layer.earlier_B, torch.cat([pairs[number][1] for pairs in earlier], dim=1))
            pairs = [(layer.A, layer.B), *(pairs[number] for pairs in earlier)]
            assert all(B.any() for _, B in pairs)
            base.get_submodule(path).weight += 32 / 3 * sum(B @ A for A, B in pairs)
        ids = torch.tensor([[5, 6, 7, 8, 9]])
        assert torch.allclose(ours.model.eval()(ids).logits, base(ids).logits, atol=1e-4)
        for path, weight in ours.method.weights(ours.model):
            torch.testing.assert_close(weight, base.get_submodule(path).weight, rtol=1e-4, atol=1e-5)


def build_model_like(ours: Session) -> torch.nn.Module:
    """Return the base that a session's adapters are on."""
    torch.manual_seed(1)
    base = build_model("llama")
    assert torch.equal(base.lm_head.weight, ours.model.lm_head.weight)
    return base


def test_a_new_pair_starts_at_nothing_with_fresh_moments() -> None:
    ours, _ = trained_on(2)
    optimizer = ours.loop.optimizer
    assert not any(optimizer.state.get(p) for group in optimizer.param_groups for p in group["params"])
    assert not any(layer.B.any() for _, layer in pair_layers(ours.model))
    first = [layer.earlier_A for _, layer in pair_layers(ours.model)]
    now = [layer.A for _, layer in pair_layers(ours.model)]
    assert not any(torch.equal(a, b) for a, b in zip(first, now, strict=True))
    ours.steps(tasks(2)[1], 1)
    assert {int(state["step"]) for state in optimizer.state.values()} == {1}
    assert 0 < ours.method.measures(ours.model)["overlap"] < 1


@pytest.mark.parametrize("before", [(), ("er",)], ids=str)
def test_resumes_with_dropout_and_stacked(before: tuple[str, ...]) -> None:
    def new() -> Session:
        torch.manual_seed(2)
        parts = [{"name": "o_lora", "r": 2, "dropout": 0.3}, *before]
        return Session(build_model("llama"), build_method("stack", parts=parts))

    assert_resumes(new, 3)


def test_strengths_are_one_a_task() -> None:
    ours = session(lambda1=[0.0, 0.5, 5.0])
    with pytest.raises(SpecError, match=r"o_lora\.lambda1: 3 values for 2 tasks; give one for each, or one for all"):
        ours.begin(tasks(2)[0])


def test_an_anchor_beside_it_is_refused() -> None:
    with pytest.raises(SpecError, match="'ewc' holds trained weights near an anchor, and 'o_lora' merges"):
        build_method("stack", parts=["o_lora", "ewc"])


def test_what_is_kept_and_exported_are_all_pairs(tmp_path: Path) -> None:
    tiny = find_model("tiny")
    method = build_method("o_lora", r=2)
    model = attached(method, load_model(tiny)).eval()
    for task in range(3):  # as a sequence of three would
        for _, layer in pair_layers(model):
            torch.nn.init.normal_(layer.B, std=0.2)
            if task < 2:
                layer.freeze_pair(torch.Generator().manual_seed(task))
    state = {name: tensor.detach().contiguous() for name, tensor in method.trained_state(model).items()}
    save_file(state, tmp_path / "kept.safetensors")
    ids = torch.randint(10, 900, (2, 9))
    with torch.no_grad():
        expected = model(ids).logits
        again = restore(tiny, build_method("o_lora", r=2), tmp_path / "kept.safetensors")
        assert torch.equal(again(ids).logits, expected)
        base = load_model(tiny).float()
        assert not torch.allclose(base(ids).logits, expected, atol=1e-2)
        stock = pairs_as_lora(copy.deepcopy(base), dict(pair_layers(model)))
        assert torch.allclose(stock.eval()(ids).logits, expected, atol=1e-4)
    config = stock.peft_config["default"]
    assert (config.r, config.lora_alpha) == (6, 3 * 32)


def test_a_plan_counts_the_pairs_of_the_tasks_before() -> None:
    ours, _ = trained_on(4)
    count = ours.method.count_parameters(ours.model)
    footprint = ours.method.footprint()
    assert 4 * count.held == footprint.task_bytes * count.trainable * 3
