"""The package's rooms: each imports those below alone, the root stays empty, and what starts fast has no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import draw_rooms

ORDER = (
    "foundation", "execution", "answers", "hub", "results", "tasks", "spec", "publications", "data", "harness",
    "models", "adapters", "evaluation", "methods", "checkpoints", "training", "plan", "tuning", "estimates", "export",
    "report", "runs", "launch", "integrations", "checking", "cli",
)  # fmt: skip
"""From the lowest room to the highest."""

REPORT_ORDER = ("statistics", "study", "tables", "against", "plots", "formats", "comparing", "gate", "page", "make")
"""The same within the report: its folders, and what makes a report of them."""


def test_each_room_imports_only_those_below() -> None:
    assert {room: sorted(below - set(ORDER[: ORDER.index(room)])) for room, below in draw_rooms.arrows().items()} == {
        room: [] for room in ORDER
    }


def test_each_part_of_the_report_imports_only_those_below() -> None:
    known = draw_rooms.modules()
    for name, path in known.items():
        if not name.startswith("secura_bench.report."):
            continue
        part = name.split(".")[2]
        others = {other.split(".")[2] for other in draw_rooms.imports(path, known) if ".report." in other}
        assert others <= set(REPORT_ORDER[: REPORT_ORDER.index(part) + 1]), name


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = draw_rooms.modules()
    waiting = {
        name: draw_rooms.imports(path, known, typing=False) & known.keys() - {name} for name, path in known.items()
    }
    del waiting["secura_bench"]  # its version is imported by no room, and what it hands on lazily is any room's
    done = {"secura_bench"}
    while ready := {name for name, below in waiting.items() if below <= done}:
        done |= ready
        waiting = {name: below for name, below in waiting.items() if name not in done}
    assert not waiting, f"among {sorted(waiting)}"


def test_the_root_holds_what_makes_it_a_package_alone() -> None:
    files = {path.name for path in (ROOT / "secura_bench").iterdir() if path.is_file()}
    assert files == {"__init__.py", "__main__.py", "py.typed"}


@pytest.mark.parametrize("start", ["secura_bench.cli.main", "secura_bench.report", "secura_bench.results"])
def test_what_must_start_fast_reads_no_torch(start: str) -> None:
    """By the text of the imports: what a module imports at its top, and what that does, never reaches torch."""
    known = draw_rooms.modules()
    heavy = {"torch", "transformers", "peft", "accelerate", "datasets"}
    waiting = [name for name in known if name == start or name.startswith(f"{start}.")]
    seen: set[str] = set()
    while waiting:
        if (name := waiting.pop()) in seen:
            continue
        seen.add(name)
        found = draw_rooms.imports(known[name], known, typing=False, lazy=False)
        assert not found & heavy, f"{name} imports {found & heavy}"
        packages = {name.rpartition(".")[0]} & known.keys()
        waiting += [*(found & known.keys()), *packages]


def test_nothing_of_the_report_loads_torch() -> None:
    names = [
        name
        for name in draw_rooms.modules()
        if name.startswith(("secura_bench.report", "secura_bench.results", "secura_bench.cli"))
    ]
    code = f"import sys, {', '.join(names)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_page_is_drawn_from_the_package() -> None:
    assert Path(draw_rooms.PAGE).read_text(encoding="utf-8") == draw_rooms.page(), "run `python scripts/draw_rooms.py`"
