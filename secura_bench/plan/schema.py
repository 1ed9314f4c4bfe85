"""JSON Schema of what people write: specs, tasks, lists of them and publications, for editors and other programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from secura_bench.foundation.registry import METHODS
from secura_bench.publications.file import PublicationFile
from secura_bench.spec.described import Described, sentences_of
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.method import MethodSpec
from secura_bench.spec.tune import Tuned
from secura_bench.tasks.file import TaskFile

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_EXTENDS = "A spec that this one is laid over: a path relative to this file, or the name of a shipped one."
_MATRIX = "Dotted keys to lists of values, each combination of which is a spec, or a method, of its own."


def spec_schema() -> Schema:
    """Return the schema of specs: with ``extends``, ``matrix``, ``stack``, and each known method's options by name."""
    schema = _of(ExperimentSpec)
    of_method = _own_keys(schema["$defs"].pop(MethodSpec.__name__)["properties"])
    del schema["$defs"][Tuned.__name__]  # which runs write
    entries = [_entry(name, of_method) for name in METHODS.names()]
    schema["$defs"] |= {f"method_{name}": entry for name, entry in zip(METHODS.names(), entries, strict=True)}
    schema["$defs"] |= {"method": _methods(), "part": _methods(part=True), "stack_of": _stack(of_method)}
    one = {"$ref": "#/$defs/method"}
    schema["properties"]["methods"] |= {"anyOf": [one, {"type": "array", "minItems": 1, "items": one}]}
    values = {"type": "array", "minItems": 1, "uniqueItems": True}
    schema["properties"]["extends"] = {"type": "string", "description": _EXTENDS}
    schema["properties"]["matrix"] = {"type": "object", "description": _MATRIX, "additionalProperties": values}
    # What a spec extends, and what its matrix spells out, need not stand in it.
    elsewhere = {"anyOf": [{"required": ["extends"]}, {"required": ["matrix"]}]}
    required = schema.pop("required")
    return {**schema, "if": elsewhere, "else": {"required": required}}


def task_schema() -> Schema:
    """Return the schema of task files; a ``test`` source says only what is otherwise there."""
    schema = _of(TaskFile)
    sources = ("hub", "local", "file")
    for name in sources:
        (source,) = (each["$ref"] for each in schema["properties"][name]["anyOf"] if "$ref" in each)
        key = source.rpartition("/")[2]
        schema["$defs"][f"{key}Test"] = {k: v for k, v in schema["$defs"][key].items() if k != "required"}
        schema["$defs"]["Sources"]["properties"][name]["anyOf"][0] = {"$ref": f"{source}Test"}
    return {**schema, "anyOf": [{"required": [name]} for name in (*sources, "generated")]}


def lists_schema() -> Schema:
    """Return the schema of ``lists.yaml``: names to lists of tasks."""
    tasks = {"type": "array", "minItems": 1, "items": {"type": "string"}}
    return {"$schema": DIALECT, "title": "Named lists of tasks", "type": "object", "additionalProperties": tasks}


def publication_schema() -> Schema:
    """Return the schema of publications' files."""
    return _of(PublicationFile)


SCHEMAS = {"spec": spec_schema, "task": task_schema, "lists": lists_schema, "publication": publication_schema}


def _of(model: type[BaseModel]) -> Schema:
    return {"$schema": DIALECT, **model.model_json_schema(schema_generator=Described)}


def _own_keys(properties: Mapping[str, Any]) -> Schema:
    """Return what every entry of ``methods`` may say beside its method's options."""
    train = {"anyOf": [{"$ref": "#/$defs/TrainSpec"}, {"type": "null"}]}
    described = {"description": properties["train"]["description"]}
    own = {key: properties[key] for key in ("label", "title", "grid")}
    return {**own, "train": {**train, **described}}


def _entry(name: str, of_method: Schema) -> Schema:
    """Return the schema of a method that is given as a mapping: its name and options, and what every entry may have."""
    method = METHODS.get(name)
    options = method.Options.model_json_schema(schema_generator=Described)
    told = next(iter(sentences_of(method.__doc__)), "").replace("``", "")
    own: Schema = {"name": {"const": name, "description": told}}
    found: Schema = {
        "type": "object",
        "description": told,
        "properties": {**own, **options.get("properties", {}), **of_method},
        "required": ["name", *options.get("required", [])],
        "additionalProperties": False,
    }
    if "$defs" in options:  # a plug-in's own: kept where its references look for them
        found = {"$id": f"method_{name}", "$defs": options["$defs"], **found}
    if name == "stack":
        found["properties"]["parts"] |= {"minItems": 1, "items": {"$ref": "#/$defs/part"}}
    return found


def _stack(of_method: Schema) -> Schema:
    parts = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/part"}, "description": "Methods run as one."}
    properties = {"stack": parts, **of_method}
    return {"type": "object", "properties": properties, "required": ["stack"], "additionalProperties": False}


def _methods(part: bool = False) -> Schema:
    """Return the schema of one entry of ``methods``, or of one part of a stack, which is no stack in turn."""
    names = [name for name in METHODS.names() if not (part and name == "stack")]
    choices: list[Schema] = [{"enum": names}, *({"$ref": f"#/$defs/method_{name}"} for name in names)]
    if part:  # it has no runs of its own to be told apart, nor training settings
        return {"anyOf": choices, "properties": {"label": False, "title": False, "train": False, "grid": False}}
    return {"anyOf": [*choices, {"$ref": "#/$defs/stack_of"}]}
