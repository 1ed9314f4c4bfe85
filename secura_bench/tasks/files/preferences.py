"""Preference files: they say which of two answers is better, and are not read as prompts and answers."""

from __future__ import annotations

import re

from secura_bench.tasks.files.layout import ANSWERS, PROMPTS
from secura_bench.tasks.files.refusal import UnclearError
from secura_bench.tasks.files.table import Table, is_turns

_SPEAKER = "Assistant:"  # what comes before an answer where a conversation is written as one text


def refuse_preferences(table: Table) -> None:
    """Refuse a file of preferences, with columns that read the chosen answers.

    Raises:
        UnclearError: It has a chosen or a rejected answer, or says of each whether it is wanted.
    """
    found = _compared(table)
    if found:
        raise UnclearError(
            f"is a preference file ({' and '.join(found)}): its rejected answers are not to be learned, and nothing "
            "here compares the two. The chosen ones can be learned.",
            _chosen(table, found[0]) if found[0].startswith("chosen") else {},
        )
    prompts, answers = table.there(PROMPTS), table.there(ANSWERS)
    label = str(table.value("label")).lower()
    if prompts and answers and label in ("true", "false"):
        pair = {"prompt": table.braces(prompts[0]), "target": table.braces(answers[0])}
        raise UnclearError(
            "is a preference file: label says which of its answers are wanted, and the others are not to be learned.",
            {**pair, "keep": f"({table.ref('label')} | string | lower) == 'true'"},
        )


def _compared(table: Table) -> list[str]:
    """Return the columns, in lower case, of a chosen and a rejected answer, also ``chosen_response`` and the like."""
    names = sorted(name.strip().lower() for name in table.fields)
    alike = [[name for name in names if re.match(rf"{word}(?![a-z])", name)] for word in ("chosen", "rejected")]
    return [found[0] for found in alike if found] if all(alike) else table.there(("chosen", "rejected"))


def _chosen(table: Table, name: str) -> dict[str, str]:
    """Return a task file's columns for the chosen answers, which are in the column ``name``."""
    chosen, prompts = table.value(name), table.there(PROMPTS)
    ref = table.ref(name)
    if is_turns(chosen):
        before = [f"{table.ref(each)} + " for each in prompts if is_turns(table.value(each))]
        return {"messages": "".join(before) + ref, "turns": "last"}
    if prompts:
        return {"prompt": table.braces(prompts[0]), "target": table.braces(name)}
    if isinstance(chosen, str) and _SPEAKER in chosen:
        parted = f"{ref}.rpartition({_SPEAKER!r})"
        return {"prompt": f"{{{{ {parted}[0] | trim }}}}", "target": f"{{{{ {parted}[2] | trim }}}}"}
    return {"text": table.braces(name)}
