"""A plain Trainer and PEFT's LoRA, watched: what is kept and learned on the way, and a record for the report.

    python examples/forgetting_callback.py && secura-bench report results
    python examples/forgetting_callback.py --model HuggingFaceTB/SmolLM2-135M-Instruct --rows my_rows.jsonl \
        --probe f_task --steps 200 --stop-below 95

Without arguments it trains the shipped tiny model, offline, in seconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from peft import LoraConfig, get_peft_model
from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

from secura_bench.integrations import ForgettingCallback, dataset_of, read_task
from secura_bench.models.load import find_model, load_model, load_tokenizer


def main() -> None:
    """Train on the task's training side; score its test side and the probe."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="tiny", help="a preset, a folder or a Hub id")
    parser.add_argument("--rows", default="tiny_group", help="the task to learn, or a file of rows")
    parser.add_argument("--probe", default="tiny_f_task", help="what was known before: a task, a list, a file of rows")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--stop-below", type=float, help="stop once less than this percentage is surely kept")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, default=Path("out"))
    given = parser.parse_args()

    model, tokenizer = load_model(find_model(given.model)), load_tokenizer(find_model(given.model))
    task = read_task(given.rows, tokenizer)
    trainer = Trainer(
        get_peft_model(model, LoraConfig(r=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")),
        TrainingArguments(
            str(given.out),
            max_steps=given.steps,
            learning_rate=given.lr,
            per_device_train_batch_size=4,
            logging_steps=5,
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=dataset_of(task.train),
        data_collator=DataCollatorForSeq2Seq(tokenizer),
    )
    watch = ForgettingCallback(
        trainer,
        probe=given.probe,
        rows=given.rows,
        every=max(1, given.steps // 4),
        stop_below=given.stop_below,
        results=given.results,
        label="lora",
        model=given.model,
    )
    trainer.add_callback(watch)
    trainer.train()


if __name__ == "__main__":
    main()
