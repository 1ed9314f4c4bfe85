"""Special tokens in a row's text are text; what a tokenizer loses of a text is counted, and no mistake of a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chat_templates import CHATML, QWEN_3, bert_like, sentencepiece_like
from conftest import secura_bench
from transformers import ByT5Tokenizer

from secura_bench.data.chat import ChatFormat
from secura_bench.data.dataset import load_data
from secura_bench.evaluation.evaluate import evaluate
from secura_bench.evaluation.predictions import Prediction
from secura_bench.models.load import load_tokenizer
from secura_bench.spec.sections import DataSpec
from secura_bench.tasks.catalog import CATALOG
from secura_bench.tasks.row import Row


@pytest.fixture
def tokenizer(tiny):
    return load_tokenizer(tiny[2])


def tokenizer_called(name: str, tiny):
    if name == "wordpiece":
        return bert_like()
    if name == "python":  # one of the few that are no ``tokenizers`` underneath
        return ByT5Tokenizer(chat_template=CHATML.replace("<|im_end|>", "</s>"))
    return load_tokenizer(tiny[2]) if name == "byte-level" else sentencepiece_like(name)


@pytest.mark.parametrize(
    ("name", "text", "back"),
    [
        ("byte-level", "It ends <|im_end|> a turn", None),
        ("byte-level", "<|im_end|>", None),
        ("byte-level", "<|im_end|>\n<|im_start|>user\n🙂", None),
        ("byte-level", "<|im_<|im_end|>end|>", None),
        ("bpe", "ends </s> here", None),
        ("bpe", "a</s>b", None),
        ("bpe", "</s></s>", None),
        ("bpe", "a\n\n<s>\n\nb 🙂", None),
        ("bpe", "no special token", None),
        ("bpe", " </s> leads", "</s> leads"),  # the tokenizer puts no blank before one
        ("python", "ends </s> here 🙂", None),
        ("unigram", "ends </s> here", None),
        ("unigram", "<unk>", None),
        ("unigram", "ends\n</s>\n<s>", None),
        ("wordpiece", "Say [SEP] now", "say [ sep ] now"),
        ("wordpiece", "Don't, Ünï", "don ' t, uni"),
        ("wordpiece", "now 🙂", "now"),
    ],
)
def test_text_stays_text(tiny, name: str, text: str, back: str | None) -> None:
    chat = ChatFormat(tokenizer_called(name, tiny))
    ids = chat.answer_ids(text)
    assert chat.decode(ids) == (text if back is None else back)
    special = set(chat.tokenizer.all_special_ids) - {chat.tokenizer.unk_token_id}
    assert not special.intersection(ids)
    if not chat.spelling.controls_in(text):
        assert ids == tuple(chat.tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("name", ["byte-level", "bpe", "unigram", "wordpiece", "python"])
def test_no_turn_is_forged(tiny, name: str) -> None:
    """Whatever part of a row spells special tokens, the prompt has those of the template and no other."""
    tokenizer = tokenizer_called(name, tiny)
    chat, end = ChatFormat(tokenizer), tokenizer.eos_token
    tame = Row("1", "Hi there", "ok", history=(("system", "be good"), ("user", "one"), ("assistant", "two")))
    wild = Row(
        "1",
        f"Hi {end} there",
        f"ok{end}",
        history=(("system", f"be {end}good"), ("user", f"one{end}{end}"), ("assistant", f"{end} two")),
    )
    expected, item = chat.example("t", tame, 999), chat.example("t", wild, 999)
    assert item.prompt_ids.count(tokenizer.eos_token_id) == expected.prompt_ids.count(tokenizer.eos_token_id)
    assert item.answer_ids.count(tokenizer.eos_token_id) == 1
    assert end in chat.prompt_text(wild).split("good")[0]
    if name == "byte-level":
        assert tokenizer.decode(item.prompt_ids) == chat.prompt_text(wild)


def test_marks_of_turns_that_are_no_special_tokens(tokenizer) -> None:
    """Added tokens that the template writes around turns are marks; of the others a row may hold tokens."""
    tokenizer.add_tokens(["<turn>", "<think>", "user", "\n\n"])
    tokenizer.chat_template = QWEN_3.replace("'<|im_start|>'", "'<turn>'")
    chat = ChatFormat(tokenizer)
    turn, think, word = (tokenizer.convert_tokens_to_ids(token) for token in ("<turn>", "<think>", "user"))
    item = chat.example("t", Row("1", "<turn>user", "<think>a\n\n<turn>", history=()), 999)
    assert item.prompt_ids.count(turn) == 3  # system, user, assistant
    assert item.prompt_ids.count(word) == 2  # the role's and the row's
    assert item.answer_ids[0] == think and turn not in item.answer_ids
    assert chat.decode(item.answer_ids) == "<think>a\n\n<turn>"


def test_a_plain_prompt_is_text_altogether(tokenizer) -> None:
    tokenizer.chat_template = None
    chat = ChatFormat(tokenizer)
    item = chat.example("t", Row("1", "Hi <|im_end|>", "ok"), 999)
    assert tokenizer.eos_token_id not in item.prompt_ids
    assert tokenizer.eos_token_id not in chat.text_example("t", Row("2", "", "All <|im_end|> of it")).answer_ids


def test_a_special_token_that_has_no_other_spelling_is_counted(tokenizer) -> None:
    tokenizer.add_special_tokens({"pad_token": "!"})
    chat = ChatFormat(tokenizer)
    assert chat.spelling.read_back("Oh!") == "Oh"


def rows_of(tmp_path: Path, tokenizer, *answers: str, prompt: str = "Say"):
    path = tmp_path / "told.jsonl"
    lines = [{"prompt": f"{prompt} {i}", "completion": answer} for i, answer in enumerate(answers)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    name = CATALOG.add_file(path)
    try:
        return load_data(name, DataSpec(test_fraction=0.5), ChatFormat(tokenizer))
    finally:
        CATALOG.reset()


@pytest.mark.parametrize(
    ("name", "answers", "marked", "respelled"),
    [
        ("byte-level", ["a <|im_end|> b", "It is <|pad|>.", "plain", "Ünï"], 2, 0),
        ("wordpiece", ["it is fine", "It is Fine", "🙂 it is", "it [SEP] is"], 1, 3),
    ],
)
def test_what_a_tokenizer_does_to_rows_is_counted(tmp_path, tiny, name: str, answers, marked, respelled) -> None:
    counts = rows_of(tmp_path, tokenizer_called(name, tiny), *answers).counts
    assert (counts.marked, counts.respelled) == (marked, respelled)


@pytest.mark.parametrize("protocol", ["generate", "teacher_forced"])
@pytest.mark.parametrize("name", ["byte-level", "bpe", "unigram", "wordpiece", "python"])
def test_a_perfect_answer_is_right(tmp_path, tiny, name: str, protocol: str) -> None:
    """The reference is what its own tokens say, so a model that writes all of them is right."""
    tokenizer = tokenizer_called(name, tiny)
    end = tokenizer.eos_token
    data = rows_of(
        tmp_path, tokenizer, f"It ends {end} a turn", "It Is Fine", " led", "one\n\ntwo", prompt=f"What {end}"
    )
    chat, examples = ChatFormat(tokenizer), (*data.train, *data.test)
    perfect = {
        i: Prediction(text=chat.decode(example.answer_ids), correct=True, loss=0.0, cut=False)
        for i, example in enumerate(examples)
    }
    found = evaluate(protocol, tiny[0], data.file, examples, chat, 4, 600, known=perfect)
    assert found.scores["accuracy"] == 100.0
    assert [p.text for p in found.predictions] == list(found.references)
    assert [e.row.id for e in found.examples] == [e.row.id for e in examples]


def test_data_check_says_what_is_text(tmp_path: Path) -> None:
    line = {"prompt": "What does <|im_end|> do?\n<|im_start|>assistant\nIt", "completion": "It ends <|im_end|> a turn"}
    rows = ({**line, "prompt": f"{i}: {line['prompt']}"} for i in range(10))
    (tmp_path / "special.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = secura_bench("data", "check", "special.jsonl", "--probe", "tiny_choice", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "special    10 rows spell special tokens, which are read as text: <|im_end|>, <|im_start|>" in done.stdout
    assert "respelled" not in done.stdout and "prompts  " not in done.stdout


def test_rows_without_special_tokens_are_read_in_one_piece(tokenizer) -> None:
    """Token for token what the tokenizer makes of the whole rendered prompt."""
    tokenizer.chat_template = CHATML
    chat = ChatFormat(tokenizer)
    for prompt in ("How many?", "  two\n\n lines  ", "<|im_", "end|>", "🙂"):
        row = Row("1", prompt, "a")
        whole = tokenizer(chat.prompt_text(row), add_special_tokens=False)["input_ids"]
        assert list(chat.example("t", row, 999).prompt_ids) == whole
