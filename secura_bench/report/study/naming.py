"""What methods are called in tables: by their title or label, and what tells settings of one name apart."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from secura_bench.results.record import RunRecord


def settings_of(record: RunRecord) -> str:
    """Return what makes two records runs of one thing, but for the seed: the method, its options and training.

    What they are called, and how their settings were chosen, is no part of it.
    """
    told = {key: value for key, value in record.method.items() if key not in ("title", "tuned")}
    return json.dumps(told, sort_keys=True)


def method_names(records: Sequence[RunRecord]) -> dict[str, str]:
    """Return how each settings is called: its title, or its label, and of several of a label what they differ in.

    A title is the newest record's (``records`` are in their order): it is no part of a run's identity. Where a title is
    another's name too, or the base model's, the label stands behind it.
    """
    by_label: dict[str, dict[str, dict[str, Any]]] = {}
    titles: dict[str, str | None] = {}
    for record in records:
        flat = {**record.method["options"], **record.method["train"], "name": record.method["name"]}
        flat["code"] = _short(record.method.get("code"))
        by_label.setdefault(record.method["label"], {})[settings_of(record)] = flat
        titles[settings_of(record)] = record.method.get("title")
    names, labels = {}, {}
    for label, several in by_label.items():
        keys = sorted({key for flat in several.values() for key in flat})
        differing = [key for key in keys if len({json.dumps(flat.get(key)) for flat in several.values()}) > 1]
        for settings, flat in several.items():
            told = [f"{key}={flat.get(key)}" for key in differing]
            labels[settings] = " ".join([label, *told])
            names[settings] = " ".join([titles[settings] or label, *told])
    taken = Counter([*names.values(), "base"])
    return {
        settings: name if taken[name] == 1 or not titles[settings] else f"{titles[settings]} ({labels[settings]})"
        for settings, name in names.items()
    }


def _short(code: str | list[str] | None) -> str | None:
    """Return the beginning of a hash of code, as version control shows it; of several, each."""
    return "+".join(each[:8] for each in ([code] if isinstance(code, str) else code)) if code else None
