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
from secura_bench.spec.probe import Suite, folder_of

FEWSHOT_SEED = 1234
"""The command line's, which the worked examples are drawn by."""


@dataclass(frozen=True)
class Loaded:
    """What a name stands for: its tasks as the harness has them, one of a task, and several of a group or tag."""

    suite: Suite
    tasks: Mapping[str, Any]

    @property
    def unsafe(self) -> list[str]:
        """The tasks that run what a model writes."""
        return [name for name, task in self.tasks.items() if getattr(task, "UNSAFE_CODE", False)]


def check_installed(suite: Suite) -> None:
    """Refuse a part of the probe where the harness is not installed.

    Raises:
        SpecError: It is not.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise SpecError(f"{suite.part}: needs lm-evaluation-harness: pip install 'secura-bench[lm-eval]'.")


def refuse_code(suite: Suite, allow_code: bool) -> None:
    """Refuse what runs code that is not this program's, unless it is allowed; a folder before it is looked into.

    Raises:
        BenchError: It is not allowed, or the task cannot be loaded.
    """
    if allow_code:
        return
    if suite.include_path is not None:
        raise SpecError(
            f"include_path: {suite.include_path} holds tasks of lm-eval, which are code (its templates are run without "
            f"a sandbox); if you trust them, say so: --allow-code."
        )
    if unsafe := load(suite).unsafe:
        raise SpecError(
            f"{suite.part}: {', '.join(unsafe)} runs what the model writes; if this machine may, say so: --allow-code."
        )


@cache
def load(suite: Suite) -> Loaded:
    """Return the tasks of a part, loaded with their rows, worked examples set as the command line sets them.

    Raises:
        SpecError: The harness is not installed or knows no such name. DataError: It cannot load the task.
    """
    check_installed(suite)
    with apart():
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
                f"{suite.part}: lm-eval cannot load it: {type(error).__name__}: {first_line(str(error))}. Of a data "
                f"set of the Hub that is not here yet: `secura-bench data fetch {suite.part}`, with a network."
            ) from error
        for name, task in tasks.items():
            if getattr(task, "MULTIMODAL", False):
                raise SpecError(f"{suite.part}: {name} wants images or sound, and the model is asked in text alone.")
            _set_shots(task, suite.num_fewshot)
    return Loaded(suite, tasks)


def _set_shots(task: Any, wanted: int | None) -> None:
    """Set the number of worked examples as ``lm_eval.simple_evaluate`` does: what a task sets to 0 stays 0."""
    own = task.get_config("num_fewshot")
    task.set_config(key="num_fewshot", value=own or 0 if wanted is None or own == 0 else wanted)


@cache
def _manager(folder: Path | None) -> Any:
    """Return the harness's index of tasks, which takes it many seconds, with those of ``folder``."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=None if folder is None else str(folder))
