"""What a model's tables can look up: token ids and positions, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from secura_bench.foundation.errors import SpecError


def refuse_what_overruns(label: str, model: Any, ids: Iterable[int], pad_id: int, longest: int) -> None:
    """Refuse token ids and lengths that end in an ``IndexError``, on a model of shapes alone.

    ``ids`` are all that will be looked up, ``pad_id`` among them or not; ``longest`` is the most tokens of a row, with
    what it may generate.

    Raises:
        SpecError: Names what is too large, and the way out.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    if not 0 <= pad_id < rows:
        raise SpecError(
            f"model {label!r}: its tokenizer pads with token {pad_id}, and the embedding has {rows} rows; set a pad "
            f"token of the model's own in tokenizer_config.json."
        )
    if (largest := max(ids, default=0)) >= rows:
        raise SpecError(
            f"model {label!r}: its tokenizer gives token {largest}, and the embedding has {rows} rows: it is another "
            f"model's."
        )
    places = learned_positions(model)
    if places is not None and longest > places:
        raise SpecError(
            f"model {label!r}: rows of up to {longest} tokens, with what they may generate, are asked for, and it has "
            f"{places} positions; set a smaller data.context, such as {places // 2}, or take tasks of shorter answers."
        )


def learned_positions(model: Any) -> int | None:
    """Return how many positions a table of the decoder holds, None where positions are computed."""
    config = model.config.get_text_config(decoder=True)
    said = getattr(config, "max_position_embeddings", None)
    words = model.get_input_embeddings()
    tables = [
        module.num_embeddings
        for path, module in model.get_decoder().named_modules()
        if isinstance(module, nn.Embedding) and module is not words and _is_of_positions(path)
    ]
    if not tables:
        return None
    return min(*tables, said) if isinstance(said, int) else min(tables)


def _is_of_positions(path: str) -> bool:
    name = path.rpartition(".")[2]
    return name == "wpe" or "position" in name
