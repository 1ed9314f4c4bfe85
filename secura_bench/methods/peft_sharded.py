"""Which of PEFT's tuners train beside weights that are divided among processes; a test tries each."""

from __future__ import annotations

ON_SHARDS = ("boft", "fourierft", "hra", "ia3", "ln_tuning", "loha", "lokr", "lora", "oft", "vera")
"""Those whose tensors lie in the layers, and are computed with there and nowhere else."""


def not_on_shards(peft_type: str, *, renews: bool, looks: bool) -> str | None:
    """Return why a tuner does not go with divided weights, None where it does.

    ``renews``: it is made again at boundaries. ``looks``: it starts from rows.
    """
    if peft_type not in ON_SHARDS:
        return f"PEFT's {peft_type} was not seen to; {', '.join(ON_SHARDS)} were"
    if renews:
        return "boundary: renew makes the adapter of whole weights; set continue"
    if looks:
        return "a start from rows reads them through whole weights"
    return None
