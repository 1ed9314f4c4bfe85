"""The moving average of trained weights: its closed form, what is scored with it, and what of it is exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SPEC, secura_bench
from sessions import Session, assert_resumes, build_model, tasks
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import AutoModelForCausalLM

from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.methods.ema import EMA
from secura_bench.methods.ewc import trained


def session(stacked: bool = False, **train: Any) -> Session:
    torch.manual_seed(0)
    parts = [{"name": "lora", "r": 2}, {"name": "ema", "decay": 0.8}]
    method = build_method("stack", parts=parts) if stacked else build_method("ema", decay=0.8)
    return Session(build_model("llama"), method, **train)


def average_of(ours: Session) -> dict[str, torch.Tensor]:
    method = ours.method.parts[1] if hasattr(ours.method, "parts") else ours.method
    assert isinstance(method, EMA)
    return method.average


def test_the_average_is_torchs_and_the_closed_form() -> None:
    ours = session()
    theirs = AveragedModel(ours.model, multi_avg_fn=get_ema_multi_avg_fn(0.8))
    passed: list[dict[str, torch.Tensor]] = []
    first, _ = tasks(2)
    ours.begin(first)
    for _ in range(5):
        ours.steps(first, 1)
        theirs.update_parameters(ours.model)
        passed.append({name: p.detach().clone() for name, p in ours.model.named_parameters()})
    shares = [0.8**4, *(0.2 * 0.8 ** (5 - n) for n in range(2, 6))]
    for name, parameter in theirs.module.named_parameters():
        by_hand = sum(share * weights[name] for share, weights in zip(shares, passed, strict=True))
        torch.testing.assert_close(average_of(ours)[name], parameter.detach())
        torch.testing.assert_close(average_of(ours)[name], by_hand)


@pytest.mark.parametrize("stacked", [False, True])
def test_the_average_is_lent_and_training_goes_on_from_what_is_trained(stacked: bool) -> None:
    """Scored or not, the run ends with the same weights; what is frozen never moves."""
    ends = []
    for scored in (False, True):
        ours = session(stacked)
        frozen = {name: p.detach().clone() for name, p in ours.model.named_parameters() if not p.requires_grad}
        for task in tasks(2):
            ours.begin(task)
            for _ in range(3):
                ours.steps(task, 1)
                if not scored:
                    continue
                working = {name: p.detach().clone() for name, p in trained(ours.model).items()}
                with ours.method.evaluating(ours.model) as view:
                    own = dict(view.named_parameters())
                    assert all(torch.equal(own[name], average) for name, average in average_of(ours).items())
                    assert (
                        any(not torch.equal(own[name], weights) for name, weights in working.items()) or task.index == 0
                    )
                assert all(torch.equal(p, working[name]) for name, p in trained(ours.model).items())
            ours.method.end_task(ours.model, task)
        assert all(torch.equal(p, frozen[name]) for name, p in ours.model.named_parameters() if name in frozen)
        ends.append(ours.model.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_before_the_first_step_the_model_is_scored_as_it_is() -> None:
    ours = session()
    before = {name: p.detach().clone() for name, p in ours.model.named_parameters()}
    with ours.method.evaluating(ours.model) as view:
        assert all(torch.equal(p, before[name]) for name, p in view.named_parameters())


def test_in_bf16_the_average_is_fp32() -> None:
    ours = session(precision="bf16_stochastic")
    ours.begin(tasks(1)[0])
    ours.steps(tasks(1)[0], 2)
    assert all(average.dtype == torch.float32 for average in average_of(ours).values())
    with ours.method.evaluating(ours.model) as view:
        assert all(p.dtype == torch.bfloat16 for p in trained(view).values())


@pytest.mark.parametrize("at", [1, 4])
def test_stacked_on_lora_it_resumes_bit_by_bit(at: int) -> None:
    assert_resumes(lambda: session(stacked=True), at)


def test_what_merges_is_refused_or_goes_on() -> None:
    with pytest.raises(SpecError, match="'lora' merges them away"):
        build_method("stack", parts=[{"name": "lora", "boundary": "merge"}, "ema"])
    assert not build_method("stack", parts=["lora", "ema"]).merges


def test_what_is_kept_and_exported_is_the_average(tmp_path: Path) -> None:
    """With δ 0.5 after four steps the average is far from the weights, and the export's refusal compares the two."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    methods = "[{name: ema, decay: 0.5}, {name: seq}]"
    settings = ["train.lr=0.002", "train.steps=4", "evaluate.protocols=[teacher_forced]", "probe_rows=3", "keep=all"]
    words = [word for setting in [*settings, f"methods={methods}"] for word in ("--set", setting)]
    done = secura_bench("run", "spec.yaml", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    weights = {}
    for name in ("ema", "seq"):
        run = next(path.parent for path in tmp_path.rglob("record.json") if name in path.parent.name)
        done = secura_bench("export", str(run), name, "--to", "merged", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        model = AutoModelForCausalLM.from_pretrained(tmp_path / name, dtype=torch.float32)
        weights[name] = model.get_parameter("model.layers.0.mlp.up_proj.weight").detach()
    assert not torch.allclose(weights["ema"], weights["seq"], atol=1e-4)
