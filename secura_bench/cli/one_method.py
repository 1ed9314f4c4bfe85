"""What `ls methods NAME` says of one method: what it computes, where that is from, its options."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

from pydantic import BaseModel

from secura_bench.cli.listing import Listing, deviation
from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.wording import first_line
from secura_bench.spec.described import Described, in_words, meaning_of, sentences_of


def one_method(name: str) -> Listing:
    """Return a method's options: of each its type, its default, and what it does.

    Raises:
        SpecError: Unknown name; the message has the nearest one.
    """
    method = METHODS.get(name)
    options: type[BaseModel] = method.Options
    schemas = options.model_json_schema(schema_generator=Described).get("properties", {})
    rows = []
    for field, info in options.model_fields.items():
        key = info.alias or field
        default = "required" if info.is_required() else _spelled(info.get_default(call_default_factory=True))
        rows.append((key, in_words(schemas[key]), default, meaning_of(options, field).replace("`", "")))
    source = paper(method)
    sentence = next(iter(sentences_of(method.__doc__)), "").replace("``", "")
    about = [f"{name}: {sentence}", *([f"From: {source}"] if source else [])]
    if told := deviation(method.__doc__):
        about.append(f"Otherwise than there: {told}")
    if not rows:
        return Listing(("",), [(f"{name} has no options.",)], about)
    return Listing(("option", "type", "default", ""), rows, about)


def paper(method: type) -> str:
    """Return the first line of what a method's module says of itself if it names a paper, "" if not."""
    line = first_line(getattr(inspect.getmodule(method), "__doc__", None) or "")
    return line if re.search(r"arXiv|\b(19|20)\d\d\b", line) else ""


def _spelled(value: Any) -> str:
    """Return a default as a spec spells it."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value, ensure_ascii=False).replace('"', "")
