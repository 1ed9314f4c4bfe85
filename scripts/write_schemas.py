"""Write docs/schema from the types: the JSON Schemas that the first line of every shipped spec and task file names.

``python scripts/write_schemas.py``. They are what ``secura-bench schema`` prints; a test holds the two together.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from secura_bench.plan.schema import SCHEMAS

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "schema"

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, schema in SCHEMAS.items():
        (FOLDER / f"{name}.json").write_text(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n", "utf-8")
    sys.exit(0)
