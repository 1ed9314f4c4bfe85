"""One base in memory: adapters come and go, and leave it as it was."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from outside import save_adapter, save_merged, untouched

from secura_bench.checkpoints import lend
from secura_bench.checkpoints.find import find_checkpoint
from secura_bench.checkpoints.lend import Lender
from secura_bench.models.load import find_model
from secura_bench.training.memory import release_memory

KINDS = ("lora", "dora", "ia3", "vera")
IDS = torch.arange(40)[None] + 5


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    for kind in (*KINDS, "pissa"):
        save_adapter(folder / kind, kind, steps=2)
    save_merged(folder / "merged", steps=2)
    return folder


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list of weak references to every model that is loaded."""
    found: list[Any] = []
    load = lend.load_model

    def noted(*given: Any) -> Any:
        model = load(*given)
        found.append(weakref.ref(model))
        return model

    monkeypatch.setattr(lend, "load_model", noted)
    return found


@pytest.fixture
def lender() -> Lender:
    lender = Lender()
    lender.use(find_model("tiny"), torch.float32, torch.device("cpu"))
    return lender


def logits(lender: Lender, folder: Path | None) -> torch.Tensor:
    found = find_checkpoint(str(folder)) if folder else None
    with lender.lend(found, lambda note: None) as model, torch.no_grad():
        return model(input_ids=IDS).logits


def test_adapters_of_all_kinds_share_one_base(out: Path, lender: Lender, loads: list[Any]) -> None:
    base = logits(lender, None)
    first = {kind: logits(lender, out / kind) for kind in KINDS}
    again = {kind: logits(lender, out / kind) for kind in reversed(KINDS)}
    assert len(loads) == 1
    assert torch.equal(logits(lender, None), base)
    for kind in KINDS:
        fresh = Lender()
        fresh.use(find_model("tiny"), torch.float32, torch.device("cpu"))
        assert torch.equal(first[kind], again[kind]) and torch.equal(first[kind], logits(fresh, out / kind)), kind
        assert not torch.equal(first[kind], base)


def test_a_base_that_an_adapter_changed_is_loaded_anew(out: Path, lender: Lender, loads: list[Any]) -> None:
    base = logits(lender, None)
    logits(lender, out / "pissa")  # its start takes singular vectors out of the weights
    assert torch.equal(logits(lender, None), base)
    assert len(loads) == 2


def test_a_whole_model_takes_the_bases_place_and_leaves(out: Path, lender: Lender, loads: list[Any]) -> None:
    logits(lender, None)
    with lender.lend(find_checkpoint(str(out / "merged")), lambda note: None) as model:
        release_memory()
        assert loads[0]() is None and loads[1]() is model
    del model
    release_memory()
    assert loads[1]() is None
    logits(lender, None)
    assert len(loads) == 3


def test_another_base_is_another_model(lender: Lender, loads: list[Any]) -> None:
    logits(lender, None)
    lender.use(find_model("tiny"), torch.bfloat16, torch.device("cpu"))
    assert logits(lender, None).dtype == torch.bfloat16 and len(loads) == 2


def test_what_fails_on_the_way_leaves_no_half_base(out: Path, lender: Lender, loads: list[Any]) -> None:
    base = logits(lender, None)
    with pytest.raises(RuntimeError), lender.lend(find_checkpoint(str(out / "lora")), lambda note: None):
        raise RuntimeError
    assert torch.equal(logits(lender, None), base) and len(loads) == 2
    assert torch.equal(untouched()[0].eval()(input_ids=IDS).logits, base)


def test_what_is_said_of_the_bases_files_is_said_to_every_run(
    out: Path, lender: Lender, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = lend.load_model

    def tells(folder: Any, dtype: Any, tell: Any) -> Any:
        tell("its files hold more")
        return load(folder, dtype, tell)

    monkeypatch.setattr(lend, "load_model", tells)
    said: list[str] = []
    for name in ("lora", "ia3"):
        with lender.lend(find_checkpoint(str(out / name)), said.append):
            pass
    assert said == ["its files hold more"] * 2
