"""The page's sources put together into one file that nothing outside of it can reach into."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from secura_bench.report.plots.style import COLOURS, ON_DARK

_HERE = Path(__file__).parent
SCRIPTS = (
    "dom.js", "address.js", "look.js", "charts.js", "frontier.js", "tables.js", "stages.js", "items.js", "main.js",
)  # fmt: skip
"""Small files of one scope, in the order in which they need each other."""


def assemble(payload: Mapping[str, Any], blobs: Sequence[str]) -> str:
    """Return the page with its data: ``payload`` as JSON, and ``blobs`` of texts that it opens when they are asked for.

    The page's policy allows the script and the style that are in it, by their hashes, and nothing else: no network.
    """
    script = "\n".join((_HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}}})();\n'
    style = (_HERE / "page.css").read_text(encoding="utf-8") + _palette()
    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("page.html").render(
        title=payload["title"],
        policy=f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; base-uri 'none'; "
        "form-action 'none'",
        script=script,
        style=style,
        data=embed(payload),
        blobs=list(blobs),
    )


def embed(value: Any) -> str:
    """Return ``value`` as JSON that can stand inside a script element: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _palette() -> str:
    """Return the methods' colours, as in the pictures, and on a dark ground their counterparts."""
    both = zip(COLOURS, ON_DARK, strict=True)
    lines = [f"  --series-{i}: light-dark({light}, {dark});" for i, (light, dark) in enumerate(both)]
    return "\n:root {\n" + "\n".join(lines) + "\n}\n"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
