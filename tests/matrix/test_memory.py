"""What a model's memory is worth, and scores that do not depend on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SPEC, example, secura_bench
from torch import nn
from zoo import ARCHITECTURES, build, config_for, write

from secura_bench.evaluation.memory import Memory, memory_of, note_of
from secura_bench.evaluation.predicting.choice import choice
from secura_bench.evaluation.predicting.generate import generate
from secura_bench.evaluation.predicting.teacher_forced import teacher_forced
from secura_bench.foundation.errors import DataError
from secura_bench.models.config import memory_mark

UNTRUSTED = ("mamba", "mamba2", "rwkv", "recurrent-gemma", "jamba", "bamba", "lfm2", "qwen3-next")
COUNTS_PADDING = ("mpt", "gpt-neo", "gemma3", "gemma3-vision")


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_what_may_be_used_of_a_memory(name: str) -> None:
    model = build(name)
    cached = name not in UNTRUSTED
    assert memory_of(model) == Memory(cached, name not in (*UNTRUSTED, *COUNTS_PADDING), joins=cached)
    assert bool(note_of(model)) == (name in UNTRUSTED)
    assert memory_of(model) is memory_of(model)  # asked once


class Chat:
    """The ids that scoring asks of a chat format, and answers spelled as their ids."""

    pad_id, stop_ids = 2, frozenset({1})

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))

    def answer_ids(self, text: str) -> tuple[int, ...]:
        return tuple(map(int, text.split()))


def rows() -> list[Any]:
    """Return prompts that begin alike, of lengths that padding and a window of 16 tell apart, with choices."""
    from dataclasses import replace

    made = []
    for seed, length in enumerate((34, 25, 21, 40, 28)):
        row = example(length, 4, seed)
        choices = ("7 9 11", "5", "30 31 32 33 34")
        row = replace(row, row=replace(row.row, choices=choices, answer_index=1))
        made.append(replace(row, prompt_ids=(9, 8, 7, 6, 5, 4, *row.prompt_ids)))
    return made


def alone(model: nn.Module, prompt: tuple[int, ...], tokens: int) -> list[int]:
    ids = list(prompt)
    for _ in range(tokens):
        ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        if ids[-1] in Chat.stop_ids:
            break
    return ids[len(prompt) :]


def nats(model: nn.Module, prompt: tuple[int, ...], answer: tuple[int, ...]) -> float:
    logits = model(input_ids=torch.tensor([[*prompt, *answer]]), use_cache=False).logits[0].log_softmax(-1)
    return float(sum(logits[len(prompt) - 1 + i, token] for i, token in enumerate(answer)))


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
@pytest.mark.parametrize("batch_size", [1, 3])
@torch.no_grad()
def test_scores_are_those_of_each_row_alone_without_a_cache(name: str, batch_size: int) -> None:
    model, chat, given = build(name), Chat(), rows()
    for batch in generate(model, given, chat, batch_size, 5):
        for i, prediction in batch:
            assert prediction.text == chat.decode(alone(model, given[i].prompt_ids, 5))
    for batch in choice(model, given, chat, batch_size):
        for i, prediction in batch:
            truth = [nats(model, given[i].prompt_ids, chat.answer_ids(text)) for text in given[i].row.choices]
            assert prediction.choices == pytest.approx(truth, abs=1e-3)
    for batch in teacher_forced(model, given, chat, batch_size):
        for i, prediction in batch:
            truth = -nats(model, given[i].prompt_ids, given[i].answer_ids) / len(given[i].answer_ids)
            assert prediction.loss == pytest.approx(truth, abs=1e-3)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
@torch.no_grad()
def test_rows_that_take_the_place_of_others_say_what_they_say_alone(name: str) -> None:
    """Two slots, five rows that end after different times: each comes beside one that is further on."""
    model, chat, given = build(name), Chat(), rows()
    told = [alone(model, row.prompt_ids, 9) for row in given]
    chat.stop_ids = frozenset({1, told[0][2], told[1][5]})  # the other rows end there too, or at the limit
    ends = [next((n for n, token in enumerate(ids) if token in chat.stop_ids), len(ids) - 1) for ids in told]
    said = {i: p for batch in generate(model, given, chat, 2, 9, continuous=True) for i, p in batch}
    assert len(set(ends)) > 1
    for i, (ids, end) in enumerate(zip(told, ends, strict=True)):
        assert said[i].text == chat.decode(ids[: end + 1])
        assert said[i].cut == (ids[end] not in chat.stop_ids)


def test_a_model_that_reads_ahead_is_refused() -> None:
    from transformers import BertConfig, BertLMHeadModel

    sizes = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = BertLMHeadModel(BertConfig(**sizes, intermediate_size=48))
    for parameter in model.parameters():
        if parameter.dim() == 2:
            nn.init.normal_(parameter, std=0.2)
    with pytest.raises(DataError, match="depends on what comes after it"):
        memory_of(model)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_batch_may_round_otherwise_than_a_row_alone(dtype: torch.dtype) -> None:
    """Processors without arithmetic in 16 bits do so by some models although a longer row rounds as a shorter does."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    size = {"vocab_size": 300, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
    for seed in range(20):
        torch.manual_seed(seed)
        config = Qwen2Config(hidden_size=64 if seed % 2 else 32, num_hidden_layers=2, **size)
        model = Qwen2ForCausalLM(config).to(dtype)
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(1 + seed % 5 if weight.ndim > 1 else 1)
        assert memory_of(model).cached, seed


def test_a_record_says_that_no_cache_was_used(tmp_path: Path) -> None:
    import json

    folder = write("mamba", tmp_path / "m")
    (tmp_path / "spec.yaml").write_text(
        SPEC.replace("model: tiny", f"model: {folder}").replace("{name: lora, r: 2}", "seq")
    )
    done = secura_bench("run", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for path in tmp_path.rglob("record.json"):
        assert any("scored without it" in note for note in json.loads(path.read_text())["notes"])


def test_old_scores_of_such_models_are_not_taken_for_new_ones(tmp_path: Path) -> None:
    marked = {name for name in ARCHITECTURES if memory_mark(_config_alone(name, tmp_path / name))}
    assert marked == {*UNTRUSTED, "mpt", "gpt-neo"}


def _config_alone(name: str, folder: Path) -> Path:
    config_for(name).save_pretrained(folder)
    return folder
