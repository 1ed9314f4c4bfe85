"""What an adapted module's forward keeps for the backward pass, as methods tell it to a plan."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Computing:
    """In which dtypes a forward computes, in bytes a scalar.

    Attributes:
        scalar: of an activation. trained: of a trained tensor. autocast: whether every linear layer casts its input.
        mask: of the mask that dropout keeps: the input's own on a CPU, 1 on a GPU.
    """

    scalar: int
    trained: int
    autocast: bool
    on_gpu: bool = False

    @property
    def mask(self) -> int:
        """Bytes of a scalar of dropout's mask."""
        return 1 if self.on_gpu else self.trained


@dataclass(frozen=True)
class Kept:
    """What one adapted module keeps.

    Attributes:
        token: bytes a token, beside the input. weights: bytes whatever the tokens.
        shares: whether its input is kept as it came, so that modules with the same input keep it once.
    """

    token: float = 0.0
    weights: float = 0.0
    shares: bool = True
