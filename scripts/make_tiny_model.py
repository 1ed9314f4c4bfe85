"""Makes the tiny pretrained model that ships inside the package.

Everything is generated: the text comes from `secura_bench.tasks.generators`, a
byte-level BPE tokenizer is trained on it, and a small Llama is trained on the
skills. The four new tasks are not pretrained on. Their words alone are: they
are in the tokenizer, and a repeat-after-me task keeps their embeddings from
being mere noise, as a real pretrained model knows the words of a task it
cannot do yet.

Over 350 lines, in one file: it is the recipe of the shipped weights, read from
top to bottom, and stays as it was when they were made.

Run from the root of the repository:

    python scripts/make_tiny_model.py [FOLDER]
"""

from __future__ import annotations

import argparse
import math
import random
import re
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from secura_bench.data.chat import SYSTEM, ChatFormat  # noqa: E402
from secura_bench.data.example import Example  # noqa: E402
from secura_bench.evaluation.evaluate import evaluate  # noqa: E402
from secura_bench.tasks.catalog import load_task  # noqa: E402
from secura_bench.tasks.generators import GENERATORS, NEW_TASKS, SKILLS  # noqa: E402
from secura_bench.tasks.generators import Row as RowDict  # noqa: E402
from secura_bench.tasks.row import Row  # noqa: E402

START, END, PAD = "<|im_start|>", "<|im_end|>", "<|pad|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# What BPE may not merge across. A role with its line end and the opening of an
# option are one piece each, which leaves the word behind without a leading
# space: it is then the same token in the option and at the start of an answer.
PIECES = (
    r"(?:system|user|assistant)\n"
    r"|\n\([A-H]\) "
    r"|\n#### "
    r"| ?\p{L}+"
    r"|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+"
    r"|\s+"
)

VOCAB_SIZE = 1152
PEAK_LR = 2e-3
# How many rows of each kind make a batch. Choosing needs the most practice: it
# learns words, the others learn patterns. The kinds come in groups of similar
# length, each padded and run on its own, which saves a fifth of the work.
MIXTURE = (
    {"tiny_choice": 16, "repeat": 4},
    {"tiny_arith": 10, "tiny_code": 6},
)
EVAL_SEED = 977


def held_out(prompt: str) -> bool:
    """Says whether a prompt is kept from training, to be scored on at the end."""
    return zlib.crc32(prompt.encode()) % 16 == 0


def new_words() -> list[str]:
    """Collects the words of the new tasks.

    Returns:
        The words, sorted.
    """
    rng = random.Random(0)
    words: set[str] = set()
    for name in NEW_TASKS:
        for _ in range(2000):
            row = GENERATORS[name](rng)
            words.update(re.findall(r"[A-Za-z]+", f"{row['input']} {row['output']}"))
    return sorted(words)


def repeater(words: Sequence[str]) -> Callable[[random.Random], RowDict]:
    """Makes the generator of rows that ask to repeat a few words.

    Args:
        words: The words to draw from.

    Returns:
        The function that draws a row.
    """

    def repeat(rng: random.Random) -> RowDict:
        text = " ".join(rng.choice(words) for _ in range(rng.randint(1, 4)))
        return {"input": f"Repeat:\n{text}", "output": text}

    return repeat


def prompt_text(prompt: str) -> str:
    """Renders a prompt as the chat template does, up to the answer."""
    return f"{START}system\n{SYSTEM}{END}\n{START}user\n{prompt}{END}\n{START}assistant\n"


def train_tokenizer(words: Sequence[str], seed: int) -> PreTrainedTokenizerFast:
    """Trains the byte-level BPE tokenizer on generated rows of all tasks.

    Args:
        words: The words of the new tasks.
        seed: The seed of the rows.

    Returns:
        The tokenizer, with its chat template.
    """
    rng = random.Random(f"tokenizer:{seed}")
    texts = []
    for draw in [*GENERATORS.values(), repeater(words)]:
        for _ in range(3000):
            row = draw(rng)
            texts.append(prompt_text(row["input"]))
            texts.append(row["output"])
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    # The system sentence is the same in every row of the bench. As a token of
    # its own it costs one place instead of eight.
    tokenizer.add_special_tokens([START, END, PAD])
    tokenizer.add_tokens([AddedToken(SYSTEM, normalized=False)])
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[START, END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((t.replace(SYSTEM, "") for t in texts), trainer)
    tokenizer.add_tokens([AddedToken(SYSTEM, normalized=False)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START],
        clean_up_tokenization_spaces=False,
        model_max_length=512,
        chat_template=CHAT_TEMPLATE,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Builds the untrained model.

    Args:
        tokenizer: The tokenizer that it is for.

    Returns:
        The model, in fp32.
    """
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return model


def encode_batch(tokenizer: PreTrainedTokenizerFast, rows: Sequence[RowDict]) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokenises rows as the bench does, prompt and answer apart.

    Args:
        tokenizer: The tokenizer.
        rows: The rows.

    Returns:
        The ids, padded on the right, and which of them the answer is made of.
    """
    prompts = tokenizer([prompt_text(row["input"]) for row in rows], add_special_tokens=False)
    answers = tokenizer([row["output"] + END for row in rows], add_special_tokens=False)
    pairs = list(zip(prompts["input_ids"], answers["input_ids"], strict=True))
    width = max(len(prompt) + len(answer) for prompt, answer in pairs)
    ids = torch.full((len(rows), width), tokenizer.pad_token_id)
    in_answer = torch.zeros(len(rows), width, dtype=torch.bool)
    for index, (prompt, answer) in enumerate(pairs):
        end = len(prompt) + len(answer)
        ids[index, :end] = torch.tensor(prompt + answer)
        in_answer[index, len(prompt) : end] = True
    return ids, in_answer


def learning_rate(step: int, steps: int) -> float:
    """Gives the learning rate of a step: a warm-up, then half a cosine to zero."""
    warmup = 200
    if step < warmup:
        return PEAK_LR * (step + 1) / warmup
    return PEAK_LR * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def draw_rows(
    rng: random.Random,
    generators: dict[str, Callable[[random.Random], RowDict]],
    counts: dict[str, int],
) -> list[RowDict]:
    """Draws rows to train on, none of them with a held-out prompt.

    Args:
        rng: Where the draws come from.
        generators: The generator of each kind of row.
        counts: How many rows of each kind.

    Returns:
        The rows.
    """
    rows: list[RowDict] = []
    for name, count in counts.items():
        goal = len(rows) + count
        while len(rows) < goal:
            row = generators[name](rng)
            if not held_out(row["input"]):
                rows.append(row)
    return rows


def pretrain(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    words: Sequence[str],
    steps: int,
    seed: int,
) -> None:
    """Trains the model on the skills and on repeating words.

    Args:
        model: The model, trained in place.
        tokenizer: Its tokenizer.
        words: The words of the new tasks, to be repeated.
        steps: How many optimizer steps.
        seed: The seed of the rows.
    """
    rng = random.Random(f"pretrain:{seed}")
    generators = {**{name: GENERATORS[name] for name in SKILLS}, "repeat": repeater(words)}
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LR, betas=(0.9, 0.98), weight_decay=0.05)
    model.train()
    begun = time.monotonic()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        optimizer.zero_grad(set_to_none=True)
        batches = [encode_batch(tokenizer, draw_rows(rng, generators, counts)) for counts in MIXTURE]
        loss = 0.0
        for ids, in_answer in batches:
            # Padding is on the right and attention is causal, so that no real
            # token sees it: a mask would only slow this down. Logits are made
            # only where the loss is, on the answers. Each group weighs the same:
            # by token, the one-word answers of choosing would hardly count.
            hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
            targets = in_answer[:, 1:]
            logits = model.lm_head(hidden[targets])
            part = functional.cross_entropy(logits, ids[:, 1:][targets]) / len(batches)
            part.backward()
            loss += part.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 250 == 0 or step + 1 == steps:
            scores = {name: f"{score(model, tokenizer, name, 48):.0%}" for name in SKILLS}
            model.train()
            passed = time.monotonic() - begun
            left = passed / (step + 1) * (steps - step - 1)
            print(
                f"step {step + 1}/{steps}  loss {loss:.3f}  {scores}  "
                f"{passed / 60:.1f} min passed, {left / 60:.1f} min left",
                flush=True,
            )


def score(model: Any, tokenizer: Any, name: str, count: int, only_held_out: bool = True) -> float:
    """Scores a task by greedy generation, as the bench does.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        name: The task.
        count: How many rows.
        only_held_out: Whether to take only prompts that were kept from training.

    Returns:
        The share of the answers that are right, in percent.
    """
    rng = random.Random(f"score:{name}:{EVAL_SEED}")
    chat = ChatFormat(tokenizer)
    examples: dict[str, Example] = {}
    while len(examples) < count:
        row = GENERATORS[name](rng)
        if held_out(row["input"]) or not only_held_out:
            choices = tuple(row["choices"]) if row["choices"] else None
            made = Row(name, row["input"], row["output"], choices, row["answer_index"])
            if example := chat.example(name, made, context=256):
                examples[made.prompt] = example
    return evaluate("generate", model, load_task(name), list(examples.values()), chat, count, 600).scores["accuracy"]


def main() -> None:
    """Makes the model, saves it, and scores what was saved."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "secura_bench" / "models" / "tiny")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    words = new_words()
    tokenizer = train_tokenizer(words, args.seed)
    model = build_model(tokenizer)
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"{len(tokenizer)} tokens, {size:,} parameters, {args.steps} steps", flush=True)
    pretrain(model, tokenizer, words, args.steps, args.seed)

    args.folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(args.folder)
    model.to(torch.float16).save_pretrained(args.folder)
    total = sum(path.stat().st_size for path in args.folder.iterdir())
    print(f"saved to {args.folder}, {total / 1e6:.2f} MB")

    # What counts is the product: the rounded weights, loaded from the folder.
    loaded = AutoModelForCausalLM.from_pretrained(args.folder, dtype=torch.float32)
    loaded_tokenizer = AutoTokenizer.from_pretrained(args.folder)
    for name in SKILLS:
        print(f"{name}: {score(loaded, loaded_tokenizer, name, 200):.1f} %", flush=True)
    for name in NEW_TASKS:
        result = score(loaded, loaded_tokenizer, name, 200, only_held_out=False)
        print(f"{name} (not pretrained on): {result:.1f} %", flush=True)


if __name__ == "__main__":
    main()
