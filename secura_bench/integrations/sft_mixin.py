"""A method inside TRL's SFTTrainer: TRL's loss, and of the method whatever looks at no logits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainingArguments

from secura_bench.data.collate import IGNORE
from secura_bench.data.example import Example, Task
from secura_bench.foundation.errors import SpecError
from secura_bench.integrations.method_hooks import MethodHooks
from secura_bench.integrations.method_trainer import cut
from secura_bench.integrations.rows import dataset_of, example_of, feature_of
from secura_bench.methods.absent import Absent
from secura_bench.methods.method import Method
from secura_bench.methods.stack import overrides


class SFTMethodMixin(MethodHooks):
    """Lets a method train inside ``trl.SFTTrainer``, which stands behind it: ``class T(SFTMethodMixin, SFTTrainer)``.

    The cross-entropy is TRL's own, with packing and its fused head. Added are the method's adapters, its terms as far
    as they are penalties on weights (EWC's), its work on gradients and weights (SECURA's merges), its own groups of
    parameters, and replay of rows, as long as a batch has rows. ``MethodTrainer`` has the rest.

    Args:
        model: The base model; the method is attached to it, so ``peft_config`` is left out.
        args: An ``SFTConfig``.
        task: The rows that the method looks at between steps (EWC's Fisher information), and trains on.
        method, after, sources: As for ``MethodTrainer``.
        callbacks, others: As for ``SFTTrainer``. ``train_dataset`` is, if left out, the task's rows.

    Raises:
        SpecError: The method needs logits, or rows under packing; the message says what for.
    """

    data_collator: Any

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
        if others.get("peft_config") is not None:
            raise SpecError("peft_config: the method brings the adapter; name one that does ('lora', or 'peft').")
        if others.get("train_dataset") is None:
            others["train_dataset"] = dataset_of(task.train)
        super().__init__(
            model, args, task=task, method=method, after=after, sources=sources, callbacks=callbacks, **others
        )
        self._refuse_what_needs_more()

    def _refuse_what_needs_more(self) -> None:
        name = self.method.name
        if overrides(type(self.method), "loss"):
            raise SpecError(f"method {name!r} computes the loss from logits, and TRL computes its own: MethodTrainer.")
        if self.method.replays and getattr(self.args, "packing", False):
            raise SpecError(f"method {name!r} replays rows, and packed ones are rows no more: set packing=False.")
        self.method.terms(self.model, self._absent("the batch"), self._absent("logits"))

    def _absent(self, what: str) -> Any:
        said = (
            f"method {self.method.name!r} looks at {what}, which TRL's fused loss does not give it: use MethodTrainer."
        )
        return Absent(said, self.args.device)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return TRL's loss and, in training, a micro-batch's share of the method's terms."""
        labels = inputs["labels"]
        found = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if not self.model.training:
            return found
        loss, outputs = found if return_outputs else (found, None)
        # Without a count of the step's tokens the Trainer takes the mean over micro-batches: of the terms as well.
        counted = num_items_in_batch is not None
        share = float((labels[:, 1:] != IGNORE).sum() / num_items_in_batch) if counted else 1.0
        part = share if counted else 1 / self.current_gradient_accumulation_steps
        for name, term in self.method.terms(model, self._absent("the batch"), self._absent("logits")).items():
            loss = loss + share * term
            self.terms[name] = self.terms.get(name, 0.0) + part * float(term.detach())
        return (loss, outputs) if return_outputs else loss

    def get_train_dataloader(self) -> Any:
        """Return TRL's; of rows as they are, where the method replays some beside them."""
        if not self.method.replays:
            return super().get_train_dataloader()
        collator, self.data_collator = self.data_collator, list
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = collator

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        """Return a step's micro-batches, as many as were drawn; after ``mix``, where the method replays.

        Raises:
            SpecError: The method weighs rows, which TRL's loss does not heed.
        """
        self.terms = {}
        if self.has_no_step_left():
            return [], None
        if not self.method.replays:
            return super().get_batch_samples(epoch_iterator, num_batches, device)
        drawn = list(islice(epoch_iterator, num_batches))
        if not drawn:
            return [], None
        rows = self.method.mix([example_of(row, self.task.name) for batch in drawn for row in batch])
        if any(row.weight != 1 for row in rows):
            raise SpecError(f"method {self.method.name!r} weighs rows, and TRL's loss takes all alike: MethodTrainer.")
        batches = [self.data_collator([feature_of(row) for row in share]) for share in cut(rows, len(drawn))]
        return batches, self._get_num_items_in_batch(batches, device)
