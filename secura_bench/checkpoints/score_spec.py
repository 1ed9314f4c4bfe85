"""The spec that ``secura-bench score`` stands for: checkpoints beside their base, on what was learned and a probe."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from secura_bench.checkpoints.adapter import is_named
from secura_bench.checkpoints.find import find_checkpoint, is_hub_id
from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.files import write_atomically
from secura_bench.foundation.home import from_home, without_home
from secura_bench.foundation.schema import SLUG, SLUG_WORDS, slug
from secura_bench.models.load import presets
from secura_bench.spec.checkpoint import NAME
from secura_bench.spec.probe import PREFIX
from secura_bench.tasks.catalog import expand, find_data_file, is_data_file, load_task
from secura_bench.tasks.files.formats import stem_of

_BATCH = 64
"""Rows at once: nothing is trained beside them, and where they do not fit they are halved (in fp32)."""

_OF_TINY = {"probe_rows": 90, "threads": 1}
"""What is asked of the model that is there to try things out, so that it answers in seconds."""

_LABELLED = re.compile(r"([^/=]+)=(.+)", re.DOTALL)


@dataclass(frozen=True)
class Wanted:
    """What is to be scored: a checkpoint by its label, where it lies."""

    label: str
    place: str


def read_models(models: Sequence[str]) -> list[Wanted]:
    """Return what ``label=MODEL`` or ``MODEL`` mean; else the label is the folder's name, or with its parent's.

    Raises:
        SpecError: Two have one label, or one's could be no folder.
    """
    found: list[Wanted] = []
    for given in models:
        labelled = None if from_home(given).exists() else _LABELLED.fullmatch(given)
        label, place = labelled.groups() if labelled else (None, given)
        if label and not re.fullmatch(SLUG, label):
            raise SpecError(f"{given}: a label must be of {SLUG_WORDS} (here: {label!r}).")
        names = _names(place)
        taken = {each.label for each in found} | {"base"}
        options = [label] if label else [slug("-".join(names[-count:]), "model") for count in (1, 2)]
        free = next((name for name in options if name not in taken), None)
        if free is None:
            raise SpecError(f"{given}: two are called {options[-1]!r}, or it is the base's name; write label={place}.")
        found.append(Wanted(free, place))
    return found


def base_of(wanted: Sequence[Wanted]) -> str:
    """Return the base that the adapters name in their configurations.

    Raises:
        SpecError: None of them does, they name several, or what they name is not on this machine nor a Hub id.
    """
    named: dict[str, str] = {}
    for each in wanted:
        base = find_checkpoint(each.place).base
        if base and not any(is_named(base, other) for other in named):
            named[base] = each.place
    if not named:
        raise SpecError(
            "--base: is needed, since no MODEL names it: a whole model does not say what it was trained from. Give the "
            "untouched model, a preset, a Hub id or a folder."
        )
    if len(named) > 1:
        told = ", ".join(f"{base} ({place})" for base, place in named.items())
        raise SpecError(f"--base: is needed, since the adapters name several: {told}. One command has one base.")
    ((base, place),) = named.items()
    if base not in presets() and not from_home(base).is_dir() and not is_hub_id(base):
        raise SpecError(f"--base: is needed, since {place} names {base}, which is not there. Say where it is now.")
    return base


def score_spec(wanted: Sequence[Wanted], base: str, learned: Sequence[str], probe: str | None) -> dict[str, Any]:
    """Return the spec: each learned task by itself, or a file of rows, of which all are scored.

    Raises:
        SpecError: A task or file is not there.
    """
    files = [name for name in learned if is_data_file(name)]
    tasks = [_absolute(str(find_data_file(name))) if name in files else name for name in learned]
    parts = probe or ("tiny_f_task" if base == "tiny" else "f_task")
    names = [stem_of(Path(name)) if name in files else name for name in learned]
    own = [] if is_data_file(parts) or parts.startswith(PREFIX) else expand(parts)
    kinds = {load_task(task).kind for task in own}
    beside = [protocol for kind, protocol in (("text", "perplexity"), ("code", "execute")) if kind in kinds]
    headed = [name not in files and load_task(name).kind == "classify" for name in learned]
    written = ["generate"] if not all(headed) or "answers" in kinds else []
    spec: dict[str, Any] = {
        "experiment": slug("score-" + "-".join(names), "score"),
        "mode": "separate",
        "model": _absolute(base),
        "tasks": tasks,
        "probe": _absolute(str(find_data_file(parts))) if is_data_file(parts) else parts,
        "methods": [{"name": NAME, "label": each.label, "path": _absolute(each.place)} for each in wanted],
        "evaluate": {
            "protocols": [*written, *beside, *(["classify"] if any(headed) else [])],
            "batch_size": _BATCH,
        },
    }
    if base == "tiny" and probe is None:
        spec |= _OF_TINY
    if len(files) == len(learned):
        spec["data"] = {"held_out": "all"}
    return spec


def write_score_spec(spec: Mapping[str, Any], results: Path) -> Path:
    """Write a spec into its experiment's folder, under a name of its content, and return the file."""
    text = yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    path = results / str(spec["experiment"]) / f"score-{digest}.yaml"
    if not path.exists():
        write_atomically(path, f"# Written by `secura-bench score`; `secura-bench run` does the same.\n{text}")
    return path


def _names(place: str) -> list[str]:
    """Return the last parts of a path or Hub id, to make a label of."""
    path = from_home(place)
    parts = path.resolve().parts if path.exists() else tuple(place.split("/"))
    return [part for part in parts if part.strip("/\\")][-2:]


def _absolute(place: str) -> str:
    """Return a path from the root or from home, and what is no path as it is."""
    path = from_home(place)
    return without_home(str(path.absolute())) if path.exists() and place not in presets() else place
