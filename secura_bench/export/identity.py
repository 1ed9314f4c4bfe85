"""Whether the base model that is there now is the one that a run trained."""

from __future__ import annotations

from secura_bench.foundation.errors import BenchError
from secura_bench.models.load import ModelFolder
from secura_bench.results.record import RunRecord


def refuse_another_base(record: RunRecord, base: ModelFolder) -> None:
    """Refuse a base model that is not the one that the run trained.

    A folder is known by its hash, and a model of the Hub by its commit. A snapshot's folder is named by its commit.

    Raises:
        BenchError: ``base`` is another, or cannot be shown to be the same.
    """
    trained = record.model["identity"]
    commit = trained.rpartition("@")[2]
    if base.identity == trained or ("@" in trained and base.path.resolve().name == commit):
        return
    if trained.startswith("sha256:") == base.identity.startswith("sha256:"):
        raise BenchError(
            f"{base.path}: is another model ({base.identity}) than the run's ({trained}); name the folder where that "
            f"one is: --model FOLDER."
        )
    raise BenchError(
        f"{base.path}: cannot be shown to be the run's model, which is {trained}. Give it as the run had it, or its "
        f"snapshot's folder, which is named {commit[:24]}: --model FOLDER."
    )
