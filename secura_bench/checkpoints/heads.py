"""Classification heads beside an adapter or model: a file that ``secura-bench export`` writes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from torch import Tensor

from secura_bench.checkpoints.find import Checkpoint
from secura_bench.foundation.errors import DataError
from secura_bench.models.task_heads import FILE


def heads_identity(checkpoint: Checkpoint) -> str | None:
    """Return the SHA-256 of the file of a checkpoint's heads, None where it has none."""
    file = checkpoint.folder.path / FILE
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def read_heads(checkpoint: Checkpoint, classes: Mapping[str, int]) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint's heads by name, those of ``classes`` (labels by task) among them.

    Raises:
        DataError: The file is not there or damaged, or has no head for a task, or one of other labels.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = checkpoint.folder.path / FILE
    if not file.is_file():
        raise DataError(
            f"{checkpoint.label}: has no {FILE}, so nothing in it answers {', '.join(classes)}: a task of "
            f"kind: classify is answered by its own head. What `secura-bench export` writes of a run has one."
        )
    try:
        tensors: dict[str, Tensor] = load_file(file)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{file}: cannot be read: {error}.") from None
    for task, count in classes.items():
        bias = tensors.get(f"heads.{task}.bias")
        if bias is None or f"heads.{task}.weight" not in tensors:
            raise DataError(f"{file}: holds no head for the task {task!r}.")
        if len(bias) != count:
            raise DataError(f"{file}: the head of {task!r} has {len(bias)} outputs, and the task {count} labels.")
    return tensors
