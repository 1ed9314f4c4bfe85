"""Rows to be classified as token ids: as the tokenizer itself makes them, cut as it cuts."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from secura_bench.data.classified import classified_example, is_cut
from secura_bench.data.collate import IGNORE, collate
from secura_bench.data.split import rows_hash
from secura_bench.data.turns.spelling import Spelling
from secura_bench.tasks.row import Row

WORDS = ("the", "cat", "sits", "three", "dogs", "run", "home")
FORMS = {
    "gpt2": None,
    "llama": ("<s> $A", "<s> $A <s> $B"),
    "bert": ("<s> $A </s>", "<s> $A </s> $B </s>"),
}


def tokenizer_of(form: str) -> Any:
    """Return a tokenizer of words that sets texts and pairs as one of a family does."""
    vocabulary = {word: i for i, word in enumerate(("<s>", "</s>", "<unk>", *WORDS))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    if (template := FORMS[form]) is not None:
        special = [(token, vocabulary[token]) for token in ("<s>", "</s>")]
        tokenizer.post_processor = TemplateProcessing(single=template[0], pair=template[1], special_tokens=special)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def row(first: str, second: str | None = None) -> Row:
    """Return a row of the second of two labels."""
    return Row("1", first, "yes", choices=("no", "yes"), answer_index=1, pair=second)


@pytest.mark.parametrize("form", FORMS)
def test_texts_and_pairs_are_the_tokenizers_own_and_cut_as_it_cuts(form: str) -> None:
    tokenizer = tokenizer_of(form)
    spelling, draw = Spelling(tokenizer), random.Random(0)
    for _ in range(200):
        a, b = (" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(2))
        context = draw.randint(6, 20)
        one = classified_example("t", row(a), spelling, context)
        two = classified_example("t", row(a, b), spelling, context)
        assert one and two
        assert list(one.prompt_ids) == tokenizer(a, truncation=True, max_length=context)["input_ids"]
        assert list(two.prompt_ids) == tokenizer(a, b, truncation="longest_first", max_length=context)["input_ids"]
        assert is_cut(two, spelling, context) == (len(tokenizer(a, b)["input_ids"]) > context)
        assert (two.answer_ids, two.head, two.supervised, len(two)) == ((1,), "t", 1, len(two.prompt_ids))


def test_a_text_that_spells_a_special_token_is_text() -> None:
    tokenizer = tokenizer_of("bert")
    example = classified_example("t", row("cat </s> cat"), Spelling(tokenizer), 50)
    assert example is not None and example.prompt_ids.count(tokenizer.eos_token_id) == 1


def test_no_room_is_no_row() -> None:
    assert classified_example("t", row("cat", "dogs"), Spelling(tokenizer_of("bert")), 3) is None


def test_a_batch_reads_the_text_alone_and_predicts_at_its_last_real_token() -> None:
    spelling = Spelling(tokenizer_of("bert"))
    made = [classified_example("t", row(text), spelling, 50) for text in ("the cat sits", "cat")]
    batch = collate([each for each in made if each], pad_id=0)
    assert batch.attention_mask.sum(dim=1).tolist() == [5, 3]
    assert batch.predicts.nonzero().tolist() == [[0, 4], [1, 2]]
    assert batch.targets.tolist() == [1, 1] and IGNORE not in batch.targets
    assert batch.heads == ("t", "t")
    assert batch.to(batch.input_ids.device).heads == batch.heads


def test_a_pair_is_part_of_what_a_row_is() -> None:
    assert row("a", "b").asked != row("a", "c").asked
    assert rows_hash([row("a", "b")]) != rows_hash([row("a", "c")])
    assert row("a").asked == "a"
