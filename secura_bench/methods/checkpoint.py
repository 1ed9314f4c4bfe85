"""A model or adapter that others trained, in a method's place: each training phase loads, and takes no step.

for each task, or for all at once:
    an adapter:      the base with it on, unmerged
    a whole model:   that, in the base's place
    score the task and the probe
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from secura_bench.methods.base_model import Base
from secura_bench.methods.method import Options


class CheckpointOptions(Options):
    """What is loaded, and how it is asked: either ``path`` or ``after``."""

    path: str | None = None
    """A folder or Hub id, of a PEFT adapter or a whole model, that was trained on all tasks at once."""

    after: dict[str, str] | None = None
    """One such for each task instead. In ``mode: sequence`` it is the model as it was after that task's training, in
    ``mode: separate`` the one that was trained on that task alone."""

    template: Literal["base", "own"] = "base"
    """Whose tokenizer and chat template make the prompts: the ``base``'s, or the checkpoint's ``own``."""

    @model_validator(mode="after")
    def _names_one_kind(self) -> CheckpointOptions:
        if (self.path is None) == (not self.after):
            raise ValueError("a checkpoint has either a 'path', or 'after' with a path for each task")
        return self


class Checkpoint(Base):
    """Scores a model or PEFT adapter that was trained elsewhere; nothing is trained."""

    name = "checkpoint"
    Options = CheckpointOptions
