"""A task of the harness asked of a model, and what it says of every item."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from secura_bench.foundation.errors import BenchError, DataError
from secura_bench.foundation.wording import first_line
from secura_bench.harness.apart import seed
from secura_bench.harness.load import FEWSHOT_SEED


@dataclass(frozen=True)
class Said:
    """One item as the harness logs it.

    Attributes:
        sample: the first of its logged samples. figures: its numbers by metric, and by filter where one is named.
    """

    sample: Mapping[str, Any]
    figures: Mapping[str, float]

    @property
    def id(self) -> str:
        """The hash of the item's document."""
        return str(self.sample["doc_hash"])


def language_model(model: nn.Module, tokenizer: Any, batch_size: int) -> Any:
    """Return the harness's wrapper of a model that is there; within ``apart(model)``. The tokenizer is copied."""
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=model, tokenizer=copy.deepcopy(tokenizer), batch_size=batch_size)


def ask(lm: Any, part: str, name: str, task: Any, limit: int | None) -> list[Said]:
    """Return what the harness says of each item of one task, in the order of its documents; within ``apart``.

    It is ``lm_eval.simple_evaluate`` less what that finds out of the machine, ten seconds a call.

    Raises:
        DataError: The harness fails at it.
    """
    from lm_eval.evaluator import evaluate

    seed()
    task.set_fewshot_seed(seed=FEWSHOT_SEED)
    try:
        found = evaluate(lm, {"tasks": {name: task}}, limit=limit, bootstrap_iters=0, confirm_run_unsafe_code=True)
    except (BenchError, MemoryError, RuntimeError):
        raise  # memory that runs out, above all: the caller knows the way out
    except Exception as error:
        melted = isinstance(error, AssertionError) and not str(error)
        why = (
            "a choice's tokens melt into its prompt's, with this tokenizer"
            if melted
            else first_line(str(error)).rstrip(".")
        )
        raise DataError(f"{part}: lm-eval fails at {name}: {type(error).__name__}: {why}.") from error
    items: dict[int, list[Mapping[str, Any]]] = {}
    for sample in found["samples"][name]:
        items.setdefault(sample["doc_id"], []).append(sample)
    return [Said(items[position][0], _figures(items[position])) for position in sorted(items)]


def _figures(samples: list[Mapping[str, Any]]) -> dict[str, float]:
    """Return an item's numbers as the harness names them: ``exact_match,strict-match``, and without a filter ``acc``.

    What is no number by itself (a pair that a corpus metric is made of) is none here.
    """
    found: dict[str, float] = {}
    for sample in samples:
        for metric in sample["metrics"]:
            try:
                value = float(sample[metric])
            except (TypeError, ValueError):
                continue
            if math.isfinite(value):
                found[metric if sample["filter"] == "none" else f"{metric},{sample['filter']}"] = value
    return found
