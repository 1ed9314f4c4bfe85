"""Preference files: they say which of two answers is better, and are not read as prompts and answers."""

from __future__ import annotations

from secura_bench.data.files.layout import ANSWERS, PROMPTS
from secura_bench.data.files.refusal import UnclearError
from secura_bench.data.files.table import Table, is_turns

_SPEAKER = "Assistant:"  # what comes before an answer where a conversation is written as one text


def refuse_preferences(table: Table) -> None:
    """Refuse a file of preferences, with columns that read the chosen answers.

    Raises:
        UnclearError: It has a chosen or a rejected answer, or says of each whether it is wanted.
    """
    found = table.there(("chosen", "rejected"))
    if found:
        raise UnclearError(
            f"is a preference file ({' and '.join(found)}): its rejected answers are not to be learned, and nothing "
            "here compares the two. The chosen ones can be learned.",
            _chosen(table) if "chosen" in found else {},
        )
    prompts, answers = table.there(PROMPTS), table.there(ANSWERS)
    if prompts and answers and isinstance(table.value("label"), bool):
        pair = {"prompt": table.braces(prompts[0]), "target": table.braces(answers[0])}
        raise UnclearError(
            "is a preference file: label says which of its answers are wanted, and the others are not to be learned.",
            {**pair, "keep": table.ref("label")},
        )


def _chosen(table: Table) -> dict[str, str]:
    """Return a task file's columns for the chosen answers."""
    chosen, prompts = table.value("chosen"), table.there(PROMPTS)
    ref = table.ref("chosen")
    if is_turns(chosen):
        before = [f"{table.ref(name)} + " for name in prompts if is_turns(table.value(name))]
        return {"messages": "".join(before) + ref, "turns": "last"}
    if prompts:
        return {"prompt": table.braces(prompts[0]), "target": table.braces("chosen")}
    if isinstance(chosen, str) and _SPEAKER in chosen:
        parted = f"{ref}.rpartition({_SPEAKER!r})"
        return {"prompt": f"{{{{ {parted}[0] | trim }}}}", "target": f"{{{{ {parted}[2] | trim }}}}"}
    return {"text": table.braces("chosen")}
