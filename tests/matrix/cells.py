"""One cell of the matrix: a method on an architecture is trained, killed, resumed, exported, and agrees; or is refused.

What is exported is loaded with nothing but transformers and PEFT, read one row at a time without padding or cache, and
compared item by item with what the run's record says of it: within a share of what training moved, so that a model that
was never trained agrees with nothing.
"""

from __future__ import annotations

import json
import shutil
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from columns import COLUMNS, Names
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from secura_bench.data.chat import ChatFormat
from secura_bench.data.example import Example
from secura_bench.export.write import Form, export
from secura_bench.foundation.errors import BenchError
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.make import make_plan
from secura_bench.plan.run import Run
from secura_bench.results.folder import RunFolder, items_file
from secura_bench.results.record import RunRecord
from secura_bench.runs.one_run import do_run
from secura_bench.runs.progress.events import NoProgress, RunActivity
from secura_bench.runs.stopping import Stop
from secura_bench.spec.load import load_spec

FORMS: tuple[Form, ...] = ("peft", "merged")
NATS = 2e-3  # of an item's loss
OF_EFFECT, _ROUNDING = 0.1, 2e-5  # of what training moved the loss that moved most; nats
_STEPS, _KILLED_AT = 2, 3  # of each of two tasks; of all


@dataclass(frozen=True)
class Outcome:
    """How a cell ended: ``right``, with what of it was refused, or ``refused`` as a whole, or ``wrong``; and why."""

    kind: Literal["right", "refused", "wrong"]
    why: str = ""


Table = dict[tuple[str, str], Outcome]
"""Outcomes by architecture and column."""


class Killed(BaseException):
    """The process is gone, as far as the run can tell."""


class _Counting(NoProgress):
    """Counts the steps that a run tells of."""

    def __init__(self) -> None:
        self.steps = 0

    def advance(self, units: float, at: RunActivity) -> None:
        self.steps += at.activity == "training" and bool(at.step)


class _Killing(_Counting):
    """Kills the run when it tells of its step number ``_KILLED_AT``, before that step is saved."""

    def advance(self, units: float, at: RunActivity) -> None:
        super().advance(units, at)
        if self.steps == _KILLED_AT:
            self.steps += 1
            raise Killed


def cell(column: str, model: Path, names: Names, work: Path) -> Outcome:
    """Try one cell below ``work``; ``model`` is the architecture's folder."""
    try:
        return _cell(column, model, names, work)
    except Exception as error:  # whatever a person would see as a traceback
        *_, last = traceback.extract_tb(error.__traceback__)
        place = f"{Path(last.filename).name}:{last.lineno}"
        return Outcome("wrong", f"a traceback: {type(error).__name__}: {error} ({place})")


def _cell(column: str, model: Path, names: Names, work: Path) -> Outcome:
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            plan = make_plan(load_spec(str(_spec(work, model, COLUMNS[column](names)))))
        except BenchError as error:
            return Outcome("refused", str(error))
        run, inputs = plan.runs[-1], plan.inputs
        progress = _Counting()
        try:
            record = _do(run, inputs, work / "whole", progress)
        except BenchError as error:
            return Outcome("wrong" if progress.steps else "refused", str(error))
        if record.status != "done":
            return Outcome("wrong", f"diverged at {record.diverged_at}")
        if wrong := _resumed(run, inputs, work, record):
            return Outcome("wrong", wrong)
        notes = []
        items = _items(run, inputs, work / "whole" / run.folder, record)
        allowed = _allowed(items, AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32))
        if allowed < _ROUNDING:
            return Outcome("wrong", f"training moved no loss by more than {allowed / OF_EFFECT:.1g} nats")
        for form in FORMS:
            try:
                export(work / "whole" / run.folder, form, work / form)
            except BenchError as error:
                notes.append(f"{form}: {error}")
                continue
            if wrong := _disagreement(items, _load(form, work / form, model), inputs, allowed):
                return Outcome("wrong", f"{form}: {wrong}")
        if len(notes) == len(FORMS):  # nothing of it can be compared, or taken along
            return Outcome("refused", f"either export: {' And '.join(notes)}")
        return Outcome("right", " | ".join(notes))


def _spec(work: Path, model: Path, method: Any) -> Path:
    spec = {
        "experiment": "matrix",
        "mode": "sequence",
        "model": str(model),
        "tasks": ["tiny_group", "tiny_count"],
        "probe": "tiny_arith",
        "probe_rows": 2,
        "methods": [method],
        "keep": "all",
        "train": {"lr": 5e-3, "steps": _STEPS, "batch_size": 2},
        "evaluate": {"protocols": ["teacher_forced", "generate"], "limit": 3, "batch_size": 3},
        "data": {"rows": 30},
        "checkpoint": {"every_steps": 1},
        "threads": 1,
    }
    path = work / "spec.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


def _do(run: Run, inputs: Inputs, results: Path, progress: NoProgress) -> RunRecord:
    return do_run(run, inputs, RunFolder(results / run.folder), progress, Stop())


def _resumed(run: Run, inputs: Inputs, work: Path, record: RunRecord) -> str:
    """Return how a killed and resumed run differs from the one that nobody disturbed; empty where it does not."""
    try:
        _do(run, inputs, work / "killed", _Killing())
    except Killed:
        pass
    else:
        return "was not killed"
    again = _do(run, inputs, work / "killed", NoProgress())
    if again.scores != record.scores:
        return "the scores of the resumed run are others"
    ours, theirs = (load_file(RunFolder(work / side / run.folder).trained_file) for side in ("whole", "killed"))
    if ours.keys() != theirs.keys() or any(not torch.equal(ours[name], theirs[name]) for name in ours):
        return "the resumed run's tensors are others"
    return ""


@dataclass(frozen=True)
class _Item:
    """A test row of a task, and what the record says of it: its loss, or the text where it was generated."""

    task: str
    number: int
    example: Example
    said: float | str


def _items(run: Run, inputs: Inputs, folder: Path, record: RunRecord) -> list[_Item]:
    """Return what the record says last, item by item."""
    items = []
    last = max(each.stage for each in record.scores)
    for score in record.scores:
        if score.role != "task" or score.stage != last:
            continue
        path = folder / items_file(score)
        if score.protocol == "teacher_forced":
            said = json.loads(path.read_text())["loss"]
        else:
            lines = path.with_suffix(".texts.jsonl").read_text().splitlines()
            said = [json.loads(line)["prediction"] for line in lines]
        rows = zip(inputs.test[score.task], said, strict=True)
        items += [_Item(score.task, number, example, one) for number, (example, one) in enumerate(rows)]
    return items


def _allowed(items: Sequence[_Item], untrained: nn.Module) -> float:
    """Return how many nats a loss may be off: ``NATS``, and a share of what training moved."""
    untrained.eval()
    moved = [abs(item.said - _loss(untrained, item.example)) for item in items if isinstance(item.said, float)]
    return min(NATS, OF_EFFECT * max(moved, default=0.0))


def _disagreement(items: Sequence[_Item], model: nn.Module, inputs: Inputs, allowed: float) -> str:
    """Return where what was exported and the record disagree; empty where no item does."""
    model.eval()
    for item in items:
        if isinstance(item.said, float):
            said: float | str = _loss(model, item.example)
            agrees = abs(said - item.said) <= allowed
        else:
            said = _said(model, item.example, inputs.chat, inputs.tasks[item.task].file.max_new_tokens)
            agrees = said == item.said
        if not agrees:
            return f"{item.task}, item {item.number}: {said!r}, and {item.said!r} in the record ({allowed:.1g} allowed)"
    return ""


def _load(form: Form, folder: Path, model: Path) -> nn.Module:
    loaded = AutoModelForCausalLM.from_pretrained(folder if form == "merged" else model, dtype=torch.float32)
    if form == "peft":
        from peft import PeftModel

        loaded = PeftModel.from_pretrained(loaded, str(folder))
    return loaded


@torch.no_grad()
def _loss(model: nn.Module, example: Example) -> float:
    ids = torch.tensor([[*example.prompt_ids, *example.answer_ids]])
    logits = model(input_ids=ids, use_cache=False).logits[0, len(example.prompt_ids) - 1 : -1]
    return F.cross_entropy(logits.float(), ids[0, len(example.prompt_ids) :]).item()


@torch.no_grad()
def _said(model: nn.Module, example: Example, chat: ChatFormat, tokens: int) -> str:
    ids = list(example.prompt_ids)
    for _ in range(tokens):
        ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        if ids[-1] in chat.stop_ids:
            break
    return chat.decode(ids[len(example.prompt_ids) :])
