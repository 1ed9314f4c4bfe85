"""Write into docs/reference what the code says: keys, options, costs, tasks, protocols and metrics.

``python scripts/write_reference.py``. A page is written by hand but for what stands between ``<!-- keys: spec -->`` and
``<!-- end of keys -->``, which is written anew. ``BLOCKS`` has each kind of block. A test holds pages and code
together, and that nothing registered is without its page or row. Examples of keys are those of the files in
docs/reference/examples, which are valid.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from reference_costs import cost, costs

from secura_bench.adapters.signorm import resting_restraint
from secura_bench.cli import listing, scores
from secura_bench.cli.one_method import one_method
from secura_bench.data.example import Example
from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.yaml_file import YamlFile
from secura_bench.plan.schema import SCHEMAS
from secura_bench.publications.publication import publication
from secura_bench.report.against import settings
from secura_bench.report.statistics import continual
from secura_bench.spec.described import Described, in_words
from secura_bench.spec.method import MethodSpec
from secura_bench.tasks.catalog import load_task
from secura_bench.tasks.file import TaskFile, restriction
from secura_bench.tasks.generators import generate_rows
from secura_bench.tasks.row import Row
from secura_bench.tasks.shipped import shipped_files, shipped_lists

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
EXAMPLES = FOLDER / "examples"
SECTIONS = (
    *("methods", "train", "tune", "evaluate", "data", "log", "checkpoint"),
    *("hub", "local", "file", "generated", "columns"),
)
"""The keys that have keys of their own, under a heading of their name."""
_BLOCK = re.compile(r"(<!-- (\w+)(?:: ([\w.]+))? -->\n).*?(<!-- end of \2 -->)", flags=re.DOTALL)
_HUB = "https://huggingface.co/datasets/"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; cells are plain text, code and links."""
    lines = [headings, ["---"] * len(headings), *([escaped(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def escaped(text: str) -> str:
    """Return text in which no stroke ends a table's cell, and outside of code nothing begins an emphasis or a tag."""
    parts = re.split(r"(`[^`]*`)", text.replace("|", "\\|"))
    return "".join(part if part.startswith("`") else part.replace("*", "\\*").replace("<", "&lt;") for part in parts)


def keys(path: str) -> str:
    """Return the keys at a dotted path of a spec or a task file: type, default, meaning, and an example of each."""
    kind, *parts = path.split(".")
    node = _node(kind, parts)
    rows = []
    for name, key in node["properties"].items():
        default = "required" if name in node["required"] else _default(key)
        example = "" if _has_keys(name, key) else _example(kind, [*parts, name])
        rows.append((f"`{name}`", _type(name, key), default, key["description"], example))
    return table(("key", "type", "default", "meaning", "example"), rows)


def options(method: str) -> str:
    """Return the options of a method: type, default, meaning."""
    own = _schema("spec")["$defs"][f"method_{method}"]
    rows = [
        (f"`{name}`", in_words(key), "required" if name in own["required"] else _default(key), key["description"])
        for name, key in own["properties"].items()
        if name not in MethodSpec.model_fields
    ]
    return table(("option", "type", "default", "meaning"), rows) if rows else "It has no options.\n"


def about(method: str) -> str:
    """Return what a method's code says of itself: what it computes, where that is from, what is otherwise there."""
    notes = one_method(method).notes
    return "\n\n".join(escaped(note.removeprefix(f"{method}: ")) for note in notes) + "\n"


def published(method: str) -> str:
    """Return the SECURA paper's settings of a method: the rate by experiment, and its options."""
    rows, paper = [], publication("secura")
    for experiment, of in paper.file.experiments.items():
        if method in of.methods:
            own = settings.allowed(paper.file.methods[method].options)
            said = ", ".join(f"`{key}: {' or '.join(map(str, values))}`" for key, values in own.items())
            rows.append((experiment.upper(), f"`{_flow(of.methods[method].train['lr'])}`", said))
    return table(("experiment", "train.lr", "options"), rows)


def methods() -> str:
    """Return every method, with its page, its sentence and its source."""
    rows = []
    for name in METHODS.names():
        sentence, *rest = (note.removeprefix(f"{name}: ") for note in one_method(name).notes)
        source = next((note.removeprefix("From: ") for note in rest if note.startswith("From: ")), "")
        rows.append((f"[`{name}`]({name}.md)", sentence, source))
    return table(("method", "what it computes", "from"), rows)


def tasks() -> str:
    """Return every shipped task: how its answers are read, what can score it, its licence, where its rows are from."""
    rows = []
    for name in shipped_files():
        task = load_task(name)
        answer = "–" if task.kind == "text" else task.answer
        mark = restriction(task.licence)
        licence = f"{mark}: {task.licence}" if mark and mark != task.licence else task.licence
        rows.append((f"`{name}`", task.title, answer, ", ".join(task.metric), _ways(task), licence, _source(task)))
    return table(("task", "in tables", "answer", "metric", "scored by", "licence", "rows"), rows)


def lists() -> str:
    """Return the named lists of tasks."""
    return table(("list", "tasks"), ((f"`{name}`", ", ".join(each)) for name, each in shipped_lists().items()))


def protocols() -> str:
    """Return what ``ls protocols`` prints."""
    return _listed(scores.protocols())


def metrics() -> str:
    """Return what ``ls metrics`` prints."""
    return _listed(scores.metrics())


def continual_metrics() -> str:
    """Return the metrics of a sequence of tasks: of each what its function says, with the source."""
    rows = []
    for name, function in vars(continual).items():
        if inspect.isfunction(function) and not name.startswith("_"):
            told = " ".join((inspect.getdoc(function) or "").split()).removeprefix("Return ").replace("``", "`")
            rows.append((f"`{name}`", told))
    return table(("function", "what it returns"), rows)


def resting() -> str:
    """Return SECURA's Res where the update is zero, for some scales."""
    rows = ((f"{scale:g}", f"{resting_restraint(scale):.4f}") for scale in (4, 6, 8))
    return table(("scale", "Res where ΔW is 0"), rows)


BLOCKS: Mapping[str, Callable[..., str]] = {
    block.__name__: block
    for block in (
        *(about, continual_metrics, cost, costs, keys, lists, methods, metrics, options, protocols, published),
        *(resting, tasks),
    )
}
"""What stands between markers, by name; of a name with a colon, of what stands behind it."""


def filled(page: str) -> str:
    """Return a page with its blocks written anew.

    Raises:
        KeyError: A block is unknown.
    """

    def block(match: re.Match[str]) -> str:
        begin, name, argument, end = match.groups()
        return f"{begin}\n{BLOCKS[name](*[argument] if argument else [])}\n{end}"

    return _BLOCK.sub(block, page)


@cache
def _schema(kind: str) -> dict[str, Any]:
    return SCHEMAS[kind]()


def _node(kind: str, parts: Sequence[str]) -> dict[str, Any]:
    """Return the schema of the keys at a path; of methods, what every entry may say beside its options."""
    schema = _schema(kind)
    if parts == ["methods"]:
        name = MethodSpec.model_json_schema(schema_generator=Described)["properties"]["name"]
        return {"properties": {"name": name, **schema["$defs"]["stack_of"]["properties"]}, "required": ["name"]}
    node = schema
    for part in parts:
        node = schema["$defs"][_reference(node["properties"][part])]
    return {"required": schema.get("else", {}).get("required", ()) if node is schema else (), **node}


def _reference(key: Mapping[str, Any]) -> str:
    """Return the name of the schema that a key refers to, "" where it refers to none."""
    refs = [each["$ref"] for each in (key, *key.get("anyOf", ())) if "$ref" in each]
    return str(refs[0]).rpartition("/")[2] if refs else ""


def _has_keys(name: str, key: Mapping[str, Any]) -> bool:
    """Return whether a key has keys of its own, which stand under a heading."""
    return name in SECTIONS and bool(_reference(key))


def _type(name: str, key: Mapping[str, Any]) -> str:
    """Return the type of a key in words, with a link to where its own keys stand."""
    if name in ("methods", "stack"):
        return "[list](#methods)"
    if _has_keys(name, key):
        return f"[mapping](#{name})"
    return "mapping" if _reference(key) else in_words(key)


def _default(key: Mapping[str, Any]) -> str:
    if isinstance(key.get("default"), Mapping) and key["default"]:
        return "those of its keys"
    return "unset" if key.get("default") is None else f"`{_flow(key['default'])}`"


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, str) and "\n" in value:
        return json.dumps(value, ensure_ascii=False)
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10_000)
    return text.removesuffix("...\n").strip()


def _example(kind: str, path: Sequence[str]) -> str:
    """Return a key and its value as the first of the examples has them.

    Raises:
        LookupError: No example has the key.
    """
    files = [file for file in sorted(EXAMPLES.glob("*.yaml")) if file.stem.startswith("spec") == (kind == "spec")]
    found = [value for file in files for value in _values(YamlFile.read(file).data, path)]
    if not found:
        raise LookupError(f"{EXAMPLES}: no example has the key {'.'.join(path)}")
    return f"`{path[-1]}: {_flow(found[0])}`"


def _values(data: Any, path: Sequence[str]) -> list[Any]:
    """Return every value at a path; a list stands for each of its entries."""
    if not path:
        return [data]
    if isinstance(data, list):
        return [value for each in data for value in _values(each, path)]
    return _values(data[path[0]], path[1:]) if isinstance(data, dict) and path[0] in data else []


def _source(task: TaskFile) -> str:
    if task.generated:
        return f"drawn by `{task.generated.generator}`, seed {task.generated.seed}"
    if task.hub is None:
        local = task.local
        return f"local file `{local.file}`, of {local.found_at or 'your own'}" if local else "local file"
    of = [f"configuration {task.hub.config}"] if task.hub.config else []
    of += ["files of its own"] if task.hub.files else [f"split {task.hub.split}"]
    stand_in = f"; {task.hub.stand_in}" if task.hub.stand_in else ""
    return f"[{task.hub.path}]({_HUB}{task.hub.path}), {', '.join(of)}{stand_in}"


def _ways(task: TaskFile) -> str:
    """Return the protocols that can score a task."""
    columns = [source.columns for source in (task.hub, task.local, task.file) if source]
    options = any(each is not None and each.choices is not None for each in columns)
    if task.generated:
        options = any(row.get("choices") for row in generate_rows(task.generated.generator, 1, task.generated.seed))
    row = Row("", "", "", choices=("a", "b"), answer_index=0) if options else Row("", "", "")
    examples = [Example(task.id, row, prompt_ids=(), answer_ids=())]
    return ", ".join(name for name in PROTOCOLS if PROTOCOLS[name].scorable(task.kind, examples))


def _listed(found: listing.Listing) -> str:
    rows = ((f"`{name}`", *rest) for name, *rest in found.rows)
    return table([heading or "meaning" for heading in found.headings], rows)


if __name__ == "__main__":
    for page in sorted(FOLDER.rglob("*.md")):
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
