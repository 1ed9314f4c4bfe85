"""The kinds of values that specs and methods' options have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict, StringConstraints

from secura_bench.foundation.errors import quoted
from secura_bench.foundation.registry import PROTOCOLS


def _number(value: Any) -> Any:
    if isinstance(value, (bool, str)):
        raise ValueError(f"must be a number (here: {quoted(value)})")
    return value


def _rows_at_once(value: Any) -> Any:
    if value != "auto" and (type(value) is not int or value <= 0):
        raise ValueError(f"must be a whole number above 0, or auto (here: {quoted(value)})")
    return value


def as_list(value: Any) -> Any:
    """Let one value stand for a list of one."""
    return value if isinstance(value, (list, tuple)) else [value]


Count = Annotated[int, Strict(), Field(gt=0, le=10**12)]
RowsAtOnce = Annotated[Count | Literal["auto"], BeforeValidator(_rows_at_once)]
Seed = Annotated[int, Strict(), Field(ge=0, lt=2**63)]
Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Names = Annotated[tuple[str, ...], BeforeValidator(as_list), Field(min_length=1)]
UserMetricName = Annotated[str, StringConstraints(pattern=r"^evaluate:\S+$")]
Sampling = Literal["replacement", "epochs", "sequential"]
Precision = Literal["fp32", "bf16", "bf16_pure", "bf16_stochastic"]
OptimizerName = Literal["adamw", "adamw_8bit", "adafactor"]
Kernel = Literal["chunked", "liger"]
TextEngine = Literal["transformers", "vllm"]

if TYPE_CHECKING:
    Protocol = str
else:
    # The harness's is asked for by what the probe names: it scores nothing else.
    Protocol = Literal[tuple(name for name in PROTOCOLS.built_in if name != "lm_eval")]


def _order(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"given|reversed|shuffle-\d{1,9}", value):
        return value
    if isinstance(value, (list, tuple)) and value and all(isinstance(task, str) for task in value):
        return tuple(value)
    raise ValueError(
        f"an order is given, reversed, shuffle-N, or a list of all tasks in that order (here: {quoted(value)})"
    )


_Spelled = Annotated[str, StringConstraints(pattern=r"^(given|reversed|shuffle-\d{1,9})$")] | tuple[str, ...]
Order = Annotated[Any, BeforeValidator(_order, json_schema_input_type=_Spelled)]
"""An order of tasks: ``given`` as in the spec, ``reversed``, ``shuffle-N`` (N seeds it), or the tasks spelled out."""
