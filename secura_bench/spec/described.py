"""What a typed value says of its keys: of each its type in words, and what it means."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from secura_bench.spec.types import as_list

_KINDS = {"integer": "whole number", "boolean": "true or false", "string": "text", "object": "mapping"}
_NONE = 10**12  # a bound that is as far away is none
_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}


class Described(GenerateJsonSchema):
    """JSON Schema as people write YAML: one value may stand for a list of one, and each key says what it does."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Describe a model by its first sentence, and each of its keys by the text under it."""
        found = super().model_schema(schema)
        model = schema["cls"]
        found["description"] = next(iter(sentences_of(model.__doc__)), "").replace("``", "")
        for name, field in model.model_fields.items():
            if said := meaning_of(model, name):
                found["properties"][field.alias or name]["description"] = said
        return found

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """Let one value stand for a list where it may."""
        found = super().function_before_schema(schema)
        if schema["function"]["function"] is as_list and "items" in found:
            return {"anyOf": [found, found["items"]]}
        return found

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Leave out titles that only spell a key with a capital."""
        return False

    def generate(self, schema: core_schema.CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        """Return the schema of one type; see ``with_bounds``."""
        return with_bounds(super().generate(schema, mode))


def with_bounds(schema: Any) -> Any:
    """Return a JSON Schema in which bounds have its own names.

    Where a validator of ours looks at a value before its bounds do, pydantic leaves its names for them, such as ``ge``,
    or those of texts for lists.
    """
    if isinstance(schema, list):
        return [with_bounds(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "minLength" in schema and any(each.get("type") == "array" for each in schema.get("anyOf", ())):
        schema = {
            **{key: value for key, value in schema.items() if key != "minLength"},
            "minItems": schema["minLength"],
        }
    number = schema.get("type") in ("number", "integer")
    named = {_BOUNDS.get(key, key) if number else key: value for key, value in schema.items()}
    return {key: with_bounds(value) for key, value in named.items()}


def meaning_of(model: type[BaseModel], name: str) -> str:
    """Return what ``model`` says of its field ``name``, on one line of Markdown: the text under it; "" if none."""
    return " ".join((model.model_fields[name].description or "").replace("``", "`").split())


def sentences_of(doc: str | None) -> list[str]:
    """Return the sentences of a docstring, each on one line; a full stop behind one letter, as in "e.g.", ends none."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(doc or ""))
    return [
        sentence
        for paragraph in paragraphs
        for sentence in re.split(r"(?<=[^ .][^ .]\.) +(?=[^a-z])", " ".join(paragraph.split()))
        if sentence
    ]


def in_words(schema: Mapping[str, Any]) -> str:
    """Return the type that the JSON Schema of one key stands for: ``whole number > 0``, ``a or b``, ``number or null``.

    What it refers to elsewhere is called by its name there. Bounds that only keep out nonsense are left out.
    """
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return _spelled(schema["const"])
    if "enum" in schema:
        return " or ".join(map(_spelled, schema["enum"]))
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        one, *others = choices
        if [other.get("items", other.get("additionalProperties")) for other in others] == [one, one]:
            return f"{in_words(one)}, or one for each task"
        for one, other in (choices, choices[::-1]) if len(choices) == 2 else ():
            if other.get("items") == one:
                return f"{in_words(one)}, or a list of these"
        return " or ".join(dict.fromkeys(map(in_words, choices)))
    if schema.get("type") == "array":
        places = schema.get("prefixItems", ())
        return f"list of {len(places)} ({in_words(places[0])})" if places else f"list of {in_words(schema['items'])}"
    bounds = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    limits = [f"{sign} {schema[bound]:g}" for bound, sign in bounds.items() if abs(schema.get(bound, _NONE)) < _NONE]
    kind = str(schema.get("type", "any"))
    return " ".join([_KINDS.get(kind, kind), ", ".join(limits)]).strip()


def _spelled(value: Any) -> str:
    return value if isinstance(value, str) else {True: "true", False: "false", None: "null"}.get(value, str(value))
