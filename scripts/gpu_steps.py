"""Steps of a method on a small random Llama, as a run takes them: their losses, gradients and weights."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic products want before CUDA begins

import torch

PRECISIONS = ("fp32", "bf16")
VOCABULARY = 512

LORA = {"r": 4, "dropout": 0.0, "boundary": "continue"}

TRAIN: dict[str, Any] = {"lr": 1e-3, "eps": 1e-4, "steps": 3, "batch_size": 8, "sampling": "sequential"}
"""With Adam's own eps a gradient of rounding errors would move a weight as far as any other."""

LENGTHS = tuple(24 + 16 * (5 * number % 12) for number in range(12))
"""Tokens of each row, half of them the answer: unlike enough to be cut, in answers of more than a chunk."""


@dataclass(frozen=True)
class Steps:
    """Steps of a method: ``bits`` of its base's weights, or of ``unpacked`` ones, whole and the same weights."""

    method: str = "seq"
    options: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    bits: Literal[4, 8] | None = None
    unpacked: bool = False
    tasks: int = 1


@dataclass(frozen=True)
class Taken:
    """What steps came to: each one's loss and gradient, and the weights after the last, on the CPU."""

    losses: Sequence[float]
    gradients: Sequence[torch.Tensor]
    weights: torch.Tensor


def train_of(steps: Steps, precision: str) -> Any:
    """Return how steps are trained."""
    from secura_bench.spec.sections import TrainSpec

    return TrainSpec(**{**TRAIN, "precision": precision, **steps.train})


def taken(steps: Steps, precision: str, device: str, divide: Callable[[Any, Any, Any], None] | None = None) -> Taken:
    """Take steps; ``divide``, if it is there, divides the attached model, loaded on the CPU, before the first one."""
    from secura_bench.data.example import Task
    from secura_bench.data.streams import RowStream
    from secura_bench.methods.build import build_method
    from secura_bench.models.sharded import whole
    from secura_bench.training.loop import TrainingLoop
    from secura_bench.training.precision import new_accelerator, prepare_training

    train, method = train_of(steps, precision), build_method(steps.method, **steps.options)
    accelerator = new_accelerator(train.precision, cpu=device == "cpu")
    model = loaded(steps, precision, "cpu" if divide else device)
    torch.manual_seed(0)  # what an adapter draws
    model = method.attach(model)
    prepare_training(model, train)
    if divide:
        divide(model, accelerator.device, train)
    loop = TrainingLoop(accelerator, model, method, train, pad_id=0)
    losses, gradients, after_backward = list[float](), list[torch.Tensor](), method.after_backward

    def seen(model: Any, step: Any) -> None:
        made = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        gradients.append(torch.cat([whole(gradient).float().flatten().cpu() for gradient in made]))
        after_backward(model, step)

    method.after_backward = seen  # type: ignore[method-assign]
    examples = rows()
    for index in range(steps.tasks):
        task = Task(f"task-{index}", index, examples, steps.tasks)
        method.begin_task(model, task)
        stream = RowStream(len(examples), train.sampling, index)
        loop.run_task(task, stream, train.steps, lambda report: losses.append(report.loss))
        method.end_task(model, task)
    trained = [parameter.detach() for parameter in model.parameters() if parameter.requires_grad]
    return Taken(losses, gradients, torch.cat([whole(tensor).float().flatten().cpu() for tensor in trained]))


def rows() -> tuple[Any, ...]:
    """Return random rows of all ``LENGTHS``."""
    from secura_bench.data.example import Example
    from secura_bench.tasks.row import Row

    drawn = torch.Generator().manual_seed(0)
    ids = [torch.randint(3, VOCABULARY, (length,), generator=drawn).tolist() for length in LENGTHS]
    return tuple(
        Example(
            "task", Row(id=str(n), prompt="?", target="!"), tuple(row[: len(row) // 2]), tuple(row[len(row) // 2 :])
        )
        for n, row in enumerate(ids)
    )


def loaded(steps: Steps, precision: Any, device: str) -> Any:
    """Return the base of steps as a run loads it; 4 bits go in blocks of 64, which its sizes are multiples of."""
    from secura_bench.models.load import ModelFolder, load_model
    from secura_bench.models.quantised import dense_weight, is_quantised
    from secura_bench.spec.loading import LoadSpec
    from secura_bench.training.precision import weights_dtype

    folder, dtype = base(), weights_dtype(precision)
    model: Any = load_model(ModelFolder("random", folder, "random", load=LoadSpec(bits=steps.bits)), dtype).to(device)
    if not steps.unpacked:
        return model
    whole: Any = load_model(ModelFolder("random", folder, "random"), dtype).to(device)
    for path, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and is_quantised(module):
            with torch.no_grad():
                whole.get_submodule(path).weight.copy_(dense_weight(module))
    return whole


@cache
def base() -> Path:
    """Return the folder of a small Llama of random weights, alike on every machine."""
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = Path(tempfile.mkdtemp(prefix="gpu-check-"))
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=VOCABULARY,
        max_position_embeddings=512,
        initializer_range=0.05,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@contextmanager
def one_order() -> Iterator[None]:
    """Compute everything in one order within this context, so that steps can be compared bit by bit."""
    kernels = torch.backends.cuda
    before = kernels.flash_sdp_enabled(), kernels.mem_efficient_sdp_enabled(), kernels.cudnn_sdp_enabled()
    switches = kernels.enable_flash_sdp, kernels.enable_mem_efficient_sdp, kernels.enable_cudnn_sdp
    torch.use_deterministic_algorithms(True, warn_only=True)
    for enable in switches:
        enable(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        for enable, was in zip(switches, before, strict=True):
            enable(was)
