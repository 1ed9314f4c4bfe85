"""What all tests share: small random models, the shipped tiny model, and the command line in a process of its own."""

from __future__ import annotations

import gc
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
os.fsync = lambda handle: None  # no test cuts the power; a run writes dozens of files, and would wait for the disk

pytest_plugins = ["interrupted"]  # whose fixtures several files of tests/runs share

ROOT = Path(__file__).resolve().parent.parent
FEW_OBJECTS = 20_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let files with slow tests come first: no process is to begin one when the others are done."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _settled() -> Iterator[None]:
    """Have collections pass over what libraries brought since the last: each run makes some, a sixth of its time."""
    yield
    if len(gc.get_objects()) > FEW_OBJECTS:  # those that collections still look at
        gc.collect()
        gc.freeze()


def random_llama(**changes: Any) -> torch.nn.Module:
    """Return a random Llama of 2 layers, hidden size 32, vocabulary 64, untied, with q_proj 32×32 and v_proj 16×32."""
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "attention_bias": False,
    } | changes
    model = LlamaForCausalLM(LlamaConfig(**settings))
    for name, parameter in model.named_parameters():  # the default init is too small to move a logit
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


@pytest.fixture
def llama() -> Callable[..., torch.nn.Module]:
    """Return the maker of small random Llamas."""
    return random_llama


def example(length: int, answer: int, seed: int = 0, weight: float = 1.0) -> Any:
    """Return an example of random token ids below 64: ``length`` tokens, the last ``answer`` of them supervised."""
    from secura_bench.data.example import Example
    from secura_bench.tasks.row import Row

    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, 64, (length,), generator=generator).tolist()
    row = Row(id=f"row-{seed}", prompt="?", target="!")
    return Example("task", row, tuple(ids[: length - answer]), tuple(ids[length - answer :]), weight)


@pytest.fixture
def examples() -> list[Any]:
    """Return eight examples of different lengths and answer lengths."""
    return [example(6 + 3 * i, 1 + i % 4, seed=i) for i in range(8)]


@pytest.fixture(scope="session")
def tiny() -> Any:
    """Return the shipped tiny model, its chat format and folder."""
    from secura_bench.data.chat import ChatFormat
    from secura_bench.models.load import find_model, load_model, load_tokenizer

    folder = find_model("tiny")
    return load_model(folder), ChatFormat(load_tokenizer(folder)), folder


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def secura_bench(*words: str, cwd: Path, **environment: str) -> Done:
    """Run the command line as a user does, in this process: starting one for each test would take minutes."""
    from secura_bench.cli.main import main
    from secura_bench.foundation.registry import METHODS

    registered = dict(METHODS._objects)  # a plug-in is of its command alone, as if that had had a process of its own
    out, err, code = io.StringIO(), io.StringIO(), 0
    before, variables = Path.cwd(), dict(os.environ)
    os.chdir(cwd)
    os.environ.update(environment)
    argv, sys.argv = sys.argv, ["secura-bench", *words]
    try:
        with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
            main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    finally:
        METHODS._objects = registered
        sys.argv = argv
        os.chdir(before)
        os.environ.clear()
        os.environ.update(variables)
    return Done(code, out.getvalue(), err.getvalue())


SPEC = """\
experiment: trial
mode: separate
model: tiny
tasks: [tiny_group]
probe: tiny_f_task
probe_rows: 6
methods: [{name: lora, r: 2}]
train: {lr: 1.0e-3, steps: 2, batch_size: 2}
evaluate: {protocols: [teacher_forced, generate], limit: 3}
data: {rows: 60}
threads: 1
"""


@pytest.fixture(scope="module")
def metric_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let `evaluate` copy a metric's code to a folder of this file's, not the user's, and forget it as a package."""
    import evaluate.config

    before = evaluate.config.HF_MODULES_CACHE, list(sys.path)
    evaluate.config.HF_MODULES_CACHE = str(tmp_path_factory.mktemp("modules"))
    yield
    evaluate.config.HF_MODULES_CACHE, sys.path[:] = before
    for name in [name for name in sys.modules if name.partition(".")[0] == "evaluate_modules"]:
        del sys.modules[name]  # else the next file's metrics were looked for in this one's folder


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    """Return a small valid spec on the tiny model."""
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def real_model_and_data() -> tuple[Path, Path]:
    """Return the folders of SmolLM2 and of the real data, or skip with the reason."""
    model, data = os.environ.get("SECURA_BENCH_SMOLLM2"), os.environ.get("SECURA_BENCH_DATA")
    if not model or not Path(model, "config.json").is_file():
        pytest.skip("SECURA_BENCH_SMOLLM2 names no folder with SmolLM2-135M-Instruct")
    if not data or not Path(data, "gsm8k.jsonl").is_file():
        pytest.skip("SECURA_BENCH_DATA names no folder with gsm8k.jsonl")
    return Path(model), Path(data)
