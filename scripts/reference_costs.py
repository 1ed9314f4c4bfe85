"""What each method costs, by the formulas of ``secura-bench plan``: parameters, memory, time."""

from __future__ import annotations

from collections.abc import Mapping

from secura_bench.estimates.formulas import count_on_shape, training_flops
from secura_bench.estimates.memory import PROCESS, Memory, Scoring, memory_of
from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.registry import METHODS
from secura_bench.methods.build import build_method
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.method import Method
from secura_bench.methods.parameters import ParameterCount
from secura_bench.models.load import presets
from secura_bench.models.shape import Shape
from secura_bench.report.against.counts import WIDTH
from secura_bench.spec.sections import DataSpec, TrainSpec

MODELS: Mapping[str, TrainSpec] = {"smollm2-135m": TrainSpec(), "llama3-8b": TrainSpec(precision="bf16")}
"""The models of the tables, and how they are trained there: one row a step of the default number of tokens."""
_CONTEXT, _ANSWER, _TASKS = DataSpec().context, DataSpec().context // 2, 3
_HEADINGS = (
    "trained",
    "with a gradient",
    "held",
    "a layer",
    "paper, a layer",
    "GiB",
    "of them held",
    "on the CPU",
    "work",
)


def cost(name: str) -> str:
    """Return a method's cost on each of the models."""
    rows = [(f"{model}, {train.precision}", *_cost(name, model)) for model, train in MODELS.items()]
    return _table("model", rows)


def costs() -> str:
    """Return the cost on the largest of the models of every method that has one: all options have defaults."""
    model = list(MODELS)[-1]
    return _table("method", [(f"`{name}`", *_cost(name, model)) for name in METHODS.names() if has_cost(name)])


def has_cost(name: str) -> bool:
    """Return whether a method can be had without an option: else what it costs depends on that."""
    try:
        build_method(name)
    except SpecError:
        return False
    return True


def _table(first: str, rows: list[tuple[str, ...]]) -> str:
    lines = [(first, *_HEADINGS), ("---", *["---:"] * len(_HEADINGS)), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cost(name: str, model: str) -> tuple[str, ...]:
    """Return the numbers of one method on one model, as texts: those of ``_HEADINGS``."""
    preset, train, method = presets()[model], MODELS[model], build_method(name)
    shape = Shape.from_config(preset.family or "", preset.shape or {})
    if shape is None:
        raise ValueError(f"{model} has another layout than those whose shape is known")
    count = count_on_shape(method.footprint(), shape)
    memory = _memory(method.footprint(), count, shape, train)
    published = type(method).published_per_layer if shape.hidden == WIDTH else None
    plain = Method().footprint()
    own = _work(method.footprint(), count, shape, train)
    time = own / _work(plain, count_on_shape(plain, shape), shape, train)
    return (
        f"{count.trainable:,}",
        f"{count.effective:,}",
        f"{count.held:,}",
        f"{count.per_layer:,.0f}",
        f"{published:,}" if published else "–",
        f"{(memory.device - PROCESS) / 2**30:.2f}",
        f"{memory.held / 2**30:.2f}",
        f"{memory.host / 2**30:.2f}",
        f"{time:.2f}" if count.trainable else "–",
    )


def _memory(footprint: Footprint, count: ParameterCount, shape: Shape, train: TrainSpec) -> Memory:
    scoring = Scoring(1, _CONTEXT, _ANSWER, 0, ("teacher_forced",))
    return memory_of(footprint, count, shape, train, scoring, _ANSWER, _TASKS, on_gpu=True)


def _work(footprint: Footprint, count: ParameterCount, shape: Shape, train: TrainSpec) -> float:
    """Return the floating-point operations of a token of a new row, in the mean over tasks.

    Replayed rows, those of a memory and second passes are counted in.
    """
    rows = footprint.relative_rows + sum(map(footprint.memory_rows, range(_TASKS))) / _TASKS
    return training_flops(shape, train, count.trainable == count.total, footprint) * rows
