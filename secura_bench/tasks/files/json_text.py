"""JSON read strictly: a key stands once, and numbers keep their spelling."""

from __future__ import annotations

import json
from typing import Any

from secura_bench.tasks.values import Number, has_surrogate


def strict_mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's ``pairs`` as a mapping.

    Raises:
        ValueError: A key stands there twice (the last would win silently), or cannot be written down.
    """
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands there twice")
    for name in fields:
        if has_surrogate(name):
            raise ValueError(f"the key {name!r} holds half a character (a lone surrogate)")
    return fields


DECODER = json.JSONDecoder(object_pairs_hook=strict_mapping, parse_float=Number, parse_constant=Number)
"""Besides what ``json`` raises, a ``ValueError`` on a key that stands twice; NaN and 1e400 are ``Number``s, so that
only where one is to be a text is it refused."""
