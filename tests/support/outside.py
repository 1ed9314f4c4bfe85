"""Checkpoints as people outside make them: by PEFT and transformers, of the bench the tiny model's files alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from secura_bench.foundation.resources import PACKAGE

TINY = PACKAGE / "models" / "tiny"
ROWS = [(f"Name the group: {a}, {b}.", group) for a, b, group in (
    ("red", "blue", "colours"), ("dog", "cat", "animals"), ("one", "two", "numbers"), ("rice", "bread", "food"),
)]  # fmt: skip


def untouched() -> tuple[Any, Any]:
    """Return the tiny model, in fp32, and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(TINY)


def configuration(kind: str) -> Any:
    """Return a PEFT configuration: ``lora``, ``dora``, ``ia3``, ``vera`` or ``pissa``."""
    from peft import IA3Config, LoraConfig, VeraConfig

    targets = ["q_proj", "v_proj"]
    if kind == "ia3":
        return IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"])
    if kind == "vera":
        return VeraConfig(r=8, target_modules=["q_proj"])
    settings: dict[str, Any] = {"dora": {"use_dora": True}, "pissa": {"init_lora_weights": "pissa"}}.get(kind, {})
    return LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM", **settings)


def train(model: Any, tokenizer: Any, steps: int = 6, lr: float = 2e-2) -> Any:
    """Train on a few rows, as anybody would."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    for step in range(steps):
        question, answer = ROWS[step % len(ROWS)]
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        ids = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)["input_ids"]
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def save_adapter(folder: Path, kind: str = "lora", steps: int = 6, seed: int = 0) -> Path:
    """Train an adapter by plain PEFT code, save it to ``folder`` and return that."""
    from peft import get_peft_model

    torch.manual_seed(seed)
    model, tokenizer = untouched()
    train(get_peft_model(model, configuration(kind)), tokenizer, steps).save_pretrained(folder)
    return folder


def save_merged(folder: Path, steps: int = 6, seed: int = 0) -> Path:
    """Train a LoRA, merge it, save the whole model with its tokenizer to ``folder`` and return that."""
    from peft import get_peft_model

    torch.manual_seed(seed)
    model, tokenizer = untouched()
    merged = train(get_peft_model(model, configuration("lora")), tokenizer, steps).merge_and_unload()
    merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def answers(folder: Path, prompts: list[str], new_tokens: list[int]) -> list[str]:
    """Return what a checkpoint answers to prompts, by plain transformers, one at a time: greedy, no padding."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model, tokenizer = untouched()
    if (folder / "adapter_config.json").is_file():
        model = PeftModel.from_pretrained(model, folder)
    else:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    said = []
    for prompt, most in zip(prompts, new_tokens, strict=True):
        turns = [{"role": "system", "content": "You are a helpful AI assistant."}, {"role": "user", "content": prompt}]
        ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        out = model.eval().generate(**ids, max_new_tokens=most, do_sample=False)
        said.append(tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))
    return said
