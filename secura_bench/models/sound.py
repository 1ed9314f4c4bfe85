"""Weights as their file has them: a tensor that is missing, misshapen or no number is refused, never drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from secura_bench.errors import DataError
from secura_bench.models.config import configuration
from secura_bench.plugins import in_a_line


def load_sound(label: str, folder: Path, dtype: torch.dtype) -> nn.Module:
    """Return the causal language model in ``folder``, every parameter of it from the files.

    Raises:
        DataError: The files lack a parameter, hold one of another shape or one with NaN or infinity, or cannot be read.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    config = configuration(folder)
    if getattr(config, "rescale_every", 0):
        config.rescale_every = 0  # RWKV would divide weights in place to be read, under adapters and what is saved
    logging.disable_progress_bar()
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # what it would say of keys is said below, in a line
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # else the library's own error, of many lines
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever the libraries below raise: a damaged file is told in many ways
        raise DataError(f"model {label!r}: cannot be loaded from {folder}: {in_a_line(error)}") from None
    finally:
        logging.set_verbosity(before)
    refuse_unsound(f"model {label!r}: {folder}", model, found)
    loaded: nn.Module = model
    return loaded


def refuse_unsound(what: str, model: nn.Module, found: Mapping[str, Any]) -> None:
    """Refuse a model of which ``found``, transformers' account of its loading, or a value says that it is not whole.

    Raises:
        DataError: Names ``what``, the first tensor at fault and how many more there are.
    """
    if missing := sorted(found["missing_keys"]):  # a tied head's is none of them where the embedding is there
        strange = sorted(found["unexpected_keys"])
        hint = f" It holds {strange[0]} instead: its names must be the model's own." if strange else ""
        raise DataError(
            f"{what} lacks {missing[0]} and {len(missing) - 1} more of its weights, which would be drawn at random."
            f"{hint}"
        )
    if wrong := sorted(map(_first, found["mismatched_keys"])):
        raise DataError(f"{what} holds another shape than config.json says: {_named(wrong)}.")
    if faults := not_finite(dict(model.named_parameters())):
        raise DataError(f"{what} holds NaN or infinity: {_named(faults)}.")


def not_finite(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the names of the tensors that hold NaN or infinity."""
    floats = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.is_meta}
    return [
        name for name, tensor in floats.items() if not bool(tensor.detach().sum().isfinite()) and _has_fault(tensor)
    ]


def _has_fault(tensor: torch.Tensor) -> bool:
    return not bool(tensor.detach().isfinite().all())  # the sum of large numbers may overflow


def _first(key: Any) -> str:
    return str(key[0] if isinstance(key, Sequence) and not isinstance(key, str) else key)


def _named(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
