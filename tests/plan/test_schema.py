"""The JSON Schemas: shipped as they are printed, true of every shipped file, and as strict as the program is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import ROOT, secura_bench

from secura_bench.cli.listing import configs
from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.yaml_file import YamlFile
from secura_bench.plan.schema import SCHEMAS
from secura_bench.spec.load import load_specs

SHIPPED = [*sorted((ROOT / "configs").glob("*.yaml")), *sorted((ROOT / "tasks").glob("*.yaml"))]
SHIPPED += sorted((ROOT / "publications").glob("*.yaml"))
LINE = "# yaml-language-server: $schema="
SPEC = {"experiment": "mine", "mode": "sequence", "model": "tiny", "tasks": "tiny", "methods": ["lora"]}


def problems(kind: str, data: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMAS[kind]())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(data)]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_shipped_schema_is_the_printed_one(kind: str) -> None:
    shipped = (ROOT / "docs" / "schema" / f"{kind}.json").read_text()
    jsonschema.Draft202012Validator.check_schema(json.loads(shipped))
    printed = secura_bench("schema", kind, cwd=ROOT)
    assert printed.returncode == 0 and printed.stdout == shipped, "python scripts/write_schemas.py"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_shipped_file_names_its_schema_and_is_valid_by_it(path: Path) -> None:
    first = path.read_text().partition("\n")[0]
    assert first.startswith(LINE)
    schema = path.parent / first.removeprefix(LINE)
    assert schema.resolve().parent == ROOT / "docs" / "schema"
    jsonschema.Draft202012Validator(json.loads(schema.read_text())).validate(YamlFile.read(path).data)


def keys(schema: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key that a schema describes, wherever it stands."""
    if isinstance(schema, list):
        schema = dict(enumerate(schema))
    if isinstance(schema, dict):
        yield from schema.get("properties", {}).items()
        for inner in schema.values():
            yield from keys(inner)


@pytest.mark.parametrize("kind", ["spec", "task", "publication"])
def test_every_key_says_what_it_means(kind: str) -> None:
    told = [(name, key.get("description", "")) for name, key in keys(SCHEMAS[kind]()) if isinstance(key, dict)]
    assert len(told) > 40 and not [name for name, meaning in told if not meaning.endswith(".")]


def test_the_line_is_no_part_of_what_a_spec_says_of_itself() -> None:
    assert not [row for row in configs().rows if "schema" in row[1] or not row[1]]


RIGHT: dict[str, dict[str, Any]] = {
    "one value for a list": {"methods": "lora", "orders": "shuffle-3", "seeds": 1},
    "an order spelled out": {"orders": [["tiny_count", "tiny_langid", "tiny_group", "tiny_translate"], "reversed"]},
    "options by name": {"methods": [{"name": "lora", "r": 4, "label": "small", "title": "LoRA 4", "train": {"lr": 1}}]},
    "an alias": {"methods": [{"name": "ewc", "lambda": 1.5}]},
    "a stack": {"methods": [{"stack": ["lora", {"name": "er", "ratio": 2}], "label": "both"}]},
    "a fraction": {"methods": [{"name": "secura", "r": 0.01, "m": 0.02}]},
    "a matrix": {"matrix": {"train.lr": [0.1, 0.2], "methods.r": [2, 4]}},
}
WRONG: dict[str, dict[str, Any]] = {
    "unknown key": {"modle": "tiny"},
    "unknown value": {"mode": "sequential"},
    "unknown method": {"methods": ["lroa"]},
    "unknown option": {"methods": [{"name": "lora", "rank": 4}]},
    "another method's option": {"methods": [{"name": "lora", "lambda": 4}]},
    "option out of bounds": {"methods": [{"name": "ewc", "gamma": 1.5}]},
    "missing option": {"methods": [{"name": "peft"}]},
    "unknown part": {"methods": [{"stack": ["lora", "re"]}]},
    "part with a label": {"methods": [{"stack": ["lora", {"name": "er", "label": "mine"}]}]},
    "unknown train key": {"methods": [{"name": "lora", "train": {"rate": 1}}]},
    "bounds": {"train": {"lr": -1}},
    "no method": {"methods": []},
    "order": {"orders": "shuffled"},
    "matrix": {"matrix": {"train.lr": 0.1}},
}


@pytest.mark.parametrize("changes", RIGHT.values(), ids=RIGHT)
def test_what_the_program_takes_the_schema_takes(changes: dict[str, Any], tmp_path: Path) -> None:
    assert problems("spec", SPEC | changes) == []
    (tmp_path / "spec.yaml").write_text(json.dumps(SPEC | changes))
    assert load_specs(str(tmp_path / "spec.yaml"))


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_what_the_program_refuses_the_schema_refuses(changes: dict[str, Any], tmp_path: Path) -> None:
    assert problems("spec", SPEC | changes)
    (tmp_path / "spec.yaml").write_text(json.dumps(SPEC | changes))
    with pytest.raises(SpecError):
        load_specs(str(tmp_path / "spec.yaml"))


def test_what_is_required_is_so_unless_it_stands_in_what_is_extended() -> None:
    assert problems("spec", {"model": "tiny"}) and problems("spec", {"extends": "smoke", "model": "tiny"}) == []


def test_a_task_needs_a_source_and_a_test_source_says_only_what_differs() -> None:
    task = {"id": "mine", "title": "Mine", "licence": "MIT"}
    hub = {"path": "a/b", "columns": {"prompt": "{{ q }}", "target": "{{ a }}"}}
    assert problems("task", task)
    assert problems("task", {**task, "hub": hub, "test": {"hub": {"split": "test"}}}) == []
    assert problems("task", {**task, "hub": {"path": "a/b"}}) and problems(
        "task", {**task, "hub": hub, "answr": "text"}
    )


def test_a_plug_ins_options_are_known_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METHODS, "_objects", dict(METHODS._objects))
    done = secura_bench("schema", "--plugin", str(ROOT / "docs" / "methods" / "agem.py"), cwd=ROOT)
    validator = jsonschema.Draft202012Validator(json.loads(done.stdout))
    assert validator.is_valid(SPEC | {"methods": [{"name": "agem", "memory": 5}]})
    assert not validator.is_valid(SPEC | {"methods": [{"name": "agem", "memory": 0}]})


def test_an_unknown_kind_has_its_nearest_named() -> None:
    done = secura_bench("schema", "tasks", cwd=ROOT)
    assert done.returncode == 2 and "Did you mean 'task'?" in done.stderr
