"""A model or adapter that others trained, in a method's place: each training phase loads, and takes no step.

for each task, or for all at once:
    load: an adapter on the base, unmerged; or a whole model in the base's place
    score the task and the probe
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from secura_bench.methods.base_model import Base
from secura_bench.methods.method import Options


class CheckpointOptions(Options):
    """What was trained elsewhere: one result for all tasks, or one for each."""

    path: str | None = None
    """A folder or Hub id, of a PEFT adapter or a whole model, that was trained on all tasks at once."""

    after: dict[str, str] | None = None
    """A folder or Hub id for each task instead: in ``mode: sequence`` the model as it was after that task's training,
    in ``mode: separate`` the one that was trained on that task alone."""

    template: Literal["base", "own"] = "base"
    """Whose tokenizer and chat template make the prompts: the base's, or the checkpoint's ``own``."""

    @model_validator(mode="after")
    def _names_one_kind(self) -> CheckpointOptions:
        if (self.path is None) == (not self.after):
            raise ValueError("a checkpoint has either a 'path', or 'after' with a path for each task")
        return self


class Checkpoint(Base):
    """Scores what was trained elsewhere: each training phase loads a checkpoint and takes no step."""

    name = "checkpoint"
    not_sharded = "what others trained is loaded and scored whole"
    Options = CheckpointOptions
    options: CheckpointOptions
