"""Which modules of a model read text: one that also sees or hears has towers that no row here ever reaches."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from secura_bench.foundation.errors import SpecError


def other_towers(model: nn.Module) -> list[str]:
    """Return the paths of the modules with weights that lie neither in the text decoder nor in the head.

    Empty where the model's configuration speaks of text alone.
    """
    inner: Any = model
    config = getattr(model, "config", None)
    if not hasattr(config, "get_text_config") or config.get_text_config(decoder=True) is config:  # type: ignore[union-attr]
        return []
    decoder, head = inner.get_decoder(), inner.get_output_embeddings()
    reading = {id(module) for part in (decoder, head) if part is not None for module in part.modules()}
    reading.add(id(inner.get_input_embeddings()))
    return [path for path, module in model.named_modules() if path and id(module) not in reading and module._parameters]


def freeze_other_towers(model: nn.Module) -> None:
    """Let nothing of ``model`` require grad that no text reaches."""
    for path in other_towers(model):
        for parameter in model.get_submodule(path).parameters(recurse=False):
            parameter.requires_grad_(False)


def leave_other_towers(model: nn.Module, config: Any) -> None:
    """Make PEFT's ``config`` leave out what no text reaches, beside what it leaves out already.

    Of a tuner that cannot leave modules out the targets become the paths of those that are left.

    Raises:
        SpecError: The tuner has no targets by name either.
    """
    towers = other_towers(model)
    if not towers:
        return
    if not hasattr(config, "exclude_modules"):
        targets = getattr(config, "target_modules", None)
        if targets and not isinstance(targets, str):
            ends = tuple(f".{name}" for name in targets)
            paths = {path for path, _ in model.named_modules() if f".{path}".endswith(ends)}
            config.target_modules = sorted(paths - set(towers))
            return
        raise SpecError(
            f"this tuner cannot leave modules out, and would go into {towers[0]}, which no text reaches; take another."
        )
    given = config.exclude_modules
    if isinstance(given, str):
        config.exclude_modules = "|".join([f"(?:{given})", *map(re.escape, towers)])
    else:
        config.exclude_modules = [*(given or ()), *towers]
