"""docs/reference is what the code says, and nothing that is registered is without its page or row."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
import yaml
from conftest import ROOT

from secura_bench.cli import scores
from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.yaml_file import YamlFile
from secura_bench.methods.build import build_method
from secura_bench.publications.publication import publication
from secura_bench.spec.load import load_specs
from secura_bench.tasks.file import TaskFile

sys.path.insert(0, str(ROOT / "scripts"))
try:
    import write_reference as reference
    from reference_costs import cost, has_cost
finally:
    sys.path.pop(0)

PAGES = sorted(reference.FOLDER.rglob("*.md"))
TASKS = sorted(path for path in reference.EXAMPLES.glob("*.yaml") if not path.stem.startswith("spec"))
HEAD = {"experiment": "mine", "mode": "sequence", "model": "tiny", "tasks": "tiny"}


def text(name: str) -> str:
    return (reference.FOLDER / name).read_text(encoding="utf-8")


def by_hand(name: str) -> str:
    """Return a page without what is written into it."""
    return re.sub(r"<!-- (\w+).*?<!-- end of \1 -->", "", text(name), flags=re.DOTALL)


def anchors(page: Path) -> Iterator[str]:
    for heading in re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_the_code_says(page: Path) -> None:
    written = page.read_text(encoding="utf-8")
    assert reference.filled(written) == written, "python scripts/write_reference.py"


@pytest.mark.parametrize("name", METHODS.names())
def test_a_method_has_a_page_with_its_equations_options_and_cost(name: str) -> None:
    page = text(f"methods/{name}.md")
    wanted = {f"about: {name}", f"options: {name}"}
    wanted |= {f"cost: {name}"} if has_cost(name) else set()
    wanted |= {f"published: {name}" for of in publication("secura").file.experiments.values() if name in of.methods}
    assert wanted <= {block for block in re.findall(r"<!-- (.*?) -->", page) if not block.startswith("end of")}
    assert "```text\n" in page or name in ("base", "peft", "stack")  # which compute nothing of their own


@pytest.mark.parametrize("name", METHODS.names())
def test_a_method_speaks_of_each_option_of_its_own(name: str) -> None:
    options = vars(METHODS.get(name)).get("Options")  # else another's
    fields = options.model_fields.items() if options else ()
    own = [field.alias or key for key, field in fields if key in options.__annotations__]
    said = by_hand(f"methods/{name}.md")
    assert not [key for key in own if key not in ("seed", "target_modules") and not re.search(rf"\b{key}\b", said)]


@pytest.mark.parametrize(
    ("name", "work"), [("er", 2), ("der", 3), ("a_gem", (1 + 2 + 2) / 3), ("gem", (1 + 2 + 3) / 3)]
)
def test_the_work_of_a_method_has_that_of_its_memorys_rows(name: str, work: float) -> None:
    """Over three tasks, by the rows that its equations send through the model for a new one."""
    assert {line.split("|")[-2].strip() for line in cost(name).splitlines()[2:]} == {f"{work:.2f}"}


def test_a_page_of_a_method_is_of_one_that_there_is() -> None:
    assert {page.stem for page in PAGES if page.parent.name == "methods"} == {*METHODS.names(), "index"}


@pytest.mark.parametrize("name", METHODS.names())
def test_a_methods_specs_are_valid(name: str, tmp_path: Path) -> None:
    for block in re.findall(r"```yaml\n(.*?)```", text(f"methods/{name}.md"), flags=re.DOTALL):
        entries = yaml.safe_load(block)
        (tmp_path / "spec.yaml").write_text(json.dumps(HEAD | entries))
        (spec,) = load_specs(str(tmp_path / "spec.yaml"))
        assert {name, "stack"} & {method.name for method in spec.methods}


def test_every_protocol_and_metric_has_its_formula() -> None:
    headings = re.findall(r"^## (\w+)$", by_hand("protocols.md"), flags=re.MULTILINE)
    assert headings == [row[0] for row in scores.protocols().rows]
    formulas = by_hand("metrics.md")
    assert not [row[0] for row in scores.metrics().rows if f"`{row[0]}`" not in formulas]


@pytest.mark.parametrize("path", sorted(reference.EXAMPLES.glob("spec*.yaml")), ids=lambda path: path.stem)
def test_the_examples_of_every_key_are_valid_specs(path: Path) -> None:
    assert load_specs(str(path))
    schema = json.loads((ROOT / "docs" / "schema" / "spec.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(YamlFile.read(path).data)


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_the_examples_of_tasks_are_valid(path: Path) -> None:
    file = YamlFile.read(path)
    assert file.validate_as(TaskFile).id == path.stem
    schema = json.loads((ROOT / "docs" / "schema" / "task.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(file.data)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        file, _, anchor = link.partition("#")
        found = page.parent / file if file else page
        assert found.resolve().is_relative_to(ROOT / "docs") and found.exists(), link
        assert not anchor or anchor in anchors(found), link


def test_the_pages_numbers_are_the_codes() -> None:
    from nltk.translate.bleu_score import SmoothingFunction
    from sacrebleu.metrics import CHRF

    from secura_bench.adapters.signorm import output_restraint

    assert f"(2ᵏ · {SmoothingFunction().k:g})" in text("metrics.md")
    assert f"β = {CHRF().beta:g}" in text("metrics.md") and f"n = 1 … {CHRF().char_order}," in text("metrics.md")
    hidden: Any = build_method("i_lora", consistency="hidden").options
    assert f"`weight` {hidden.weight:g}" in text("methods/i_lora.md") and hidden.evaluate == "long_term"
    assert f"`decay` {hidden.decay:g}" in text("methods/i_lora.md") and hidden.boundary == "continue"
    secura: Any = build_method("secura").options
    r, m = round(secura.r * 4096), round(secura.m * 4096)
    assert f"the paper's {r} and {m} at a hidden size of 4096" in text("methods/secura.md")
    y0, d = torch.ones(3), torch.full((3,), 1e-4)
    assert torch.allclose((2 * y0 + d) / output_restraint(y0, d, secura.scale), 4 / 3 * y0, atol=1e-3)
    assert "about 4/3 of y₀" in text("methods/secura.md")
