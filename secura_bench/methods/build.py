"""Methods by name and options: what the command line and others' code call."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.yaml_file import explain
from secura_bench.methods.method import Method


def build_method(name: str, **options: Any) -> Method:
    """Return a registered method with ``options``; its ``attach`` works on any module with ``nn.Linear`` children.

    Raises:
        SpecError: Unknown name or option, or a value that is not allowed.
    """
    method: type[Method] = METHODS.get(name)
    try:
        return method(method.Options.model_validate(options))
    except ValidationError as error:
        key, message = explain(error.errors()[0], method.Options)
        where = ".".join([repr(name), *map(str, key)])
        raise SpecError(f"method {where}: {message}") from None
