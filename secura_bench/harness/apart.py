"""The harness kept apart: what it seeds, switches and prints is as it was when it is done."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn


@contextmanager
def apart(model: nn.Module | None = None) -> Iterator[None]:
    """Put back every generator at the end, and each module's mode; keep its progress bars and notes to itself.

    It ties a model's weights when it takes it up, which may tie again what a method has parted: not within.
    """
    modes = [(module, module.training) for module in model.modules()] if model is not None else []
    python, numpy = random.getstate(), np.random.get_state()
    if model is not None:
        model.tie_weights = lambda *args, **kwargs: None  # type: ignore[assignment]
    try:
        with torch.random.fork_rng(), _quiet():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        if model is not None:
            del model.tie_weights
        for module, mode in modes:
            module.training = mode


def seed() -> None:
    """Seed as the harness's command line does."""
    random.seed(0)
    np.random.seed(1234)
    torch.manual_seed(1234)


@contextmanager
def _quiet() -> Iterator[None]:
    """Let no bar be drawn, nor anything less than an error be said."""
    from tqdm.std import tqdm

    logger = logging.getLogger("lm_eval")
    level, begin = logger.level, tqdm.__init__

    def without_bar(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **{**kwargs, "disable": True})

    logger.setLevel(logging.ERROR)
    tqdm.__init__ = without_bar
    try:
        yield
    finally:
        logger.setLevel(level)
        tqdm.__init__ = begin
