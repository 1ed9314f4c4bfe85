"""What the Hub in a box serves: every repository that tasks and presets name, small, in the real one's layout."""

from __future__ import annotations

import functools
import io
import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub.box import Repository, git_name

ROWS = Path(__file__).parent.parent / "hub_rows"
BIGBENCH = "https://github.com/google/BIG-bench"
LANGUAGES = {"python": "Python", "cpp": "C++", "java": "Java", "js": "JavaScript", "go": "Go"}

# repository: (config, split it is read from, the others, how its files are named)
LAYOUTS = {
    "openai/gsm8k": ("main", "train", ("test",), "main/{split}-00000-of-00001.parquet"),
    "allenai/ai2_arc": (
        "ARC-Challenge",
        "train",
        ("test", "validation"),
        "ARC-Challenge/{split}-00000-of-00001.parquet",
    ),
    "tau/commonsense_qa": ("default", "train", ("test", "validation"), "data/{split}-00000-of-00001.parquet"),
    "abisee/cnn_dailymail": ("3.0.0", "test", ("train", "validation"), "3.0.0/{split}-00000-of-00001.parquet"),
    "tatsu-lab/alpaca": ("default", "train", (), "data/{split}-00000-of-00001-a09b74b3ef9c3b56.parquet"),
    "openai/openai_humaneval": (
        "openai_humaneval",
        "test",
        (),
        "openai_humaneval/{split}-00000-of-00001.parquet",
    ),
    "Salesforce/wikitext": (
        "wikitext-2-raw-v1",
        "test",
        ("train", "validation"),
        "wikitext-2-raw-v1/{split}-00000-of-00001.parquet",
    ),
    "HuggingFaceFW/finewiki": ("en", "train", (), "data/enwiki/000_00000.parquet"),
}
HEADED = {  # repositories of several tasks that are classified: their splits; a folder a configuration
    "nyu-mll/glue": ("train", "validation", "test"),
    "stanfordnlp/sentiment140": ("train", "test"),
}
CHAT = {
    "llama": "{% for m in messages %}{% if loop.first %}{{ bos_token }}{% endif %}<|start_header_id|>{{ m.role }}"
    "<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>"
    "assistant<|end_header_id|>\n\n{% endif %}",
    "gemma2": "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    "qwen2": "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\nYou are a helpful "
    "assistant.<|im_end|>\n{% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
}
SPECIAL = {  # beginning, end of turn, and what else a template writes
    "llama": ("<|begin_of_text|>", "<|eot_id|>", ("<|start_header_id|>", "<|end_header_id|>")),
    "gemma2": ("<bos>", "<end_of_turn>", ("<start_of_turn>",)),
    "qwen2": (None, "<|im_end|>", ("<|im_start|>",)),
    "mistral": ("<s>", "</s>", ()),
    "gpt2": (None, "<|endoftext|>", ()),
    "gemma3_text": ("<bos>", "<eos>", ()),
}


def all_repositories(rows: int = 40) -> list[Repository]:
    """Return every model and data set, with ``rows`` rows a split."""
    return [*model_repositories(), *data_repositories(rows)]


# --- models ---


def model_repositories() -> list[Repository]:
    """Return a tiny model under each preset's id and revision: of its architecture, gated where it is."""
    from secura_bench.models.load import presets

    return [
        Repository("model", preset.hub, preset.revision or "", model_files(preset.family or "", name), preset.gated)
        for name, preset in presets().items()
        if preset.hub
    ]


@functools.cache
def model_files(family: str, name: str = "") -> Mapping[str, bytes]:
    """Return the files of a random model of two layers, laid out as the family's repositories are."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    from secura_bench.foundation.resources import PACKAGE

    beginning, end, others = SPECIAL[family]
    if "smollm" in name:
        (beginning, end, others), template = SPECIAL["qwen2"], CHAT["qwen2"]
    else:
        template = None if name == "llama3.2-3b" else CHAT.get(family)  # some were never taught to chat
    tokenizer = AutoTokenizer.from_pretrained(PACKAGE / "models" / "tiny")
    named = {"eos_token": end, "pad_token": end} | ({"bos_token": beginning} if beginning else {})
    tokenizer.add_special_tokens({**named, "additional_special_tokens": list(others)})
    tokenizer.chat_template = template
    ids = {
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }
    size = {
        "hidden_size": 256,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "head_dim": 64,
    }
    config = AutoConfig.for_model(
        family, **size, num_key_value_heads=4, vocab_size=len(tokenizer), max_position_embeddings=2048,
        tie_word_embeddings=family == "gemma2" or "1.5b" in name or "smollm" in name, **ids,
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    with torch.no_grad():  # every answer soon ends: what is random would go on for as long as a task allows
        model.get_input_embeddings().weight[:, 0] += 1.0
        model.get_output_embeddings().weight[tokenizer.eos_token_id, 0] += 1.0
    model.generation_config = GenerationConfig(**ids)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, max_shard_size="1MB" if "8b" in name or "7b" in name else "1GB")
        tokenizer.save_pretrained(folder)
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    settings = json.loads(files["tokenizer_config.json"])
    if template:
        settings["chat_template"] = files.pop("chat_template.jinja").decode()  # where these repositories have it
    files["tokenizer_config.json"] = json.dumps(settings).encode()
    files |= {"README.md": b"---\nlicense: other\n---\n", ".gitattributes": b"*.safetensors filter=lfs\n"}
    if family == "llama":  # the same weights once more, in a form that is not read
        files["original/consolidated.00.pth"] = b"not a model" * 1000
        files["original/tokenizer.model"] = b"not a tokenizer" * 100
    return files


# --- data ---


def data_repositories(rows: int = 40) -> list[Repository]:
    """Return every data set that a task names, with its rows in the real repository's files."""
    recorded = _recorded()
    by_path: dict[str, list[str]] = {}
    revisions = {}
    from secura_bench.tasks.catalog import load_task, task_files

    for name in task_files():
        if hub := load_task(name).hub:
            by_path.setdefault(hub.path, []).append(name)
            revisions[hub.path] = hub.revision
    found = []
    for path, tasks in by_path.items():
        if path.endswith("humaneval-x"):
            files = _humaneval(recorded["multipl_e"], rows)
        elif path == "nuprl/MultiPL-E":
            files = _multipl_e(recorded["multipl_e_run"], rows)
        elif path == "hails/bigbench":
            files = _bigbench({task: recorded[task] for task in tasks}, rows)
        elif path in HEADED:
            files = _headed({task: recorded[task] for task in sorted(tasks)}, HEADED[path], rows)
        elif path == "Helsinki-NLP/news_commentary":
            files = _news({task: recorded[task] for task in tasks}, rows)
        elif path == "meta-math/MetaMathQA":
            files = {"MetaMathQA-395K.json": json.dumps(many(recorded["metamath"], rows)).encode()}
        else:
            task = min(tasks)  # what others read of the same rows
            config, split, others, place = LAYOUTS[path]
            pool = many(recorded[task], rows)
            files = {place.format(split=each): parquet(pool) for each in (split, *others)}
            files |= _card(
                {config: {each: place.format(split=each).replace("-00000-of-00001", "-*") for each in (split, *others)}}
            )
        revision = revisions[path]
        pinned = bool(re.fullmatch("[0-9a-f]{40}", revision))
        commit = revision if pinned else git_name(path.encode())
        today = {"THUDM/humaneval-x": "zai-org/humaneval-x"}
        if path in today:
            found.append(Repository("dataset", path, commit, {}, moved=today[path]))
        elif path in today.values():
            found += [Repository("dataset", old, commit, {}, moved=path) for old, new in today.items() if new == path]
        refs = () if pinned else (revision,)
        found.append(Repository("dataset", today.get(path, path), commit, files, refs=("main", *refs)))
    return found


def _headed(recorded: Mapping[str, list[dict[str, Any]]], splits: tuple[str, ...], rows: int) -> dict[str, bytes]:
    """Return files as ``CONFIG/SPLIT-00000-of-00001.parquet``, no text in two splits."""
    from secura_bench.tasks.catalog import load_task

    files: dict[str, bytes] = {}
    card = {}
    by_config: dict[str, list[dict[str, Any]]] = {}
    for task, own in recorded.items():
        by_config.setdefault(load_task(task).hub.config or "sentiment140", []).extend(own)
    for config, own in by_config.items():
        pool = many(own, rows * len(splits))  # no text stands in two splits
        parts = {split: pool[i * rows : (i + 1) * rows] for i, split in enumerate(splits)}
        files |= {f"{config}/{split}-00000-of-00001.parquet": parquet(part) for split, part in parts.items()}
        card[config] = {split: f"{config}/{split}-*" for split in splits}
    return files | _card(card)


def many(rows: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return ``count`` rows: the given ones, then the same with a word more, so that no text stands there twice."""
    return [_varied(rows[i % len(rows)], i // len(rows)) for i in range(count)]


def parquet(rows: list[dict[str, Any]]) -> bytes:
    """Return rows as a parquet file, in row groups of ten."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, row_group_size=10)
    return out.getvalue()


def _varied(value: Any, number: int) -> Any:
    """Return a row with another word in its texts; names, labels and single words stay as they are."""
    if number == 0:
        return value
    if isinstance(value, dict):
        own = {key: f"{value[key]}-{number}" for key in ("id", "task_id") if isinstance(value.get(key), str)}
        return {key: _varied(each, number) for key, each in value.items()} | own
    if isinstance(value, list):
        return [_varied(each, number) for each in value]
    if not isinstance(value, str):
        return value
    word = f"no{'abcdefghij'[number % 10]}{'klmnopqrst'[number // 10 % 10]}"
    varied = value
    for seam in (": ", " the ", " a "):
        varied = varied.replace(seam, f"{seam}{word} ")
    if varied == value and " " in value.strip():
        return re.sub(r"(\w)(\W*)$", rf"\1 {word}\2", value)
    return varied


def _recorded() -> dict[str, list[dict[str, Any]]]:
    """Return the rows in the Hub's layout that lie beside the tests, by task."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(ROWS.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            found.setdefault(row["task"], []).append(row["hub"])
    found.setdefault(
        "wikitext", [{"text": ""}, {"text": " = A title = \n"}, {"text": " It is a line of the text . \n"}]
    )
    return found


def _bigbench(tasks: Mapping[str, list[dict[str, Any]]], rows: int) -> dict[str, bytes]:
    from secura_bench.tasks.catalog import load_task

    files, card = {}, {}
    for task, recorded in tasks.items():
        config = load_task(task).hub.config or ""
        pool = [{**row, "idx": index} for index, row in enumerate(many(recorded, rows))]
        for split, part in (("default", pool), ("train", pool[: rows * 4 // 5]), ("validation", pool[rows * 4 // 5 :])):
            files[f"{config}/{split}-00000-of-00001-{git_name(split.encode())[:16]}.parquet"] = parquet(part)
        card[config] = {split: f"{config}/{split}-*" for split in ("default", "train", "validation")}
    return files | _card(card)


def _news(tasks: Mapping[str, list[dict[str, Any]]], rows: int) -> dict[str, bytes]:
    from secura_bench.tasks.catalog import load_task

    configs = {load_task(task).hub.config or "": recorded for task, recorded in tasks.items()}
    files = {f"{config}/train-00000-of-00001.parquet": parquet(many(pool, rows)) for config, pool in configs.items()}
    return files | _card({config: {"train": f"{config}/train-*"} for config in configs})


def _humaneval(recorded: list[dict[str, Any]], rows: int) -> dict[str, bytes]:
    files = {}
    for folder, language in LANGUAGES.items():
        mine = [{key: value for key, value in row.items() if key != "file"} for row in recorded]
        pool = [{**row, "task_id": f"{language}/{index}"} for index, row in enumerate(many(mine, max(4, rows // 4)))]
        files[f"data/{folder}/data/humaneval.jsonl"] = "".join(json.dumps(row) + "\n" for row in pool).encode()
    return {
        **files,
        "humaneval-x.py": b"raise SystemExit('scripts are not run')\n",
        "README.md": b"---\nlicense: apache-2.0\n---\n",
    }


def _multipl_e(recorded: list[dict[str, Any]], rows: int) -> dict[str, bytes]:
    files = {}
    for row in recorded:
        name = str(row["name"]).rpartition("HumanEval_0_")[2]
        text = json.dumps(row)
        pool = [json.loads(text.replace(name, f"{name}_{index}")) for index in range(max(4, rows // 4))]
        pool = [{**each, "name": f"HumanEval_{index}_{name}"} for index, each in enumerate(pool)]
        short = {"go_test.go": "go"}.get(row["language"], row["language"])
        files[f"humaneval-{short}/test-00000-of-00001.parquet"] = parquet(pool)
    return {**files, "README.md": b"---\nlicense: mit\n---\n"}


def _card(configs: Mapping[str, Mapping[str, str]]) -> dict[str, bytes]:
    """Return the README.md whose head says which files a configuration and split have."""
    lines = ["---", "configs:"]
    for config, splits in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, place in splits.items():
            lines += [f"  - split: {split}", f"    path: {place}"]
    return {"README.md": "\n".join([*lines, "---", ""]).encode()}
