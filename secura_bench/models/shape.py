"""A model's shape: the numbers of its config.json that decide what it weighs, and a skeleton with its names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import nn

FAMILIES = {"llama": 2, "mistral": 2, "qwen2": 2, "gemma2": 4, "gemma3_text": 4}
"""Families whose layers are laid out as below, and how many norms of the hidden state a layer has."""


class Module(NamedTuple):
    """A layer's linear module: its name, which tensor it reads, and its numbers of inputs and outputs."""

    name: str
    source: str
    inputs: int
    outputs: int


class Linear(nn.Linear):
    """A linear layer without values; to draw them even for shapes alone imports symbolic algebra."""

    def reset_parameters(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Shape:
    """A decoder of the Llama layout; names are those of transformers' configurations.

    ``bias``: whether query, key and value projections have one (Qwen2). ``head_norms``: whether queries and keys are
    normalised, a head each (Gemma 3).
    """

    family: str
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    bias: bool
    context: int
    head_norms: bool = False

    @classmethod
    def from_config(cls, family: str, config: Mapping[str, Any]) -> Shape | None:
        """Read the keys of a config.json; None for a family of another layout."""
        if family not in FAMILIES:
            return None
        heads = config["num_attention_heads"]
        return cls(
            family=family,
            hidden=config["hidden_size"],
            intermediate=config["intermediate_size"],
            layers=config["num_hidden_layers"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or (256 if family == "gemma3_text" else config["hidden_size"] // heads),
            vocabulary=config["vocab_size"],
            tied=config.get("tie_word_embeddings", family.startswith("gemma")),
            bias=family == "qwen2" or bool(config.get("attention_bias")),
            context=config["max_position_embeddings"],
            head_norms=family == "gemma3_text",
        )

    @property
    def modules(self) -> tuple[Module, ...]:
        """The linear modules of a layer."""
        q, k = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return (
            Module("q_proj", "attention", self.hidden, q),
            Module("k_proj", "attention", self.hidden, k),
            Module("v_proj", "attention", self.hidden, k),
            Module("o_proj", "output", q, self.hidden),
            Module("gate_proj", "mlp", self.hidden, self.intermediate),
            Module("up_proj", "mlp", self.hidden, self.intermediate),
            Module("down_proj", "inner", self.intermediate, self.hidden),
        )

    @property
    def targets(self) -> int:
        """Scalars of a layer's query and value projections, biases among them."""
        outputs = (self.heads + self.kv_heads) * self.head_dim
        return outputs * (self.hidden + self.bias)

    @property
    def embedding(self) -> int:
        """Scalars of the input embedding: vocabulary · hidden."""
        return self.vocabulary * self.hidden

    @property
    def layer(self) -> int:
        """Scalars of one layer.

        With q = heads · head_dim and k = kv_heads · head_dim: 2 hidden·q + 2 hidden·k (attention) + 3 hidden ·
        intermediate (the gated MLP) + the norms, hidden each, + q + 2k where the projections have biases, + two norms
        of head_dim where heads have them.
        """
        q, k = self.heads * self.head_dim, self.kv_heads * self.head_dim
        matrices = 2 * self.hidden * (q + k) + 3 * self.hidden * self.intermediate
        norms = FAMILIES[self.family] * self.hidden + 2 * self.head_dim * self.head_norms
        return matrices + norms + (q + 2 * k) * self.bias

    @property
    def parameters(self) -> int:
        """Scalars of the whole model: embedding, layers, last norm, and the head where it is not the embedding."""
        return self.embedding * (1 if self.tied else 2) + self.layers * self.layer + self.hidden

    @property
    def largest(self) -> int:
        """Scalars of the largest single tensor."""
        return max(self.embedding, self.hidden * self.intermediate)

    def skeleton(self, layers: int | None = None) -> nn.Module:
        """Return modules with the model's names and shapes on the meta device, with ``layers`` of its layers.

        It computes nothing; methods can be attached to it, and it takes no import of transformers, which takes
        seconds.
        """
        q, k = self.heads * self.head_dim, self.kv_heads * self.head_dim

        def linear(inputs: int, outputs: int, bias: bool = False) -> nn.Linear:
            return Linear(inputs, outputs, bias=bias, device="meta")

        def norm(width: int = self.hidden) -> nn.Module:
            return nn.RMSNorm(width, device="meta")

        def layer() -> nn.Module:
            norms = ["input_layernorm", "post_attention_layernorm"]
            if FAMILIES[self.family] == 4:
                norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
            attention = {
                "q_proj": linear(self.hidden, q, self.bias),
                "k_proj": linear(self.hidden, k, self.bias),
                "v_proj": linear(self.hidden, k, self.bias),
                "o_proj": linear(q, self.hidden),
                **({"q_norm": norm(self.head_dim), "k_norm": norm(self.head_dim)} if self.head_norms else {}),
            }
            mlp = {
                "gate_proj": linear(self.hidden, self.intermediate),
                "up_proj": linear(self.hidden, self.intermediate),
                "down_proj": linear(self.intermediate, self.hidden),
            }
            parts = {"self_attn": nn.ModuleDict(attention), "mlp": nn.ModuleDict(mlp)}
            return nn.ModuleDict({**parts, **{name: norm() for name in norms}})

        weight = torch.empty(self.vocabulary, self.hidden, device="meta")
        embedding = nn.Embedding(self.vocabulary, self.hidden, _weight=weight)
        head = linear(self.hidden, self.vocabulary)
        if self.tied:
            head.weight = embedding.weight
        stack = nn.ModuleList(layer() for _ in range(layers or self.layers))
        inner = nn.ModuleDict({"embed_tokens": embedding, "layers": stack, "norm": norm()})
        model = nn.ModuleDict({"model": inner, "lm_head": head})
        model.config = SimpleNamespace(hidden_size=self.hidden)  # type: ignore[assignment]
        return model
