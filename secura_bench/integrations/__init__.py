"""Methods and scoring inside trainers of others: transformers' Trainer, TRL's SFTTrainer.

Each name is imported when it is first asked for: TRL is needed by what names it alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "ForgettingCallback",
    "MethodTrainer",
    "SFTMethodMixin",
    "SFTMethodTrainer",
    "dataset_of",
    "read_source",
    "read_task",
]

if TYPE_CHECKING:
    from secura_bench.integrations.forgetting_callback import ForgettingCallback
    from secura_bench.integrations.method_trainer import MethodTrainer
    from secura_bench.integrations.rows import dataset_of, read_source, read_task
    from secura_bench.integrations.sft_method_trainer import SFTMethodTrainer
    from secura_bench.integrations.sft_mixin import SFTMethodMixin

_PLACES = {
    "ForgettingCallback": "secura_bench.integrations.forgetting_callback",
    "MethodTrainer": "secura_bench.integrations.method_trainer",
    "SFTMethodMixin": "secura_bench.integrations.sft_mixin",
    "SFTMethodTrainer": "secura_bench.integrations.sft_method_trainer",
    "dataset_of": "secura_bench.integrations.rows",
    "read_source": "secura_bench.integrations.rows",
    "read_task": "secura_bench.integrations.rows",
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
