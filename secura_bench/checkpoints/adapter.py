"""A PEFT adapter on its base: checked on shapes before anything is scored, and put on unmerged."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from secura_bench.checkpoints.find import Checkpoint, adapter_identity
from secura_bench.foundation.errors import DataError
from secura_bench.foundation.wording import in_a_line
from secura_bench.methods.peft_config import unusable
from secura_bench.models.from_hub import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from secura_bench.models.sound import not_finite

_NAME = "default"  # PEFT's own
_LOOK_AT_WEIGHTS = ("shira", "frod")  # tuners that cannot be put on shapes: they are checked once they are loaded
_UNMOVED = {"lora_B": 0.0, "lora_embedding_B": 0.0, "vera_lambda_b": 0.0, "ia3_l": 1.0, "hada_w2_b": 0.0}
"""What a tuner's last tensors are where they were never trained, by a part of their names."""
_FIRST = ("lora_A", "lora_embedding_A", "vera_A", "vera_B", "vera_lambda_d", "hada_w1", "hada_w2_a")
"""Tensors whose values alone move nothing."""


def check_adapter(adapter: Checkpoint, label: str, shapes: nn.Module) -> tuple[str, ...]:
    """Return what a reader of scores must know of ``adapter`` on the base ``label``, a model of ``shapes`` alone.

    Raises:
        DataError: It is for another base, has keys that no module takes, lacks some, holds NaN, or is of a kind that is
            not scored here.
    """
    tuner = str((adapter.adapter or {}).get("peft_type")).lower()
    task = (adapter.adapter or {}).get("task_type")
    where = adapter.folder.path / ADAPTER_CONFIG
    if reason := unusable(tuner):
        raise DataError(f"{where}: peft_type: {tuner}: {reason}.")
    if task not in (None, "CAUSAL_LM"):
        raise DataError(f"{where}: task_type: {task!r} is no causal language model's; CAUSAL_LM is.")
    tensors = read_tensors(adapter)
    if faults := not_finite(tensors):
        raise DataError(f"{adapter.folder.path / ADAPTER_WEIGHTS}: {faults[0]} holds NaN or infinity.")
    if tuner not in _LOOK_AT_WEIGHTS:
        put_on(adapter, label, shapes, on_shapes=True)
    notes = []
    if adapter.base and not is_named(adapter.base, label):
        notes.append(f"its {ADAPTER_CONFIG} names the base {adapter.base}, and it is scored on {label}")
    if moves_nothing(tensors):
        notes.append("its adapter was never moved from its start, at which it computes what the base does")
    return tuple(notes)


def put_on(adapter: Checkpoint, label: str, model: nn.Module, on_shapes: bool = False) -> nn.Module:
    """Return ``model``, the base called ``label``, with the adapter on it, unmerged, as PEFT loads it.

    ``on_shapes``: the model has no values, so that a start by decomposition of its weights is left out.

    Raises:
        DataError: PEFT refuses it, its file lacks a tensor or has one that no module takes, or it is another than it
            was when it was found.
    """
    from peft import PeftConfig, PeftModel
    from peft.auto import MODEL_TYPE_TO_PEFT_MODEL_MAPPING

    path = adapter.folder.path
    if adapter_identity(path) != adapter.folder.identity:
        raise DataError(f"{path}: has changed since this command began; run it again, for what is there now.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of merging and of later saving, which nobody does here
            config = PeftConfig.from_pretrained(str(path))
            if on_shapes and isinstance(getattr(config, "init_lora_weights", None), str):
                config.init_lora_weights = True
            kind = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(config.task_type, PeftModel)
            adapted: Any = kind(model, config, _NAME)
            renamed = getattr(model, "_checkpoint_conversion_mapping", {})
            device = "cpu" if on_shapes else None
            found = adapted.load_adapter(str(path), _NAME, torch_device=device, key_mapping=renamed)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # every tuner says in its own way that a base is not its own
        raise DataError(f"{path}: does not fit the base {label}: {_reason(error)}. {_WAY_OUT}") from None
    for keys, what in ((found.missing_keys, "lacks"), (found.unexpected_keys, "holds, and no module takes,")):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise DataError(f"{path / ADAPTER_WEIGHTS}: {what} {min(keys)}{more} on the base {label}. {_WAY_OUT}")
    adapted.requires_grad_(False)
    loaded: nn.Module = adapted.eval()
    return loaded


_WAY_OUT = (
    "Name the base that it was trained on (--base, or model: in a spec); where the base was changed before (new "
    "tokens, other layers), merge the adapter into it and name that model."
)


def take_off(adapted: Any) -> nn.Module | None:
    """Return the base from under an adapter, None where PEFT cannot; an adapter may have changed its weights."""
    try:
        plain: nn.Module = adapted.unload()
    except Exception:  # each tuner says in its own way that it cannot
        return None
    if hasattr(plain, "peft_config"):
        del plain.peft_config
    return plain


def read_tensors(adapter: Checkpoint) -> Mapping[str, Tensor]:
    """Return the adapter's tensors by name.

    Raises:
        DataError: The file is damaged, or holds none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = adapter.folder.path / ADAPTER_WEIGHTS
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{file}: cannot be read: {error}.") from None
    if not tensors:
        raise DataError(f"{file}: holds no tensor.")
    return tensors


def moves_nothing(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether an adapter still computes what the base does: its last tensors are what a tuner starts them as."""
    last = 0
    for name, tensor in tensors.items():
        start = next((value for part, value in _UNMOVED.items() if part in name), None)
        if start is None:
            if not any(part in name for part in _FIRST):
                return False  # of another tensor (a magnitude, a bias, an embedding) nobody knows where it started
        elif bool((tensor != start).any()):
            return False
        else:
            last += 1
    return last > 0


def is_named(named: str, label: str) -> bool:
    """Return whether a base that a configuration names may be the one called ``label``: the last parts are alike."""
    return named.rstrip("/").rpartition("/")[2].lower() == label.rpartition("/")[2].lower()


def _reason(error: Exception) -> str:
    shape = r".*?Size\(\[([\d, ]*)\]\)"
    if mismatch := re.search(rf"size mismatch for ([^:]+):{shape}{shape}", str(error)):
        name, has, wants = mismatch.groups()
        return f"{name} is of shape ({has}), and the base wants ({wants})"
    return in_a_line(error).rstrip(".")
