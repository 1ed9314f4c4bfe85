"""Shapes by family: which layout a configuration is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secura_bench.models.shape import Shape
from secura_bench.models.shape_gpt2 import GPT2Shape


def shape_from(family: str, config: Mapping[str, Any]) -> Shape | None:
    """Return the shape that the keys of a config.json say; None for a family of a layout that is not known.

    Raises:
        KeyError: A size is left to transformers' default.
    """
    kind = GPT2Shape if family == "gpt2" else Shape
    return kind.from_config(family, config)
