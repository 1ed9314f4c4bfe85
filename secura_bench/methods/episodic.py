"""A memory of earlier tasks' rows, to whose gradients a step's own is held: what A-GEM and GEM share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn
from typing_extensions import TypeVar

from secura_bench.data.example import Example, Task
from secura_bench.methods.buffers import Buffer
from secura_bench.methods.memory_gradients import Gradient, gradient_on
from secura_bench.methods.method import Method, Options, StepContext
from secura_bench.methods.parameters import ParameterCount

OptionsT = TypeVar("OptionsT", bound=Options, default=Options, covariant=True)


class Episodic(Method[OptionsT]):
    """Keeps rows as they are trained on, and speaks for the tasks that have ended; a step's rows stay what they are.

    Attributes:
        task: the one under way. past: those that have ended. projected: how many steps' gradients were changed by now.
    """

    def __init__(self, options: OptionsT | None, buffer: Buffer) -> None:
        super().__init__(options)
        self.buffer = buffer
        self.task = ""
        self.past: list[str] = []
        self.projected = 0
        self._rows = 0

    def begin_task(self, model: nn.Module, task: Task) -> None:
        """Note whose rows are to come."""
        self.task = task.name

    def mix(self, examples: Sequence[Example]) -> Sequence[Example]:
        """Offer the step's rows to the memory."""
        for example in examples:
            self.buffer.add(replace(example, task=self.task))
        self._rows = len(examples)
        return examples

    def reference(self, model: nn.Module, step: StepContext, ratio: float, tasks: Sequence[str]) -> Gradient:
        """Return the gradient on a draw of the rows of ``tasks``, ``ratio`` for each of the step's; empty if none."""
        rows = self.buffer.draw(max(1, round(ratio * self._rows)), tasks)
        return gradient_on(model, rows, step, self.buffer.generator) if rows else {}

    def end_task(self, model: nn.Module, task: Task) -> None:
        """Hold later tasks to this one's rows."""
        if task.name not in self.past:
            self.past.append(task.name)

    def measures(self, model: nn.Module) -> Mapping[str, float]:
        """Return how many steps' gradients were changed by now."""
        return {"projected_steps": float(self.projected)}

    def count_parameters(self, model: nn.Module) -> ParameterCount:
        """Count the model's parameters; held are the token ids in the memory by now."""
        return super().count_parameters(model).with_held(self.buffer.tokens)

    def state_dict(self) -> dict[str, Any]:
        """Return the memory, the task under way and those that have ended, and the count of changed gradients."""
        told = {"task": self.task, "past": list(self.past), "projected": self.projected}
        return {**told, "buffer": self.buffer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self.buffer.load_state_dict(state["buffer"])
        self.task, self.past, self.projected = state["task"], list(state["past"]), state["projected"]
