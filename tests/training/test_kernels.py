"""A step's loss in chunks, and Liger's kernels: the same numbers, from less memory, refused where they cannot be."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from conftest import SPEC, example, random_llama, secura_bench
from kept_bytes import kept_bytes
from pydantic import ValidationError
from sessions import SMALL, Session, build_model, new_method, tasks

from secura_bench.data.collate import collate
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.methods.method import Method
from secura_bench.models.answer_loss import Chunks, answer_loss, lend_chunks
from secura_bench.models.head import output_head
from secura_bench.plan.limits import refuse_without_logits
from secura_bench.plan.make import make_plan
from secura_bench.spec.load import load_spec
from secura_bench.spec.sections import TrainSpec
from secura_bench.training import kernels
from secura_bench.training.kernels import finish_of, missing_kernels, use_kernels, use_liger

CHUNK = 3
"""Answer tokens at once, of a batch that has 20."""


def batch() -> Any:
    return collate([example(6 + 3 * i, 1 + i % 4, seed=i, weight=1 + i % 2) for i in range(8)], pad_id=0)


def other_model(kind: str) -> Any:
    """Return a random model whose logits are finished in another way than by a cap."""
    import transformers as t

    sizes = {**SMALL, "intermediate_size": 48, "num_key_value_heads": 2, "pad_token_id": 0}
    if kind == "cohere":
        config = t.CohereConfig(**sizes, logit_scale=0.3)
    elif kind == "granite":
        config = t.GraniteConfig(**sizes, logits_scaling=7.0)
    else:
        config = t.Gemma3TextConfig(**sizes, head_dim=8, sliding_window=16)
    model = t.AutoModelForCausalLM.from_config(config)
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return dict(zip(trained, torch.autograd.grad(loss, list(trained.values())), strict=True))


def near(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Return whether two tensors differ by less than 1e-6 of the one's norm."""
    return bool((ours - theirs).norm() <= 1e-6 * theirs.norm())


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        ("llama", "seq", {}),
        ("llama", "lora", {"target_modules": ["lm_head", "q_proj"], "dropout": 0.0, "boundary": "continue"}),
        ("llama", "peft", {"peft_type": "lora", "config": {"target_modules": ["lm_head"]}}),
        ("gemma2", "seq", {}),
        ("gemma3", "seq", {}),
        ("gpt2", "seq", {}),
        ("cohere", "seq", {}),
        ("granite", "lora", {}),
    ],
)
def test_a_loss_in_chunks_is_the_loss(kind: str, name: str, options: dict[str, Any]) -> None:
    """To 1e-6, and so is its gradient: tied heads, adapted ones, and what families do to the logits afterwards."""
    model = build_model(kind) if kind in ("llama", "gemma2", "gpt2") else other_model(kind)
    model = build_method(name, **options).attach(model).eval()
    whole, logits = answer_loss(model, batch())
    expected = gradients(model, whole)
    lend_chunks(model, Chunks(finish_of(model), CHUNK))
    ours, none = answer_loss(model, batch())
    assert none is None and logits is not None and len(logits) > 2 * CHUNK
    assert ours.item() == pytest.approx(whole.item(), rel=1e-6)
    for path, gradient in gradients(model, ours).items():
        assert near(gradient, expected[path]), path
    assert not output_head(model)._forward_pre_hooks


def saved(model: Any) -> int:
    """Return the bytes that a loss keeps for its backward pass."""
    return kept_bytes(model, lambda: answer_loss(model, batch()))


def test_of_a_loss_in_chunks_no_logits_are_kept() -> None:
    """What stays is the answer tokens' hidden states in the place of their log-probabilities."""
    model = random_llama(vocab_size=5000)
    whole = saved(model)
    lend_chunks(model, Chunks(finish_of(model), CHUNK))
    tokens = len(batch().targets)
    assert whole - saved(model) == pytest.approx(4 * tokens * 5000, rel=0.02)


@pytest.mark.parametrize(("kind", "train"), [("gpt2", {}), ("gemma2", {"precision": "bf16", "micro_batch_size": 1})])
def test_steps_in_chunks_are_the_steps(monkeypatch: Any, kind: str, train: dict[str, Any]) -> None:
    """Dropout draws the same masks; under autocast the head's gradient is a sum of parts that are bf16, as it is."""
    monkeypatch.setattr(kernels, "Chunks", lambda finish: Chunks(finish, CHUNK))
    losses = []
    for said in (None, "chunked"):
        torch.manual_seed(5)
        session = Session(build_model(kind), new_method(Method), kernels=said, lr=1e-3, batch_size=4, **train)
        losses.append([report.loss for report in session.task(tasks(1)[0], 3)])
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-6)
    assert losses[0] == pytest.approx(losses[1], rel=2e-3 if train else 1e-6)


@pytest.mark.parametrize(
    "method",
    ["kl_to_base", "lwf", {"name": "i_lora", "consistency": "logits"}, {"stack": ["lora", "kl_to_base"]}],
)
def test_a_method_that_compares_logits_is_refused_before_anything_is_loaded(tmp_path: Path, method: Any) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump({**yaml.safe_load(SPEC), "methods": [method]}))
    spec = load_spec(str(tmp_path / "spec.yaml"), ["train.kernels=chunked"])
    with pytest.raises(SpecError, match=r"train.kernels: chunked: .* compares logits.*leave chunked out"):
        make_plan(spec)


def test_validate_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(
        SPEC.replace("[{name: lora, r: 2}]", "lwf").replace("steps: 2", "kernels: chunked")
    )
    done = secura_bench("validate", "spec.yaml", cwd=tmp_path)
    assert done.returncode and "spec.yaml:8: train.kernels: " in done.stderr and "'lwf' compares logits" in done.stderr


def test_a_method_that_did_not_say_that_it_looks_at_logits_is_refused_where_it_does() -> None:
    class Sharp(Method):
        name = "sharp"

        def terms(self, model: Any, batch: Any, logits: Any) -> Any:
            return {"sharp": logits.float().square().mean()}

    class Own(Method):
        name = "own"

        def loss(self, model: Any, batch: Any) -> Any:
            return super().loss(model, batch)

    chunked = TrainSpec(kernels="chunked")
    refuse_without_logits(chunked, Sharp())
    with pytest.raises(SpecError, match=r"'sharp' looks at logits, .*leave chunked out"):
        Session(random_llama(), Sharp(), kernels="chunked").task(tasks(1)[0], 1)
    with pytest.raises(SpecError, match="'own' has a loss of its own; leave chunked out"):
        refuse_without_logits(chunked, Own())
    refuse_without_logits(TrainSpec(), Own())


def test_a_head_that_does_something_unknown_is_refused() -> None:
    model = random_llama()
    forward = model.forward

    def shifted(*args: Any, **named: Any) -> Any:
        output = forward(*args, **named)
        output.logits = output.logits + 1
        return output

    model.forward = shifted  # type: ignore[method-assign]
    with pytest.raises(SpecError, match="LlamaForCausalLM makes its logits in a way that is not known"):
        use_kernels(model, TrainSpec(kernels="chunked"))


def test_kernels_are_said_once_and_in_any_order() -> None:
    assert TrainSpec(kernels=["liger", "chunked"]) == TrainSpec(kernels=["chunked", "liger"])
    assert not {"kernels", "offload"} & TrainSpec().model_dump().keys()  # runs of before are called what they were
    for wrong in (["chunked", "chunked"], [], "flash"):
        with pytest.raises(ValidationError):
            TrainSpec(kernels=wrong)


@pytest.fixture
def liger(monkeypatch: Any) -> list[str]:
    """Put a package in the place of Liger's that exchanges what it does, and return what was then computed by it."""
    from transformers.models.llama import modeling_llama

    computed: list[str] = []

    def fused(self: Any, hidden: torch.Tensor) -> torch.Tensor:
        computed.append(type(self).__name__)
        return type(self).forward(self, hidden)

    def apply(model: Any, **said: Any) -> None:
        assert said == {"rope": False, "cross_entropy": False, "fused_linear_cross_entropy": False, "rms_norm": True}
        if model.config.model_type != "llama":
            return
        modeling_llama.LlamaRMSNorm = modeling_llama.LlamaMLP = torch.nn.Identity  # type: ignore[misc,assignment]
        for module in model.modules():
            if type(module).__name__ in ("LlamaRMSNorm", "LlamaMLP"):
                module.__dict__["forward"] = fused.__get__(module)

    package = ModuleType("liger_kernel.transformers")
    package._apply_liger_kernel_to_instance = apply  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "liger_kernel", ModuleType("liger_kernel"))
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers", package)
    return computed


@pytest.mark.parametrize("name", ["seq", "secura", "peft"])
def test_ligers_kernels_compute_training_alone(liger: list[str], name: str) -> None:
    from transformers.models.llama import modeling_llama

    options = {"seq": {}, "secura": {"r": 4, "m": 6}, "peft": {"peft_type": "lora"}}[name]
    classes = modeling_llama.LlamaRMSNorm, modeling_llama.LlamaMLP
    model = build_method(name, **options).attach(random_llama())
    use_liger(model)
    assert classes == (modeling_llama.LlamaRMSNorm, modeling_llama.LlamaMLP), "the next model is the library's own"
    twin = copy.deepcopy(model)
    for one in (model, twin):
        Method().loss(one.eval(), batch())
        assert not liger
        Method().loss(one.train(), batch())
        assert sorted(liger) == ["LlamaMLP"] * 2 + ["LlamaRMSNorm"] * 5
        liger.clear()
    with torch.no_grad():
        next(p for n, p in twin.named_parameters() if "norm" in n).zero_()
    assert not torch.equal(answer_loss(model, batch())[0], answer_loss(twin, batch())[0]), "a copy has its own weights"


def test_liger_is_refused_where_it_cannot_be(liger: list[str], monkeypatch: Any) -> None:
    train = TrainSpec(kernels="liger")
    assert missing_kernels(TrainSpec()) is None
    with pytest.raises(SpecError, match="Liger has no kernels for gpt2; leave it out"):
        use_liger(build_model("gpt2"))
    monkeypatch.setattr(kernels, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SpecError, match="needs liger-kernel and a CUDA device, and here is none; leave liger out"):
        use_kernels(random_llama(), train)
    monkeypatch.setattr(kernels, "find_spec", lambda name: None)
    assert "pip install 'secura-bench[liger]'" in (missing_kernels(train) or "")
