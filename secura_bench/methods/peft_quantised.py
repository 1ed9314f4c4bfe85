"""Which of PEFT's tuners go with a base whose weights are held in 4 or 8 bits; a test tries each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secura_bench.methods.peft_shapes import DRAWN

ON_FEW_BITS = ("adalora", "hira", "ia3", "ln_tuning", "lora", "pvera", "randlora", "road")
"""Those that have layers of their own for bitsandbytes' modules, or touch no linear one."""


def not_on_few_bits(peft_type: str, config: Mapping[str, Any]) -> str | None:
    """Return why a tuner does not go with a quantised base, None where it does."""
    if peft_type not in ON_FEW_BITS:
        return f"PEFT's {peft_type} has no layer for such weights; {', '.join(ON_FEW_BITS)} have"
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower() not in DRAWN:
        return f"init_lora_weights: {start} takes something out of the weights; take true"
    return None
