"""Draw docs/architecture.md from the package itself: its folders as rooms, each above all that it imports; its files.

``python scripts/draw_rooms.py`` writes what stands between the page's markers. Imports are read, not followed: nothing
of the package is loaded. A test holds the page and the package together.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "secura_bench"
PAGE = ROOT / "docs" / "architecture.md"


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
    """Return the page's text, its drawings made anew."""
    text = PAGE.read_text(encoding="utf-8")
    for name, lines in (("rooms", rooms()), ("tree", tree())):
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, after = text.partition(begin)[0], text.partition(end)[2]
        text = "\n".join([f"{before}{begin}```text", *lines, f"```\n{end}{after}"])
    return text


def rooms() -> list[str]:
    """Return the rooms, a line each, the highest floor first."""
    at = floors()
    return [
        f"{at[room]:>2}  {room + '/':<13} {_says(ROOT / PACKAGE / room / '__init__.py')}"
        for room in sorted(at, key=lambda room: (-at[room], room))
    ]


def tree() -> list[str]:
    """Return the package's folders and files, a line each, with the first line of what each says of itself."""
    lines = []
    for folder in sorted({path.parent for path in modules().values()}):
        depth = len(folder.relative_to(ROOT).parts) - 1
        said = f"{'  ' * depth + folder.name + '/':<30} {_says(folder / '__init__.py')}"
        files = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
        lines += [said, *(f"{'  ' * (depth + 1) + path.name:<30} {_says(path)}" for path in files)]
    return lines


def _says(path: Path) -> str:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return said.partition("\n")[0]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.exit(0)
