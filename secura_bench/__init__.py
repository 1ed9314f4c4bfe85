"""secura-bench: what a language model learns and forgets while it is fine-tuned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from secura_bench.foundation.version import __version__

__all__ = ["__version__", "build_method"]

if TYPE_CHECKING:
    from secura_bench.methods.build import build_method


def __getattr__(name: str) -> Any:
    """Load ``build_method`` on first use, so that importing the package imports no torch."""
    if name == "build_method":
        from secura_bench.methods.build import build_method

        return build_method
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
