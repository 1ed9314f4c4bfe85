"""Write docs/architecture.md from the package itself: its folders as rooms, each above all that it imports.

``python scripts/draw_rooms.py``. Imports are read, not followed: nothing of the package is loaded. A test holds the
page and the package together.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "secura_bench"
PAGE = ROOT / "docs" / "architecture.md"
TEXT = """\
# Architecture

The package is a house: a folder is a room, and a room imports those below it alone, never one above or beside it.
`tests/test_rooms.py` holds that order, `tests/` has a folder for each room, and `python scripts/draw_rooms.py` draws
this page from the imports and from the first line of each room's `__init__.py`.

```text
{picture}
```

A spec becomes runs from the top down: `cli` reads the words, `spec` the file, `plan` makes runs of it, `estimates` says
what they take, `runs` does those that are missing and leaves a folder each, laid out as `results` has it. A row becomes
a score from the bottom up: `tasks` reads it, `data` makes an example of it, `training` feeds it to a model that one of
`methods` adapted, `evaluation` asks for the answer, `answers` reads it. `integrations` lends methods and scoring to
trainers of others. `report` knows records, and no model: neither it nor `--help` imports torch.
"""


def modules() -> dict[str, Path]:
    """Return the file of every module, by its whole name."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _statements(tree: ast.AST, typing: bool, lazy: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not typing and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _statements(node, typing, lazy)


def imports(path: Path, known: Mapping[str, Path], *, typing: bool = True, lazy: bool = True) -> set[str]:
    """Return the modules that a file imports: the package's by their whole names, others by their packages'.

    ``typing`` counts what only a type checker reads, ``lazy`` what is imported within a function.
    """
    found = set()
    for node in _statements(ast.parse(path.read_text(encoding="utf-8")), typing, lazy):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.partition(".")[0] != PACKAGE:
                found.add(name.partition(".")[0])
            else:
                found.add(name if name in known else name.rpartition(".")[0])
    return found


def room_of(module: str) -> str:
    """Return the room of a module: the folder below the package, or "" for the package's root."""
    return module.split(".")[1] if module.count(".") else ""


def arrows() -> dict[str, set[str]]:
    """Return for each room the rooms that it imports."""
    known = modules()
    rooms = {room_of(name) for name in known if known[name].parent != ROOT / PACKAGE}
    found: dict[str, set[str]] = {room: set() for room in rooms}
    for name, path in known.items():
        if (room := room_of(name)) in rooms:
            found[room] |= {room_of(other) for other in imports(path, known) if other.startswith(PACKAGE)} - {room}
    return found


def floors() -> dict[str, int]:
    """Return each room's floor: 1 where it imports no other, else one above the highest that it imports.

    Raises:
        ValueError: Rooms import each other in a circle.
    """
    found: dict[str, int] = {}
    waiting = arrows()
    while waiting:
        ready = [room for room, below in waiting.items() if below <= found.keys()]
        if not ready:
            raise ValueError(f"rooms that import each other: {', '.join(sorted(waiting))}")
        found |= {room: 1 + max((found[other] for other in waiting[room]), default=0) for room in ready}
        waiting = {room: below for room, below in waiting.items() if room not in found}
    return found


def page() -> str:
    """Return the page's text."""
    at, lines = floors(), []
    for room in sorted(at, key=lambda room: (-at[room], room)):
        tree = ast.parse((ROOT / PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
        lines.append(f"{at[room]:>2}  {room + '/':<13} {(ast.get_docstring(tree) or '').splitlines()[0]}")
    return TEXT.format(picture="\n".join(lines))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.exit(0)
