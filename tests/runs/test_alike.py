"""What each process of a run is to ask, and that they score together only what is the same model in all."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import random_llama

from secura_bench.data.dataset import load_data
from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.evaluation.protocols.protocol import Asked
from secura_bench.runs import divided
from secura_bench.spec.sections import DataSpec


def asked(tiny: Any, known: Any = None) -> Asked:
    """Ten rows, two a batch."""
    model, chat, _ = tiny
    data = load_data("tiny_arith", DataSpec(rows=100), chat)
    return Asked(model, data.file, data.test[:10], chat, 2, 600, known or {})


def share(monkeypatch: Any, what: Asked, here: int, hands: int, divide: bool = True) -> list[Any]:
    monkeypatch.setattr(divided, "place", lambda: (here, hands))
    return list(divided._share(PROTOCOLS["teacher_forced"], what, divide))


@pytest.mark.parametrize("hands", [2, 3, 7])
def test_shares_are_the_batches_of_one_process_each_once(monkeypatch: Any, tiny: Any, hands: int) -> None:
    what = asked(tiny)
    whole = list(PROTOCOLS["teacher_forced"].predict(what))
    shares = [share(monkeypatch, what, here, hands) for here in range(hands)]
    found = [batch for mine in shares for batch in mine]
    assert len(whole) == len(found) == 5 and all(batch in found for batch in whole)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    known = dict(whole[0] + whole[1][:1])
    left = [batch for here in range(hands) for batch in share(monkeypatch, asked(tiny, known), here, hands)]
    assert len(left) == 4 and whole[0] not in left and all(batch in left for batch in whole[1:])


def test_the_first_asks_all_where_nothing_is_to_be_divided(monkeypatch: Any, tiny: Any) -> None:
    what = asked(tiny)
    assert share(monkeypatch, what, 1, 2, divide=False) == []
    assert share(monkeypatch, what, 0, 2, divide=False) == list(PROTOCOLS["teacher_forced"].predict(what))


def test_models_are_alike_bit_by_bit(monkeypatch: Any) -> None:
    models = [random_llama(), random_llama()]
    models[1].load_state_dict(models[0].state_dict())
    monkeypatch.setattr(divided, "place", lambda: (0, 2))
    monkeypatch.setattr(divided, "gather", lambda mine: [mine, divided._content(models[1])])
    assert divided.is_alike(models[0])
    with torch.no_grad():
        models[1].lm_head.weight[0, 0] = torch.nextafter(models[1].lm_head.weight[0, 0], torch.tensor(9.0))
    assert not divided.is_alike(models[0])


def test_the_wrapper_of_training_is_taken_off() -> None:
    """Its forward waits for the other processes, which may have other batches or none."""
    inner = random_llama()
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        assert divided.unwrapped(torch.nn.parallel.DistributedDataParallel(inner)) is inner
    finally:
        torch.distributed.destroy_process_group()
    assert divided.unwrapped(inner) is inner
