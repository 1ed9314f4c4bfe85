"""Agreement with others, item by item, on SmolLM2-135M-Instruct and real rows. Exits with 1 on a difference.

    SECURA_BENCH_SMOLLM2=FOLDER SECURA_BENCH_DATA=FOLDER python scripts/agree.py [--rows N]

`choice` against lm-evaluation-harness (the extra `lm-eval`), on the same prompts, through a task of its own kind in a
temporary folder; `generate` against transformers' `generate`, one row at a time; metrics against the libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp()  # lm-eval reads rows through datasets, which would keep them

import torch
import yaml

from secura_bench.data.chat import ChatFormat
from secura_bench.data.dataset import TaskData, load_data
from secura_bench.data.example import Example
from secura_bench.evaluation.evaluate import evaluate
from secura_bench.evaluation.outcome import Evaluation
from secura_bench.models.load import find_model, load_model, load_tokenizer
from secura_bench.spec.sections import DataSpec

CONTEXT = 600
BATCH_SIZE = 8
NEW_TOKENS = 16
CHOICE_TASKS = ("arc_c", "stratqa")
GENERATE_TASKS = ("objcount", "stratqa")  # the last one's references are long enough for BLEU and ROUGE-2


class Table:
    """Lines of what was compared; remembers whether anything differed."""

    def __init__(self) -> None:
        self.differs = False
        print(f"{'what':<34} {'against':<30} {'items':>5} {'same':>5}  detail")

    def line(self, what: str, against: str, items: int, same: int, detail: str = "") -> None:
        """Print one comparison."""
        self.differs |= same < items
        verdict = "" if same == items else "  DIFFERS"
        print(f"{what:<34} {against:<30} {items:>5} {same:>5}  {detail}{verdict}", flush=True)

    def number(self, what: str, against: str, ours: float, theirs: float) -> None:
        """Print one comparison of two numbers, that must be the same but for the order of a sum."""
        same = abs(ours - theirs) <= 1e-9 * max(1.0, abs(theirs))
        self.line(what, against, 1, int(same), f"{ours:.6f} {theirs:.6f}")


def rows_of(task: str, count: int, chat: ChatFormat) -> tuple[TaskData, list[Example]]:
    """Return a task and its first ``count`` rows, test rows first."""
    data = load_data(task, DataSpec(context=CONTEXT), chat)
    return data, [*data.test, *data.train][:count]


def by_lm_eval(model: Any, chat: ChatFormat, examples: Sequence[Example]) -> list[dict[str, Any]]:
    """Return lm-eval's sample of every row, from a multiple_choice task over our rendered prompts."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    with tempfile.TemporaryDirectory() as folder:
        rows = [
            {
                "prompt": chat.prompt_text(example.row),
                "choices": list(example.row.choices or ()),
                "gold": example.row.answer_index,
            }
            for example in examples
        ]
        data = Path(folder, "rows.jsonl")
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        task = {
            "task": "agree_choice",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(data)}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "prompt",
            "doc_to_choice": "choices",
            "doc_to_target": "gold",
            "target_delimiter": "",
            "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
        }
        Path(folder, "agree_choice.yaml").write_text(yaml.safe_dump(task))
        found = lm_eval.simple_evaluate(
            model=HFLM(pretrained=model, tokenizer=chat.tokenizer, batch_size=BATCH_SIZE, device="cpu"),
            tasks=["agree_choice"],
            task_manager=TaskManager(include_path=folder, include_defaults=False),
            bootstrap_iters=0,
        )
    return sorted(found["samples"]["agree_choice"], key=lambda sample: sample["doc_id"])


def compare_choice(table: Table, model: Any, chat: ChatFormat, task: str, count: int) -> None:
    """Compare ``choice`` with lm-eval on one task."""
    data, examples = rows_of(task, count, chat)
    began = time.monotonic()
    ours = evaluate("choice", model, data.file, examples, chat, BATCH_SIZE, CONTEXT)
    between = time.monotonic()
    theirs = by_lm_eval(model, chat, examples)
    seconds = f"{between - began:.0f} s, theirs {time.monotonic() - between:.0f} s"
    for metric, name in (("accuracy", "acc"), ("accuracy_norm", "acc_norm")):
        same = sum(mine == 100.0 * sample[name] for mine, sample in zip(ours.columns[metric], theirs, strict=True))
        mean = 100 * sum(sample[name] for sample in theirs) / len(theirs)
        detail = f"{ours.scores[metric]:.2f} {mean:.2f}; {seconds}"
        table.line(f"choice, {task}: {name}", "lm-eval multiple_choice", len(examples), same, detail)
    # lm-eval moves the newline that ends a chat prompt into each continuation: its sums hold that token too, the same
    # for every choice. Differences between an item's choices are what both must agree on.
    apart = 0.0
    for prediction, sample in zip(ours.predictions, theirs, strict=True):
        sums = [float(response[0][0]) for response in sample["resps"]]
        mine = list(prediction.choices or ())
        apart = max(apart, *(abs((a - mine[0]) - (b - sums[0])) for a, b in zip(mine, sums, strict=True)))
    table.line(f"choice, {task}: log-likelihoods", "lm-eval, to 1e-3 nats", 1, int(apart < 1e-3), f"apart {apart:.1e}")


def compare_generate(table: Table, model: Any, chat: ChatFormat, task: str, count: int) -> Evaluation:
    """Compare ``generate`` with transformers, one row at a time, and return ours."""
    data, examples = rows_of(task, count, chat)
    file = data.file.model_copy(update={"max_new_tokens": NEW_TOKENS})
    began = time.monotonic()
    ours = evaluate("generate", model, file, examples, chat, BATCH_SIZE, CONTEXT, company=False)
    between = time.monotonic()
    same = 0
    for example, prediction in zip(examples, ours.predictions, strict=True):
        ids = torch.tensor([example.prompt_ids])
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            pad_token_id=chat.pad_id,
            eos_token_id=sorted(chat.stop_ids),
        )[0, ids.shape[1] :]
        same += prediction.text == chat.tokenizer.decode(out, skip_special_tokens=True)
    seconds = f"{between - began:.0f} s, theirs {time.monotonic() - between:.0f} s"
    table.line(f"generate, {task}: texts", "model.generate, row by row", len(examples), same, seconds)
    return ours


def compare_metrics(table: Table, generated: Evaluation, forced: Evaluation) -> None:
    """Compare metrics with direct calls of the libraries, as their documentation has them."""
    import sacrebleu
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    from rouge_score.rouge_scorer import RougeScorer

    texts = [prediction.text for prediction in generated.predictions]
    references = [example.row.target for example in generated.examples]
    bleu, chrf = sacrebleu.corpus_bleu(texts, [references]), sacrebleu.corpus_chrf(texts, [references])
    table.number("BLEU of the generated texts", "sacrebleu.corpus_bleu", generated.scores["bleu"], bleu.score)
    table.number("chrF of the generated texts", "sacrebleu.corpus_chrf", generated.scores["chrf"], chrf.score)
    names = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    for evaluation in (generated, forced):
        pairs = [(e.row.target, p.text) for e, p in zip(evaluation.examples, evaluation.predictions, strict=True)]
        for name in names:
            scorer = RougeScorer([name], use_stemmer=True)
            theirs = [100 * scorer.score(target, text)[name].fmeasure for target, text in pairs]
            same = sum(a == b for a, b in zip(evaluation.columns[name], theirs, strict=True))
            table.line(f"{name} of {evaluation.protocol}", "rouge_score", len(pairs), same)
    smooth = SmoothingFunction().method4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = [
            100 * sentence_bleu([example.row.target], prediction.text, smoothing_function=smooth)
            for example, prediction in zip(forced.examples, forced.predictions, strict=True)
        ]
    same = sum(a == b for a, b in zip(forced.columns["char_bleu"], theirs, strict=True))
    table.line("char-bleu of teacher_forced", "nltk sentence_bleu on strings", len(theirs), same)


def main() -> None:
    """Print the table; exit with 1 where anything differs, with 2 where the model or the data is not there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100)
    args = parser.parse_args()
    if not os.environ.get("SECURA_BENCH_SMOLLM2") or not os.environ.get("SECURA_BENCH_DATA"):
        print("SECURA_BENCH_SMOLLM2 and SECURA_BENCH_DATA must name the folders of the model and of the data.")
        sys.exit(2)
    folder = find_model(os.environ["SECURA_BENCH_SMOLLM2"])
    model, chat = load_model(folder), ChatFormat(load_tokenizer(folder))
    table = Table()
    for task in CHOICE_TASKS:
        compare_choice(table, model, chat, task, args.rows)
    generated = [compare_generate(table, model, chat, task, args.rows) for task in GENERATE_TASKS]
    data, examples = rows_of(GENERATE_TASKS[-1], args.rows, chat)
    forced = evaluate("teacher_forced", model, data.file, examples, chat, BATCH_SIZE, CONTEXT)
    compare_metrics(table, generated[-1], forced)
    print("something differs" if table.differs else "all the same")
    sys.exit(1 if table.differs else 0)


if __name__ == "__main__":
    main()
