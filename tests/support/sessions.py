"""What the tests of methods share: small models of several architectures, tasks, and training that can be cut off."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import torch
from conftest import example, random_llama

from secura_bench.adapters.put_back import put_back
from secura_bench.data.example import Example, Task
from secura_bench.data.streams import RowStream
from secura_bench.methods.lending import attached
from secura_bench.methods.method import Method
from secura_bench.spec.sections import TrainSpec
from secura_bench.training.loop import StepReport, TrainingLoop
from secura_bench.training.precision import new_accelerator, prepare_training
from secura_bench.training.unsaved import Unsaved

SMALL = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


def build_model(kind: str) -> torch.nn.Module:
    """Return a random model in eval mode: ``llama``, ``qwen2`` (biases), ``gemma2`` (soft cap), ``gpt2`` (dropout)."""
    import transformers as t

    if kind == "llama":
        return random_llama()
    if kind == "qwen2":
        config = t.Qwen2Config(**SMALL, intermediate_size=48, num_key_value_heads=2, max_position_embeddings=128)
    elif kind == "gemma2":
        config = t.Gemma2Config(
            **SMALL, intermediate_size=48, num_key_value_heads=2, head_dim=8, final_logit_softcapping=5.0
        )
    else:
        config = t.GPT2Config(
            vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=64, resid_pdrop=0.5, embd_pdrop=0.5
        )
    model = t.AutoModelForCausalLM.from_config(config)
    for name, parameter in model.named_parameters():
        if "norm" not in name and "ln_" not in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def new_method(method: type[Method], **options: Any) -> Method:
    """Return a method with checked options."""
    return method(method.Options.model_validate(options))


def tasks(count: int = 3, rows: int = 6) -> list[Task]:
    """Return tasks of random rows, all of different lengths."""
    return [
        Task(f"task{t}", t, [replace(row, task=f"task{t}") for row in rows_of(100 * t, rows)], count)
        for t in range(count)
    ]


def rows_of(seed: int, count: int) -> list[Example]:
    """Return random rows, with answers of 1 to 4 tokens."""
    return [example(6 + 2 * i, 1 + i % 4, seed=seed + i) for i in range(count)]


def forget_device() -> None:
    """Let the next accelerator of this process choose its device: accelerate keeps the first one's."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)


class Session:
    """A run that can be cut off after any step and taken up again by another one."""

    def __init__(self, model: torch.nn.Module, method: Method, device: str = "cpu", **train: Any) -> None:
        self.method = method
        spec = TrainSpec(**{"lr": 1e-2, "steps": 1, "batch_size": 2} | train)
        forget_device()
        accelerator = new_accelerator(spec.precision, cpu=device == "cpu")
        assert accelerator.device.type == device
        self.model = attached(method, model.to(accelerator.device), lambda model: prepare_training(model, spec))
        self.unsaved = Unsaved(method, self.model)
        self.loop = TrainingLoop(accelerator, self.model, method, spec, pad_id=0)
        self.stream: RowStream | None = None
        self.reports: list[StepReport] = []

    def begin(self, task: Task) -> None:
        self.stream = RowStream(len(task.train), "replacement", task.name)
        self.method.begin_task(self.model, task)
        if task.index == 0:
            self.unsaved.began()

    def steps(self, task: Task, count: int) -> list[StepReport]:
        self.loop.run_task(task, self.stream, count, self.reports.append)
        return self.reports[-count:]

    def task(self, task: Task, count: int) -> list[StepReport]:
        self.begin(task)
        reports = self.steps(task, count)
        self.method.end_task(self.model, task)
        return reports

    def save(self) -> io.BytesIO:
        """Return all state, through a file that may hold tensors and plain containers alone."""
        self.unsaved.check()
        file = io.BytesIO()
        state = {
            "model": {name: tensor.detach() for name, tensor in self.method.trained_state(self.model).items()},
            "method": self.method.state_dict(),
            "loop": self.loop.state_dict(),
            "stream": self.stream.state_dict(),
            "random": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if self.loop.accelerator.device.type == "cuda" else None,
        }
        torch.save(state, file)
        file.seek(0)
        return file

    def restore(self, file: io.BytesIO) -> None:
        state = torch.load(file, weights_only=True, map_location="cpu")  # as a checkpoint's files are read
        put_back(self.model, state["model"])
        self.method.load_state_dict(state["method"])
        self.loop.load_state_dict(state["loop"])
        self.stream = RowStream(1, "replacement", 0)
        self.stream.load_state_dict(state["stream"])
        torch.set_rng_state(state["random"])
        if state["cuda"] is not None:
            torch.cuda.set_rng_state(state["cuda"])


def assert_resumes(make_session: Any, at: int) -> Session:
    """Train two tasks in one go, and again cut off at step ``at`` of the second: all must end the same, bit by bit."""
    first, second = tasks(2)
    whole = make_session()
    whole.task(first, 4)
    whole.begin(second)
    whole.steps(second, at)
    saved = whole.save()
    whole.stream.size = len(second.train)
    whole.steps(second, 6 - at)
    resumed = make_session()
    resumed.method.begin_task(resumed.model, first)
    resumed.restore(saved)
    resumed.stream.size = len(second.train)
    resumed.steps(second, 6 - at)
    for session in (whole, resumed):
        session.method.end_task(session.model, second)
    ours, theirs = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert same(whole.method.state_dict(), resumed.method.state_dict())
    return whole


def same(a: Any, b: Any) -> bool:
    """Return whether two states are equal, bit by bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a.cpu(), b.cpu()) if isinstance(a, torch.Tensor) else a == b
