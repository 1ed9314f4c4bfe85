"""Weights as their file has them: what is missing, misshapen, no number or not the model's is refused, never drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from secura_bench.foundation.errors import DataError
from secura_bench.foundation.wording import in_a_line
from secura_bench.models.config import attention_of, configuration
from secura_bench.models.quantised import bitsandbytes_config, settle
from secura_bench.spec.loading import LoadSpec

_SHOWN = 3

_COMPUTED = ("inv_freq", "position_ids", "token_type_ids", "masked_bias")
"""Last names of buffers that older files hold and models make themselves; transformers knows most of them by family."""


def load_sound(
    label: str,
    folder: Path,
    dtype: torch.dtype,
    tell: Callable[[str], None] = lambda note: None,
    load: LoadSpec | None = None,
) -> nn.Module:
    """Return the causal language model in ``folder``, every parameter of it from the files, held as ``load`` says.

    ``tell`` gets a sentence where the files hold buffers that the model makes itself.

    Raises:
        DataError: The files lack a parameter, hold one of another shape, one with NaN or infinity or one that is not
            the model's, or cannot be read.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    load = load or LoadSpec()
    config = configuration(folder)
    settings = attention_of(config, load.attn_implementation)
    if load.bits:
        settings["quantization_config"] = bitsandbytes_config(load, dtype)
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
            **settings,
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever the libraries below raise: a damaged file is told in many ways
        raise DataError(f"model {label!r}: cannot be loaded from {folder}: {in_a_line(error)}") from None
    finally:
        logging.set_verbosity(before)
    refuse_unsound(f"model {label!r}: {folder}", model, found)
    if computed := sorted(found["unexpected_keys"]):
        tell(f"the model's files hold what it computes itself and does not read: {_named(computed)}")
    settle(label, model)
    loaded: nn.Module = model
    return loaded


def refuse_unsound(what: str, model: nn.Module, found: Mapping[str, Any]) -> None:
    """Refuse a model of which ``found``, transformers' account of its loading, or a value says that it is another.

    Raises:
        DataError: Names ``what``, the first tensor at fault and how many more there are.
    """
    if missing := sorted(found["missing_keys"]):  # a tied head's is none of them where the embedding is there
        strange = sorted(found["unexpected_keys"])
        hint = f" It holds {strange[0]} instead: its names must be the model's own." if strange else ""
        more = f" and {len(missing) - 1} more of its weights" if len(missing) > 1 else ""
        raise DataError(f"{what} lacks {missing[0]}{more}, which would be drawn at random.{hint}")
    if wrong := sorted(map(_first, found["mismatched_keys"])):
        raise DataError(f"{what} holds another shape than config.json says: {_named(wrong)}.")
    if strange := sorted(key for key in found["unexpected_keys"] if key.rpartition(".")[2] not in _COMPUTED):
        raise DataError(
            f"{what} holds {_named(strange)}, which no module of the model takes: merge an adapter into the weights "
            f"first, mend config.json where it says too few layers or no bias, or leave what is left over out."
        )
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
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
