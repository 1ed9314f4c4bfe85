"""The matrix as a page: ``docs/models.md``, which a whole run of the matrix writes and nobody edits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase

from cells import NATS, OF_EFFECT, Outcome, Table
from columns import COLUMNS
from kept import Kept
from zoo import ARCHITECTURES

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "models.md"
SIGNS = {"right": "+", "wrong": "X"}

_INTRODUCTION = """# Which models go with which methods

`make matrix` tries every architecture below, a tiny one of random weights, with every method, tuner and target below.
In each cell two tasks are trained, two steps each; the same run is killed at its third step and resumed, and must end
with the same scores and tensors, bit for bit. Then it is exported as an adapter and as a whole model. Either is loaded
with nothing but transformers and PEFT, reads each test row alone, without padding or cache, and must say what the run's
record says: every generated text, and every loss within {nats} nats and {share:.0%} of what training moved most. A cell
is **right** (`+`), or **refused** (a letter) in one line, before anything is trained or because neither export is that
model, or wrong (`X`: another number, a traceback, a late refusal, nothing that was trained). It says nothing of how
well a method learns, of larger models or of other devices: it was run on a CPU. `python tests/matrix/run.py --rows
llama --columns "lora;seq"` tries a part of it, and a slice of it is among the tests. This page is written by the run
that fills the table, and not by hand.
"""


def page(kept: Kept) -> str:
    """Return the page of a whole table."""
    table = kept.table
    counts = Counter(outcome.kind for outcome in table.values())
    reasons = letters(outcome.why for outcome in table.values() if outcome.kind == "refused")
    alone = Counter(kind_of(note) for outcome in table.values() if outcome.kind == "right" for note in _notes(outcome))
    whole = sum(outcome.kind == "right" and not outcome.why for outcome in table.values())
    return "\n".join(
        [
            _INTRODUCTION.format(nats=NATS, share=OF_EFFECT),
            f"Of {len(table)} cells {counts['right']} are right, {counts['refused']} refused and {counts['wrong']} "
            "wrong. They were run with:\n",
            *(f"- {made} ({n} cells)" for made, n in kept.made()),
            "",
            "## Cells\n",
            *_markdown(
                ["", *(f"`{row}`" for row in ARCHITECTURES)],
                [[column, *(_sign(table[row, column], reasons) for row in ARCHITECTURES)] for column in COLUMNS],
            ),
            "\n## Counts\n",
            *_markdown(
                ["architecture", "right", "refused", "wrong"],
                [
                    [f"`{row}`", *(str(_count(table, row, kind)) for kind in ("right", "refused", "wrong"))]
                    for row in ARCHITECTURES
                ],
            ),
            "\n## Why cells are refused\n",
            *_markdown(["", "cells", "reason"], [[letter, str(n), reason] for reason, (letter, n) in reasons.items()]),
            f"\n## What is exported in one form alone\n\nOf the {counts['right']} right cells {whole} are exported in "
            "both forms. Of the others one form is refused, and the other agrees:\n",
            *_markdown(["cells", "form, and the reason"], [[str(n), note] for note, n in alone.most_common()]),
            "",
        ]
    )


def letters(reasons: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Return a letter and a count for each kind of reason, the most frequent first."""
    counted = Counter(map(kind_of, reasons))
    names = [*ascii_lowercase, *(2 * letter for letter in ascii_lowercase)]
    return {reason: (names[number], n) for number, (reason, n) in enumerate(counted.most_common())}


_OWN = (
    (r"^\S+\.yaml:\d+: ", ""),
    (r"^method '[^']*' does not fit model '[^']*': ", ""),
    (r"model type for adaption prompt: '[^']*'", "model type for adaption prompt"),
    (r"(?<=modules of its own choice )for \w+", "for this model"),
    (r" \(model_type='\w+'\)", ""),
    (r"(?<![\w/.])(?:base_model\.)?(?:transformer|model|backbone|rwkv|gpt_neox)\.[\w.]*\w", "…"),
    (r"(changing them )\([\w.…]+\)", r"\1(…)"),
    (r"up to \S+ away, where training moved them by \S+(?=\. )", "up to … away, where training moved them by …"),
)


def kind_of(reason: str) -> str:
    """Return a reason without what is one cell's alone: the spec's place, the method, paths of modules, the model."""
    for pattern, instead in _OWN:
        reason = re.sub(pattern, instead, reason)
    reason = re.sub(r"\{('\w+'(?:, )?)+\}", lambda found: ", ".join(sorted(found.group()[1:-1].split(", "))), reason)
    return " ".join(reason.replace("|", "\\|").split())


def _notes(outcome: Outcome) -> list[str]:
    return [note for note in outcome.why.split(" | ") if note]


def _sign(outcome: Outcome, reasons: Mapping[str, tuple[str, int]]) -> str:
    return SIGNS.get(outcome.kind) or reasons[kind_of(outcome.why)][0]


def _count(table: Table, row: str, kind: str) -> int:
    return sum(table[row, column].kind == kind for column in COLUMNS)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows]]
