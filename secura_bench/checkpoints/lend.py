"""The base in memory, and on it one adapter after another; a whole model takes its place until the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from secura_bench.checkpoints.adapter import put_on, take_off
from secura_bench.checkpoints.find import Checkpoint
from secura_bench.methods.lending import bits_of
from secura_bench.models.load import ModelFolder, load_model

Bits = dict[str, tuple[torch.dtype, int]]


class Lender:
    """Lends a base with nothing or an adapter on it, or a whole model, one at a time.

    The base is loaded once. Where an adapter changed its weights when it was put on (PiSSA does), or cannot be taken
    off, it is loaded anew. ``release`` lets go of it.
    """

    def __init__(self) -> None:
        self._of: Any = None  # folder, dtype, device
        self._held: nn.Module | None = None
        self._bits: Bits = {}
        self._told: list[str] = []  # of the base's files, for every record that rests on them

    def use(self, base: ModelFolder, dtype: torch.dtype, device: torch.device) -> None:
        """Say which base is lent from now on, in which dtype and where; another is let go of."""
        if self._of != (base, dtype, device):
            self.release()
        self._of = (base, dtype, device)

    @contextmanager
    def lend(self, checkpoint: Checkpoint | None, tell: Callable[[str], None]) -> Iterator[nn.Module]:
        """Lend the base, or what ``checkpoint`` makes of it; ``tell`` gets what a record must say of a model's files.

        Raises:
            DataError: The base or the checkpoint cannot be loaded.
        """
        base, dtype, device = self._of
        if checkpoint is not None and checkpoint.adapter is None:
            self.release()
            yield load_model(replace(checkpoint.folder, load=base.load), dtype, tell).to(device)
            return
        if self._held is None:
            self._told = []
            self._held = load_model(base, dtype, self._told.append).to(device)
        for note in self._told:
            tell(note)
        if checkpoint is None:
            yield self._held
            return
        plain, self._held = self._held, None  # until it is the base again
        self._bits = self._bits or _bits(plain)
        adapted = put_on(checkpoint, base.label, plain)
        yield adapted
        if take_off(adapted) is plain and _bits(plain) == self._bits:
            self._held = plain

    def release(self) -> bool:
        """Let go of the base; return whether there was one."""
        held = self._held is not None
        self._held, self._bits = None, {}
        return held


def _bits(model: nn.Module) -> Bits:
    return {name: (tensor.dtype, bits_of(tensor)) for name, tensor in model.state_dict().items()}
