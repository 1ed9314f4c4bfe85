"""A spec to start from: what it must say, said; every other key as a comment, with its default and its meaning."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel

from secura_bench.foundation.registry import METHODS
from secura_bench.spec.described import meaning_of
from secura_bench.spec.experiment import ExperimentSpec

_WIDTH = 100
_FIRST_LOOK: dict[str, dict[str, Any]] = {
    "train": {"lr": 1e-3, "steps": 100, "batch_size": 8},
    "evaluate": {"protocols": ["generate", "teacher_forced"], "limit": 50},
}
"""What a first look sets in each section: few steps and rows, so that it ends; and answers that the model writes."""


def starting_spec(head: Sequence[str], said: Mapping[str, Any], methods: Sequence[str]) -> str:
    """Return a commented spec that is whole, and runs as it stands.

    ``head`` are lines of comment to begin with. ``said`` are values of top-level keys. The untouched model stands
    before ``methods``, each of which has its options as comments.

    Raises:
        SpecError: A method is unknown.
    """
    lines = [*(f"# {line}".rstrip() for line in head), ""]
    for name, field in ExperimentSpec.model_fields.items():
        lines += _meaning(ExperimentSpec, name, "")
        if name == "methods":
            lines += ["methods:", *_methods(methods)]
        elif isinstance(field.default, BaseModel):
            lines += [f"{name}:", *_section(type(field.default), _FIRST_LOOK.get(name, {}))]
            if name not in _FIRST_LOOK:
                lines[lines.index(f"{name}:")] = f"# {name}:"
        else:
            lines.append(_line(name, said[name]) if name in said else f"# {_line(name, field.default)}")
        lines.append("")
    return "\n".join(lines)


def open_options(methods: Sequence[str]) -> str:
    """Return the options that only a person can fill in, as ``peft: peft_type``; "" where there are none."""
    fields = {name: METHODS.get(name).Options.model_fields for name in methods}
    open_ = {name: [key for key, field in found.items() if field.is_required()] for name, found in fields.items()}
    return ", ".join(f"{name}: {' and '.join(keys)}" for name, keys in open_.items() if keys)


def _methods(names: Sequence[str]) -> Iterator[str]:
    """Yield the list of methods, the untouched model first."""
    yield "  - base"
    for name in (name for name in names if name != "base"):
        options: type[BaseModel] = METHODS.get(name).Options
        yield f"  - name: {name}"
        yield from _section(options, {}, "    ")


def _section(model: type[BaseModel], said: Mapping[str, Any], indent: str = "  ") -> Iterator[str]:
    """Yield the keys of a section or of a method's options; those that must be said stand open, to be filled in."""
    for name, field in model.model_fields.items():
        key = field.alias or name
        yield from _meaning(model, name, indent)
        default = field.get_default(call_default_factory=True)
        if key in said or field.is_required():
            yield indent + _line(key, said.get(key))
        else:
            yield f"{indent}# {_line(key, default)}"


def _meaning(model: type[BaseModel], name: str, indent: str) -> list[str]:
    """Return what a key means as lines of comment."""
    mark = f"{indent}## "
    text = meaning_of(model, name)
    return textwrap.wrap(text, _WIDTH, initial_indent=mark, subsequent_indent=mark, break_on_hyphens=False)


def _line(key: str, value: Any) -> str:
    """Return a key and its value on one line, as YAML."""
    plain = list(value) if isinstance(value, tuple) else value
    spelled = yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True, width=10_000)
    return f"{key}: " + spelled.removesuffix("...\n").strip()  # "..." ends a document that is one scalar
