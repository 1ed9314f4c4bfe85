"""Tasks for lm-evaluation-harness of generated rows: no network, and no row of anybody's."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import yaml

MEAN = {"aggregation": "mean", "higher_is_better": True}
ROWS = 24


def write_task(folder: Path, name: str, **settings: Any) -> None:
    """Write a task file whose rows are those of ``settings["rows"]`` in the folder."""
    rows = folder / settings.pop("rows")
    task = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(rows)}},
        "test_split": "test",
        **settings,
        "metadata": {"version": 1.0},
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(task, sort_keys=False))


def write_tasks(folder: Path) -> Path:
    """Write a multiple-choice task, a generative one with two filters, a group of both, and what cannot be a probe."""
    draw = random.Random(0)
    words = ["red", "green", "blue", "black", "white", "grey"]
    chosen = [draw.sample(words, 4) for _ in range(ROWS)]
    choices = [{"q": f"{i}: which comes first?", "choices": c, "gold": c.index(min(c))} for i, c in enumerate(chosen)]
    sums = [{"q": f"{i % 5} + {i % 7} =", "a": str(i % 5 + i % 7)} for i in range(ROWS)]
    for name, rows in (("choices.jsonl", choices), ("sums.jsonl", sums)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    choice = {
        "rows": "choices.jsonl",
        "output_type": "multiple_choice",
        "doc_to_text": "Question {{q}}\nAnswer:",
        "doc_to_choice": "choices",
        "doc_to_target": "gold",
        "fewshot_split": "test",
    }
    write_task(folder, "gen_choice", **choice, metric_list=[{"metric": m, **MEAN} for m in ("acc", "acc_norm")])
    first, number = {"function": "take_first"}, {"function": "regex", "regex_pattern": "([0-9]+)"}
    write_task(
        folder,
        "gen_sums",
        rows="sums.jsonl",
        output_type="generate_until",
        doc_to_text="{{q}}",
        doc_to_target="a",
        generation_kwargs={"until": ["\n"], "max_gen_toks": 6, "do_sample": False},
        filter_list=[{"name": "number", "filter": [number, first]}, {"name": "whole", "filter": [first]}],
        metric_list=[{"metric": "exact_match", **MEAN}],
    )
    (folder / "both.yaml").write_text(yaml.safe_dump({"group": "gen_both", "task": ["gen_choice", "gen_sums"]}))
    corpus = [{"metric": "mcc", "aggregation": "matthews_corrcoef", "higher_is_better": True}]
    write_task(folder, "gen_corpus", **choice, metric_list=corpus)
    write_task(folder, "gen_second", **choice, metric_list=[*corpus, {"metric": "acc_norm", **MEAN}])
    (folder / "own.py").write_text("def points(doc, results):\n    return {'points': 7.0}\n")
    write_task(folder, "gen_points", **choice, metric_list=[{"metric": "points", **MEAN}])
    with (folder / "gen_points.yaml").open("a") as stream:
        stream.write("process_results: !function own.points\n")
    return folder
