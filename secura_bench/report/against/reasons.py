"""Why a run's scores cannot stand beside published ones: each key that is another one, its value and the published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import yaml

from secura_bench.data.turns.differences import OTHER_SYSTEM
from secura_bench.foundation.errors import quoted
from secura_bench.foundation.regular import read_regular
from secura_bench.report.against import settings
from secura_bench.report.against.settings import Allowed
from secura_bench.report.against.shapes import Part
from secura_bench.report.study.runs import Run, trained
from secura_bench.report.study.study import Study
from secura_bench.results.record import DataNote, RunRecord

_EDGE = 0.02
"""The share of a task's rows by which groups that stay whole may move the edge between training and test rows."""
_SIZES = ("r", "m")
"""Options that may be a share of the model's width: what is below 1."""
_LARGEST_SPEC = 1 << 20  # bytes
_SPECS: WeakKeyDictionary[Run, Mapping[str, Any] | str | None] = WeakKeyDictionary()
NO_VARIATION: Mapping[str, object] = {}


def why_not(study: Study, run: Run, part: Part, varied: Mapping[str, object] = NO_VARIATION) -> list[str]:
    """Return why a run's scores cannot be compared with the paper's; ``varied`` are the options of an ablation's row.

    Held are the model, the rows, every key of training, of the method, of the data and of scoring. Of those that no
    record has, ``spec.yaml`` beside it speaks.
    """
    another = [] if study.model in part.publication.file.models else [f"another model ({study.model})"]
    return [*another, *_rows(run.record, part), *_spec(run, part), *not_its_settings(run.record, part, varied)]


def not_its_settings(record: RunRecord, part: Part, varied: Mapping[str, object] = NO_VARIATION) -> list[str]:
    """Return in what a run's training and its method's settings are not the published ones."""
    if not trained(record):
        return []
    row = settings.row_of(part.publication, record)
    options, train = settings.complete(part.publication, record)
    held = settings.training_of(part.publication, row, part.experiment)
    rate = {"lr": train.pop("lr")}
    reasons = [*_other("training", train, held), *_other("training", rate if "lr" in held else {}, held)]
    if row:
        own = settings.resolved(settings.options_of(part.publication, row), options)
        reasons += _other("settings", options, {**own, **_alone(varied)})
        strange = [key for key in own if key not in options and key not in settings.KEPT_ALIKE]
        reasons += [f"published options that it does not have here ({', '.join(strange)})"] if strange else []
    return reasons


def as_its_code(record: RunRecord, part: Part) -> int:
    """Return in how many settings a run does as the paper's code does, and not as the paper says."""
    options, train = settings.complete(part.publication, record)
    row = settings.row_of(part.publication, record)
    held_options = settings.options_of(part.publication, row) if row else {}
    both = [(options, held_options), (train, settings.training_of(part.publication, row, part.experiment))]
    return sum(found.get(key) in values[1:] for found, held in both for key, values in held.items())


def differing(found: Mapping[str, object], held: Allowed) -> Iterator[str]:
    """Yield which keys are not as published, and which are not known."""
    for key, value in found.items():
        if key not in held:
            yield f"{key} {spelled(value)}, which this version does not know"
        elif value not in held[key]:
            share = " of the width" if key in _SIZES and isinstance(value, float) and value < 1 else ""
            yield f"{key} {spelled(value)}{share}, not {' or '.join(map(spelled, held[key]))}"


def has_no_spec(run: Run) -> bool:
    """Return whether what no record says of a run is not known: its ``spec.yaml`` is not there."""
    return _read(run) is None


def _other(what: str, found: Mapping[str, object], held: Allowed) -> list[str]:
    different = ", ".join(differing(found, held))
    return [f"other {what} ({different})"] if different else []


def _rows(record: RunRecord, part: Part) -> Iterator[str]:
    """Yield in what the rows that a run trained on and is scored on are not the paper's."""
    data, probed = record.data, part.probed
    parts = record.probe_parts if probed else ()
    named = dict.fromkeys([*record.tasks, *parts])
    stand_ins = sorted(name for name in named if name in data and data[name].stand_in)
    if stand_ins:
        yield f"stand-in data ({', '.join(stand_ins)})"
    if unknown := [name for name in named if name not in data]:
        yield f"the record does not say which rows of {', '.join(unknown)}"
    notes = [data[name] for name in record.tasks if name in data]
    if trained(record):
        yield from _counts(record, part) if part.of.rows else _split(notes, record.limit, part)
    if part.of.rows:
        if record.limit is not None:
            yield f"test rows limited to {record.limit}"
    elif not probed:
        if record.limit is not None:
            yield f"test rows limited to {record.limit}"
        if any(note.test_source for note in notes):
            yield "test rows that the task names itself"
    if part.of.probe is not None and probed:
        yield from _probe(record, parts, part.of.probe, part.of.probe_rows)


def _probe(record: RunRecord, parts: Sequence[str], probe: str, rows: int | None) -> Iterator[str]:
    """Yield in what a run's probe is not the published one."""
    held, found = (
        settings.probe_parts(probe),
        sum(record.data[name].probe_rows for name in parts if name in record.data),
    )
    if record.probe != probe:
        yield f"another probe ({record.probe})"
    elif set(parts) != set(held):
        yield f"a probe of {', '.join(parts)}, not {', '.join(held)}"
    elif rows is not None and found not in (0, rows):
        yield f"{found} rows of the probe, not {rows}"


def _counts(record: RunRecord, part: Part) -> Iterator[str]:
    """Yield of which tasks another number of rows was trained on or tested on, where the publication says how many."""
    off: dict[str, list[str]] = {}
    for name, held in part.of.rows.items():
        note = record.data.get(name)
        sides = [(note.train_rows, held.train, "train"), (note.test_rows, held.test, "test")] if note else []
        for found, wanted, side in sides:
            if wanted is not None and found != wanted:
                off.setdefault(f"{found} rows to {side} on, not {wanted}", []).append(name)
    yield from (f"{said} ({', '.join(names)})" for said, names in off.items())


def _split(notes: list[DataNote], limit: int | None, part: Part) -> Iterator[str]:
    """Yield how many rows were trained on and tested on, where they are not as many as published."""
    held = settings.first(settings.data_of(part.publication, part.experiment))
    rows = int(held["rows"])
    test = round(rows * float(held["test_fraction"]))
    off = []
    for note in notes:
        edge = rows * _EDGE + note.too_long + note.met
        drawn = note.train_rows + note.test_rows + note.too_long
        moved = abs(note.train_rows - (rows - test)) > edge
        if moved or (limit is None and not note.test_source and (drawn != rows or abs(note.test_rows - test) > edge)):
            off.append(note)
    if not off:
        return
    counts = [_range([note.train_rows for note in off]) + " rows to train on"]
    wanted = [str(rows - test)]
    if limit is None:
        counts.append(_range([note.test_rows for note in off]) + " to test")
        wanted.append(str(test))
    yield f"{' and '.join(counts)}, not {' and '.join(wanted)}"


def _spec(run: Run, part: Part) -> Iterator[str]:
    """Yield in what the data and the scoring of a run are not as published: by its record, and by its spec if there."""
    record, read = run.record, _read(run)
    if isinstance(read, str):
        yield read
    spec = read if isinstance(read, dict) else {}
    shots = max((note.fewshot for note in record.data.values()), default=0)
    data = {**spec.get("data", {}), "context": record.context, "num_fewshot": shots}
    yield from _other("data", data, settings.data_of(part.publication, part.experiment))
    scored = {key: value for key, value in spec.get("evaluate", {}).items() if key not in settings.SCORED_BESIDE}
    if record.precision != record.method["train"].get("precision"):
        scored["precision"] = record.precision
    yield from _other("scoring", scored, settings.scoring(part.publication, part.experiment))
    if not spec:
        yield from (note for note in record.notes if note.startswith(OTHER_SYSTEM))


def _read(run: Run) -> Mapping[str, Any] | str | None:
    """Return what ``spec.yaml`` beside a record says; a sentence where it cannot be read, None where there is none."""
    if run not in _SPECS:
        _SPECS[run] = _read_spec(run)
    return _SPECS[run]


def _read_spec(run: Run) -> Mapping[str, Any] | str | None:
    path = run.folder and run.folder / "spec.yaml"
    if path is None or not path.exists():
        return None
    try:
        spec = yaml.safe_load(read_regular(path, _LARGEST_SPEC))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return "spec.yaml beside the record cannot be read"
    whole = isinstance(spec, dict) and all(isinstance(spec.get(key), dict) for key in ("data", "evaluate"))
    return spec if whole else "spec.yaml beside the record is no spec of a run"


def _alone(values: Mapping[str, object]) -> Allowed:
    return {key: (value,) for key, value in values.items()}


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"


def spelled(value: object) -> str:
    """Return a value as a spec spells it."""
    if value is None:
        return "unset"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(spelled, value))}]"
    if isinstance(value, str):
        return value if value.replace("-", "_").isidentifier() else quoted(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
