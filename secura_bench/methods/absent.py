"""What stands where a method's ``terms`` looks for something that is not there: it refuses to be used, by name."""

from __future__ import annotations

from typing import Any, NoReturn

import torch

from secura_bench.foundation.errors import SpecError


class Absent:
    """Stands for logits or a batch, says on which ``device`` they would be, and ends anything else with ``said``."""

    def __init__(self, said: str, device: torch.device) -> None:
        self.device = device
        self._said = said

    def _refuse(self, *_: Any) -> NoReturn:
        raise SpecError(self._said)

    def __getattr__(self, name: str) -> NoReturn:
        self._refuse()

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __matmul__ = __getitem__ = __len__ = _refuse

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> NoReturn:
        next(arg for arg in (*args, *(kwargs or {}).values()) if isinstance(arg, cls))._refuse()
        raise AssertionError(function)


def no_logits(method: str, device: torch.device) -> Any:
    """Return what stands for a step's logits where ``train.kernels: chunked`` never has them all."""
    return Absent(
        f"method {method!r} looks at logits, which train.kernels: chunked never holds all at once: leave chunked out.",
        device,
    )
