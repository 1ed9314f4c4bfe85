"""Why a run's scores cannot stand beside the paper's: each key that is another one, with its value and the paper's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import yaml

from secura_bench.data.turns.differences import OTHER_SYSTEM
from secura_bench.foundation.errors import quoted
from secura_bench.foundation.regular import read_regular
from secura_bench.report.against import settings
from secura_bench.report.against.published import MODELS
from secura_bench.report.against.settings import PROBE, PROBE_ROWS, ROWS, TEST_FRACTION, Allowed
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
    another = [] if study.model in MODELS else [f"another model ({study.model})"]
    return [*another, *_rows(run.record, part), *_spec(run, part), *not_its_settings(run.record, part, varied)]


def not_its_settings(record: RunRecord, part: Part, varied: Mapping[str, object] = NO_VARIATION) -> list[str]:
    """Return in what a run's training and its method's settings are not the published ones."""
    name = record.method["name"]
    if not trained(record):
        return []
    options, train = settings.complete(record)
    held = settings.training_of(name, part.experiment)
    rate = {"lr": train.pop("lr")}
    reasons = [*_other("training", train, held), *_other("training", rate if "lr" in held else {}, held)]
    if name in settings.METHODS_OF_THE_PAPER:
        reasons += _other("settings", options, {**settings.options_of(name), **_alone(varied)})
    return reasons


def as_its_code(record: RunRecord, part: Part) -> int:
    """Return in how many settings a run does as the paper's code does, and not as the paper says."""
    options, train = settings.complete(record)
    name = record.method["name"]
    both = [(options, settings.options_of(name)), (train, settings.training_of(name, part.experiment))]
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
    data, probed = record.data, part.experiment != "exp1"
    parts = record.probe_parts if probed else ()
    named = dict.fromkeys([*record.tasks, *parts])
    stand_ins = sorted(name for name in named if name in data and data[name].stand_in)
    if stand_ins:
        yield f"stand-in data ({', '.join(stand_ins)})"
    if unknown := [name for name in named if name not in data]:
        yield f"the record does not say which rows of {', '.join(unknown)}"
    notes = [data[name] for name in record.tasks if name in data]
    if trained(record):
        yield from _split(notes, record.limit)
    if not probed:
        if record.limit is not None:
            yield f"test rows limited to {record.limit}"
        if any(note.test_source for note in notes):
            yield "test rows that the task names itself"
    elif record.probe != PROBE:
        yield f"another probe ({record.probe})"
    elif set(parts) != set(settings.probe_parts()):
        yield f"a probe of {', '.join(parts)}, not {', '.join(settings.probe_parts())}"
    elif (rows := sum(data[name].probe_rows for name in parts if name in data)) not in (0, PROBE_ROWS):
        yield f"{rows} rows of the probe, not {PROBE_ROWS}"


def _split(notes: list[DataNote], limit: int | None) -> Iterator[str]:
    """Yield how many rows were trained on and tested on, where they are not a thousand in nine parts and one."""
    test = round(ROWS * TEST_FRACTION)
    off = []
    for note in notes:
        edge = ROWS * _EDGE + note.too_long + note.met
        drawn = note.train_rows + note.test_rows + note.too_long
        moved = abs(note.train_rows - (ROWS - test)) > edge
        if moved or (limit is None and not note.test_source and (drawn != ROWS or abs(note.test_rows - test) > edge)):
            off.append(note)
    if not off:
        return
    counts = [_range([note.train_rows for note in off]) + " rows to train on"]
    wanted = [str(ROWS - test)]
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
    yield from _other("data", data, settings.data_of(part.experiment))
    scored = {key: value for key, value in spec.get("evaluate", {}).items() if key not in settings.SCORED_BESIDE}
    if record.precision != record.method["train"].get("precision"):
        scored["precision"] = record.precision
    yield from _other("scoring", scored, settings.scoring())
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
