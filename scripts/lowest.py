"""Print the lowest versions that pyproject.toml allows, as pip's constraints: what the tests must pass with as well.

pip install -c FILE pulls down what is named here alone, not what these packages need in turn.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import tomllib

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def lowest(requirements: list[str]) -> list[str]:
    """Return ``name==version`` of each ``name>=version...``."""
    pinned = []
    for requirement in requirements:
        found = re.fullmatch(r"([\w.-]+)>=([\w.]+).*", requirement)
        if found is None:
            sys.exit(f"{PROJECT}: {requirement}: has no lowest version; write name>=version")
        pinned.append(f"{found[1]}=={found[2]}")
    return pinned


if __name__ == "__main__":
    print("\n".join(lowest(tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"])))
