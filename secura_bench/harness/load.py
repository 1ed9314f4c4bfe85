"""Tasks of the harness, found by name and loaded, once a process."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from secura_bench.foundation.errors import BenchError, DataError, SpecError, did_you_mean
from secura_bench.foundation.wording import first_line
from secura_bench.harness.apart import apart, seed
from secura_bench.harness.code import foreign_code, refuse_folder
from secura_bench.spec.probe import Suite, folder_of

FEWSHOT_SEED = 1234
"""The command line's, which the worked examples are drawn by."""


@dataclass(frozen=True)
class Loaded:
    """What a name stands for: its tasks as the harness has them, one of a task, and several of a group or tag."""

    suite: Suite
    tasks: Mapping[str, Any]


def check_installed(suite: Suite) -> None:
    """Refuse a part of the probe where the harness is not installed.

    Raises:
        SpecError: It is not.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise SpecError(f"{suite.part}: needs lm-evaluation-harness: pip install 'secura-bench[lm-eval]'.")


@cache
def load(suite: Suite, allow_code: bool) -> Loaded:
    """Return the tasks of a part, loaded with their rows, worked examples set as the command line sets them.

    Raises:
        SpecError: The harness is not installed or knows no such name, or the task is code that is not allowed.
        DataError: It cannot load the task.
    """
    check_installed(suite)
    refuse_folder(suite, allow_code)
    with apart(), foreign_code(suite.part, allow_code):
        manager = _manager(folder_of(suite))
        if suite.name not in manager.all_tasks:
            near = did_you_mean(suite.name, manager.all_tasks)
            raise SpecError(f"lm-eval has no task, group or tag {suite.name!r}.{near} `lm-eval ls tasks` lists them.")
        seed()
        try:
            tasks = manager.load([suite.name])["tasks"]
        except BenchError:
            raise
        except Exception as error:
            raise DataError(
                f"{suite.part}: lm-eval cannot load it: {type(error).__name__}: {_said(error)}. Of a data "
                f"set of the Hub that is not here yet: `secura-bench data fetch {suite.part}`, with a network."
            ) from error
        for name, task in tasks.items():
            if getattr(task, "MULTIMODAL", False):
                raise SpecError(f"{suite.part}: {name} wants images or sound, and the model is asked in text alone.")
            if getattr(task, "UNSAFE_CODE", False) and not allow_code:
                raise SpecError(f"{suite.part}: {name} runs what the model writes; if it may, say so: --allow-code.")
            _set_shots(task, suite.num_fewshot)
    return Loaded(suite, tasks)


def _said(error: Exception) -> str:
    return first_line(str(error)).rstrip(".")


def _set_shots(task: Any, wanted: int | None) -> None:
    """Set the number of worked examples as ``lm_eval.simple_evaluate`` does: what a task sets to 0 stays 0."""
    own = task.get_config("num_fewshot")
    task.set_config(key="num_fewshot", value=own or 0 if wanted is None or own == 0 else wanted)


@cache
def _manager(folder: Path | None) -> Any:
    """Return the harness's index of tasks, which takes it many seconds, with those of ``folder``."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=None if folder is None else str(folder))
