"""The protocols on the tiny model, against forwards of one unpadded row at a time, and what must not move them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from conftest import random_llama

from secura_bench.data.collate import collate
from secura_bench.data.dataset import load_data
from secura_bench.data.example import Example
from secura_bench.evaluation.evaluate import evaluate, pool, split_wrong_answers
from secura_bench.evaluation.predicting.choice import choice
from secura_bench.evaluation.predicting.generate import greedy
from secura_bench.evaluation.predicting.perplexity import perplexity, windows
from secura_bench.evaluation.predictions import long_first
from secura_bench.evaluation.prompt_cache import read_opening
from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.foundation.errors import DataError
from secura_bench.spec.sections import DataSpec
from secura_bench.tasks.catalog import load_task
from secura_bench.tasks.row import Row


@pytest.fixture(scope="module")
def choices(tiny):
    """Items of one to six choices, of one token and of many, some choices being the beginning of others."""
    _, chat, _ = tiny
    data = load_data("tiny_choice", DataSpec(rows=100), chat)
    examples = list(data.test)
    for i, texts in enumerate(
        [("red",), ("a", "a b"), ("Yes", "No"), ("one two three", "one", "one two", "ü", "x, y", "z")]
    ):
        row = Row(f"own-{i}", "word " * (3 + 11 * i) + "?", texts[0], texts, len(texts) - 1)
        examples.append(chat.example("own", row, 600))
    return data.file, examples


def naive_log_likelihoods(model, chat, example):
    """One full forward a choice, of the prompt and the choice, with the whole head."""
    found = []
    for text in example.row.choices:
        ids = chat.tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([[*example.prompt_ids, *ids]])).logits[0, len(example.prompt_ids) - 1 : -1]
        found.append(logits.log_softmax(-1)[range(len(ids)), ids].sum().item())
    return found


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_choice_is_the_naive_full_forward(tiny, choices, batch_size: int) -> None:
    model, chat, _ = tiny
    _, examples = choices
    for i, prediction in (item for batch in choice(model, examples, chat, batch_size) for item in batch):
        expected = naive_log_likelihoods(model, chat, examples[i])
        assert prediction.choices == pytest.approx(expected, rel=1e-5, abs=2e-5)
        assert prediction.text == examples[i].row.choices[int(np.argmax(expected))]


def test_choice_through_a_sliding_window() -> None:
    """A model that sees 16 positions back: its cache forgets, and prompts are longer than that."""
    from transformers import MistralConfig, MistralForCausalLM

    from secura_bench.evaluation.predicting.choice import log_likelihoods

    config = MistralConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=16,
    )  # fmt: skip
    model = MistralForCausalLM(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    prompts = [list(range(3, 43)), list(range(5, 25)), [7, 8, 9]]
    texts = [[[1, 2, 3], [4]], [[9, 9], [8, 7, 6, 5]], [[1], [2, 2]]]
    with torch.no_grad():
        found = log_likelihoods(model, prompts, texts, 0, 2)
        for prompt, mine, values in zip(prompts, texts, found, strict=True):
            for ids, value in zip(mine, values, strict=True):
                logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
                assert value == pytest.approx(logits.log_softmax(-1)[range(len(ids)), ids].sum().item(), abs=1e-4)


def test_accuracies_of_choice_are_those_of_lm_eval(tiny, choices) -> None:
    """``acc``: arg-max of the sums; ``acc_norm``: of the sums over the characters of the choice."""
    model, chat, _ = tiny
    file, examples = choices
    outcome = evaluate("choice", model, file, examples, chat, 4, 600)
    for i, example in enumerate(examples):
        sums = np.array(naive_log_likelihoods(model, chat, example))
        characters = np.array([float(len(text)) for text in example.row.choices])
        assert outcome.columns["accuracy"][i] == 100.0 * (np.argmax(sums) == example.row.answer_index)
        assert outcome.columns["accuracy_norm"][i] == 100.0 * (np.argmax(sums / characters) == example.row.answer_index)
        assert outcome.columns["loss"][i] == pytest.approx(-sums[example.row.answer_index], rel=1e-4)
    assert 0 < outcome.scores["accuracy"] < 100


def test_rows_without_choices_are_left_out_of_choice(tiny, choices) -> None:
    model, chat, _ = tiny
    file, examples = choices
    arith = load_data("tiny_arith", DataSpec(rows=60), chat)
    alone = evaluate("choice", model, file, examples[:4], chat, 4, 600)
    mixed = evaluate("choice", model, file, [*arith.test[:2], *examples[:4]], chat, 4, 600)
    assert mixed.n == alone.n == 4
    assert mixed.scores == pytest.approx(alone.scores)
    assert mixed.columns["accuracy"][:2] == [None, None]
    assert pool("both", [alone, evaluate("choice", model, arith.file, arith.test[:3], chat, 4, 600)]).n == 4


def test_a_choice_without_a_token_is_refused(tiny) -> None:
    model, chat, _ = tiny
    row = Row("empty", "?", "a", ("a", ""), 0)
    with pytest.raises(DataError, match="'empty': a choice has no token"):
        list(choice(model, [chat.example("own", row, 600)], chat, 4))


def text_example(ids, bos=()):
    return Example("text", Row("t", "", "text"), tuple(bos), tuple(ids))


@pytest.mark.parametrize("bos", [(), (1,)])
@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 12, 13, 50])
def test_windows_predict_every_token_once(length: int, bos) -> None:
    ids = list(range(100, 100 + length))
    found = list(windows(text_example(ids, bos), 8))
    predicted = [token for piece in found for token in (piece.answer_ids if piece.prompt_ids else piece.answer_ids[1:])]
    assert predicted == (ids if bos else ids[1:])
    whole = [*bos, *ids]
    for piece in found:
        seen = [*piece.prompt_ids, *piece.answer_ids]
        assert len(seen) <= 8
        place = whole.index(seen[0])
        assert whole[place : place + len(seen)] == seen
    assert all(len(piece.prompt_ids) >= 4 for piece in found[1:])


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_perplexity_against_the_guide_of_transformers(tiny, batch_size: int) -> None:
    """The loop of the documentation's page, one window at a time, on texts of different lengths."""
    model, chat, _ = tiny
    words = "Tom has three red apples and eats one of them. Then he buys two more. " * 12
    ids = chat.tokenizer(words, add_special_tokens=False)["input_ids"]
    texts = [text_example(ids[:n]) for n in (200, 31, 64, 2, 129)]
    file = load_task("tiny_code").model_copy(update={"kind": "text"})
    outcome = evaluate("perplexity", model, file, texts, chat, batch_size, 64)
    nats, count = 0.0, 0
    for item, prediction in zip(texts, outcome.predictions, strict=True):
        sequence = torch.tensor([item.answer_ids])
        total, tokens, done = 0.0, 0, 0
        for begin in range(0, sequence.shape[1], 32):
            end = min(begin + 64, sequence.shape[1])
            new = end - done
            with torch.no_grad():
                logits = model(sequence[:, begin:end]).logits[0, :-1]
            losses = torch.nn.functional.cross_entropy(logits, sequence[0, begin + 1 : end], reduction="none")
            mine = losses[-new:] if begin else losses
            total, tokens, done = total + mine.sum().item(), tokens + len(mine), end
            if end == sequence.shape[1]:
                break
        assert prediction.tokens == tokens == len(item.answer_ids) - 1
        assert prediction.loss == pytest.approx(total / tokens, rel=1e-4)
        nats, count = nats + total, count + tokens
    assert outcome.scores["perplexity"] == pytest.approx(math.exp(nats / count), rel=1e-4)
    assert outcome.scores["tokens"] == count
    assert "window:64|stride:32|first token left out" in outcome.signatures["perplexity"]


def test_a_text_that_is_one_token_has_no_perplexity(tiny) -> None:
    model, chat, _ = tiny
    ((_, prediction),) = next(perplexity(model, [text_example([5])], chat, 4, 64))
    assert prediction.loss is None
    assert prediction.tokens == 0
    file = load_task("tiny_code").model_copy(update={"kind": "text"})
    assert math.isnan(evaluate("perplexity", model, file, [text_example([5])], chat, 4, 64).scores["perplexity"])


def test_each_protocol_scores_what_it_can(choices) -> None:
    _, examples = choices
    plain = dataclasses.replace(examples[0], row=Row("x", "?", "!"))
    assert PROTOCOLS["choice"].scorable("answers", [plain, examples[0]]) == [1]
    assert PROTOCOLS["generate"].scorable("answers", [plain, examples[0]]) == [0, 1]
    assert PROTOCOLS["perplexity"].scorable("answers", [plain]) == []
    assert PROTOCOLS["perplexity"].scorable("text", [plain]) == [0]
    assert all(
        PROTOCOLS[protocol].scorable("text", [plain]) == [] for protocol in ("teacher_forced", "generate", "choice")
    )


@pytest.mark.parametrize("protocol", ["teacher_forced", "generate", "choice"])
def test_items_do_not_move_with_batch_size_or_order(tiny, choices, protocol: str) -> None:
    """Batches of 1, 3 and 16; sorted by length, as they lie, and short first."""
    model, chat, _ = tiny
    file, examples = choices
    examples = sorted(examples, key=lambda example: example.row.id)
    wanted = evaluate(protocol, model, file, examples, chat, 1, 600)
    for size in (3, 16):
        for turned in (examples, examples[::-1], sorted(examples, key=len)):
            outcome = evaluate(protocol, model, file, turned, chat, size, 600)
            order = sorted(range(len(turned)), key=lambda i: turned[i].row.id)
            assert [outcome.predictions[i].text for i in order] == [p.text for p in wanted.predictions]
            for metric, values in wanted.columns.items():
                found = [outcome.columns[metric][i] for i in order]
                assert _numbers(found) == pytest.approx(_numbers(values), rel=1e-4, abs=1e-5, nan_ok=True), metric


def _numbers(column) -> np.ndarray:
    return np.array(column, dtype=float)  # what a metric does not tell (None) is NaN


def test_unsorted_batches_give_the_same_items(tiny, choices, monkeypatch) -> None:
    """Batches as the rows lie, long beside short: all that padding must change is time."""
    from secura_bench.evaluation.predicting import choice as choosing
    from secura_bench.evaluation.predicting import generate as generating
    from secura_bench.evaluation.predicting import teacher_forced as forcing

    model, chat, _ = tiny
    file, examples = choices
    examples = examples[::2] + examples[1::2]
    protocols = ("teacher_forced", "generate", "choice")
    sorted_ones = {protocol: evaluate(protocol, model, file, examples, chat, 3, 600) for protocol in protocols}

    def as_they_lie(examples, batch_size, known=(), among=None, length=len):
        positions = list(range(len(examples)) if among is None else among)
        return [positions[start : start + batch_size] for start in range(0, len(positions), batch_size)]

    assert list(long_first(examples, 3)) != as_they_lie(examples, 3)
    for module in (choosing, generating, forcing):
        monkeypatch.setattr(module, "long_first", as_they_lie)
    for protocol, wanted in sorted_ones.items():
        found = evaluate(protocol, model, file, examples, chat, 3, 600)
        assert [p.text for p in found.predictions] == [p.text for p in wanted.predictions]
        for metric, values in wanted.columns.items():
            mine = _numbers(found.columns[metric])
            assert mine == pytest.approx(_numbers(values), rel=1e-4, abs=1e-5, nan_ok=True), metric


def test_padding_on_the_left_or_on_the_right_is_the_same(tiny, choices) -> None:
    """What generation and choice read left-padded, and teacher forcing right-padded, are the same logits."""
    from secura_bench.evaluation.prompt_cache import read
    from secura_bench.models.head import head_at

    model, chat, _ = tiny
    _, examples = choices
    with torch.no_grad():
        left = read(model, [example.prompt_ids for example in examples], chat.pad_id).logits
        batch = collate([dataclasses.replace(e, answer_ids=e.answer_ids[:1]) for e in examples], chat.pad_id)
        with head_at(model, batch.predicts):
            right = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits[0]
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4)
    assert left.argmax(-1).tolist() == right.argmax(-1).tolist()


def test_what_all_prompts_begin_with_is_read_once(tiny, choices) -> None:
    """The system message of the tiny model's prompts; not where a window looks back a fixed way, and never all."""
    from transformers import MistralConfig, MistralForCausalLM

    model, _, _ = tiny
    _, examples = choices
    prompts = [example.prompt_ids for example in examples]
    opening = read_opening(model, prompts)
    assert len(opening.ids) >= 4
    assert all(prompt[: len(opening.ids)] == opening.ids for prompt in prompts)
    assert read_opening(model, prompts[:1]).ids == ()
    assert len(read_opening(model, [prompts[0], prompts[0]]).ids) == len(prompts[0]) - 1
    assert read_opening(model, [prompts[0], (0, *prompts[0])]).ids == ()
    config = MistralConfig(
        vocab_size=1000, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=16,
    )  # fmt: skip
    assert read_opening(MistralForCausalLM(config), prompts).ids == ()


def test_greedy_stops_each_row_at_its_end_and_at_its_limit(tiny, choices) -> None:
    model, chat, _ = tiny
    _, examples = choices
    prompts = [example.prompt_ids for example in examples]
    answers = greedy(model, prompts, chat, 12)
    assert len({len(answer) for answer in answers}) > 1
    for answer in answers:
        assert not set(answer[:-1]) & chat.stop_ids
        assert len(answer) == 12 or answer[-1] in chat.stop_ids
    assert [len(answer) for answer in greedy(model, prompts, chat, 1)] == [1] * len(prompts)


def test_wrong_answers_are_told_apart(tiny, choices) -> None:
    model, chat, _ = tiny
    file, examples = choices
    arith = load_data("tiny_arith", DataSpec(rows=60), chat).test[:2]
    items = [*examples[:4], *arith]
    generated = evaluate("generate", model, file, items, chat, 4, 600)
    chosen = evaluate("choice", model, file, items, chat, 4, 600)
    verdicts = [(100.0, False, 100.0), (0.0, False, 100.0), (0.0, False, 0.0), (0.0, True, 100.0)]
    predictions = [
        dataclasses.replace(p, cut=cut) for p, (_, cut, _) in zip(generated.predictions, verdicts, strict=False)
    ]
    columns = {**generated.columns, "accuracy": [right for right, _, _ in verdicts] + [0.0, 0.0]}
    made = dataclasses.replace(generated, predictions=[*predictions, *generated.predictions[4:]], columns=columns)
    by_choice = [right for _, _, right in verdicts] + [None, None]
    labelled = split_wrong_answers(made, dataclasses.replace(chosen, columns={**chosen.columns, "accuracy": by_choice}))
    assert labelled.columns["format"] == [0.0, 100.0, 0.0, 0.0, None, None]
    assert labelled.columns["gone"] == [0.0, 0.0, 100.0, 0.0, None, None]
    assert labelled.scores["format"] == labelled.scores["gone"] == 25.0
    assert pool("all", [labelled, generated]).columns["gone"][6:] == [None] * 6
    without = evaluate("generate", model, file, arith, chat, 4, 600)
    assert split_wrong_answers(without, evaluate("choice", model, file, arith, chat, 4, 600)) is without


def test_a_cut_answer_is_compared_with_what_is_left_of_it(tiny) -> None:
    """A model that says exactly what it was shown is right, though the reference goes on behind the context."""
    model, chat, _ = tiny
    data = load_data("tiny_code", DataSpec(rows=60), chat)
    row = dataclasses.replace(
        data.test[0].row, target=data.test[0].row.target + "\n    and so on, for long, and longer"
    )
    known = data.test[0]
    cut = chat.example("tiny_code", row, len(known.prompt_ids) + len(known.answer_ids) - 1)
    assert chat.is_cut(cut)
    assert not chat.is_cut(known)
    outcome = evaluate("teacher_forced", model, data.file, [cut], chat, 4, 600)
    assert outcome.references == [chat.decode(cut.answer_ids)]
    assert outcome.predictions[0].text == outcome.references[0]
    assert outcome.scores["rougeL"] == outcome.scores["accuracy"] == 100.0


def test_generation_without_a_window_is_untouched_by_the_head_hook(tiny) -> None:
    """A hook left behind by one protocol would break the next."""
    model = random_llama()
    ids = torch.tensor([[1, 2, 3]])
    before = model(ids).logits
    example = Example("t", Row("t", "", ""), (1,), (2, 3))
    batch = collate([example], 0)
    from secura_bench.models.head import answer_logits

    with torch.no_grad():
        answer_logits(model, batch)
    torch.testing.assert_close(model(ids).logits, before)
