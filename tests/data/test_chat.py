"""Chat formatting: what a model is fed is what its template renders, whatever the template does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from secura_bench.data.chat import SYSTEM, ChatFormat
from secura_bench.data.dataset import load_data
from secura_bench.data.turns.differences import BARE
from secura_bench.data.turns.template import dated
from secura_bench.models.load import load_tokenizer
from secura_bench.spec.sections import DataSpec
from secura_bench.tasks.row import Row

REFUSES_SYSTEM = """\
{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}\
{% endif %}<start>{{ 'model' if m.role == 'assistant' else m.role }}
{{ m.content | trim }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<start>model
{% endif %}"""


@pytest.fixture
def tokenizer(tiny):
    return load_tokenizer(tiny[2])


def test_rendering_is_the_templates(tokenizer) -> None:
    chat = ChatFormat(tokenizer)
    item = chat.example("t", Row("1", "How many?", "seven"), 600)
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "How many?"},
    ]
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    full = tokenizer.apply_chat_template([*messages, {"role": "assistant", "content": "seven"}], tokenize=False)
    assert tokenizer.decode(item.prompt_ids) == prompt
    assert tokenizer.decode(item.prompt_ids + item.answer_ids) == full.rstrip("\n")
    assert item.answer_ids[-1] == tokenizer.eos_token_id
    assert item.supervised == len(tokenizer("seven", add_special_tokens=False)["input_ids"]) + 1


def test_bare_prompts_are_the_rows_text_and_nothing_else(tokenizer) -> None:
    chat = ChatFormat(tokenizer, bare=True)
    row = Row("1", "Question: 1 + 1?\nAnswer:", "two")
    item = chat.example("t", row, 600)
    assert tokenizer.decode(item.prompt_ids + item.answer_ids) == "Question: 1 + 1?\nAnswer:two" + tokenizer.eos_token
    told = replace(row, history=(("user", "2?"), ("assistant", "2.")))
    assert chat.prompt_text(told) == "2?2.\n\nQuestion: 1 + 1?\nAnswer:"
    assert chat.differences == (BARE,)
    assert chat.template_hash != ChatFormat(tokenizer).template_hash
    tokenizer.chat_template = None
    assert chat.template_hash not in {each.template_hash for each in map(ChatFormat, [tokenizer], [""])}
    with pytest.raises(ValidationError, match="bare prompts have no system message"):
        DataSpec(prompts="bare", system="Be brief.")


def test_a_template_that_refuses_a_system_role(tokenizer) -> None:
    tokenizer.chat_template = REFUSES_SYSTEM
    tokenizer.bos_token = "<|im_start|>"
    chat = ChatFormat(tokenizer)
    assert chat.system_in_user_turn
    item = chat.example("t", Row("1", "How many?", " indented"), 600)
    text = tokenizer.decode(item.prompt_ids)
    assert text == f"<|im_start|><start>user\n{SYSTEM}\n\nHow many?<|im_end|>\n<start>model\n"
    assert item.prompt_ids.count(tokenizer.bos_token_id) == 1
    # The template trims what it renders; the answer that is trained and scored is the row's own.
    assert tokenizer.decode(item.answer_ids, skip_special_tokens=True) == " indented"


def test_a_template_that_drops_the_system_message(tokenizer) -> None:
    tokenizer.chat_template = (
        REFUSES_SYSTEM.replace("{{ raise_exception('System role not supported') }}", "{% continue %}")
        .replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")
        .replace("{% continue %}", "")
    )
    assert ChatFormat(tokenizer).system_in_user_turn


def test_a_tokenizer_that_adds_bos_by_itself_gets_one(tokenizer) -> None:
    """The template writes the token, and so would the tokenizer: there must be one."""
    from tokenizers.processors import TemplateProcessing

    bos = "<|im_start|>"
    tokenizer.bos_token = bos
    tokenizer.chat_template = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.bos_token_id)]
    )
    assert tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id
    for template in (tokenizer.chat_template, None):
        tokenizer.chat_template = template
        item = ChatFormat(tokenizer).example("t", Row("1", "How many?", "seven"), 600)
        assert item.prompt_ids[0] == tokenizer.bos_token_id
        assert (item.prompt_ids + item.answer_ids).count(tokenizer.bos_token_id) == 1


def test_long_rows(tokenizer) -> None:
    chat = ChatFormat(tokenizer)
    whole = chat.example("t", Row("1", "How many?", "seven eight nine"), 600)
    cut = chat.example("t", Row("1", "How many?", "seven eight nine"), len(whole) - 2)
    assert cut.answer_ids == whole.answer_ids[:-2]
    assert chat.example("t", Row("1", "How many?", "seven"), len(whole.prompt_ids)) is None


# --- plain text ---


def test_plain_text_is_one_uncut_sequence(tokenizer) -> None:
    from tokenizers.processors import TemplateProcessing

    data = load_data("tiny_text", DataSpec(rows=40, context=4), ChatFormat(tokenizer))
    for example in (*data.train, *data.test):
        assert example.prompt_ids == ()
        assert example.row.prompt == ""
        assert tokenizer.decode(example.answer_ids) == example.row.target
        assert example.answer_ids[-1] != tokenizer.eos_token_id
    assert min(len(example) for example in data.test) > 4  # the context cuts no text
    tokenizer.bos_token = "<|im_start|>"
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", tokenizer.bos_token_id)]
    )
    item = ChatFormat(tokenizer).text_example("tiny_text", data.test[0].row)
    assert item.prompt_ids == (tokenizer.bos_token_id,)
    assert item.answer_ids == data.test[0].answer_ids


# --- dates in templates ---

DATED = "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


@pytest.mark.parametrize(
    "line",
    [
        "{% if not date_string is defined %}{% set date_string = '01 Jan 1999' %}{% endif %}"
        "Today Date: {{ date_string }}",
        "Today Date: {{ strftime_now('%d %b %Y') }}",
        "{% if strftime_now is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
        "Today Date: {{ date_string }}",
    ],
)
def test_a_template_that_renders_the_date_says_the_same_tomorrow(tokenizer, line: str) -> None:
    tokenizer.chat_template = line + DATED
    item = ChatFormat(tokenizer).example("t", Row("1", "How many?", "seven"), 600)
    assert tokenizer.decode(item.prompt_ids).startswith("Today Date: 26 Jul 2024")


def test_template_hash_sees_what_is_rendered(tokenizer) -> None:
    first = ChatFormat(tokenizer).template_hash
    assert first == ChatFormat(tokenizer).template_hash
    template = tokenizer.chat_template
    tokenizer.chat_template = template.replace("message['content']", "message['content'] | trim")
    assert ChatFormat(tokenizer).template_hash != first
    tokenizer.chat_template = template
    tokenizer.add_tokens(["Which"])  # the same template, other ids
    assert ChatFormat(tokenizer).template_hash != first


def test_stopping_the_clock_moves_nothing_else(tokenizer) -> None:
    """Not even white space at the head of a template, which Jinja2 trims by where blocks stand."""
    for head in ("", "\n", "  {% if true %}x{% endif %}", "  \n\n {%- if true %}x\n{% endif %}"):
        template = head + "{% if false %}{{ strftime_now('%Y') }}{% endif %}" + DATED
        tokenizer.chat_template = template
        messages = [{"role": "user", "content": "q"}]
        assert tokenizer.apply_chat_template(messages, chat_template=dated(template), tokenize=False) == (
            tokenizer.apply_chat_template(messages, tokenize=False)
        )
