"""Whether a spec's runs may run what a model writes, and what of it they can: asked before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from secura_bench.data.example import Example
from secura_bench.evaluation.protocols.execute import NOT_ALLOWED
from secura_bench.foundation.errors import SpecError
from secura_bench.spec.experiment import ExperimentSpec

EXECUTE = "execute"
PASSES = "behind its tests"
"""Another word whenever another program passes, so that older records of programs are not taken for new ones."""


def check_allowed(spec: ExperimentSpec, allow_code: bool) -> None:
    """Refuse a spec that has programs run, where the command line does not allow it.

    Raises:
        SpecError: It does not.
    """
    if EXECUTE in spec.protocols and not allow_code:
        raise SpecError(NOT_ALLOWED)


def languages_here(spec: ExperimentSpec, scored: Iterable[Example]) -> Mapping[str, str] | None:
    """Return of each language of the scored rows why it cannot be run here, by its self-test; None of another spec."""
    if EXECUTE not in spec.protocols:
        return None
    from secura_bench.execution.ready import why_not

    return why_not(sorted({example.row.code.language for example in scored if example.row.code}))


def run_mark(why_not: Mapping[str, str] | None) -> dict[str, Any]:
    """Return what a fingerprint holds of the languages that are run: which they are, and by what a program passes."""
    if why_not is None:
        return {}
    return {"run": sorted(language for language, reason in why_not.items() if not reason), "passes": PASSES}
