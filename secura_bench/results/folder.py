"""Where runs live on disk, written so that nothing is ever half there."""

from __future__ import annotations

import datetime
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from secura_bench.foundation.files import save_tensors, sync, to_json, write_atomically
from secura_bench.foundation.regular import read_regular
from secura_bench.results.record import RunRecord, Score

if TYPE_CHECKING:
    from torch import Tensor

RECORD, FAILURE, LOG, MANIFEST = "record.json", "failure.json", "log.jsonl", "manifest.json"
REPLACED = ".replaced-"
_MANIFEST_BYTES = 1 << 24
"""A manifest is a few kB, and one of a large suite a few hundred."""


def items_file(score: Score, part: str | None = None) -> Path:
    """Return where the items behind ``score`` lie in a run's folder; the texts lie beside, as ``.texts.jsonl``.

    The pool's items are its parts': ``part`` names one. A task may be part of the probe and trained on as well, so
    the probe's items have a folder of their own.
    """
    moment = f"{score.stage:04d}-{score.after or 'start'}-{score.step}"
    inside = "" if score.role == "task" else "probe/"
    return Path(f"evals/{moment}/{score.protocol}/{inside}{as_file(part or score.task)}.json")


def as_file(task: str) -> str:
    """Return a task's name as a file is called: some systems have no ``:`` in one."""
    return task.replace(":", "-")


class RunFolder:
    """One run's folder, ``results/<experiment>/<name>-<fingerprint>/``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def finished(self) -> bool:
        """Whether the run's record is there."""
        return (self.path / RECORD).is_file()

    def begin(self, spec: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
        """Make the run's folder new, with its resolved spec and manifest. What an unfinished run left is deleted."""
        if self.path.exists():
            shutil.rmtree(self.path)
        self.describe(spec, manifest)

    def describe(self, spec: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
        """Write the resolved spec and the manifest."""
        write_atomically(self.path / "spec.yaml", yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True))
        write_atomically(self.path / MANIFEST, to_json(manifest))

    def lost_lines(self, log_bytes: int) -> str | None:
        """Return what is wrong if the log is shorter than a checkpoint counts on, else None."""
        size = self.log_size()
        return f"{self.path / LOG}: has lost lines: {size} bytes of {log_bytes}." if size < log_bytes else None

    def resume(self, log_bytes: int) -> None:
        """Cut the log to the bytes that a checkpoint counts on. Delete failures and half-written files of before."""
        if self.log_size() > log_bytes:
            os.truncate(self.path / LOG, log_bytes)
        for left in (*self.path.rglob(".*"), self.failure, self.traceback):
            if left.is_file():
                left.unlink()

    def log_size(self) -> int:
        """Return the length of ``log.jsonl`` in bytes."""
        return (self.path / LOG).stat().st_size if (self.path / LOG).exists() else 0

    def settle_log(self) -> int:
        """Make the system write the log to the disk, so that a checkpoint may count on it. Return its length."""
        for path in (self.path / LOG, self.path):
            if path.exists():
                sync(path)
        return self.log_size()

    def manifest(self) -> Mapping[str, Any]:
        """Return the manifest that is there, empty if none can be read."""
        try:
            found = json.loads(read_regular(self.path / MANIFEST, _MANIFEST_BYTES))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def log(self, entry: Mapping[str, Any]) -> None:
        """Append one line to ``log.jsonl``."""
        with (self.path / LOG).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry, sort_keys=True) + "\n")

    def write_items(self, score: Score, items: Any, texts: list[Any]) -> None:
        """Write the scores of every item behind ``score``, by column, and its texts into a file of their own."""
        path = self.path / items_file(score)
        write_atomically(path, to_json(items))
        lines = (json.dumps(text, ensure_ascii=False, sort_keys=True) for text in texts)
        write_atomically(path.with_suffix(".texts.jsonl"), "\n".join(lines) + "\n")

    def keep(self, tensors: Mapping[str, Tensor], heads: Mapping[str, Tensor] | None = None) -> None:
        """Keep the trained result as ``adapter/trained.safetensors``, and classification ``heads`` beside it."""
        self.trained_file.parent.mkdir(parents=True, exist_ok=True)
        for held, file in ((heads, self.heads_file), (tensors, self.trained_file)):
            if held is not None:
                beside = file.with_name(f".{file.name}")
                save_tensors(
                    {name: tensor.detach().contiguous().cpu().clone() for name, tensor in held.items()}, beside
                )
                beside.replace(file)

    @property
    def checkpoint(self) -> Path:
        """The folder of the checkpoint of an unfinished run."""
        return self.path / "checkpoint"

    @property
    def shared(self) -> Path:
        """The folder of the base model's answers, which all experiments of these results share."""
        return self.path.parent.parent / ".base"

    @property
    def failure(self) -> Path:
        """Why the last attempt at the run failed."""
        return self.path / FAILURE

    @property
    def traceback(self) -> Path:
        """Where in the code that was."""
        return self.path / "traceback.txt"

    @property
    def lock(self) -> Path:
        """The file whose lock a process holds while it does the run."""
        return self.path.parent / ".locks" / f"{self.path.name}.lock"

    @property
    def trained_file(self) -> Path:
        """The file of the trained result, there or not."""
        return self.path / "adapter" / "trained.safetensors"

    @property
    def heads_file(self) -> Path:
        """The file of the trained classification heads, there or not."""
        return self.path / "adapter" / "heads.safetensors"

    def fail(self, reason: str, advice: str, traceback: str) -> None:
        """Write why the run could not be finished. That is no record: the next command tries the run again."""
        when = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        write_atomically(self.traceback, traceback)
        write_atomically(self.failure, to_json({"reason": reason, "advice": advice, "failed_at": when}))

    def finish(self, record: RunRecord) -> None:
        """Write the record: from now on the run counts, and none of its numbers is touched again."""
        write_atomically(self.path / RECORD, to_json(record.model_dump(mode="json")))
        self.tidy()

    def tidy(self) -> None:
        """Remove what only an unfinished run needs."""
        shutil.rmtree(self.checkpoint, ignore_errors=True)

    def move_aside(self) -> Path | None:
        """Rename the folder, so that the run can be done anew and nothing is lost; None if there is none."""
        if not self.path.exists():
            return None
        now = datetime.datetime.now(datetime.timezone.utc)
        aside = self.path.with_name(f"{self.path.name}{REPLACED}{now:%Y%m%dT%H%M%S.%f}")
        self.path.rename(aside)
        return aside
