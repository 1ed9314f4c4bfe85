"""Tasks whose rows are generated, for the tiny model that ships with the bench.

Three families live here. The *skills* (`SKILLS`) are what the tiny model was
pretrained on; together they are its forgetting task. The *new tasks*
(`NEW_TASKS`) were held out of that pretraining, and each is small enough to be
taught by a short fine-tuning. *Plain text*, for perplexity, is made of the
skills' answers. `scripts/make_tiny_model.py` builds the model from the very same
generators, so changing a prompt here means making the model again.

Only the standard library is used, and every draw comes from the
`random.Random` that is passed in, so rows are the same on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from secura_bench.tasks.words import (
    ARGUMENTS,
    CATEGORIES,
    GROUPS,
    LANGUAGES,
    LETTERS,
    LEXICON,
    LISTS,
    NAMES,
    NUMBER_WORDS,
    OBJECTS,
    OPERATIONS,
    THINGS,
)

Row = dict[str, Any]
"""A row: `id`, `input`, `output`, `choices` and `answer_index`; of `tiny_run` also `code`."""


# --- words of the skills ------------------------------------------------------


# --- words of the new tasks ---------------------------------------------------


def _row(prompt: str, answer: str) -> Row:
    """Builds a row that is answered in free text; its id is given later."""
    return {"id": "", "input": prompt, "output": answer, "choices": None, "answer_index": None}


def _choice_row(question: str, options: Sequence[str], answer_index: int) -> Row:
    """Builds a multiple choice row, whose answer is the text of an option."""
    lines = [f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return {
        "id": "",
        "input": f"{question}\n\nOptions:\n" + "\n".join(lines),
        "output": options[answer_index],
        "choices": list(options),
        "answer_index": answer_index,
    }


# --- the skills ---------------------------------------------------------------


def tiny_arith(rng: random.Random) -> Row:
    """Draws an arithmetic word problem of one or two steps.

    The answer is worked out step by step and ends in `#### N`, as in GSM8K.

    Args:
        rng: Where every draw comes from.

    Returns:
        The row.
    """
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    kind = rng.randrange(4)
    if kind == 0:
        have, more = rng.randint(2, 30), rng.randint(2, 20)
        total = have + more
        prompt = f"{name} has {have} {thing} and gets {more} more. How many now?"
        steps = [f"{have}+{more}={total}"]
    elif kind == 1:
        have = rng.randint(4, 40)
        lost = rng.randint(2, min(20, have - 1))
        total = have - lost
        prompt = f"{name} has {have} {thing} and loses {lost}. How many now?"
        steps = [f"{have}-{lost}={total}"]
    elif kind == 2:
        bags, each = rng.randint(2, 9), rng.randint(2, 9)
        total = bags * each
        prompt = f"{name} has {bags} bags of {each} {thing}. How many in all?"
        steps = [f"{bags}*{each}={total}"]
    else:
        have, more = rng.randint(2, 20), rng.randint(2, 10)
        lost = rng.randint(2, 10)
        # Two items at least to begin with and two more bought, so that the
        # loss must be cut to keep what is left above zero.
        lost = min(lost, have + more - 1)
        total = have + more - lost
        prompt = f"{name} has {have} {thing}, gets {more} and loses {lost}. How many now?"
        steps = [f"{have}+{more}={have + more}", f"{have + more}-{lost}={total}"]
    return _row(prompt, "\n".join([*steps, f"#### {total}"]))


def tiny_choice(rng: random.Random) -> Row:
    """Draws a multiple choice question over everyday words.

    Args:
        rng: Where every draw comes from.

    Returns:
        The row, with four options of four different categories.
    """
    kinds = rng.sample(sorted(CATEGORIES), 4)
    options = [rng.choice(CATEGORIES[kind]) for kind in kinds]
    answer_index = rng.randrange(4)
    return _choice_row(f"Which of these is {kinds[answer_index]}?", options, answer_index)


def tiny_code(rng: random.Random) -> Row:
    """Draws a small Python function to complete.

    The answer is the indented body: put behind the prompt's `def` line, it
    makes a function that runs.

    Args:
        rng: Where every draw comes from.

    Returns:
        The row.
    """
    kind = rng.randrange(4)
    if kind == 0:
        (first, sign_1), (second, sign_2) = rng.sample(OPERATIONS, 2)
        arg, a, b = rng.choice(ARGUMENTS), rng.randint(2, 9), rng.randint(2, 9)
        header = f"def {first}_{a}_{second}_{b}({arg}):"
        body = [f"{arg} = {arg} {sign_1} {a}", f"return {arg} {sign_2} {b}"]
    elif kind == 1:
        (word, sign), arg = rng.choice(OPERATIONS), rng.choice(ARGUMENTS)
        a = rng.randint(2, 99)
        header = f"def {word}_{a}({arg}):"
        body = [f"return {arg} {sign} {a}"]
    elif kind == 2:
        arg, a = rng.choice(LISTS), rng.randint(2, 99)
        word, part = rng.choice((("first", f"[:{a}]"), ("last", f"[-{a}:]"), ("drop", f"[{a}:]")))
        header = f"def {word}_{a}({arg}):"
        body = [f"return {arg}{part}"]
    else:
        arg, a = rng.choice(LISTS), rng.randint(2, 99)
        word, sign = rng.choice((("over", ">"), ("under", "<")))
        header = f"def count_{word}_{a}({arg}):"
        body = ["c = 0", f"for x in {arg}:", f"    c += x {sign} {a}", "return c"]
    return _row(f"Complete the function.\n\n{header}", "\n".join(f"    {line}" for line in body))


def tiny_run(rng: random.Random) -> Row:
    """Draws a row of `tiny_code` with tests: the function is run beside its reference.

    Args:
        rng: Where every draw comes from.

    Returns:
        The row, with what makes a program of an answer under `code`.
    """
    row = tiny_code(rng)
    header = str(row["input"]).rpartition("\n")[2]
    name, _, argument = header.removeprefix("def ").removesuffix("):").partition("(")
    values = "[[], [1, 50, 98], list(range(100))]" if argument in LISTS else "[-3, 0, 1, 50, 98]"
    tests = (
        f"def expected({argument}):\n{row['output']}\n\n"
        f"for value in {values}:\n    assert {name}(value) == expected(value), value\n"
    )
    return row | {"code": {"language": "python", "begin": f"{header}\n", "tests": tests, "stop": ["\ndef", "\n#"]}}


# --- the new tasks ------------------------------------------------------------


def tiny_count(rng: random.Random) -> Row:
    """Draws a list of objects to count; the answer is a number word.

    Args:
        rng: Where every draw comes from.

    Returns:
        The row; the six answers, two to seven, are equally likely.
    """
    count = rng.randint(2, 7)
    objects = [rng.choice(OBJECTS) for _ in range(count)]
    return _row(f"Count the objects: {', '.join(objects)}", NUMBER_WORDS[count])


def tiny_langid(rng: random.Random) -> Row:
    """Draws words of one language, which is to be named.

    Args:
        rng: Where every draw comes from.

    Returns:
        The row; the five languages are equally likely.
    """
    language = rng.choice(sorted(LANGUAGES))
    words = rng.sample(LANGUAGES[language], 4)
    return _row(f"Which language is this?\n{' '.join(words)}", language)


def tiny_group(rng: random.Random) -> Row:
    """Draws words of one group, which is to be named.

    Args:
        rng: Where every draw comes from.

    Returns:
        The row; the five groups are equally likely.
    """
    group = rng.choice(sorted(GROUPS))
    words = rng.sample(GROUPS[group], 4)
    return _row(f"Name the group: {', '.join(words)}", group)


def tiny_translate(rng: random.Random) -> Row:
    """Draws a short sentence to translate, word by word, to a made-up language.

    Args:
        rng: Where every draw comes from.

    Returns:
        The row.
    """
    adjectives, nouns, verbs = LEXICON
    # Two adjectives, for enough distinct sentences from a small lexicon.
    words = [*rng.sample(sorted(adjectives), 2), rng.choice(sorted(nouns)), rng.choice(sorted(verbs))]
    answer = [word_for[word] for word_for, word in zip((adjectives, *LEXICON), words, strict=True)]
    return _row(f"Translate to Zori: {' '.join(words)}", " ".join(answer))


# --- plain text ---------------------------------------------------------------


def tiny_text(rng: random.Random) -> Row:
    """Draws plain text: an answer of a skill, without its question.

    Answers are all that the tiny model learned to predict; its questions were only ever read.

    Args:
        rng: Where every draw comes from.

    Returns:
        The row; its `input` is the text, and its `output` is empty.
    """
    return _row(rng.choice((tiny_arith, tiny_code))(rng)["output"], "")


SKILLS = ("tiny_arith", "tiny_choice", "tiny_code")
"""The tasks the tiny model was pretrained on."""

NEW_TASKS = ("tiny_count", "tiny_langid", "tiny_group", "tiny_translate")
"""The tasks that were held out of the tiny model's pretraining."""

GENERATORS: dict[str, Callable[[random.Random], Row]] = {
    "tiny_arith": tiny_arith,
    "tiny_choice": tiny_choice,
    "tiny_code": tiny_code,
    "tiny_run": tiny_run,
    "tiny_count": tiny_count,
    "tiny_langid": tiny_langid,
    "tiny_group": tiny_group,
    "tiny_translate": tiny_translate,
    "tiny_text": tiny_text,
}
"""For each task, the function that draws one of its rows."""


MOST_ROWS = 100_000
"""More would take minutes, and no generated task has an experiment for them."""


def generate_rows(name: str, n: int, seed: int) -> list[Row]:
    """Generates rows of a task, no prompt twice.

    Args:
        name: A key of `GENERATORS`.
        n: How many rows.
        seed: The seed they are drawn from; another one gives other rows, which
            may share some prompts with these.

    Returns:
        The rows, whose ids are `<name>-0`, `<name>-1` and so on.

    Raises:
        ValueError: There is no such task, or it seems to have fewer than `n`
            distinct prompts.
    """
    if name not in GENERATORS:
        raise ValueError(f"no generated task {name!r}; there are {', '.join(sorted(GENERATORS))}")
    if not 0 <= n <= MOST_ROWS:
        raise ValueError(f"cannot generate {n} rows; at most {MOST_ROWS}")
    draw = GENERATORS[name]
    # A string seed is hashed by its bytes, so it is stable between runs, and it
    # keeps two tasks under one seed from making the same choices.
    rng = random.Random(f"{name}:{seed}")
    rows: dict[str, Row] = {}
    # Collecting nearly all prompts of a small space takes many draws for each
    # new one; past this limit the space is taken to be exhausted.
    fruitless = 0
    while len(rows) < n and fruitless <= 10 * len(rows) + 1000:
        row = draw(rng)
        fruitless = fruitless + 1 if row["input"] in rows else 0
        rows.setdefault(row["input"], row)
    if len(rows) < n:
        raise ValueError(f"{name} has too few distinct prompts: asked for {n}, found only {len(rows)}")
    return [row | {"id": f"{name}-{index}"} for index, row in enumerate(rows.values())]
