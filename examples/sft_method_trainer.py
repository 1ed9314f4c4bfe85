"""TRL's SFTTrainer with EWC on LoRA, one task after another, watched; needs ``pip install 'secura-bench[trl]'``.

    python examples/sft_method_trainer.py && secura-bench report results
    python examples/sft_method_trainer.py --model HuggingFaceTB/SmolLM2-135M-Instruct --tasks first_rows.jsonl \
        second_rows.jsonl --probe f_task --steps 200

Without arguments it trains the shipped tiny model, offline, in seconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml
from trl import SFTConfig

from secura_bench.integrations import ForgettingCallback, SFTMethodTrainer, read_task
from secura_bench.models.load import find_model, load_model, load_tokenizer
from secura_bench.spec.sections import EvaluateSpec


def main() -> None:
    """Train the tasks in order; from the second on, EWC holds what the one before came to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="tiny", help="a preset, a folder or a Hub id")
    parser.add_argument("--method", default="{stack: [lora, ewc]}", help="what a spec has: a name, or a mapping")
    parser.add_argument("--tasks", nargs="+", default=["tiny_group", "tiny_count"], help="tasks or files of rows")
    parser.add_argument("--probe", default="tiny_f_task", help="what was known before: a task, a list, a file of rows")
    parser.add_argument("--probe-rows", type=int)
    parser.add_argument("--limit", type=int, help="test rows of the learned task that are scored; all, if left out")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=114514)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--experiment", default="trainer", help="the name of the experiment that the record joins")
    parser.add_argument("--out", type=Path, default=Path("out"))
    given = parser.parse_args()

    model, tokenizer = load_model(find_model(given.model)), load_tokenizer(find_model(given.model))
    trainer = None
    for index, name in enumerate(given.tasks):
        task = read_task(name, tokenizer, index=index, count=len(given.tasks))
        args = SFTConfig(
            str(given.out / task.name),
            max_steps=given.steps,
            learning_rate=given.lr,
            lr_scheduler_type="constant",
            per_device_train_batch_size=given.batch_size,
            bf16=False,
            gradient_checkpointing=False,
            logging_steps=5,
            save_strategy="no",
            report_to="none",
            seed=given.seed,
        )
        if trainer is None:
            trainer = SFTMethodTrainer(
                model, args, method=yaml.safe_load(given.method), task=task, processing_class=tokenizer
            )
            watch = ForgettingCallback(
                trainer,
                probe=given.probe,
                rows=given.tasks,
                every=max(1, given.steps // 2),
                results=given.results,
                experiment=given.experiment,
                model=given.model,
                probe_rows=given.probe_rows,
                evaluate=EvaluateSpec(limit=given.limit),
            )
        else:
            trainer = SFTMethodTrainer(args=args, after=trainer, task=task, processing_class=tokenizer)
            watch = watch.follow(trainer)
        trainer.add_callback(watch)
        trainer.train()


if __name__ == "__main__":
    main()
