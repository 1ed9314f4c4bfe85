"""A checkpoint's own tokenizer and chat template beside the base's: what differs is named, and never used silently."""

from __future__ import annotations

import json
from typing import Any

from secura_bench.checkpoints.find import Checkpoint
from secura_bench.data.chat import ChatFormat
from secura_bench.foundation.errors import DataError
from secura_bench.foundation.wording import first_line

_FILES = ("tokenizer_config.json", "tokenizer.json", "tokenizer.model", "vocab.json")
_PARTS = ("normalizer", "pre_tokenizer", "model", "decoder")
"""Of a fast tokenizer, what decides the ids of a text; padding and truncation are set by whoever trains."""


def own_chat(checkpoint: Checkpoint, system: str | None, *, bare: bool = False) -> ChatFormat:
    """Return the chat format of the checkpoint's own tokenizer.

    Raises:
        DataError: It has none, or one that cannot be loaded or used.
    """
    tokenizer = _own_tokenizer(checkpoint)
    if tokenizer is None:
        raise DataError(
            f"{checkpoint.folder.path}: holds no tokenizer, which `template: own` asks for; leave it out, and prompts "
            f"are made with the base's."
        )
    return ChatFormat(tokenizer, system, checkpoint.label, bare=bare)


def differences_of(checkpoint: Checkpoint, base: ChatFormat) -> tuple[str, ...]:
    """Return how the tokenizer and template that lie with a checkpoint differ from the base's; nothing where none do.

    Raises:
        DataError: There is a tokenizer that cannot be loaded.
    """
    tokenizer = _own_tokenizer(checkpoint)
    if tokenizer is None:
        return ()
    found = []
    mine, theirs = tokenizer.get_vocab(), base.tokenizer.get_vocab()
    if mine != theirs:
        moved = sum(theirs.get(token, number) != number for token, number in mine.items())
        others = f", {moved} of them under other ids" if moved else ""
        found.append(f"vocabulary ({len(mine)} tokens{others}; the base's has {len(theirs)})")
    elif _makes(tokenizer) != _makes(base.tokenizer):
        found.append("tokenizer (it takes text apart in another way)")
    if tokenizer.eos_token != base.tokenizer.eos_token:
        found.append(f"end of sequence ({tokenizer.eos_token!r}; the base's is {base.tokenizer.eos_token!r})")
    if tokenizer.chat_template != base.tokenizer.chat_template:
        found.append("chat template" if tokenizer.chat_template else "chat template (it has none)")
    return tuple(found)


def _own_tokenizer(checkpoint: Checkpoint) -> Any:
    """Return the tokenizer that lies with a checkpoint, None where none does."""
    from transformers import AutoTokenizer

    folder = checkpoint.folder.path
    if not any((folder / name).is_file() for name in _FILES):
        return None
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # whatever the libraries below raise: a damaged file is told in many ways
        raise DataError(f"{folder}: its tokenizer cannot be loaded: {first_line(error)}") from None


def _makes(tokenizer: Any) -> Any:
    """Return what of a tokenizer decides the ids of a text, where it says so."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    told = json.loads(backend.to_str()) if backend is not None else {}
    return [told.get(part) for part in _PARTS]
