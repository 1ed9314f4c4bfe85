"""Whether what was written says what the trained model says: stock PEFT and transformers are asked first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from secura_bench.evaluation.prompt_cache import config_of
from secura_bench.foundation.errors import BenchError
from secura_bench.methods.method import Method

_ROWS, _LENGTH = 4, 48
_ALLOWED, _OF_EFFECT, _LEAST = 2e-3, 0.05, 1e-4  # of the logits' spread; of what training moved; of the spread again


def probe_rows(model: nn.Module) -> Tensor:
    """Return token ids (rows, length) from all over the vocabulary, and those whose embeddings were trained."""
    config = config_of(model).get_text_config(decoder=True)
    generator = torch.Generator().manual_seed(0)
    length = min(_LENGTH, *(getattr(config, name, None) or _LENGTH for name in ("max_position_embeddings",)))
    ids = torch.randint(3, max(4, int(config.vocab_size * 0.9)), (_ROWS, length), generator=generator)
    trained = sorted(set(_trained_tokens(model)))[: ids.numel() // 2]
    for number, token in enumerate(trained):
        ids[number % _ROWS, (number // _ROWS) % length] = token
    return ids


def _trained_tokens(model: nn.Module) -> list[int]:
    found: list[int] = []
    for config in getattr(model, "peft_config", {}).values():
        for name in ("token_indices", "trainable_token_indices"):
            given: Any = getattr(config, name, None) or []
            for ids in given.values() if isinstance(given, dict) else [given]:
                found += ids
    return found


@torch.no_grad()
def logits_of(model: nn.Module, ids: Tensor) -> Tensor:
    """Return the logits (rows, length, vocabulary) in fp32, read without a cache."""
    said: Tensor = model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    return said.float()


def refuse_disagreement(
    method: Method, model: nn.Module, base: nn.Module, written: Callable[[], nn.Module], way_out: str
) -> None:
    """Refuse an export that computes other logits than the trained ``model``. ``written`` loads the export.

    ``base`` is the untrained model. The error must also be small beside what training moved.

    Raises:
        BenchError: Says how far apart the logits are, and the way out.
    """
    ids = probe_rows(model)
    with method.evaluating(model) as view:
        trained = logits_of(view, ids)
    untrained = logits_of(base, ids)
    found = logits_of(written(), ids)
    spread, effect = trained.std().item(), (trained - untrained).abs().max().item()
    allowed = max(min(_ALLOWED * spread, _OF_EFFECT * effect), _LEAST * spread)
    apart = (found - trained).abs().max().item()
    if not apart <= allowed:
        raise BenchError(
            f"what would be written computes something else than what was trained: its logits are up to {apart:.3g} "
            f"away, where training moved them by {effect:.3g}. Nothing is written. {way_out}"
        )
