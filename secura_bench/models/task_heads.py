"""Classification heads, one a task, on the hidden state that the language model's own head gets.

    z = W_t h + b_t,   h: the last hidden state, after the final norm, at the row's last real token

They are no part of the model: a method trains, anchors, averages and merges what it has put into the model, and the
loop trains the heads beside that. A head that no row of a step is read by has no gradient, so the step leaves it, and
its moments, as they are, bit for bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FILE = "heads.safetensors"
"""What the file of trained heads is called, in a run's folder and beside an export."""

OUTSIDE = -1e4
"""The logit of a class that a head has not, in a batch whose heads differ in size: its probability is 0 in fp32, and
unlike an infinite one it has differences and products with 0."""


class TaskHeads:
    """A linear layer for each task, as torch initialises one, drawn by the run's seed and the task's name.

    Copies of a model share them: whatever is compared with the model, the base or an earlier state of it, is read
    through the heads as they are now.
    """

    def __init__(self, classes: Mapping[str, int], width: int, seed: int, dtype: torch.dtype = torch.float32) -> None:
        self.layers = {task: _drawn(width, count, f"{seed}/{task}").to(dtype) for task, count in classes.items()}

    def __deepcopy__(self, memo: Any) -> TaskHeads:
        return self

    def to(self, device: torch.device) -> TaskHeads:
        """Move the heads to ``device``."""
        for layer in self.layers.values():
            layer.to(device)
        return self

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters by name: ``heads.TASK.weight`` (classes, hidden) and ``heads.TASK.bias`` (classes)."""
        layers = self.layers.items()
        return {f"heads.{task}.{name}": p for task, layer in layers for name, p in layer.named_parameters()}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the heads' tensors by the names of ``named_parameters``."""
        return {name: parameter.detach() for name, parameter in self.named_parameters().items()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what ``state_dict`` returned.

        Raises:
            ValueError: A head is missing, or has another shape.
        """
        for name, parameter in self.named_parameters().items():
            if name not in state or state[name].shape != parameter.shape:
                found = tuple(state[name].shape) if name in state else "none"
                raise ValueError(f"{name} is {found}, and must be {tuple(parameter.shape)}")
            parameter.copy_(state[name])

    def logits(self, hidden: Tensor, names: Sequence[str | None], own: Tensor) -> Tensor:
        """Return the logits of N positions, (N, most classes), from their hidden states (N, width).

        ``names`` are the heads that read them; None is the language model's own, whose logits are ``own``, in order.
        """
        if set(names) == {names[0]} and names[0] is not None:
            return self._read(names[0], hidden)
        parts = {name: [i for i, each in enumerate(names) if each == name] for name in dict.fromkeys(names)}
        read = {name: own if name is None else self._read(name, hidden[rows]) for name, rows in parts.items()}
        width = max(logits.shape[-1] for logits in read.values())
        padded = [F.pad(logits.float(), (0, width - logits.shape[-1]), value=OUTSIDE) for logits in read.values()]
        order = torch.tensor([row for rows in parts.values() for row in rows], device=hidden.device)
        return torch.cat(padded)[order.argsort()]

    def _read(self, name: str, hidden: Tensor) -> Tensor:
        layer = self.layers[name]
        with torch.autocast(hidden.device.type, enabled=False):
            return F.linear(hidden.to(layer.weight.dtype), layer.weight, layer.bias)


def _drawn(width: int, classes: int, name: str) -> nn.Linear:
    """Return a layer as ``nn.Linear`` begins, drawn by ``name``; the process's random numbers stay where they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(hashlib.sha256(f"head/{name}".encode()).digest()[:7], "little"))
        return nn.Linear(width, classes)
