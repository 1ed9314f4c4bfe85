"""transformers' Trainer around any method of the registry, stack or plug-in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from secura_bench.data.collate import Batch
from secura_bench.data.example import Example, Task
from secura_bench.foundation.errors import SpecError
from secura_bench.integrations.method_hooks import MethodHooks
from secura_bench.methods.method import Method

_REFUSED = {
    "label_smoothing_factor": "the method computes the loss",
    "use_liger_kernel": "it computes no logits, which methods look at",
}


class MethodTrainer(MethodHooks, Trainer):
    """Trains a model with a method, as the bench's own loop does, with whatever else a Trainer can.

        task = read_task("my_rows.jsonl", tokenizer)
        trainer = MethodTrainer(model, TrainingArguments("out", max_steps=200), method="secura", task=task)
        trainer.train()

    In fp32 on a CPU, fed with the same rows, it ends with the same weights, bit for bit. A step's loss is
    Σ weight · CE / Σ weight over the answer tokens of all its micro-batches, and each extra term enters it once. Rows
    that a method replays make the micro-batches larger, not more. The learning rate, its schedule, clipping, logging
    and saving are the Trainer's; weight decay is the method's groups' (all of what is trained, if it says nothing).

    Args:
        model: The base model; the method is attached to it, and it is moved to ``args.device``.
        args: As for any Trainer.
        task: The rows to train on, and where they stand among a sequence's tasks.
        method: What a spec has: a name, a mapping with ``name`` and options, or one with ``stack``; or a method.
        after: The trainer of the task before, in place of ``model`` and ``method``; the optimizer is a new one. To go
            on within a later task in a new process, make the trainers of those before it, and train the last alone.
        sources: Rows that the method reads beside the task's (``er`` with ``from``), by the name that it gives them.
        callbacks, others: As for any Trainer.

    Raises:
        SpecError: The method does not fit the model, or an argument does not fit a method.
    """

    def __init__(
        self,
        model: nn.Module | None = None,
        args: TrainingArguments | None = None,
        *,
        task: Task,
        method: str | Mapping[str, Any] | Method | None = None,
        after: MethodHooks | None = None,
        sources: Mapping[str, Sequence[Example]] | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        **others: Any,
    ) -> None:
        for name, why in _REFUSED.items():
            if getattr(args, name, None):
                raise SpecError(f"{name}: {why}; leave it out.")
        if taken := {"train_dataset", "data_collator", "compute_loss_func", "model_init"} & others.keys():
            raise SpecError(f"{sorted(taken)[0]}: a method trains on the rows of 'task' by its own loss; leave it out.")
        others |= {"train_dataset": task.train, "data_collator": list}
        super().__init__(
            model, args, task=task, method=method, after=after, sources=sources, callbacks=callbacks, **others
        )
        # Each of a step's losses is its share of the whole step's already.
        self.loss_is_scaled_for_ga = self.model_accepts_loss_kwargs = True

    def get_batch_samples(
        self, epoch_iterator: Iterator[list[Example]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Tensor]], float | None]:
        """Return a step's micro-batches, as many as were drawn, after ``mix``; and its weighted answer tokens."""
        drawn = [] if self.has_no_step_left() else list(islice(epoch_iterator, num_batches))
        if not drawn:
            return [], None
        rows = self.method.mix([example for batch in drawn for example in batch])
        self.terms = {}
        shares = (self.batch_of(share) for share in cut(rows, len(drawn)))
        return [dict(vars(share)) for share in shares], sum(row.weight * row.supervised for row in rows)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return a micro-batch's share of the step's loss."""
        loss = self.method.loss(model, Batch(**inputs))  # type: ignore[arg-type] # no heads
        tokens = loss.tokens if num_items_in_batch is None else num_items_in_batch
        part = loss.sum / tokens
        for name, term in loss.terms.items():
            part = part + term * (loss.tokens / tokens)
            self.terms[name] = self.terms.get(name, 0.0) + float(term.detach()) * (loss.tokens / tokens)
        return (part, {}) if return_outputs else part

    def prediction_step(
        self, model: nn.Module, inputs: Sequence[Example], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Tensor, None, None]:
        """Return the mean cross-entropy of a batch of ``eval_dataset``'s answer tokens, without the method's terms."""
        with torch.no_grad(), self.compute_loss_context_manager(), self.method.evaluating(self.model) as view:
            loss = Method().loss(view, self.batch_of(inputs))
        return loss.sum / loss.tokens, None, None


def cut(rows: Sequence[Example], count: int) -> Iterator[Sequence[Example]]:
    """Yield ``rows`` in ``count`` runs as equal as can be, longer ones first."""
    size, longer = divmod(len(rows), count)
    start = 0
    for number in range(count):
        end = start + size + (number < longer)
        yield rows[start:end]
        start = end
