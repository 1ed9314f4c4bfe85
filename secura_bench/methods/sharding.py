"""Which methods can train weights that are divided among processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secura_bench.methods.method import Method


def why_not_sharded(method: Method) -> str | None:
    """Return why a method's weights cannot be divided among processes, None where they can.

    What a class that is not ours inherits was said of other hooks.
    """
    kind = type(method)
    if not kind.__module__.startswith("secura_bench.") and "not_sharded" not in vars(kind):
        return "its class does not say that they can (not_sharded = None)"
    return method.not_sharded
