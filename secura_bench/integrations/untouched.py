"""Looking at a model in training without leaving a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from secura_bench.training.seeds import generator_states, load_generator_states


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Put back, at the end, every generator's position and every module's mode, whatever was done in between.

    Within it the model is in eval mode.
    """
    generators, modes = generator_states(), [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        load_generator_states(generators)
