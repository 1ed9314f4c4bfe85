"""The paper's printed numbers, and which of them cannot be right: found from the numbers themselves."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

_PRINTED = Path(__file__).parent / "printed"
SOURCE = "arXiv 2502.18168 v1"
AVERAGE = "average"
MODELS = ("gemma2-2b", "qwen2-1.5b", "qwen2-7b", "llama3-8b", "llama3.1-8b")
METRICS = {"bleu": "char_bleu", "rouge1": "rouge1", "rougeL": "rougeL", "accuracy": "accuracy"}
"""The published names of metrics, and this bench's."""
QA = ("char_bleu", "rouge1", "rougeL")
MEAN = "mean of BLEU, R-1, R-L"
SEQUENTIAL = {"qwen2-7b": "11", "llama3-8b": "12"}
"""The models of EXP3 and their tables."""

TOLERANCE = 0.01
"""How far an average of printed numbers may lie from its printed value: many are cut off and not rounded."""


@dataclass(frozen=True)
class Place:
    """Where a printed number stands. ``variant`` is what an ablation varies; ``step`` is set in EXP3 alone."""

    table: str
    model: str
    task: str
    method: str
    metric: str
    step: int | None = None
    variant: str = ""


Printed = Mapping[Place, float]


def tolerance(place: Place) -> float:
    """Return how far a number may lie from the printed one and be the same: more for averages, averaged again."""
    if place.metric == MEAN:
        return 2 * TOLERANCE if place.model == AVERAGE else TOLERANCE
    return TOLERANCE if place.model == AVERAGE else TOLERANCE / 2


@cache
def printed() -> Printed:
    """Return every number of the paper's tables."""
    return dict(_read())


@cache
def flaws() -> Mapping[Place, tuple[str, ...]]:
    """Return the printed numbers that cannot be right, each with the reasons."""
    found: dict[Place, list[str]] = {}
    for check in (averages_that_do_not_follow, repeated_over_tasks, identical_for_models, rouge_l_above_rouge_1):
        for place, reason in check(printed()).items():
            found.setdefault(place, []).append(reason)
    return {place: tuple(reasons) for place, reasons in found.items()}


def averages_that_do_not_follow(numbers: Printed) -> dict[Place, str]:
    """Return the averages that are further than 0.01 (averaged twice: 0.02) from the mean of what they average.

    The average rows of Tables 8 to 10 are means over the five models; Tables 1 and 2 are means over those and, but
    for accuracy, over three metrics: averaged, and rounded, twice.
    """
    found = {}
    for place, value in numbers.items():
        parts = [numbers[part] for part in _averaged(place)]
        if parts:
            mean = math.fsum(parts) / len(parts)
            if abs(mean - value) > tolerance(place) + 1e-9:
                found[place] = f"does not follow from the models' numbers: their mean is {mean:.2f}"
    return found


def repeated_over_tasks(numbers: Printed) -> dict[Place, str]:
    """Return numbers whose whole group (all metrics of one model, task and method) stands under another task as well.

    Groups of one metric, or with a zero among them, may meet by chance and are left out.
    """
    groups: dict[tuple[object, ...], list[Place]] = {}
    for place in numbers:
        groups.setdefault((place.table, place.model, place.task, place.step, place.method), []).append(place)
    alike: dict[tuple[object, ...], list[list[Place]]] = {}
    for places in groups.values():
        values = tuple(numbers[place] for place in sorted(places, key=lambda place: place.metric))
        if len(values) > 1 and all(values) and places[0].model != AVERAGE and not places[0].variant:
            alike.setdefault((places[0].table, places[0].method, values), []).append(places)
    found = {}
    for same in alike.values():
        if len({places[0].task for places in same}) > 1:
            where = ", ".join(f"{places[0].model} {places[0].task}" for places in same)
            for places in same:
                found.update(dict.fromkeys(places, f"the same numbers stand under {where}"))
    return found


def identical_for_models(numbers: Printed) -> dict[Place, str]:
    """Return the numbers of methods of which all cells are identical for two models."""
    found = {}
    for method in dict.fromkeys(place.method for place in numbers):
        by_model: dict[str, dict[tuple[object, ...], Place]] = {}
        for place in numbers:
            if place.method == method and place.step is not None:
                by_model.setdefault(place.model, {})[(place.task, place.step, place.metric)] = place
        models = list(by_model)
        for i, one in enumerate(models):
            for other in models[i + 1 :]:
                mine, theirs = by_model[one], by_model[other]
                if mine.keys() == theirs.keys() and all(numbers[mine[key]] == numbers[theirs[key]] for key in mine):
                    reason = f"all {len(mine)} numbers of {method} are identical for {one} and {other}"
                    found.update(dict.fromkeys([*mine.values(), *theirs.values()], reason))
    return found


def rouge_l_above_rouge_1(numbers: Printed) -> dict[Place, str]:
    """Return the ROUGE-L numbers above their ROUGE-1: a longest common subsequence has no more words than are shared.

    It holds row by row, so for any mean of rows as well.
    """
    found = {}
    for place, value in numbers.items():
        if place.metric == "rougeL":
            above = numbers[replace(place, metric="rouge1")]
            if value > above:
                found[place] = f"ROUGE-L above ROUGE-1 ({above:.2f}), which no row of text can give"
    return found


def rank_correlation(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float] | None:
    """Return Spearman's rho and Kendall's tau-b; None of fewer than three, or where all on one side are equal."""
    if len(ours) < 3 or len(set(ours)) == 1 or len(set(theirs)) == 1:
        return None
    from scipy.stats import kendalltau, spearmanr

    return float(spearmanr(ours, theirs).statistic), float(kendalltau(ours, theirs).statistic)


def _averaged(place: Place) -> list[Place]:
    """Return the places whose mean a printed number should be; nothing where it is no average."""
    if place.model != AVERAGE:
        return []
    if place.table in ("8", "9", "10"):
        return [replace(place, model=model) for model in MODELS]
    metrics = QA if place.metric == MEAN else (place.metric,)
    table = "10" if place.table == "2" else "9" if place.metric == MEAN else "8"
    return [replace(place, table=table, model=model, metric=metric) for model in MODELS for metric in metrics]


def _read() -> Iterator[tuple[Place, float]]:
    for row in _rows("table1_peft_comparison"):
        metric = "accuracy" if row["sphere"] == "mcq" else MEAN
        yield Place("1", AVERAGE, row["task"], row["method"], metric), float(row["score"])
    for row in _rows("table2_forgetting"):
        yield Place("2", AVERAGE, row["trained_task"], row["method"], MEAN), float(row["f_task_score"])
    for row in _rows("table3_fusion_step"):
        place = Place("3", row["model"], row["trained_task"], "secura", MEAN, variant=row["fusion_step"])
        yield place, float(row["f_task_score"])
    for row in _rows("table4_merge_method"):
        variant = f"{row['experiment']} {row['merge']}"
        place = Place("4", "gemma2-2b", row["task"], "secura", METRICS[row["metric"]], variant=variant)
        yield place, float(row["score"])
    for row in _rows("table8_exp1_mcq"):
        yield Place("8", row["model"], row["task"], row["method"], "accuracy"), float(row["accuracy"])
    for row in _rows("table9_exp1_qa"):
        yield Place("9", row["model"], row["task"], row["method"], METRICS[row["metric"]]), float(row["score"])
    for row in _rows("table10_exp2_forgetting"):
        place = Place("10", row["model"], row["trained_task"], row["method"], METRICS[row["metric"]])
        yield place, float(row["f_task_score"])
    for row in _rows("table11_12_exp3_sequential"):
        table, metric = SEQUENTIAL[row["model"]], METRICS[row["metric"]]
        yield (
            Place(table, row["model"], row["task"], row["method"], metric, int(row["step"])),
            float(row["f_task_score"]),
        )


def _rows(name: str) -> list[dict[str, str]]:
    with (_PRINTED / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
