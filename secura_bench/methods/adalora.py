"""AdaLoRA's schedule, as PEFT carries it out: what it does not check itself, and finds out in the middle of a run."""

from __future__ import annotations

from typing import Any

from secura_bench.foundation.errors import SpecError


def refuse_schedule(config: Any) -> None:
    """Refuse an AdaLoRA that PEFT accepts and cannot train.

    Ranks are ``init_r`` for ``tinit`` steps, fall every ``deltaT`` steps to ``target_r`` on average, and stay from step
    ``total_step`` − ``tfinal`` on.

    Raises:
        ValueError: Names the key.
    """
    for key, least in (("target_r", 1), ("deltaT", 1), ("tinit", 0), ("tfinal", 0), ("total_step", 1)):
        value = getattr(config, key)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{key}: {value!r} must be a whole number, {least} or more")
    if config.target_r >= config.init_r:
        raise ValueError(
            f"target_r: {config.target_r} is not below init_r: {config.init_r}, so that no rank is left to take away; "
            f"take a smaller target_r, or lora, whose rank stays"
        )


def refuse_steps(total: int, steps: int) -> None:
    """Refuse a ``total_step`` that a run of ``steps`` optimizer steps does not reach.

    A smaller one is right: ranks then stay for the rest of the run, as with a larger ``tfinal``.

    Raises:
        SpecError: It is more.
    """
    if total > steps:
        raise SpecError(
            f"total_step: {total} is more than the run's {steps} optimizer steps, over all its tasks: the ranks would "
            f"never come down to target_r; set total_step: {steps}."
        )
