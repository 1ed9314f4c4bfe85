"""Which of PEFT's tuners make of a linear module a linear one, so that it has a weight; a test tries each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LINEAR = (
    "adalora", "beft", "boft", "c3a", "deft", "delora", "fourierft", "frod", "glora", "gralora", "hira", "hra", "ia3",
    "loha", "lokr", "lora", "miss", "oft", "osf", "peanut", "psoft", "pvera", "randlora", "road", "shira",
    "supertuning", "tinylora", "unilora", "vblora", "vera", "waveft",
)  # fmt: skip

_BY_INPUT = ("alora_invocation_tokens", "arrow_config")  # LoRA's keys by which it looks at what comes in


def not_linear(peft_type: str, config: Mapping[str, Any]) -> str | None:
    """Return why a tuner's modules have no weight beside the base's, None where each has one."""
    if peft_type not in LINEAR:
        return f"PEFT's {peft_type} is not known to make a linear module of a linear one"
    if key := next((key for key in _BY_INPUT if config.get(key)), None):
        return f"with {key} what PEFT's {peft_type} adds depends on the inputs"
    if config.get("layer_replication"):
        return "with layer_replication the model has layers that the base has not"
    return None
