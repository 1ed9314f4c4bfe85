"""secura-bench: what a language model learns and forgets while it is fine-tuned.

What is named in ``__all__`` is what others' code imports; ``docs/python.md`` shows it in use. Each name is imported
when it is first asked for (PEP 562), so that importing the package imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from secura_bench.foundation.version import __version__

__all__ = [
    "BenchError",
    "DataError",
    "Method",
    "Options",
    "RecordError",
    "RunsRead",
    "SpecError",
    "Stack",
    "__version__",
    "build_method",
    "load_specs",
    "make_plans",
    "read_runs",
    "run",
]

if TYPE_CHECKING:
    from secura_bench.foundation.errors import BenchError, DataError, RecordError, SpecError
    from secura_bench.methods.build import build_method
    from secura_bench.methods.method import Method, Options
    from secura_bench.methods.stack import Stack
    from secura_bench.plan.make import make_plans
    from secura_bench.report.study.read import RunsRead, read_runs
    from secura_bench.runs.execute import execute as run
    from secura_bench.spec.load import load_specs

_PLACES = {
    "BenchError": "secura_bench.foundation.errors:BenchError",
    "DataError": "secura_bench.foundation.errors:DataError",
    "Method": "secura_bench.methods.method:Method",
    "Options": "secura_bench.methods.method:Options",
    "RecordError": "secura_bench.foundation.errors:RecordError",
    "RunsRead": "secura_bench.report.study.read:RunsRead",
    "SpecError": "secura_bench.foundation.errors:SpecError",
    "Stack": "secura_bench.methods.stack:Stack",
    "build_method": "secura_bench.methods.build:build_method",
    "load_specs": "secura_bench.spec.load:load_specs",
    "make_plans": "secura_bench.plan.make:make_plans",
    "read_runs": "secura_bench.report.study.read:read_runs",
    "run": "secura_bench.runs.execute:execute",
}
"""The same as a type checker reads above."""


if not TYPE_CHECKING:  # a type checker that saw it would take any misspelled name for one of ours

    def __getattr__(name: str) -> Any:
        """Import and return a public name.

        Raises:
            AttributeError: The package has no such name.
        """
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, attribute = _PLACES[name].split(":")
        return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
