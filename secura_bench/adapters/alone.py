"""Some modules of a model as a model of their own, for code of PEFT's that walks through a model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn

PREFIX = "base_model.model."
"""What PEFT's model puts in front of its base's paths."""


def alone(modules: Mapping[str, nn.Module], config: Any) -> tuple[nn.Module, Any]:
    """Return a model of nothing but ``modules``, each at its path, and PEFT's ``config`` for it, which adapts them all.

    Of the configuration go what says which modules are meant and what is trained elsewhere; patterns by path stay.
    """
    model = nn.Module()
    for path, module in modules.items():
        place = model
        *parents, last = path.removeprefix(PREFIX).split(".")
        for name in parents:
            if not hasattr(place, name):
                place.add_module(name, nn.Module())
            place = place.get_submodule(name)
        place.add_module(last, module)
    own = copy.copy(config)
    own.target_modules, own.exclude_modules = {path.removeprefix(PREFIX) for path in modules}, None
    own.layers_to_transform = own.layers_pattern = None
    for elsewhere in ("modules_to_save", "trainable_token_indices"):
        if hasattr(own, elsewhere):
            setattr(own, elsewhere, None)
    return model, own
