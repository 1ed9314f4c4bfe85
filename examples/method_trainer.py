"""Any method of the bench inside transformers' Trainer, one task after another.

    python examples/method_trainer.py
    python examples/method_trainer.py --model HuggingFaceTB/SmolLM2-135M-Instruct --method secura \
        --tasks first_rows.jsonl second_rows.jsonl --steps 200

Without arguments it trains the shipped tiny model, offline, in seconds. Killed, and started again with the same
arguments, it goes on from its last checkpoints.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml
from transformers import TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from secura_bench.integrations import MethodTrainer, read_task
from secura_bench.models.load import find_model, load_model, load_tokenizer


def main() -> None:
    """Train the tasks in order; what one leaves is where the next begins."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="tiny", help="a preset, a folder or a Hub id")
    parser.add_argument("--method", default="{stack: [lora, ewc]}", help="what a spec has: a name, or a mapping")
    parser.add_argument("--tasks", nargs="+", default=["tiny_group", "tiny_count"], help="tasks or files of rows")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--out", type=Path, default=Path("out"))
    given = parser.parse_args()

    model, tokenizer = load_model(find_model(given.model)), load_tokenizer(find_model(given.model))
    trainer = None
    for index, name in enumerate(given.tasks):
        task = read_task(name, tokenizer, index=index, count=len(given.tasks))
        args = TrainingArguments(
            str(given.out / task.name),
            max_steps=given.steps,
            learning_rate=given.lr,
            per_device_train_batch_size=4,
            save_steps=max(1, given.steps // 2),
            logging_steps=5,
            report_to="none",
        )
        if trainer is None:
            trainer = MethodTrainer(
                model, args, method=yaml.safe_load(given.method), task=task, processing_class=tokenizer
            )
        else:
            trainer = MethodTrainer(args=args, after=trainer, task=task, processing_class=tokenizer)
        trainer.train(resume_from_checkpoint=get_last_checkpoint(args.output_dir))
    trainer.save_model(str(given.out / "model"))


if __name__ == "__main__":
    main()
