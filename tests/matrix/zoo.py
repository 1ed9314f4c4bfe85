"""Tiny random models of many architectures, in folders with the shipped tokenizer, as transformers writes them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from secura_bench.models.load import find_model

_VOCABULARY = 1148  # the shipped tokenizer's
_USUAL: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}
_GROUPED: Mapping[str, Any] = {**_USUAL, "num_key_value_heads": 2}

ARCHITECTURES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llama": ("llama", {**_GROUPED, "tie_word_embeddings": False}),
    "llama-tied": ("llama", {**_GROUPED, "tie_word_embeddings": True}),
    "qwen3": ("qwen3", {**_GROUPED, "head_dim": 8, "tie_word_embeddings": False}),
    "gemma3": (
        "gemma3_text",
        {**_GROUPED, "head_dim": 8, "sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "gemma3-vision": (
        "gemma3",
        {
            "text_config": {
                **_GROUPED,
                "head_dim": 8,
                "vocab_size": _VOCABULARY,
                "pad_token_id": 2,
                "sliding_window": 16,
            },
            "vision_config": {
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "image_size": 28,
                "patch_size": 14,
            },
            "mm_tokens_per_image": 4,
            "image_token_index": 1147,
            "boi_token_index": 1146,
            "eoi_token_index": 1145,
        },
    ),
    "phi3": ("phi3", {**_GROUPED, "tie_word_embeddings": False}),
    "gpt2": ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}),
    "opt": (
        "opt",
        {
            "hidden_size": 32,
            "ffn_dim": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 512,
            "word_embed_proj_dim": 32,
        },
    ),
    "gpt-neox": ("gpt_neox", {**_USUAL, "tie_word_embeddings": False}),
    "falcon": ("falcon", {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}),
    "falcon-alibi": ("falcon", {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": True}),
    "bloom": ("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "mpt": ("mpt", {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 512}),
    "gpt-neo": (
        "gpt_neo",
        {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 16,
            "max_position_embeddings": 512,
        },
    ),
    "qwen3-moe": (
        "qwen3_moe",
        {
            **_GROUPED,
            "head_dim": 8,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "tie_word_embeddings": False,
        },
    ),
    "mixtral": ("mixtral", {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}),
    "mamba": ("mamba", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "time_step_rank": 2}),
    "mamba2": (
        "mamba2",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "state_size": 8,
            "num_heads": 8,
            "head_dim": 8,
            "n_groups": 1,
            "chunk_size": 16,
        },
    ),
    "rwkv": (
        "rwkv",
        {
            "hidden_size": 32,
            "attention_hidden_size": 32,
            "num_hidden_layers": 2,
            "context_length": 512,
            "rescale_every": 1,
        },
    ),
    "recurrent-gemma": (
        "recurrent_gemma",
        {
            **_GROUPED,
            "lru_width": 32,
            "attention_window_size": 16,
            "block_types": ["recurrent", "attention"],
            "head_dim": 8,
        },
    ),
    "jamba": (
        "jamba",
        {
            **_GROUPED,
            "use_mamba_kernels": False,
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "mamba_d_state": 8,
            "mamba_dt_rank": 2,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
        },
    ),
    "bamba": (
        "bamba",
        {
            **_GROUPED,
            "attn_layer_indices": [1],
            "mamba_n_heads": 8,
            "mamba_d_head": 8,
            "mamba_n_groups": 1,
            "mamba_d_state": 8,
            "mamba_chunk_size": 16,
        },
    ),
    "lfm2": ("lfm2", {**_GROUPED, "layer_types": ["conv", "full_attention"], "block_multiple_of": 16}),
    "qwen3-next": (
        "qwen3_next",
        {
            **_GROUPED,
            "head_dim": 8,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "shared_expert_intermediate_size": 16,
            "layer_types": ["linear_attention", "full_attention"],
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
        },
    ),
}


def config_for(name: str) -> Any:
    """Return the configuration of an architecture of the table."""
    from transformers import AutoConfig

    family, settings = ARCHITECTURES[name]
    ids = {"vocab_size": _VOCABULARY, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    return AutoConfig.for_model(family, **{**ids, **settings})


def build(name: str) -> nn.Module:
    """Return a random model of an architecture, its weights large enough to move a logit."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config_for(name))
    for parameter in model.parameters():
        if parameter.dim() == 2 and parameter.is_floating_point():
            nn.init.normal_(parameter, std=0.2)
    return model.eval()


def write(name: str, folder: Path) -> Path:
    """Write the model and the shipped tokenizer to ``folder``; return it."""
    build(name).save_pretrained(folder)
    shipped = find_model("tiny").path
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(shipped / file, folder / file)
    return folder


def shapes(name: str) -> nn.Module:
    """Return a model of an architecture on the meta device."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config_for(name))


@cache
def calls(name: str, module: str) -> bool:
    """Return whether an architecture calls its ``module``: some versions of transformers compute with its weight."""
    called: list[nn.Module] = []
    model = build(name)
    for path, part in model.named_modules():
        if path.endswith(f".{module}"):
            part.register_forward_hook(lambda part, *_: called.append(part))
    with torch.no_grad():
        model(torch.tensor([[5, 6, 7]]))
    return bool(called)


def quiet() -> None:
    """Let transformers say nothing of its progress and its defaults."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
