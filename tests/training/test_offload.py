"""Activations in the CPU's memory: the same numbers, bit for bit, and what of them lies there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sessions import Session, build_model, rows_of, tasks

from secura_bench.data.collate import collate
from secura_bench.estimates.activations import Batch, activations
from secura_bench.methods.build import build_method
from secura_bench.models.load import find_model, load_model, shape_of
from secura_bench.spec.sections import TrainSpec
from secura_bench.training import loop, offload
from secura_bench.training.offload import offloaded


@pytest.fixture
def as_if_on_a_gpu(monkeypatch: Any) -> list[torch.Tensor]:
    """Copy what is saved on a CPU, as on a GPU, and return the copies as they are made."""
    made: list[torch.Tensor] = []
    empty_like = torch.empty_like

    def noted(*args: Any, **named: Any) -> torch.Tensor:
        made.append(empty_like(*args, **named))
        return made[-1]

    monkeypatch.setattr(loop, "offloaded", lambda model: offloaded(model, of="cpu"))
    monkeypatch.setattr(offload.torch, "empty_like", noted)
    return made


@pytest.mark.parametrize(
    ("kind", "name", "train"),
    [
        ("gpt2", "seq", {}),  # dropout
        ("gemma2", "seq", {"gradient_checkpointing": True, "kernels": "chunked"}),
        ("llama", "secura", {"precision": "bf16"}),
        ("llama", "lora", {"precision": "bf16_pure", "micro_batch_size": 1}),
    ],
)
def test_no_number_moves(as_if_on_a_gpu: list[torch.Tensor], kind: str, name: str, train: dict[str, Any]) -> None:
    ends = []
    for where in (None, "activations"):
        torch.manual_seed(3)
        method = build_method(name, **({"r": 4, "m": 6} if name == "secura" else {}))
        session = Session(build_model(kind), method, offload=where, **train)
        assert not as_if_on_a_gpu
        losses = [report.loss for report in session.task(tasks(1)[0], 3)]
        ends.append((losses, {key: value.clone() for key, value in session.model.state_dict().items()}))
    assert as_if_on_a_gpu and ends[0][0] == ends[1][0]
    assert all(torch.equal(value, ends[1][1][key]) for key, value in ends[0][1].items())


def test_a_tensor_lies_there_once_and_no_weight_does(as_if_on_a_gpu: list[torch.Tensor]) -> None:
    """As much as a plan says: what is saved, and of it what has several readers as one."""
    model = load_model(find_model("tiny"))
    method = build_method("lora", dropout=0.0)
    model = method.attach(model).train()
    rows = rows_of(0, 3)
    batch = collate(rows, pad_id=0)
    with offloaded(model, of="cpu"):
        method.loss(model, batch)
    answers = sum(row.supervised for row in rows) / len(rows)
    footprint, shape = method.footprint(), shape_of("tiny")
    planned = activations(footprint, shape, TrainSpec(), False, Batch(3, max(map(len, rows)), answers)).saved  # type: ignore[arg-type]
    copied = {(copy.untyped_storage().data_ptr()): copy.nbytes for copy in as_if_on_a_gpu}
    assert sum(copied.values()) == pytest.approx(planned, rel=0.15)


def test_a_plan_moves_it_to_the_host() -> None:
    from secura_bench.estimates.formulas import count_on_shape
    from secura_bench.estimates.memory import Scoring, memory_of

    footprint, shape = build_method("lora").footprint(), shape_of("llama3-8b")
    count, scoring = count_on_shape(footprint, shape), Scoring(1, 2048, 64, 0, ("teacher_forced",))
    train = TrainSpec(precision="bf16", batch_size=8)
    plain, away = (
        memory_of(footprint, count, shape, TrainSpec(**{**train.model_dump(), "offload": where}), scoring, 64)
        for where in (None, "activations")
    )
    saved = activations(footprint, shape, train, False, Batch(8, 2048, 64)).saved
    assert away.host == plain.host + saved and plain.device - away.device == pytest.approx(saved, rel=0.05)


def test_on_a_cpu_nothing_is_copied() -> None:
    with offloaded(torch.nn.Linear(2, 2)):
        x = torch.ones(3, 2, requires_grad=True)
        y = x.exp()
    assert y.grad_fn._saved_result.data_ptr() == y.data_ptr()  # type: ignore[union-attr]
