"""Multiple choice: options in one column, and in another which of them is right."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from secura_bench.tasks.files.layout import BESIDE, PROMPTS, Layout
from secura_bench.tasks.files.refusal import UnclearError
from secura_bench.tasks.files.table import Table

_OWN = (("input", "output"), ("prompt", "target"))
_OPTIONS = ("choices", "options")
_RIGHT = ("answer_index", "answer_idx", "answerkey", "label", "answer", "target")
_ONE_OPTION = re.compile(r"(?:option|choice|distractor)[ _-]?\w{1,2}|[a-e]")


def choice_layout(table: Table) -> Layout | None:
    """Return the layout of multiple choice, or None where no column holds options.

    The bench's own (input, output, choices, answer_index; or prompt and target) has the options in its prompt already,
    and null for them where a task has none; elsewhere they are put under the question. A right answer is a place from
    0, a label or letter, or an option's text, as the first row's is.

    Raises:
        UnclearError: It is none of these, or the options have columns of their own.
    """
    for prompt, target in _OWN:
        if len(table.there((prompt, target, "choices", "answer_index"))) == 4:
            columns = {"prompt": table.braces(prompt), "target": table.braces(target)}
            columns |= {"choices": table.ref("choices"), "answer_index": table.ref("answer_index")}
            said = f"the bench's own ({prompt} → prompt; {target} → answer; choices, answer_index, from 0)"
            return Layout(said, columns, has_choices=bool(table.filled(["choices"])))
    _refuse_spread_options(table)
    found, prompts, right = table.filled(_OPTIONS), table.there(PROMPTS), table.there(_RIGHT)
    if not found:
        return None
    name, value = found[0], table.value(found[0])
    texts, labels = _expressions(table.ref(name), value)
    options = list(map(str, _texts(value)))
    if not (prompts and right and options):
        raise UnclearError(f"holds options ({name}), but no question, or nothing that says which of them is right.")
    beside = table.filled(BESIDE)
    spoken = "".join(table.braces(each) + "\n\n" for each in [*beside, *prompts] if isinstance(table.value(each), str))
    answer, given = table.ref(right[0]), table.value(right[0])
    index, how = _index(answer, given, texts, options, labels, _labels(value))
    columns = {"prompt": f"{spoken}{{{{ ({texts}) | options }}}}", "choices": texts, "answer_index": index}
    if isinstance(value, str):
        raise UnclearError(f"the column {name!r} holds a text, not a list of options.", columns)
    if not how:
        why = f"says which option is right in a way that is not known ({right[0]}: {given!r:.40})."
        raise UnclearError(why, columns)
    if len(prompts) > 1 or beside:
        raise UnclearError(f"has {', '.join([*beside, *prompts])} before its options.", columns)
    said = f"multiple choice ({prompts[0]}, {name} → prompt; {right[0]}, {how} → the right option)"
    return Layout(said, columns, has_choices=True)


def _expressions(ref: str, value: Any) -> tuple[str, str]:
    """Return the expressions of the options' texts and of their labels, "" where they have none."""
    if isinstance(value, str):
        return f"{ref}.split({json.dumps(_separator(value))})", ""
    if isinstance(value, Mapping) and "text" in value:
        return f'{ref}["text"]', f'{ref}["label"]' if "label" in value else ""
    if isinstance(value, Mapping):
        return f"{ref}.values() | list", f"{ref}.keys() | list"
    return ref, ""


def _separator(text: str) -> str:
    """Return what seems to part the options in one text."""
    return next((mark for mark in ("|", "\n", ";", ",") if mark in text), "|")


def _index(
    answer: str, given: Any, texts: str, options: Sequence[str], labels: str, known: Sequence[str]
) -> tuple[str, str]:
    """Return the expression of the right option's place, and what the right answer is; "" where that is a guess."""
    if isinstance(given, int) and not isinstance(given, bool) and not labels:
        is_text = str(given) in options  # an option that is a number: which of the two is meant?
        return (answer, "") if is_text else (answer, "a place from 0")
    by_letter = f'"{ascii_uppercase[: max(2, len(options))]}".index({answer})'
    if labels and given in known:
        return f"({labels}).index({answer})", "a label"
    is_letter = isinstance(given, str) and given in list(ascii_uppercase[: len(options)])
    if given in options and not is_letter:
        return f"({texts}).index({answer})", "an option's text"
    if is_letter and given not in options:
        return by_letter, "a letter"
    return by_letter if is_letter else f"{answer} | int", ""


def _texts(value: Any) -> list[str]:
    """Return the options in a cell, empty where it holds none that are known."""
    if isinstance(value, str):
        return value.split(_separator(value))
    if isinstance(value, Mapping):
        value = value["text"] if "text" in value else list(value.values())
    return value if isinstance(value, list) and all(isinstance(text, (str, int, float)) for text in value) else []


def _labels(value: Any) -> list[str]:
    if not isinstance(value, Mapping):
        return []
    return value.get("label", []) if "text" in value else list(value)


def _refuse_spread_options(table: Table) -> None:
    """Refuse a table with a column an option: a letter as the answer to a question without them is no task."""
    names = [name for name in table.fields if _ONE_OPTION.fullmatch(name.strip().lower())]
    prompts, right = table.there(PROMPTS), table.there(_RIGHT)
    if len(names) < 2 or not prompts:
        return
    texts = f"[{', '.join(table.ref(name) for name in names)}]"
    columns = {"prompt": f"{table.braces(prompts[0])}\n\n{{{{ {texts} | options }}}}", "choices": texts}
    if right:
        ref = table.ref(right[0])
        given = table.value(right[0])
        letters = isinstance(given, str) and given in list(ascii_uppercase[: len(names)])
        columns["answer_index"] = f'"{ascii_uppercase[: len(names)]}".index({ref})' if letters else f"{ref} | int"
    else:
        columns["answer_index"] = "0"
    raise UnclearError(f"has a column an option ({', '.join(names)}).", columns)
