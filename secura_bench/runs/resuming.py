"""Going on with an unfinished run: whether its folder lets it, and from which checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from secura_bench.foundation.errors import BenchError
from secura_bench.foundation.wording import in_a_line
from secura_bench.methods.plugins import plugin_fault
from secura_bench.plan.run import Run
from secura_bench.results.folder import RunFolder
from secura_bench.runs.manifest import changed_since
from secura_bench.runs.progress.events import Progress
from secura_bench.training.checkpoints import CheckpointError, latest_checkpoint, read_checkpoint

_ANEW = "--force moves the run's folder aside and begins it anew."


def take_up(
    run: Run, folder: RunFolder, manifest: Mapping[str, Any], progress: Progress
) -> tuple[Path | None, list[str]]:
    """Make the run's folder ready: return the checkpoint to go on from, None to begin anew, and notes for readers.

    A checkpoint that is damaged, is another run's, or counts on lines that the log has lost is passed over, and said
    so: the one before it serves, or none.
    """

    def refuse(state: Mapping[str, Any]) -> str | None:
        whose = state["run"].get("fingerprint", run.fingerprint)  # they once had none
        if whose != run.fingerprint:
            return f"{folder.checkpoint}: holds a checkpoint of the run {whose}, and this is {run.fingerprint}."
        return folder.lost_lines(state["run"]["log"])

    saved, problems = latest_checkpoint(folder.checkpoint, refuse)
    for problem in problems:
        way = "going on from the one before" if saved else "the run begins anew; nothing that was finished is lost"
        progress.note(f"{problem} So {way}.")
    if saved is None:
        folder.begin(run.resolved(), manifest)
        return None, []
    notes = [f"continued under other versions: {line}" for line in changed_since(folder.manifest(), manifest)]
    folder.resume(read_checkpoint(saved)["run"]["log"])
    folder.describe(run.resolved(), manifest)
    return saved, notes


def go_on(load: Callable[[Mapping[str, Any], Path], None], state: Mapping[str, Any], saved: Path) -> None:
    """Load the state of a checkpoint that is whole and of this run.

    Raises:
        CheckpointError: The code of the method, or of the bench, is another than that which wrote it.
    """
    try:
        load(state, saved)
    except torch.OutOfMemoryError:
        raise
    except BenchError as error:
        raise CheckpointError(f"{error} {_ANEW}") from error
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = (plugin_fault(error) or in_a_line(error)).rstrip(".")
        raise CheckpointError(f"{saved}: does not fit the run's code as it is now: {reason}. {_ANEW}") from error
