"""Tests that a CUDA device is needed for: all are marked ``gpu``, and skipped where there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from sessions import forget_device

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic products want before CUDA begins

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
    kernels = torch.backends.cuda
    before = kernels.flash_sdp_enabled(), kernels.mem_efficient_sdp_enabled(), kernels.cudnn_sdp_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    for enable in (kernels.enable_flash_sdp, kernels.enable_mem_efficient_sdp, kernels.enable_cudnn_sdp):
        enable(False)
    yield
    torch.use_deterministic_algorithms(False)
    for enable, was in zip(
        (kernels.enable_flash_sdp, kernels.enable_mem_efficient_sdp, kernels.enable_cudnn_sdp), before, strict=True
    ):
        enable(was)
