"""What plug-ins told a plan before there was ``Footprint``: heard for one release more, or refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from secura_bench.foundation.errors import SpecError
from secura_bench.methods.footprint import Footprint

if TYPE_CHECKING:
    from secura_bench.methods.method import Method

_HEARD = ("counts_by_layer", "relative_rows", "relative_work", "kept_logits", "extra_rows", "kept", "adapted")
_REFUSED = {
    "count_on": "count_on_shapes",
    "kept_weights": "kept_weights",
    "held_memory": "held_bytes",
    "boundary_memory": "boundary_bytes",
}


def with_former_hooks(method: Method, footprint: Footprint) -> Footprint:
    """Return ``footprint`` with what the class of ``method`` says by attributes of the fields' names.

    Raises:
        SpecError: It says something that is asked for otherwise now.
    """
    kind = type(method)
    for name, field in _REFUSED.items():
        if hasattr(kind, name):
            raise SpecError(
                f"method {method.name!r}: {kind.__name__}.{name} is not asked any more; say it by 'footprint': "
                f"replace(super().footprint(), {field}=...)."
            )
    return replace(footprint, **{name: getattr(method, name) for name in _HEARD if hasattr(kind, name)})
