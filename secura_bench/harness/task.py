"""A part of the probe that is the harness's, in the place of a task file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from secura_bench.spec.probe import Suite
from secura_bench.tasks.file import TaskFile

KIND = "lm_eval"


class HarnessTask(TaskFile):
    """A task, group or tag of the harness as scoring sees it.

    Attributes:
        suite: what the spec says of it. counted: the metric that is the score, by task.
        allow_code: whether what of it is not this program's may run.
    """

    id: str
    kind: Literal["lm_eval"] = "lm_eval"  # type: ignore[assignment] # no task file may say so
    suite: Suite
    counted: Mapping[str, str]
    allow_code: bool

    @model_validator(mode="after")
    def _has_a_source(self) -> HarnessTask:
        return self
