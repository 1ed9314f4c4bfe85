"""Tests that a CUDA device is needed for: all are marked ``gpu``, and skipped where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from sessions import forget_device

sys.path.insert(0, str(ROOT / "scripts"))
from gpu_steps import one_order

DEVICE = "cuda"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and skip them where nothing can run them."""
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.gpu)
            if DEVICE == "cuda" and not torch.cuda.is_available():
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture
def device() -> str:
    """Return the device that is tested, with no other one kept from a test before."""
    forget_device()
    return DEVICE


@pytest.fixture
def deterministic() -> Iterator[None]:
    """Let everything be computed in one order, so that runs can be compared bit by bit."""
    with one_order():
        yield
