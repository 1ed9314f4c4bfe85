"""CONTRIBUTING.md sends nobody astray: each room has a row, and what it names is there."""

from __future__ import annotations

import re

from conftest import ROOT
from test_rooms import ORDER

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_each_room_has_a_row() -> None:
    rows = "\n".join(line.partition("|")[2].partition("|")[2] for line in PAGE.splitlines() if line.startswith("| "))
    assert not [room for room in ORDER if f"`{room}/" not in rows]


def test_folders_and_files_that_it_names_are_there() -> None:
    named = set(re.findall(r"`((?:[\w-]+/)+[\w.-]*|[\w-]+\.(?:py|md|txt|cff))`|\]\(([\w./-]+)", PAGE))
    named = {first or second for first, second in named} - {"utils.py"}
    beside = ("secura_bench", "secura_bench/plan", "secura_bench/report/against", "tests/methods", ".")
    assert not [name for name in named if not any((ROOT / folder / name).exists() for folder in beside)]


def test_its_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"`make ([a-z-]+)`|\$ make ([a-z-]+)", PAGE))
    for target in {first or second for first, second in targets}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
