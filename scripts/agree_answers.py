"""How answers are read here and by lm-evaluation-harness: every disagreement on SmolLM2's answers to real rows.

    SECURA_BENCH_SMOLLM2=FOLDER SECURA_BENCH_DATA=FOLDER python scripts/agree_answers.py [--rows N] [--texts FOLDER]

GSM8K by the two filters of lm-eval's own task file and its exact match, ARC-Challenge by its filter for letters (the
extra `lm-eval`). The rules differ, so disagreements are no faults by themselves: each is printed, to be judged. Exits
with 1 only where both must read the same: a number that follows `####`. The answers are kept in the folder `--texts`,
and read from there the next time.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

from secura_bench.answers.number import only_number
from secura_bench.answers.reference import read_reference
from secura_bench.data.chat import ChatFormat
from secura_bench.data.dataset import load_data
from secura_bench.evaluation.extraction import Kind, extract, is_right
from secura_bench.evaluation.predicting.generate import generate
from secura_bench.models.load import find_model, load_model, load_tokenizer
from secura_bench.spec.sections import DataSpec
from secura_bench.tasks.row import Row

BATCH_SIZE = 16
TASKS = {"gsm8k": 200, "arc_c": 48}  # new tokens
IGNORED = (",", r"\$", r"(?s).*#### ", r"\.$")  # lm-eval's regexes_to_ignore of gsm8k
STRICT = r"#### (\-?[0-9\.\,]+)"
FLEXIBLE = r"(-?[$0-9.,]{2,})|(-?[0-9]+)"
UNREAD = "[invalid]"


@dataclass(frozen=True)
class Verdict:
    """What a rule reads out of an answer, None where nothing, and whether that is right."""

    read: str | None
    right: bool


def answers(task: str, count: int, folder: Path | None) -> list[tuple[Row, str]]:
    """Return the first rows of a task, test rows first, each with the model's answer."""
    model_folder = find_model(os.environ["SECURA_BENCH_SMOLLM2"])
    chat = ChatFormat(load_tokenizer(model_folder))
    data = load_data(task, DataSpec(), chat)
    examples = [*data.test, *data.train][:count]
    path = folder / f"{task}.jsonl" if folder else None
    known: dict[str, str] = {}
    if path and path.is_file():
        known = {said["id"]: said["text"] for said in map(json.loads, path.read_text().splitlines())}
    if any(example.row.id not in known for example in examples):
        for batch in generate(load_model(model_folder), examples, chat, BATCH_SIZE, TASKS[task]):
            known |= {examples[i].row.id: prediction.text for i, prediction in batch}
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps({"id": id_, "text": text}) + "\n" for id_, text in known.items()))
    return [(example.row, known[example.row.id]) for example in examples]


def by_filter(texts: Sequence[str], pattern: str, select: int) -> list[str]:
    """Return what lm-eval's regex filter takes out of each text."""
    from lm_eval.filters.extraction import RegexFilter

    filter_ = RegexFilter(regex_pattern=pattern, group_select=select, fallback=UNREAD)
    return [found[0] for found in filter_.apply([[text] for text in texts], [{} for _ in texts])]


def by_letters(rows: Sequence[Row], texts: Sequence[str]) -> list[str]:
    """Return the letter, in brackets, that lm-eval's filter for multiple choice takes out of each text."""
    from lm_eval.filters.extraction import MultiChoiceRegexFilter

    filter_ = MultiChoiceRegexFilter(
        regex_pattern=r"(\([A-Z]\))", fallback=UNREAD, ignore_case=True, ignore_punctuation=True
    )
    documents = [{"choices": list(row.choices or ())} for row in rows]
    return [found[0] for found in filter_.apply([[text] for text in texts], documents)]


def exact(read: str, target: str) -> bool:
    """Return lm-eval's exact match, with what its GSM8K ignores."""
    for pattern in IGNORED:
        read, target = re.sub(pattern, "", read), re.sub(pattern, "", target)
    return read.lower() == target.lower()


def their_numbers(rows: Sequence[Row], texts: Sequence[str], pattern: str, select: int) -> list[Verdict]:
    """Return lm-eval's verdicts on GSM8K by one of its filters."""
    found = by_filter(texts, pattern, select)
    return [Verdict(None if f == UNREAD else f, exact(f, r.target)) for r, f in zip(rows, found, strict=True)]


def their_letters(rows: Sequence[Row], texts: Sequence[str]) -> list[Verdict]:
    """Return lm-eval's verdicts on multiple choice, each read as an option's text."""
    verdicts = []
    for row, found in zip(rows, by_letters(rows, texts), strict=True):
        letter, choices = re.search(r"[A-Z]", found), row.choices or ()
        index = ord(letter[0]) - ord("A") if letter and found != UNREAD else len(choices)
        verdicts.append(Verdict(choices[index] if index < len(choices) else None, index == row.answer_index))
    return verdicts


def our_verdicts(kind: Kind, rows: Sequence[Row], texts: Sequence[str]) -> list[Verdict]:
    """Return this bench's verdicts."""
    read = [extract(kind, text, row) for row, text in zip(rows, texts, strict=True)]
    return [Verdict(found, is_right(kind, found, row)) for found, row in zip(read, rows, strict=True)]


def same(kind: Kind, ours: Verdict, theirs: Verdict) -> bool:
    """Return whether two rules read the same; of numbers the spelling does not count."""
    read = theirs.read and (only_number(theirs.read) if kind == "number" else theirs.read)
    return (ours.read or None) == (read or None) and ours.right == theirs.right


def compare(task: str, kind: Kind, name: str, rows: Sequence[Row], texts: Sequence[str], theirs: list[Verdict]) -> int:
    """Print one comparison and its disagreements, and return how many of them change the score."""
    ours = our_verdicts(kind, rows, texts)
    pairs = list(zip(rows, texts, ours, theirs, strict=True))
    apart = [pair for pair in pairs if not same(kind, pair[2], pair[3])]
    scored = sum(mine.right != other.right for _, _, mine, other in apart)
    print(
        f"{task}, lm-eval's {name}: {len(pairs)} answers, right {sum(v.right for v in ours)} here and "
        f"{sum(v.right for v in theirs)} there; read differently {len(apart)}, scored differently {scored}"
    )
    for row, text, mine, other in apart:
        end = " ".join(text.split())
        print(
            f"  {row.id}: here {mine.read!r}{' right' * mine.right}, there {other.read!r}{' right' * other.right}, "
            f"reference {read_reference(kind, row.target, row.choices, row.answer_index)!r}\n"
            f"    {end if len(end) <= 300 else end[:100] + ' … ' + end[-200:]}"
        )
    return scored


def main() -> None:
    """Print every disagreement; exit with 1 where a number behind #### is read otherwise, 2 where something lacks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--texts", type=Path, help="a folder that keeps the answers")
    args = parser.parse_args()
    if not os.environ.get("SECURA_BENCH_SMOLLM2") or not os.environ.get("SECURA_BENCH_DATA"):
        print("SECURA_BENCH_SMOLLM2 and SECURA_BENCH_DATA must name the folders of the model and of the data.")
        sys.exit(2)
    rows, texts = zip(*answers("gsm8k", args.rows, args.texts), strict=True)
    strict = their_numbers(rows, texts, STRICT, 0)
    compare("gsm8k", "number", "flexible-extract", rows, texts, their_numbers(rows, texts, FLEXIBLE, -1))
    compare("gsm8k", "number", "strict-match", rows, texts, strict)
    behind = [row.target for row in rows]  # the worked answers of the data set itself end in #### and a number
    must = compare(
        "gsm8k, its own answers", "number", "strict-match", rows, behind, their_numbers(rows, behind, STRICT, 0)
    )
    rows, texts = zip(*answers("arc_c", args.rows, args.texts), strict=True)
    compare("arc_c", "choice", "multi_choice_regex", rows, texts, their_letters(rows, texts))
    sys.exit(1 if must else 0)


if __name__ == "__main__":
    main()
