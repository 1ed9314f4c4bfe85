"""The one door by which a model's config.json comes in: read, typed, and refused in a line where it cannot be used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secura_bench.foundation.errors import DataError, SpecError, quoted
from secura_bench.foundation.wording import in_a_line

CONFIG = "config.json"
_SIZES = (
    "vocab_size", "hidden_size", "n_embd", "d_model", "intermediate_size", "num_hidden_layers", "n_layer", "n_layers",
    "num_layers", "num_attention_heads", "n_head", "n_heads", "num_heads", "num_key_value_heads", "head_dim",
    "max_position_embeddings", "n_positions",
)  # fmt: skip

_OTHER_MEMORY = frozenset((
    "mamba", "mamba2", "falcon_mamba", "rwkv", "recurrent_gemma", "mpt", "gpt_neo", "xlstm", "jamba", "bamba", "lfm2",
    "zamba", "zamba2", "falcon_h1", "granitemoehybrid", "nemotron_h", "qwen3_next",
))  # fmt: skip
"""Families that were scored through a cache that does not hold what they remember, before each model was asked."""


def read_config(folder: Path) -> Mapping[str, Any]:
    """Return a model folder's configuration as plain values, without an import of transformers.

    Raises:
        DataError: Names the file, and what of it is no configuration of a model.
    """
    path = folder / CONFIG
    try:
        text = path.read_bytes().decode("utf-8")
        config = json.loads(text)
    except OSError as error:
        raise _refused(folder, error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise _refused(folder, f"it is no UTF-8 text (byte {error.start})") from None
    except RecursionError:
        raise _refused(folder, "it is nested too deep") from None
    except ValueError as error:
        raise _refused(folder, f"it is no JSON: {error}" if text.strip() else "it is empty") from None
    if not isinstance(config, dict):
        raise _refused(folder, f"it holds a {type(config).__name__}, and a configuration is an object")
    family = config.get("model_type")
    if not isinstance(family, str) or not family:
        raise _refused(folder, f"model_type: {quoted(family)} names no kind of model")
    inner = config.get("text_config")
    for where, values in (("", config), ("text_config.", inner if isinstance(inner, dict) else {})):
        for key in _SIZES:
            value = values.get(key)
            if value is not None and not _is_size(value):
                raise _refused(folder, f"{where}{key}: {quoted(value)} is no size; a whole number from 1 is")
    if config.get("is_encoder_decoder"):
        raise _refused(folder, "is_encoder_decoder: it is no causal language model; take one that is")
    return config


def _refused(folder: Path, reason: str) -> DataError:
    return DataError(f"{folder / CONFIG}: cannot be read as a configuration: {reason}.")


def memory_mark(folder: Path) -> Mapping[str, int]:
    """Return what sets scores of a family whose memory is no plain cache apart from those made by trusting it."""
    return {"memory": 1} if read_config(folder)["model_type"] in _OTHER_MEMORY else {}


def _is_size(value: object) -> bool:
    """Return whether a value is a size, or a size for each layer."""
    if isinstance(value, list):
        return bool(value) and all(map(_is_size, value))
    return type(value) is int and 0 < value < 2**40


def configuration(folder: Path) -> Any:
    """Return a model folder's configuration as transformers has it.

    Raises:
        DataError: It is none, of a family that transformers does not know, needs code of its own, or is of no causal
            language model.
    """
    plain = read_config(folder)
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    family = plain["model_type"]
    if family not in CONFIG_MAPPING_NAMES:
        own = "; it comes with code of its own (auto_map), which is never run" if "auto_map" in plain else ""
        said = f"model_type: {quoted(family)} is unknown to this version of transformers{own}; a newer one may know it"
        raise _refused(folder, said)
    if family not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise _refused(folder, f"model_type: {quoted(family)} is no causal language model; take one that is")
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, **_attention(plain))
    except Exception as error:  # whatever the library below raises: a damaged file is told in many ways
        raise _refused(folder, in_a_line(error).rstrip(".")) from None


def code_of_its_own(folder: Path) -> str | None:
    """Return what a record must say of a model that brings code of its own, which is never run; None if it does not."""
    plain = read_config(folder)
    if "auto_map" not in plain:
        return None
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    ours = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[plain["model_type"]]
    return f"{CONFIG} names code of its own (auto_map), which is never run: the model is transformers' {ours}"


def _attention(plain: Mapping[str, Any]) -> dict[str, str]:
    """Return the attention that computes what the config says, where the library would pick one that does not.

    PyTorch's fused attention has no soft cap of the logits: some versions of transformers take it for such a model all
    the same (Gemma 2), and score another model than the one that was trained.
    """
    return {"attn_implementation": "eager"} if plain.get("attn_logit_softcapping") else {}


def attention_of(config: Any, wanted: str | None) -> dict[str, Any]:
    """Return what asks transformers for the attention ``wanted``; nothing where none is.

    Raises:
        SpecError: It would leave out the model's soft cap of the logits.
    """
    if wanted == "sdpa" and getattr(config, "attn_logit_softcapping", None):
        raise SpecError(
            "model_load.attn_implementation: sdpa leaves out the soft cap of this model's attention; take eager."
        )
    return {} if wanted is None else {"attn_implementation": wanted}
