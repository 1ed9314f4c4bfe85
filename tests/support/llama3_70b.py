"""Llama-3 70B as its configuration has it, for plans from shapes."""

from __future__ import annotations

LLAMA3_70B = {
    "model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
    "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}  # fmt: skip
PARAMETERS = 70_553_706_496  # as safetensors' count on the model's page of the Hub says
