"""GPT-2's shape: learned positions, layer norms, Conv1D in the place of linear layers, an MLP without a gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from secura_bench.models.shape import Linear, Module, Shape


@dataclass(frozen=True)
class GPT2Shape(Shape):
    """A decoder of GPT-2's layout.

    ``attention_dropout``, ``residual_dropout``: whether training draws masks there; their rates are the model's own.
    """

    attention_dropout: bool = True
    residual_dropout: bool = True

    @classmethod
    def from_config(cls, family: str, config: Mapping[str, Any]) -> GPT2Shape:
        """Read the keys of a config.json."""
        hidden, heads = config["n_embd"], config["n_head"]
        return cls(
            family=family,
            hidden=hidden,
            intermediate=config.get("n_inner") or 4 * hidden,
            layers=config["n_layer"],
            heads=heads,
            kv_heads=heads,
            head_dim=hidden // heads,
            vocabulary=config["vocab_size"],
            tied=config.get("tie_word_embeddings", True),
            bias=True,
            context=config["n_positions"],
            attention_dropout=config.get("attn_pdrop", 0.1) > 0,
            residual_dropout=config.get("resid_pdrop", 0.1) > 0,
        )

    @property
    def modules(self) -> tuple[Module, ...]:
        """The linear modules of a layer; two have one name."""
        return (
            Module("c_attn", "attention", self.hidden, 3 * self.hidden),
            Module("c_proj", "output", self.hidden, self.hidden),
            Module("c_fc", "mlp", self.hidden, self.intermediate),
            Module("c_proj", "inner", self.intermediate, self.hidden),
        )

    @property
    def targets(self) -> int:
        """No scalars: query and value are no modules of their own."""
        return 0

    @property
    def layer(self) -> int:
        """Scalars of one layer: 4 hidden² (attention) + 2 hidden · intermediate, biases, and two norms of 2 hidden."""
        biases = 4 * self.hidden + self.intermediate + self.hidden
        return 4 * self.hidden**2 + 2 * self.hidden * self.intermediate + biases + 4 * self.hidden

    @property
    def parameters(self) -> int:
        """Scalars of the whole model: embeddings of tokens and of positions, layers, last norm, and an untied head."""
        embeddings = self.embedding * (1 if self.tied else 2) + self.context * self.hidden
        return embeddings + self.layers * self.layer + 2 * self.hidden

    def skeleton(self, layers: int | None = None) -> nn.Module:
        """Return modules with the model's names and shapes on the meta device, with ``layers`` of its layers."""
        from transformers.pytorch_utils import Conv1D

        def norm() -> nn.Module:
            return nn.LayerNorm(self.hidden)

        def layer() -> nn.Module:
            attention = {"c_attn": Conv1D(3 * self.hidden, self.hidden), "c_proj": Conv1D(self.hidden, self.hidden)}
            mlp = {"c_fc": Conv1D(self.intermediate, self.hidden), "c_proj": Conv1D(self.hidden, self.intermediate)}
            parts = {"ln_1": norm(), "attn": nn.ModuleDict(attention), "ln_2": norm(), "mlp": nn.ModuleDict(mlp)}
            return nn.ModuleDict(parts)

        with torch.device("meta"):
            tokens, places = nn.Embedding(self.vocabulary, self.hidden), nn.Embedding(self.context, self.hidden)
            head = Linear(self.hidden, self.vocabulary, bias=False)
            stack = nn.ModuleList(layer() for _ in range(layers or self.layers))
            inner = nn.ModuleDict({"wte": tokens, "wpe": places, "h": stack, "ln_f": norm()})
        if self.tied:
            head.weight = tokens.weight
        model = nn.ModuleDict({"transformer": inner, "lm_head": head})
        model.config = SimpleNamespace(hidden_size=self.hidden)  # type: ignore[assignment]
        return model
