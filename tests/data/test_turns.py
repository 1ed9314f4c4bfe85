"""Turns through chat templates: earlier ones, the system's, templates that fail, and what differs from the stock."""

from __future__ import annotations

import pytest
from chat_templates import CHATML, GEMMA, LLAMA_31, LLAMA_32, MISTRAL, OWN_SYSTEM, QWEN_3, R1, RENAMED

from secura_bench.data import quality
from secura_bench.data.chat import SYSTEM, ChatFormat
from secura_bench.data.split import rows_hash, split_rows
from secura_bench.foundation.errors import DataError
from secura_bench.models.load import load_tokenizer
from secura_bench.tasks.row import Row

TALK = (("user", "Say one."), ("assistant", "One."))
ASKED = "<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
SAID = Row("r1", "And two?", "Two.", history=TALK)
OWN = Row("r2", "And two?", "Two.", history=(("system", "Count."), *TALK))


@pytest.fixture
def tokenizer(tiny):
    made = load_tokenizer(tiny[2])
    made.add_special_tokens({"bos_token": "<s>"})
    return made


def formatted(tokenizer, template, system: str | None = None) -> ChatFormat:
    tokenizer.chat_template = template
    return ChatFormat(tokenizer, system, "trial")


# --- earlier turns ---


@pytest.mark.parametrize(
    ("template", "row", "prompt"),
    [
        (
            CHATML,
            SAID,
            f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\nSay one.<|im_end|>\n<|im_start|>assistant\n"
            "One.<|im_end|>\n<|im_start|>user\nAnd two?<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            CHATML,
            OWN,
            "<|im_start|>system\nCount.<|im_end|>\n<|im_start|>user\nSay one.<|im_end|>\n<|im_start|>assistant\n"
            "One.<|im_end|>\n<|im_start|>user\nAnd two?<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            GEMMA,
            SAID,
            f"<s><start_of_turn>user\n{SYSTEM}\n\nSay one.<end_of_turn>\n<start_of_turn>model\nOne.<end_of_turn>\n"
            "<start_of_turn>user\nAnd two?<end_of_turn>\n<start_of_turn>model\n",
        ),
        (MISTRAL, OWN, "<s>[INST] Count.\n\nSay one. [/INST] One.<|im_end|>[INST] And two? [/INST] "),
        (None, Row("r", "And two?", "Two."), f"{SYSTEM}\n\nAnd two?\n"),
        (None, SAID, f"{SYSTEM}\n\nSay one.\nOne.\n\nAnd two?\n"),
        (None, OWN, "Count.\n\nSay one.\nOne.\n\nAnd two?\n"),
    ],
)
def test_what_was_said_before(tokenizer, template: str | None, row: Row, prompt: str) -> None:
    chat = formatted(tokenizer, template)
    item = chat.example("t", row, 600)
    assert chat.prompt_text(row) == tokenizer.decode(item.prompt_ids) == prompt
    assert chat.decode(item.answer_ids) == "Two."
    assert not chat.is_cut(item)
    assert chat.example("t", row, len(item.prompt_ids)) is None  # earlier turns count into the context


@pytest.mark.parametrize(
    ("template", "system", "prompt"),
    [
        (CHATML, None, f"<|im_start|>system\n{SYSTEM}{ASKED}"),
        (CHATML, "Be brief.", f"<|im_start|>system\nBe brief.{ASKED}"),
        (CHATML, "", ASKED.removeprefix("<|im_end|>\n")),
        (GEMMA, "Be brief.", "<s><start_of_turn>user\nBe brief.\n\nq<end_of_turn>\n<start_of_turn>model\n"),
        (GEMMA, "", "<s><start_of_turn>user\nq<end_of_turn>\n<start_of_turn>model\n"),
        (None, "Be brief.", "Be brief.\n\nq\n"),
        (None, "", "q\n"),
    ],
)
def test_the_system_turn(tokenizer, template: str | None, system: str | None, prompt: str) -> None:
    chat = formatted(tokenizer, template, system)
    assert tokenizer.decode(chat.example("t", Row("r", "q", "a"), 600).prompt_ids) == prompt
    hashes = {formatted(tokenizer, template, other).template_hash for other in (None, "", "Be brief.")}
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("template", "history", "said"),
    [
        (GEMMA, (("user", "One."),), r"refuses its turns \(user, user, assistant\): its line 1 says '.*must alternate"),
        (CHATML, (("tool", "1"),), "has a turn of role 'tool' in its history; read are user and assistant"),
        (CHATML, (*TALK, ("system", "x")), "has a turn of role 'system' behind other turns"),
        (None, (("human", "x"),), "has a turn of role 'human'"),
        (
            "{{ messages[-2].content }}<|im_end|>{{ messages[-1].content }}<|im_end|>",
            TALK,
            "of model 'trial' does not write what was said before",
        ),
    ],
)
def test_turns_that_cannot_be_had(tokenizer, template: str | None, history, said: str) -> None:
    with pytest.raises(DataError, match=rf"task 't', row 'r7': .*{said}"):
        formatted(tokenizer, template).example("t", Row("r7", "q", "a", history=history), 600)


def test_one_prompt_after_other_turns_is_another() -> None:
    rows = [Row(f"{i}", "Go on.", "a", history=(("user", f"u{i // 2}"), ("assistant", "b"))) for i in range(40)]
    assert quality.duplicates(rows) == 20
    assert quality.duplicates([rows[0], rows[2], Row("x", "Go on.", "a")]) == 0
    assert quality.leaked(rows[:1], rows[1:4]) == 1
    split = split_rows(rows, 40, 0.25, seed=1)
    assert len(split.test) == 10
    assert not {row.asked for row in split.train} & {row.asked for row in split.test}
    assert rows_hash(rows[:1]) != rows_hash([Row("0", "Go on.", "a")])
    told = "one two three four five six seven eight nine ten eleven twelve thirteen"
    said = [Row("y", "Go on.", "a", history=((role, told),)) for role in ("user", "system")]
    assert [quality.overlap([row], [Row("z", told, "b")]) for row in said] == [1, 0]


# --- templates that fail ---


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ({"rag": "x", "tool_use": "y"}, "has the chat templates rag, tool_use and none is called 'default'"),
        (["x"], "is not a text but a list"),
        ("{{ raise_exception('Only tools.') }}", "its line 1 says 'Only tools.'"),
        ("a\nb\n{% for m in messages %}{{ m.content }}", "its line 3 says .Unexpected end of template"),
        ("a\n{{ messages | frobnicate }}", 'its line 2 says "No filter named'),
        ("\n\n{{ messages[0].content.parts[0].text }}", "its line 3 says .*no attribute 'parts'"),
        ("{{ strftime_now('%Y') }}\n{{ 1 / 0 }}", "its line 2 says 'ZeroDivisionError: division by zero'"),
        ("{{ messages[0].content + 1 }}", "its line 1 says 'TypeError: can only concatenate str"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "its line 1 says 'RecursionError"),
        ("{{ range(10 ** 9) | list }}", "its line 1 says 'OverflowError"),
        ("{{ ''.__class__.mro() }}", "its line 1 says .*is unsafe"),
        ("", "does not write the assistant's message"),
        ("{{ messages[-1].content }}", "does not write the user's message"),
    ],
)
def test_a_template_that_cannot_be_used_says_why_in_a_line(tokenizer, template, said: str) -> None:
    with pytest.raises(DataError, match=rf"^model 'trial': .*{said}") as error:
        formatted(tokenizer, template)
    assert "\n" not in str(error.value)


def test_of_several_templates_the_default_is_taken(tokenizer) -> None:
    one, several = formatted(tokenizer, CHATML), formatted(tokenizer, {"tool_use": "x", "default": CHATML})
    assert several.template_hash == one.template_hash
    assert several.differences == ("of the chat templates (tool_use, default) the one called default is taken",)


# --- what differs from apply_chat_template(add_generation_prompt=True) ---

KEPT = "here an answer is trained and scored as the row has it"
FOLDED = "the template takes no system turn: its text stands at the head of the first user turn"


@pytest.mark.parametrize(
    ("template", "system", "differences"),
    [
        (CHATML, None, []),
        (CHATML, "Be brief.", ["the system turn is 'Be brief.'"]),
        (CHATML, "", ["there is no system turn"]),
        (
            CHATML.replace("m.content", "m.content | e"),
            None,
            [
                f"the template spells characters of an assistant's text otherwise (<, &, quotes); {KEPT}",
                "the template spells characters of a user's text otherwise (<, &, quotes), and so do prompts here",
            ],
        ),
        (OWN_SYSTEM, None, []),
        (
            OWN_SYSTEM,
            "",
            ["there is no system turn", r"the template then begins with text of its own: 'system\nYou are Smol.'"],
        ),
        (
            QWEN_3,
            None,
            [
                r"the prompt opens the answer with '<think>\n\n</think>\n\n', which the stock prompt does not",
                f"the template drops or moves an assistant's thoughts; {KEPT}",
            ],
        ),
        (
            R1,
            None,
            [
                r"the stock prompt opens the answer with '<think>\n', which this does not",
                f"the template drops or moves an assistant's thoughts; {KEPT}",
            ],
        ),
        (LLAMA_31, None, [f"the template trims an assistant's text; {KEPT}"]),
        (
            LLAMA_32,
            None,
            [
                "the stock prompt has the day's date where this has 26 Jul 2024",
                f"the template trims an assistant's text; {KEPT}",
            ],
        ),
        (GEMMA, None, [FOLDED, f"the template trims an assistant's text; {KEPT}"]),
        (MISTRAL, None, [FOLDED, "the prompt opens the answer with ' ', which the stock prompt does not"]),
        (RENAMED, None, ["the stock prompt has 'helper' where this has 'assistant'"]),
        (
            CHATML + "{% if add_generation_prompt %}{{ raise_exception('Never.') }}{% endif %}",
            None,
            ["the stock template gives no prompt for generation (its line 4 says 'Never.')"],
        ),
        (
            None,
            None,
            [
                "the tokenizer has no chat template: a prompt is plain text, the system's text and a blank line, the "
                "prompt and a line end"
            ],
        ),
    ],
)
def test_differences_from_the_stock_prompt(tokenizer, template: str | None, system: str | None, differences) -> None:
    assert formatted(tokenizer, template, system).differences == tuple(differences)
