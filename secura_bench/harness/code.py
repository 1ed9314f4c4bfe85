"""What of the harness is code that is not this program's, and runs where that is allowed alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from secura_bench.foundation.errors import SpecError
from secura_bench.spec.probe import Suite


def refuse_folder(suite: Suite, allow_code: bool) -> None:
    """Refuse a folder of tasks, before it is looked into, where code is not allowed.

    Raises:
        SpecError: It is not.
    """
    if suite.include_path is not None and not allow_code:
        raise SpecError(
            f"include_path: {suite.include_path} holds tasks of lm-eval, which are code (its templates are run without "
            f"a sandbox); if you trust them, say so: --allow-code."
        )


@contextmanager
def foreign_code(part: str, allow_code: bool) -> Iterator[None]:
    """Let tasks load metrics of the package ``evaluate``, which are code of the Hub, where that is allowed.

    Raises:
        SpecError: One does, and it is not.
    """
    if allow_code:
        yield
        return
    import evaluate

    load = evaluate.load

    def refuse(name: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise SpecError(f"{part}: takes {name!r} of evaluate, which is code; if you trust it, say so: --allow-code.")

    evaluate.load = refuse
    try:
        yield
    finally:
        evaluate.load = load
