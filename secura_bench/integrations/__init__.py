"""Methods and scoring inside trainers of others: transformers' Trainer, TRL's SFTTrainer.

Each name is imported when it is first asked for: TRL is needed by what names it alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["MethodTrainer"]

if TYPE_CHECKING:
    from secura_bench.integrations.method_trainer import MethodTrainer

_PLACES = {
    "MethodTrainer": "secura_bench.integrations.method_trainer",
}
"""The same as a type checker reads above."""


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import and return a public name.

        Raises:
            AttributeError: The room has no such name.
        """
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
