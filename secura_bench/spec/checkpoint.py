"""What a spec says of checkpoints: where their paths start, and that there is one for each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secura_bench.foundation.errors import SpecError, unknown_name
from secura_bench.foundation.home import from_home, without_home
from secura_bench.foundation.yaml_file import YamlFile
from secura_bench.spec.method import MethodSpec
from secura_bench.spec.types import as_list

if TYPE_CHECKING:
    from secura_bench.spec.experiment import ExperimentSpec

NAME = "checkpoint"


def place_checkpoints(file: YamlFile) -> None:
    """Put the paths of the spec's checkpoints in the place of their names, where there is such a folder.

    A relative path starts at the spec's folder, then at the working directory; else it is a preset or a Hub id.
    """
    for entry in as_list(file.data.get("methods", [])):
        if not isinstance(entry, dict) or entry.get("name") != NAME:
            continue
        if isinstance(entry.get("path"), str):
            entry["path"] = _placed(entry["path"], file.path.parent)
        if isinstance(entry.get("after"), dict):
            entry["after"] = {
                task: _placed(name, file.path.parent) if isinstance(name, str) else name
                for task, name in entry["after"].items()
            }


def check_checkpoint(method: MethodSpec, spec: ExperimentSpec) -> None:
    """Refuse an entry ``checkpoint`` that is to be trained, or has not one for each task in the one order there is.

    Raises:
        SpecError: Names the tasks.
    """
    after: Mapping[str, Any] = method.options.get("after") or {}
    if not method.is_checkpoint:
        return
    if method.train:
        raise SpecError(
            "train: a checkpoint was trained elsewhere; leave it out, and set what holds of all in the spec's."
        )
    if not after:
        return
    tasks: Sequence[str] = spec.task_names
    if strange := [task for task in after if task not in tasks]:
        raise SpecError(f"after: {unknown_name('task', strange[0], tasks)}")
    if missing := [task for task in tasks if task not in after]:
        raise SpecError(f"after: has no checkpoint for {', '.join(missing)}; it wants one for each of 'tasks'.")
    if len(spec.orders) > 1:
        raise SpecError("after: these checkpoints came of one order of tasks, and 'orders' has several; leave one.")


def _placed(name: str, folder: Path) -> str:
    path = from_home(name)
    for place in (folder / path, path):
        if place.exists():
            return without_home(str(place.absolute()))
    return name
