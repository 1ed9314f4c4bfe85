"""Scoring: the paper's protocol and generation against hand-made calls of the libraries, and their invariances."""

from __future__ import annotations

import json
import math
import warnings

import pytest
import torch
from conftest import real_model_and_data

from secura_bench.data.chat import SYSTEM, ChatFormat
from secura_bench.data.dataset import load_data
from secura_bench.evaluation.evaluate import evaluate, pool
from secura_bench.evaluation.predicting.generate import generate
from secura_bench.evaluation.predicting.teacher_forced import teacher_forced
from secura_bench.evaluation.predictions import Prediction
from secura_bench.evaluation.text_metrics import char_bleu, corpus_bleu, rouge
from secura_bench.spec.sections import DataSpec


@pytest.fixture(scope="module")
def rows(tiny):
    """Examples of the tiny model's own tasks and of one it does not know."""
    _, chat, _ = tiny
    names = ("tiny_arith", "tiny_choice", "tiny_code", "tiny_translate")
    return {name: load_data(name, DataSpec(rows=100), chat) for name in names}


def mixed(rows):
    return [example for data in rows.values() for example in data.test[:6]]


def in_order(batches):
    """Return the predictions of all batches by position."""
    return [
        prediction for _, prediction in sorted((item for batch in batches for item in batch), key=lambda item: item[0])
    ]


def test_teacher_forced_against_a_row_by_row_forward(tiny, rows) -> None:
    """One unpadded row at a time, with the model's full head, transformers alone."""
    model, chat, _ = tiny
    examples = mixed(rows)
    predictions = in_order(teacher_forced(model, examples, chat, batch_size=7))
    for item, prediction in zip(examples, predictions, strict=True):
        ids = torch.tensor([item.prompt_ids + item.answer_ids])
        with torch.no_grad():
            logits = model(ids).logits[0, len(item.prompt_ids) - 1 : -1]
        guesses = logits.argmax(-1)
        assert prediction.text == chat.tokenizer.decode(guesses, skip_special_tokens=True)
        assert prediction.correct == (guesses.tolist() == list(item.answer_ids))
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor(item.answer_ids)).item()
        assert prediction.loss == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_teacher_forced_scores_against_nltk_and_rouge_score(tiny, rows) -> None:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    from rouge_score import rouge_scorer

    model, chat, _ = tiny
    data = rows["tiny_translate"]
    outcome = evaluate("teacher_forced", model, data.file, data.test, chat, batch_size=4, context=600)
    scorer = rouge_scorer.RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    bleu, r1, rl = [], [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for item, prediction in zip(outcome.examples, outcome.predictions, strict=True):
            # The published code passes strings: NLTK takes their characters for words.
            bleu.append(
                sentence_bleu([item.row.target], prediction.text, smoothing_function=SmoothingFunction().method4)
            )
            scores = scorer.score(item.row.target, prediction.text)
            r1.append(scores["rouge1"].fmeasure)
            rl.append(scores["rougeL"].fmeasure)
    assert 0 < sum(bleu) < len(bleu)
    assert outcome.scores["char_bleu"] == pytest.approx(100 * sum(bleu) / len(bleu))
    assert outcome.scores["rouge1"] == pytest.approx(100 * sum(r1) / len(r1))
    assert outcome.scores["rougeL"] == pytest.approx(100 * sum(rl) / len(rl))


def test_known_values_of_character_bleu() -> None:
    assert char_bleu("42", "42") == pytest.approx(22.1, abs=0.05)
    assert char_bleu("", "blue") == 0.0
    assert char_bleu("The cat sat on the mat.", "The cat sat on the mat.") == pytest.approx(100.0)
    assert set(rouge("running dogs", "run dog").values()) == {100.0}  # the stemmer is on


def test_generation_against_transformers_one_row_at_a_time(tiny, rows) -> None:
    model, chat, _ = tiny
    examples = mixed(rows)
    predictions = in_order(generate(model, examples, chat, batch_size=9, max_new_tokens=40))
    for item, prediction in zip(examples, predictions, strict=True):
        ids = torch.tensor([item.prompt_ids])
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=40,
            do_sample=False,
            pad_token_id=chat.pad_id,
            eos_token_id=sorted(chat.stop_ids),
        )[0, ids.shape[1] :]
        assert prediction.text == chat.tokenizer.decode(out, skip_special_tokens=True)
        assert prediction.cut == (out[-1].item() not in chat.stop_ids)


def test_generation_is_cut_at_its_limit(tiny, rows) -> None:
    model, chat, _ = tiny
    predictions = in_order(generate(model, rows["tiny_arith"].test[:4], chat, batch_size=2, max_new_tokens=2))
    assert all(prediction.cut for prediction in predictions)


@pytest.mark.parametrize("protocol", ["teacher_forced", "generate"])
def test_scores_do_not_move_with_the_batch_size(tiny, rows, protocol: str) -> None:
    model, chat, _ = tiny
    data = rows["tiny_translate"]
    outcomes = [
        evaluate(protocol, model, data.file, data.test, chat, batch_size=size, context=600) for size in (1, 3, 16)
    ]
    for other in outcomes[1:]:
        assert [p.text for p in other.predictions] == [p.text for p in outcomes[0].predictions]
        for metric, values in outcomes[0].columns.items():
            assert other.columns[metric] == pytest.approx(values, rel=1e-4, abs=1e-6), metric


def test_scores_do_not_move_with_the_batch_size_through_an_adapter(tiny, rows) -> None:
    """A normalisation over the batch would show here: an item's score must be its own."""
    from secura_bench.methods.build import build_method
    from secura_bench.models.load import load_model

    _, chat, folder = tiny
    model = build_method("secura", r=8, m=16, fusion_step=5).attach(load_model(folder))
    with torch.no_grad():
        for module in model.modules():
            if hasattr(module, "K"):
                module.B.normal_(std=0.01)
    data = rows["tiny_choice"]
    texts = [
        [p.text for p in evaluate("teacher_forced", model, data.file, data.test, chat, size, 600).predictions]
        for size in (1, 5)
    ]
    assert texts[0] == texts[1]


def test_generate_scores_against_sacrebleu(tiny, rows) -> None:
    import sacrebleu

    model, chat, _ = tiny
    data = rows["tiny_arith"]
    outcome = evaluate("generate", model, data.file, data.test, chat, batch_size=8, context=600)
    texts = [prediction.text for prediction in outcome.predictions]
    references = [item.row.target for item in outcome.examples]
    assert outcome.scores["bleu"] == pytest.approx(sacrebleu.corpus_bleu(texts, [references]).score)
    assert "tok:13a" in outcome.signatures["bleu"]
    assert corpus_bleu(["a b c d e"], ["a b c d e"])[0] == pytest.approx(100.0)


@pytest.mark.parametrize("protocol", ["teacher_forced", "generate"])
def test_an_interrupted_evaluation_goes_on_in_the_same_batches(tiny, rows, protocol: str) -> None:
    """What was filed before the stop is read back from JSON; whole batches of it are not scored again."""
    model, chat, _ = tiny
    data = rows["tiny_translate"]
    batches: list[list[tuple[int, Prediction]]] = []
    whole = evaluate(protocol, model, data.file, data.test, chat, 3, 600, on_batch=batches.append)
    assert sum(map(len, batches)) == len(data.test)
    filed = json.loads(json.dumps([[i, p.to_json()] for i, p in [*batches[0], *batches[1][:1]]], allow_nan=False))
    known = {i: Prediction.from_json(prediction) for i, prediction in filed}
    again: list[list[tuple[int, Prediction]]] = []
    resumed = evaluate(protocol, model, data.file, data.test, chat, 3, 600, known=known, on_batch=again.append)
    assert resumed == whole
    assert again == batches[1:]


def test_predictions_survive_json_exactly() -> None:
    odd = Prediction("ü\n", False, 0.1 + 0.2, True, 7, (-1e-308, -math.inf, 1 / 3))
    assert Prediction.from_json(json.loads(json.dumps(odd.to_json(), allow_nan=False))) == odd
    assert math.isnan(Prediction.from_json(json.loads(json.dumps(Prediction(loss=math.nan).to_json()))).loss)


def test_pool_weighs_every_item_the_same(tiny, rows) -> None:
    model, chat, _ = tiny
    parts = [
        evaluate("generate", model, rows[name].file, rows[name].test[:count], chat, 8, 600)
        for name, count in (("tiny_arith", 2), ("tiny_translate", 4))
    ]
    whole = pool("both", parts)
    expected = (2 * parts[0].scores["accuracy"] + 4 * parts[1].scores["accuracy"]) / 6
    assert whole.scores["accuracy"] == pytest.approx(expected)
    assert len(whole.predictions) == 6


@pytest.mark.slow
def test_tiny_model_knows_its_f_task(tiny) -> None:
    model, chat, _ = tiny
    for name, least in (("tiny_arith", 90), ("tiny_choice", 85), ("tiny_code", 90)):
        data = load_data(name, DataSpec(rows=1000), chat)
        assert evaluate("generate", model, data.file, data.test, chat, 50, 600).scores["accuracy"] >= least, name


@pytest.mark.slow
def test_tiny_tasks_are_unknown_and_not_guessable(tiny) -> None:
    from collections import Counter

    model, chat, _ = tiny
    for name in ("tiny_count", "tiny_langid", "tiny_group", "tiny_translate"):
        data = load_data(name, DataSpec(rows=1000), chat)
        answers = Counter(item.row.target for item in (*data.train, *data.test))
        assert answers.most_common(1)[0][1] <= 0.4 * answers.total(), name
        assert evaluate("generate", model, data.file, data.test, chat, 50, 600).scores["accuracy"] <= 40, name


@pytest.mark.real
@pytest.mark.slow
def test_smollm2_on_gsm8k_is_the_same_through_plain_transformers() -> None:
    """The first 40 rows of gsm8k.jsonl, teacher-forced, by twenty lines that use nothing of ours."""
    from pathlib import Path

    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from secura_bench.tasks.catalog import load_task
    from secura_bench.tasks.sources import read_rows

    folder, data = real_model_and_data()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    plain = []
    for line in Path(data, "gsm8k.jsonl").read_text().splitlines()[:40]:
        row = json.loads(line)
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": row["input"]}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
        answer = tokenizer(row["output"] + "<|im_end|>", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            guess = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].argmax(-1)
        said = tokenizer.decode(guess, skip_special_tokens=True)
        plain.append(100 * sentence_bleu([row["output"]], said, smoothing_function=SmoothingFunction().method4))

    chat = ChatFormat(tokenizer)
    task = load_task("gsm8k")
    examples = [chat.example("gsm8k", row, 2048) for row in read_rows(task, 1000)[0][:40]]
    ours = evaluate("teacher_forced", model, task, examples, chat, batch_size=8, context=600)
    print(f"plain {sum(plain) / 40:.6f}, harness {ours.scores['char_bleu']:.6f}")
    assert ours.columns["char_bleu"] == pytest.approx(plain, abs=1e-6)
