"""Rows, splits and chat formatting: what a model is fed, and that bad data is refused by name."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest

from secura_bench.data import quality
from secura_bench.data.chat import SYSTEM, ChatFormat
from secura_bench.data.collate import collate
from secura_bench.data.dataset import load_data, probe_examples
from secura_bench.data.split import rows_hash, split_rows
from secura_bench.data.turns.template import dated
from secura_bench.foundation.errors import DataError, SpecError
from secura_bench.models.load import load_tokenizer
from secura_bench.spec.sections import DataSpec
from secura_bench.tasks.catalog import expand, load_task, task_files, task_lists
from secura_bench.tasks.file import TaskFile
from secura_bench.tasks.generators import GENERATORS
from secura_bench.tasks.row import Row
from secura_bench.tasks.sources import make_rows, read_rows
from secura_bench.tasks.templates import CompiledColumns, options

REFUSES_SYSTEM = """\
{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}\
{% endif %}<start>{{ 'model' if m.role == 'assistant' else m.role }}
{{ m.content | trim }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<start>model
{% endif %}"""


@pytest.fixture
def tokenizer(tiny):
    return load_tokenizer(tiny[2])


def row(i: int, group: str | None = None, prompt: str | None = None) -> Row:
    return Row(f"r{i}", prompt or f"question {i}", f"answer {i}", group=group)


# --- chat ---


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


# --- splits ---


def test_split_is_nine_to_one_seeded_and_disjoint() -> None:
    rows = [row(i) for i in range(1500)]
    split = split_rows(rows, 1000, 0.1, seed=1)
    assert (len(split.train), len(split.test)) == (900, 100)
    assert not {r.id for r in split.train} & {r.id for r in split.test}
    assert split == split_rows(rows, 1000, 0.1, seed=1)
    assert split != split_rows(rows, 1000, 0.1, seed=2)


def test_groups_and_equal_prompts_never_straddle() -> None:
    rows = [row(i, group=f"g{i // 7}") for i in range(700)]
    rows += [row(1000 + i, group=f"h{i}", prompt=f"question {i}") for i in range(50)]  # prompts seen above
    split = split_rows(rows, 10_000, 0.1, seed=3)
    for key in (lambda r: r.group, lambda r: r.prompt):
        assert not {key(r) for r in split.train} & {key(r) for r in split.test}
    assert 0.05 < len(split.test) / len(rows) < 0.15


def test_rows_hash_sees_every_part() -> None:
    base = Row("1", "p", "t", ("a", "b"), 0)
    from dataclasses import replace

    changed = [
        replace(base, id="2"), replace(base, prompt="q"), replace(base, target="u"),
        replace(base, choices=("a", "c")), replace(base, answer_index=1),
    ]  # fmt: skip
    assert len({rows_hash([r]) for r in [base, *changed]}) == 6
    assert rows_hash([Row("1", "ab", "c")]) != rows_hash([Row("1", "a", "bc")])


# --- tasks and sources ---


@pytest.mark.parametrize("name", sorted(task_files()))
def test_every_task_file_is_valid(name: str) -> None:
    task = load_task(name)
    assert task.licence
    for source in (task.hub, task.local):
        if source is not None:
            CompiledColumns.compile(source.columns)


def test_every_list_and_generator_is_known() -> None:
    assert set(expand("f_task")) == {"arc_c", "gsm8k", "multipl_e"}
    for name in task_lists():
        assert all(member in task_files() for member in expand(name))
    for name in GENERATORS:
        assert load_task(name).generated.generator == name


def test_generated_rows_are_distinct_and_seeded() -> None:
    for name in GENERATORS:
        rows, origin = read_rows(load_task(name), 300)
        assert len({r.prompt or r.target for r in rows}) == len(rows) == 300
        assert rows == read_rows(load_task(name), 300)[0]
        assert origin.source.startswith("generated:")


def test_no_network_is_one_clear_error(monkeypatch) -> None:
    monkeypatch.delenv("SECURA_BENCH_DATA", raising=False)
    for task in ("gsm8k", "absnarr", "multipl_e"):
        with pytest.raises(DataError, match="SECURA_BENCH_DATA"):
            read_rows(load_task(task), 10)


GOOD = {"id": "a", "input": "q?", "output": "yes", "choices": ["yes", "no"], "answer_index": 0}


def local(tmp_path: Path, monkeypatch, *lines: object, name: str = "arc_c") -> TaskFile:
    text = b"".join(
        (line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()) + b"\n"
        for line in lines
    )
    (tmp_path / f"{name}.jsonl").write_bytes(text)
    monkeypatch.setenv("SECURA_BENCH_DATA", str(tmp_path))
    return load_task(name)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "a", ', "arc_c.jsonl:2: is not JSON"),
        ('{"id": "a"', "is not JSON: Expecting ',' delimiter at column 11. A row is one whole object on one line"),
        ('  {"id": "a"  "input": "q"}', "is not JSON: Expecting ',' delimiter at column 15."),
        ("[1, 2]", "arc_c.jsonl:2: must be a JSON object, not a list"),
        (b'{"id": "\xff"}', "arc_c.jsonl:2: is not UTF-8"),
        ({**GOOD, "id": "b", "answer_index": 2}, "arc_c.jsonl:2: answer_index 2 is not one of the 2 options"),
        ({**GOOD, "id": "b", "answer_index": None}, "arc_c.jsonl:2: answer_index None"),
        ({**GOOD, "id": "b", "choices": ["yes"]}, "arc_c.jsonl:2: multiple choice needs two options"),
        ({**GOOD, "id": "b", "choices": ["yes", "yes"]}, "arc_c.jsonl:2: the option 'yes' stands there twice"),
        ({**GOOD, "id": "b", "choices": ["yes", " "]}, "arc_c.jsonl:2: an option is empty"),
        ({**GOOD, "id": "b", "choices": "yes"}, "arc_c.jsonl:2: choices must be a list, not 'yes'"),
        ({**GOOD, "id": "b", "input": " "}, "arc_c.jsonl:2: the prompt is empty"),
        ({"id": "b", "output": "x"}, "arc_c.jsonl:2: 'input' is undefined (columns found: id, output)"),
        (GOOD, "arc_c.jsonl:2: id 'a' stands there twice, first at line 1"),
    ],
)
def test_bad_lines_are_refused_by_file_and_line(tmp_path: Path, monkeypatch, line, message: str) -> None:
    task = local(tmp_path, monkeypatch, GOOD, line)
    with pytest.raises(DataError) as error:
        read_rows(task, 10)
    assert message in str(error.value)


def test_missing_and_empty_files(tmp_path: Path, monkeypatch) -> None:
    task = local(tmp_path, monkeypatch)
    with pytest.raises(DataError, match="has no rows"):
        read_rows(task, 10)
    (tmp_path / "arc_c.jsonl").unlink()
    with pytest.raises(DataError, match=r"local source only, and there is no arc_c\.jsonl in "):
        read_rows(task.model_copy(update={"hub": None}), 10)
    monkeypatch.setenv("SECURA_BENCH_DATA", str(tmp_path / "none"))
    with pytest.raises(DataError, match="none, which is no folder"):
        read_rows(task, 10)


def test_local_rows(tmp_path: Path, monkeypatch) -> None:
    task = local(tmp_path, monkeypatch, GOOD, {**GOOD, "id": "b", "answer_index": 1})
    rows, origin = read_rows(task, 10)
    assert [r.target for r in rows] == ["yes", "no"]
    assert origin.source == "local:arc_c.jsonl"


def test_prompts_are_rendered_in_the_sandbox() -> None:
    from secura_bench.tasks.columns import Columns

    columns = CompiledColumns.compile(Columns(prompt="{{ q.__class__.__mro__ }}", target="{{ q }}"))
    with pytest.raises(DataError, match="unsafe"):
        make_rows("t", {"q": "x"}, columns, "here")


def test_probe_shares_prefixes_and_limits(tiny) -> None:
    _, chat, _ = tiny
    parts = [load_data(name, DataSpec(rows=100), chat) for name in expand("tiny_f_task")]
    small, large = probe_examples(parts, 10, ()), probe_examples(parts, 31, ())
    assert [len(v) for v in small.values()] == [4, 3, 3]
    assert [len(v) for v in large.values()] == [11, 10, 10]
    for name in small:
        assert large[name][: len(small[name])] == small[name]
    with pytest.raises(DataError, match="at most 30"):
        probe_examples(parts, 31, ("tiny_arith",))


def test_unknown_tasks_have_a_nearest_name() -> None:
    with pytest.raises(SpecError, match="Did you mean 'gsm8k'"):
        load_task("gsm8")


def test_collation_pads_on_the_right(examples) -> None:
    batch = collate(examples, pad_id=1)
    for i, item in enumerate(examples):
        assert batch.attention_mask[i].tolist() == [1] * len(item) + [0] * (batch.input_ids.shape[1] - len(item))
    assert batch.rows.tolist() == sorted(batch.rows.tolist())
    assert options(["x", "y"]) == "Options:\n(A) x\n(B) y"


# --- what is known of rows ---


def mcq(answer: int, *choices: str, prompt: str = "?") -> Row:
    return Row("x", prompt, choices[answer], choices, answer)


def test_chance_and_majority_by_hand() -> None:
    rows = [mcq(0, "yes", "no"), mcq(0, "yes", "no"), mcq(1, "yes", "no"), mcq(1, "a", "b", "c", "d")]
    assert quality.chance(rows) == pytest.approx(100 * (3 / 2 + 1 / 4) / 4)
    assert quality.majority(rows) == 50.0  # "yes" is right twice, and so are (A) and (B)
    shuffled_texts = [mcq(0, "a", "b"), mcq(0, "c", "d"), mcq(0, "e", "f"), mcq(1, "g", "h")]
    assert quality.majority(shuffled_texts) == 75.0  # always "(A)"
    moved = [mcq(0, "same", "other"), mcq(1, "other", "same"), mcq(2, "x", "y", "same"), mcq(1, "x", "y")]
    assert quality.majority(moved) == 75.0  # always "same", at three places
    open_rows = [Row("1", "q", "a")]
    assert quality.chance(open_rows) is quality.majority(open_rows) is None
    assert quality.chance([*rows, *open_rows]) == quality.chance(rows)


def test_position_bias_is_pearsons_chi_square() -> None:
    rows = [mcq(0, "a", "b", "c")] * 20 + [mcq(1, "a", "b", "c")] * 5 + [mcq(2, "a", "b", "c")] * 5
    bias = quality.position_bias(rows)
    assert bias.counts == (20, 5, 5)
    assert bias.expected == pytest.approx((10, 10, 10))
    assert bias.statistic == pytest.approx(15.0)  # (100 + 25 + 25) / 10
    assert bias.p == pytest.approx(math.exp(-7.5))  # chi-square with 2 degrees of freedom
    assert quality.position_bias([Row("1", "q", "a")]) is None


def test_position_bias_of_lists_of_different_lengths_keeps_its_level() -> None:
    generator = random.Random(0)
    small = 0
    for _ in range(400):
        rows = [mcq(generator.randrange(n), *"abcdef"[:n]) for n in [2] * 60 + [3] * 30 + [6] * 10]
        small += quality.position_bias(rows).p < 0.1
    assert 22 <= small <= 60  # 40 expected, sd 6


def test_duplicates_leaks_and_overlaps() -> None:
    rows = [Row("1", "one", "x", group="g"), Row("2", "one", "y"), Row("3", "three", "x"), Row("4", "", "text")]
    assert quality.duplicates(rows) == 1
    assert quality.leaked(rows[:2], [Row("5", "new", "x", group="g"), Row("6", "one", "z"), rows[2]]) == 2
    long = "the quick brown fox jumps over the lazy dog and runs far away"  # 13 words
    other = Row("7", f"Question: {long.upper()}, today?", "a")
    assert (
        quality.overlap([Row("8", f"So {long}!", "b"), Row("9", long.rsplit(" ", 1)[0], "away"), rows[2]], [other]) == 2
    )
    assert quality.overlap([Row("10", "Three!", "X")], rows) == 1  # short, and all words the same


def test_counts_of_what_was_left_out(tmp_path: Path, monkeypatch, tokenizer) -> None:
    long = "pens " * 20_000  # 100,000 characters
    lines = [{"id": f"{i}", "input": f"How many {i}?", "output": "two"} for i in range(16)]
    lines += [{"id": "a", "input": "How many 3?", "output": "two"}, {"id": "b", "input": long, "output": "two"}]
    lines += [{"id": "c", "input": "Say much.", "output": f"{long}\n#### 2"}]
    local(tmp_path, monkeypatch, *lines, name="gsm8k")
    data = load_data("gsm8k", DataSpec(context=100, test_fraction=0.2), ChatFormat(tokenizer))
    assert (data.counts.found, data.counts.filtered) == (19, 0)
    assert (data.counts.too_long, data.counts.cut_answers, data.counts.duplicates) == (1, 1, 1)
    assert len(data.train) + len(data.test) == 18
    assert all(len(example) <= 100 for example in (*data.train, *data.test))


def test_filtered_rows_are_counted(tmp_path: Path, monkeypatch, tokenizer) -> None:
    local(tmp_path, monkeypatch, *({"text": t} for t in ["", " a b ", "c", "d", "\n"] * 3 + ["e"]), name="wikitext")
    counts = load_data("wikitext", DataSpec(test_fraction=0.4), ChatFormat(tokenizer)).counts
    assert (counts.found, counts.filtered, counts.duplicates, counts.cut_answers) == (16, 6, 6, 0)


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
