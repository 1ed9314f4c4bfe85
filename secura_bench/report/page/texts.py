"""The items' texts, small enough to travel: strings kept once, answers where they change, compressed blob by blob."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secura_bench.report.study.arms import Arm
from secura_bench.report.study.axis import moment_name
from secura_bench.report.study.protocols import PROTOCOLS
from secura_bench.report.study.runs import Moment, Run
from secura_bench.report.study.study import Study

BUDGET = 4_200_000
"""Characters of base64 that all blobs may take: the page stays below 5 MB."""
LONGEST = 2_000
"""Characters of one text; of a longer one the page says how much more there was."""
TASK_SHARE = 0.25
"""A trained task's items to a probe part's: the probe is what is forgotten."""
_TRIAL = 4.0  # items a part to measure the size with
_MOST = 1000.0


@dataclass(frozen=True)
class Texts:
    """One blob: ``about`` says what it holds and of how many, ``blob`` is deflated JSON in base64.

    The JSON: ``strings`` (a text, or a text and how many characters were left out); ``items``, each with id, the
    numbers of its prompt and reference, and the base's answer; ``arms``, each with its moments' names and, by item,
    the answers that differ from the one before: [moment, prediction, extracted, score].
    """

    about: dict[str, Any]
    blob: str


_Answers = dict[Moment, dict[str, float | None]]
"""Scores by moment and item."""


@dataclass(frozen=True)
class _File:
    """Where one task's texts under one protocol are to be found."""

    study: Study
    number: int
    protocol: str
    role: str
    task: str

    @property
    def metric(self) -> str:
        return PROTOCOLS[self.protocol].metrics[0]


def make_texts(studies: Sequence[Study], budget: int = BUDGET) -> list[Texts]:
    """Return the blobs of all studies, each with as many items as all may have within ``budget`` characters."""
    files = [file for number, study in enumerate(studies) for file in _files(study, number)]
    share, made = _TRIAL, _all(files, _TRIAL)
    while made:
        size, complete = sum(len(text.blob) for text in made), all(t.about["shown"] == t.about["of"] for t in made)
        if size <= budget and (complete or share >= _MOST or size > 0.8 * budget):
            break
        if size > budget and share <= 1 / TASK_SHARE:  # one item a file is too much: the probe's alone, then none
            files = [file for file in files if file.role == "part"] if any(f.role == "task" for f in files) else []
            made = _all(files, share)
            continue
        larger = share * 0.9 * budget / size
        share = min(max(larger, 1.0), _MOST)
        made = _all(files, share)
    return made


def _all(files: Sequence[_File], share: float) -> list[Texts]:
    found = (_texts(file, share if file.role == "part" else share * TASK_SHARE) for file in files)
    return [text for text in found if text is not None]


def _files(study: Study, number: int) -> Iterator[_File]:
    runs = study.runs
    parts = list(dict.fromkeys(part for run in runs for part in run.record.probe_parts))
    tasks = list(dict.fromkeys(task for sequence in study.sequences for task in sequence))
    for protocol in study.protocols:
        if protocol in PROTOCOLS:
            yield from (_File(study, number, protocol, "part", part) for part in parts)
            yield from (_File(study, number, protocol, "task", task) for task in tasks)


def _texts(file: _File, share: float) -> Texts | None:
    """Return one blob, None where no text was kept; each arm speaks with its first seed."""
    sources = [(arm, arm.runs[0]) for arm in file.study.arms]
    base = next((run for run in (file.study.base.runs if file.study.base else ()) if _answers(run, file)), None)
    answers = {run: _answers(run, file) for run in (*([base] if base else []), *(run for _, run in sources))}
    ids = list(dict.fromkeys(id_ for moments in answers.values() for scored in moments.values() for id_ in scored))
    if not ids:
        return None
    chosen = sorted(ids, key=lambda id_: (zlib.crc32(id_.encode("utf-8", "surrogatepass")), id_))
    chosen = sorted(chosen[: max(1, round(share))], key=ids.index)
    strings = _Strings()
    items: dict[str, list[Any]] = {id_: [id_, -1, -1, None] for id_ in chosen}
    if base is not None:
        for moment, scored in list(answers[base].items())[-1:]:
            for id_, answer in _read(base, file, moment, scored, items, strings):
                items[id_][3] = answer
    arms = []
    for arm, run in sources:
        found = _arm(arm, run, answers[run], file, items, strings)
        if found:
            arms.append(found)
    if not strings.texts or not (arms or base):
        return None
    kept = [item for item in items.values() if item[1] >= 0]
    held = {item[0]: i for i, item in enumerate(items.values())}
    for one in arms:
        one["answers"] = [one["answers"][held[item[0]]] for item in kept]
    value = {"items": kept, "arms": arms, "strings": strings.texts}
    about = {
        "study": file.number,
        "protocol": file.protocol,
        "role": file.role,
        "task": file.task,
        "shown": len(kept),
        "of": len(ids),
    }
    return Texts(about, _deflated(value))


def _arm(
    arm: Arm, run: Run, answers: _Answers, file: _File, items: dict[str, list[Any]], strings: _Strings
) -> dict[str, Any] | None:
    changes: dict[str, list[list[Any]]] = {id_: [] for id_ in items}
    moments: list[str] = []
    for moment, scored in answers.items():
        for id_, answer in _read(run, file, moment, scored, items, strings):
            if not changes[id_] or changes[id_][-1][1:] != answer:
                changes[id_].append([len(moments), *answer])
        moments.append(moment_name(moment) if moment.after is not None else "before training")
    if not any(changes.values()):
        return None
    return {
        "method": arm.method,
        "sequence": file.study.sequences.index(arm.sequence),
        "seed": run.record.seed,
        "moments": moments,
        "answers": list(changes.values()),
    }


def _answers(run: Run, file: _File) -> _Answers:
    """Return the items' scores by the file's metric at each moment that they were scored at, by id."""
    found = {}
    for moment in run.moments:
        score = run.score(file.protocol, file.role, file.task, moment)  # type: ignore[arg-type]
        items = run.items(score) if score else None
        if items is not None:
            column = items.column(file.metric)
            values = [None] * len(items.ids) if column is None else [_plain(value) for value in column]
            found[moment] = dict(zip(items.ids, values, strict=True))
    return found


def _read(
    run: Run,
    file: _File,
    moment: Moment,
    scored: dict[str, float | None],
    items: dict[str, list[Any]],
    strings: _Strings,
) -> Iterator[tuple[str, list[Any]]]:
    """Yield each chosen item's id and answer at a moment; prompt and reference are filed where they are first met."""
    score = run.score(file.protocol, file.role, file.task, moment)  # type: ignore[arg-type]
    for line in run.texts(score) if score else ():
        id_ = str(line.get("id"))
        if id_ in items:
            if items[id_][1] < 0:
                items[id_][1] = strings.number(_asked(line))
                items[id_][2] = strings.number(line.get("reference"))
            answer = [strings.number(line.get("prediction")), strings.number(line.get("extracted")), scored.get(id_)]
            yield id_, answer


def _asked(line: Mapping[str, Any]) -> Any:
    """Return an item's prompt, what was said before it first."""
    turns = line.get("history")
    if not (isinstance(turns, list) and turns and all(isinstance(turn, list) for turn in turns)):
        return line.get("prompt")
    return "\n\n".join(": ".join(map(str, turn)) for turn in [*turns, ["user", line.get("prompt")]])


class _Strings:
    """Texts, each kept once, in the order of their first use."""

    def __init__(self) -> None:
        self.texts: list[str | list[Any]] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: Any) -> int:
        """Return the number of a text, -1 of none."""
        if text is None:
            return -1
        text = str(text)
        if text not in self._numbers:
            self._numbers[text] = len(self.texts)
            self.texts.append(text if len(text) <= LONGEST else [text[:LONGEST], len(text) - LONGEST])
        return self._numbers[text]


def _plain(value: float) -> float | None:
    return round(float(value), 1) if math.isfinite(value) else None


def _deflated(value: Any) -> str:
    packer = zlib.compressobj(wbits=-15)
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()
    return base64.b64encode(packer.compress(text) + packer.flush()).decode()
