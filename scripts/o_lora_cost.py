"""What O-LoRA costs by task number, as the page of the method has it: memory, and time relative to the first task's.

python scripts/o_lora_cost.py
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from secura_bench.data.collate import Batch, collate
from secura_bench.data.example import Example, Task
from secura_bench.methods.lending import attached
from secura_bench.methods.o_lora import OLoRA
from secura_bench.models.load import find_model, load_model
from secura_bench.tasks.row import Row

TASKS, SHOWN, ROUNDS = 16, (1, 2, 4, 8, 12, 16), 15
ROWS, PROMPT, ANSWER = 4, 48, 16


class InTask:
    """O-LoRA on the tiny model in task ``number``, from 1: the pairs of the tasks before are frozen."""

    def __init__(self, number: int) -> None:
        torch.manual_seed(0)
        self.method = OLoRA()
        self.model = attached(self.method, load_model(find_model("tiny"))).train()
        for index in range(number):
            self.method.begin_task(self.model, task := Task(f"task{index}", index, [], TASKS))
            if index < number - 1:
                self.method.end_task(self.model, task)
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-4)

    def step(self, batch: Batch) -> float:
        """Do a step and return its seconds."""
        began = time.perf_counter()
        loss = self.method.loss(self.model, batch)
        (loss.sum / loss.tokens + sum(loss.terms.values())).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return time.perf_counter() - began


def rows() -> Batch:
    """Return random rows, all of one length."""
    generator = torch.Generator().manual_seed(0)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(10, 500, (length,), generator=generator).tolist())

    examples = [Example("task", Row("", "", ""), ids(PROMPT), ids(ANSWER)) for _ in range(ROWS)]
    return collate(examples, pad_id=0)


def measured() -> list[tuple[Any, ...]]:
    """Return task, frozen scalars, kB of them, and times the first task's step; the tasks take turns at each step.

    So what else the machine does strikes all alike, and a ratio is the median over turns.
    """
    torch.set_num_threads(1)
    batch, all_ = rows(), [InTask(number) for number in SHOWN]
    for each in all_:
        each.step(batch)
    turns = [[each.step(batch) for each in all_] for _ in range(ROUNDS)]
    table = []
    for place, (number, each) in enumerate(zip(SHOWN, all_, strict=True)):
        count = each.method.count_parameters(each.model)
        ratio = statistics.median(turn[place] / turn[0] for turn in turns)
        kept = 4 * count.held / 1024
        table.append((number, f"{count.trainable:,}", f"{count.held:,}", f"{kept:,.0f}", f"{ratio:.2f}"))
    return table


if __name__ == "__main__":
    print("| task | trained | frozen, of tasks before | kB of these | a step, times task 1's |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for line in measured():
        print("| " + " | ".join(map(str, line)) + " |")
