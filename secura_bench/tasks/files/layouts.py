"""Layouts that are known by the columns' names. Names decide, the columns' order never does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from secura_bench.tasks.files.choices import choice_layout
from secura_bench.tasks.files.layout import ANSWERS, BESIDE, PROMPTS, Layout
from secura_bench.tasks.files.preferences import refuse_preferences
from secura_bench.tasks.files.refusal import UnclearError
from secura_bench.tasks.files.table import Table, is_turns, reach

_TURNS = ("messages", "conversations", "conversation")
_BOOKKEEPING = ("id", "group")
_WANTED = f"Known pairs are one of {', '.join(PROMPTS)} with one of {', '.join(ANSWERS)}, or source with target."


def layout_of(table: Table) -> Layout:
    """Return how the columns of a record are read.

    Raises:
        UnclearError: Their names are not known, mean several things, or mean data that is not to be learned from so.
    """
    own = {name: table.ref(name) for name in _BOOKKEEPING if name in table.fields}
    refuse_preferences(table)
    for known in _LAYOUTS:
        found = known(table)
        if found:
            return Layout(found.said, {**own, **found.columns}, found.has_choices)
    names = [name for name in table.fields if name not in _BOOKKEEPING]
    if [name.strip().lower() for name in names] == ["text"]:
        return Layout("plain text (text)", {**own, "text": table.braces("text")})
    raise UnclearError(f"which column is the prompt and which the answer? {_WANTED}", _guess(table))


def signature(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what of a record decides on its layout: its columns, without those that may be empty and are."""
    return tuple(name for name in fields if name.strip().lower() not in _SIDE or fields[name] not in (None, "", [], {}))


def _conversational_pair(table: Table) -> Layout | None:
    """Read TRL's prompt and completion as lists of turns."""
    if not (is_turns(table.value("prompt")) and is_turns(table.value("completion"))):
        return None
    _refuse_beside(table, {"messages": f"{table.ref('prompt')} + {table.ref('completion')}", "turns": "last"})
    messages = f"{table.ref('prompt')} + ({table.ref('completion')} | single)"
    return Layout("prompt and completion in turns", {"messages": messages, "turns": "last"})


def _conversation(table: Table) -> Layout | None:
    """Read ``messages``, and ShareGPT's ``conversations``."""
    found = table.filled(_TURNS)
    if not found:
        return None
    name, ref = found[0], table.ref(found[0])
    if not is_turns(table.value(name)):
        raise UnclearError(f"the column {name!r} must hold lists of turns, each an object with role and content.")
    others = [*found[1:], *table.filled((*PROMPTS, *ANSWERS, "system", "tools"))]
    if others:
        messages = f'[{{"role": "system", "content": {table.ref("system")}}}] + {ref}' if "system" in others else ref
        raise UnclearError(f"holds turns ({name}) and {_and(others)} beside them.", {"messages": messages})
    kind = "ShareGPT" if "from" in table.value(name)[0] else "messages"
    return Layout(f"{kind} ({name})", {"messages": ref})


def _instruction(table: Table) -> Layout | None:
    """Read Alpaca's instruction, with an input or Dolly's context that some rows lack."""
    answers = table.there(ANSWERS)
    if table.actual("instruction") is None or len(answers) != 1 or table.there(("prompt", "question")):
        return None
    inputs = table.there(("input", "context"))
    prompt, target = table.braces("instruction"), {"target": table.braces(answers[0])}
    if len(inputs) > 1:
        raise UnclearError(
            "has both an input and a context.", {"prompt": _lines(table, ["context", "instruction", "input"]), **target}
        )
    name = inputs[0] if inputs else "input"
    ref = table.ref(name)
    prompt += f"{{% if {ref} is defined and {ref} %}}\n\n{table.braces(name)}{{% endif %}}"
    _refuse_beside(table, {"prompt": prompt, **target}, but="context")
    _check_texts(table, ["instruction", answers[0]])
    kind = "Alpaca" if inputs == ["input"] else "instruction and answer"
    return Layout(
        f"{kind} ({', '.join(['instruction', *inputs])} → prompt; {answers[0]} → answer)", {"prompt": prompt, **target}
    )


def _pair(table: Table) -> Layout | None:
    """Read one prompt and one answer."""
    prompts, answers = table.there(PROMPTS), table.there(ANSWERS)
    if not answers and (prompts or table.there(["source"])):
        answers = table.there(["target"])
        prompts = prompts or (table.there(["source"]) if answers else [])
    if not prompts or not answers:
        return None
    columns = {"prompt": _lines(table, prompts), "target": table.braces(answers[0])}
    if len(prompts) > 1 or len(answers) > 1:
        raise UnclearError(f"has more than one prompt or answer ({_and([*prompts, *answers])}).", columns)
    _refuse_beside(table, columns)
    if table.there(["text"]):
        raise UnclearError(
            "has a text beside prompt and answer.", {**columns, "prompt": _lines(table, ["text", *prompts])}
        )
    _check_texts(table, [prompts[0], answers[0]])
    return Layout(f"a pair ({prompts[0]} → prompt; {answers[0]} → answer)", columns)


_LAYOUTS: tuple[Callable[[Table], Layout | None], ...] = (
    _conversational_pair,
    _conversation,
    choice_layout,
    _instruction,
    _pair,
)
_SIDE = frozenset((*BESIDE, *_TURNS, "choices", "options"))


def _refuse_beside(table: Table, columns: Mapping[str, str], but: str = "") -> None:
    """Refuse a pair that has more beside it on which the answer may rest."""
    beside = [name for name in table.filled(BESIDE) if name != but]
    if not beside:
        return
    why = f"has {_and(beside)} beside prompt and answer."
    if "messages" in columns:
        raise UnclearError(why, columns)
    written = [name for name in beside if isinstance(table.value(name), str)]
    spoken = "".join(table.braces(name) + "\n\n" for name in written)
    if "history" in beside and "history" not in written:
        spoken += f"{{% for turn in {table.ref('history')} %}}{{{{ turn | join('\\n') }}}}\n\n{{% endfor %}}"
    raise UnclearError(why, {**columns, "prompt": spoken + columns["prompt"]})


def _check_texts(table: Table, names: list[str]) -> None:
    """Refuse a prompt or an answer that is a list or an object, as SQuAD's answers are."""
    reached = {name: reach(table.ref(name), table.value(name)) for name in names}
    odd = [name for name in names if isinstance(table.value(name), (list, dict))]
    if odd:
        prompt, target = ("{{ " + reached[name] + " }}" for name in names)
        raise UnclearError(f"the column {odd[0]!r} is no text.", {"prompt": prompt, "target": target})


def _guess(table: Table) -> dict[str, str]:
    """Return a task file's columns for names that are not known: the last is the answer, all before it the prompt."""
    names = [name for name in table.fields if name not in _BOOKKEEPING]
    texts = {name: "{{ " + reach(table.ref(name), table.fields[name]) + " }}" for name in names}
    known = table.there((*ANSWERS, "answers", "target", "targets"))
    if not names:
        return {}
    if len(names) == 1:
        return {"text": texts[names[0]]}
    last = table.actual(known[0]) if known else names[-1]
    first = [name for name in names if name != last and isinstance(table.fields[name], str)]
    return {"prompt": "\n\n".join(texts[name] for name in first or names[:1]), "target": texts[last or names[-1]]}


def _lines(table: Table, names: list[str]) -> str:
    return "\n\n".join(table.braces(name) for name in names)


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
