"""YAML files read safely, with the file and line of every key at hand, so that an error can name them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from secura_bench.foundation.errors import SpecError, quoted, unknown_name
from secura_bench.foundation.regular import read_regular
from secura_bench.foundation.schema import SLUG, SLUG_WORDS

_LARGEST = 1 << 18  # bytes: a long experiment has some thousand, and reading a million takes half a minute
Model = TypeVar("Model", bound=BaseModel)
KeyPath = tuple["str | int", ...]


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader (no Python objects); it reads 1e-5 as a number, and refuses aliases and repeated keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases: a few lines of them can stand for more data than fits into memory."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(
                None, None, "aliases (*name) are not read here", self.peek_event().start_mark
            )
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Refuse a value that is not of its tag (``!!bool x``), and a number of more digits than anything here has."""
        try:
            value = super().construct_object(node, deep=deep)
        except yaml.YAMLError:
            raise
        except Exception as error:  # a constructor's own, of any kind
            problem = f"{quoted(node.value)} is not what its tag says ({type(error).__name__})"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None
        if isinstance(value, int) and abs(value) >= 10**100:
            problem = "a number has more digits than anything here has"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is not a word, and a key that stands twice: the last would win silently.

        YAML 1.1 takes ``on`` and ``no`` for true and false; as keys they are words.
        """
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:bool":
                key_node.tag = "tag:yaml.org,2002:str"
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = f"key {quoted(key)} is not a word (quote it if it is meant to be one)"
            elif key in seen:
                problem = f"key {quoted(key)} stands here twice"
            else:
                seen.add(key)
                continue
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        return super().construct_mapping(node, deep=deep)


# YAML 1.1 takes 1e-5 for a word, since it has no dot.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class Place:
    """Where a key stands: a file and a line of it (1-based)."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True)
class YamlFile:
    """A parsed YAML mapping and the place where each of its keys stands."""

    path: Path
    data: dict[str, Any]
    places: dict[KeyPath, Place]
    overridden: dict[KeyPath, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> YamlFile:
        """Read one mapping from ``path``.

        Raises:
            SpecError: The file is missing, empty, not UTF-8, not YAML, or not a mapping; or it asks for Python
                objects, or repeats a key.
        """
        try:
            text = read_regular(path, _LARGEST).decode("utf-8")
        except OSError as error:
            raise SpecError(f"{path}: cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError as error:
            raise SpecError(f"{path}: is not UTF-8 text (byte {error.start}).") from None
        try:
            node = yaml.compose(text, Loader=_Loader)
            data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{path}:{mark.line + 1}" if mark else str(path)
            what = getattr(error, "problem", None) or str(error)
            indent = " Indent with spaces." if r"'\t'" in what else ""
            raise SpecError(f"{where}: is not plain YAML: {what}.{indent}") from None
        if data is None:
            raise SpecError(f"{path}: is empty; configs/smoke.yaml is an example to start from.")
        if not isinstance(data, dict):
            raise SpecError(f"{path}:1: must be a mapping of keys to values, not a {type(data).__name__}.")
        places: dict[KeyPath, Place] = {}
        _note_places(node, (), path, places)
        return cls(path, data, places)

    def over(self, base: YamlFile) -> YamlFile:
        """Return ``base`` with this file's keys laid over it: mappings are merged, lists and single values replaced.

        Every key keeps the place where it really stands.
        """
        data, places = _laid_over(self.data, base.data), dict(base.places)
        for key in self.places:
            if not isinstance(_at(data, key), dict):  # what stood below a replaced value stands nowhere now
                for gone in [other for other in places if other[: len(key)] == key]:
                    del places[gone]
        return YamlFile(self.path, data, {**places, **self.places})

    def override(self, text: str) -> None:
        """Set one dotted key from ``"train.lr=1e-4"``; the value is YAML, and errors will name the override."""
        dotted, separator, value = text.partition("=")
        if not separator or not dotted:
            raise SpecError(f"--set {text}: must be KEY=VALUE, for example train.lr=1e-4.")
        *parents, last = dotted.split(".")
        place: Any = self.data
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise SpecError(f"--set {text}: {parent!r} holds no keys.")
        try:
            place[last] = yaml.load(value, Loader=_Loader)  # noqa: S506 - a safe loader
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise SpecError(f"--set {text}: the value is not YAML: {getattr(error, 'problem', error)}.") from None
        self.overridden[(*parents, last)] = text

    def place(self, key: KeyPath) -> Place:
        """Return the place of ``key``, or of its nearest enclosing key."""
        while key:
            if key in self.places:
                return self.places[key]
            key = key[:-1]
        return Place(self.path, 1)

    def error(self, key: KeyPath, message: str) -> SpecError:
        """Return an error that names the file, the line and the key."""
        dotted = "".join(f"{part}." for part in key).removesuffix(".") + ": " if key else ""
        for length in range(len(key), 0, -1):
            if key[:length] in self.overridden:
                return SpecError(f"--set {self.overridden[key[:length]]}: {dotted}{message}")
        return SpecError(f"{self.place(key)}: {dotted}{message}")

    def validate_as(self, model: type[Model]) -> Model:
        """Return the mapping as ``model``; every complaint names file, line, key, value and what is allowed."""
        return self.check(model, self.data)

    def check(self, model: type[Model], data: Any, at: KeyPath = ()) -> Model:
        """Return ``data``, which stands at the key ``at``, as ``model``; complaints as in ``validate_as``."""
        try:
            return model.model_validate(data)
        except ValidationError as error:
            problems = []
            for item in error.errors():
                key, message = explain(item, model)
                problems.append(str(self.error((*at, *key), message)))
            raise SpecError("\n".join(problems)) from None


def explain(item: Any, model: type[BaseModel]) -> tuple[KeyPath, str]:
    """Turn one pydantic error into a key path within the file and a sentence with the way out.

    Pydantic's location is the path of keys in the file, but for the tags of unions, which are ``<in brackets>``, and
    its own mark where the key itself is wrong.
    """
    key: KeyPath = tuple(part for part in item["loc"] if not (isinstance(part, str) and part.startswith(("<", "[key"))))
    kind, value = item["type"], item["input"]
    if kind == "extra_forbidden":
        return key, unknown_name("key", key[-1], _fields_at(model, key[:-1]))
    if kind == "missing":
        return key, "this key is required and missing."
    if kind == "literal_error":
        allowed = item["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        return key, unknown_name("value", value, allowed)
    if kind == "string_pattern_mismatch" and item["ctx"]["pattern"] == SLUG:
        return key, f"must be of {SLUG_WORDS} (here: {quoted(value)})."
    message = item["msg"].removeprefix("Value error, ").rstrip(".")
    shown = "" if isinstance(value, dict) or kind == "value_error" else f" (here: {quoted(value)})"
    return key, message[0].lower() + message[1:] + shown + "."


def _fields_at(model: type[BaseModel], key: KeyPath) -> list[str]:
    """Return the keys that are allowed at ``key`` of a file that is read as ``model``."""
    for part in key:
        if isinstance(part, str) and part in model.model_fields:  # else a name in a mapping of such models
            model = _model_of(model.model_fields[part].annotation) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """Return the pydantic model inside an annotation such as ``Part | None`` or ``tuple[Part, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_of(inner)
        if found is not None:
            return found
    return None


def _note_places(node: yaml.Node | None, key: KeyPath, path: Path, places: dict[KeyPath, Place]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            inner = (*key, str(key_node.value))
            places[inner] = Place(path, key_node.start_mark.line + 1)
            _note_places(value_node, inner, path, places)
    elif isinstance(node, yaml.SequenceNode):
        for index, value_node in enumerate(node.value):
            places[(*key, index)] = Place(path, value_node.start_mark.line + 1)
            _note_places(value_node, (*key, index), path, places)


def _laid_over(top: Any, below: Any) -> Any:
    if not isinstance(top, dict) or not isinstance(below, dict):
        return top
    return {**below, **{key: _laid_over(value, below.get(key)) for key, value in top.items()}}


def _at(data: Any, key: KeyPath) -> Any:
    for part in key:
        data = data[part]
    return data
