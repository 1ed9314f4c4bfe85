"""A model or adapter that others trained, in a method's place."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from secura_bench.methods.base_model import Base
from secura_bench.methods.method import Options


class CheckpointOptions(Options):
    """``path`` is a folder or Hub id, of a PEFT adapter or a whole model, that was trained on all tasks at once.

    ``after`` has one for each task instead: in ``mode: sequence`` the model as it was after that task's training, in
    ``mode: separate`` the one that was trained on that task alone. ``template: own`` makes prompts with the
    checkpoint's own tokenizer and chat template, not with the base's.
    """

    path: str | None = None
    after: dict[str, str] | None = None
    template: Literal["base", "own"] = "base"

    @model_validator(mode="after")
    def _names_one_kind(self) -> CheckpointOptions:
        if (self.path is None) == (not self.after):
            raise ValueError("a checkpoint has either a 'path', or 'after' with a path for each task")
        return self


class Checkpoint(Base):
    """Scores what was trained elsewhere: each training phase loads a checkpoint and takes no step.

    for task in tasks: load after[task]; score the task and the probe. Adapters go on the one base, unmerged, through
    PEFT; a whole model takes the base's place and leaves before the next.
    """

    name = "checkpoint"
    Options = CheckpointOptions
