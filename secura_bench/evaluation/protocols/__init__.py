"""The ways to score a model: an object each, which imports no torch before it asks a model.

To add one, write a module here with a ``Protocol`` (what it is called, measures and can score, how it asks a model and
what it makes of the answers), and add its line to ``foundation.registry.PROTOCOLS``. Nothing else names protocols one
by one: specs, plans, runs, tables and ``ls protocols`` read the object.

No table has two protocols in a column.
"""

from __future__ import annotations

from collections.abc import Mapping

from secura_bench.evaluation.protocols.protocol import Protocol
from secura_bench.foundation import registry

PROTOCOLS: Mapping[str, Protocol] = {name: registry.PROTOCOLS.get(name) for name in registry.PROTOCOLS.built_in}
"""The protocols by name, in the order of their tables."""
