"""A plan as plain text of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from secura_bench.estimates.device import A_LARGE_GPU, Device
from secura_bench.estimates.forecast import Forecast, MethodForecast, fits, way_out
from secura_bench.foundation.wording import duration
from secura_bench.plan.run import threads_of

_GIB = 2**30
_FEW = 20
"""Rows of a task below which a plan warns: of 20 the 95 % interval of a share of a half is 22 points to each side."""


def plan_text(forecasts: Sequence[Forecast], device: Device) -> Iterator[str]:
    """Yield the lines of all ``forecasts``, one after another."""
    for position, forecast in enumerate(forecasts):
        if position:
            yield ""
        yield from _one(forecast, device)


def _one(forecast: Forecast, device: Device) -> Iterator[str]:
    spec, methods = forecast.spec, forecast.methods
    speed = device.speed(threads_of(spec))
    size = f" ({forecast.parameters:,} parameters)" if forecast.parameters else ""
    yield f"{spec.experiment} · {forecast.model}{size} · {spec.mode}"
    yield f"  tasks     {len(spec.task_names)}: {_shortened(', '.join(spec.task_names))}"
    if rows := _rows(forecast):
        yield f"  rows      {rows}"
    every = f", every {spec.evaluate.every} steps too" if spec.evaluate.every else ""
    when = "each task" if spec.evaluate.probe == "each" else "the last task alone"
    yield f"  probe     {spec.probe_name}, {forecast.rows.probe} rows, after {when}{every}"
    engine = "; texts by vLLM" * (spec.evaluate.engine == "vllm")
    yield f"  scoring   {', '.join(spec.protocols)}; trained tasks: {spec.evaluate.tasks}{engine}"
    yield f"  device    {device.name}, {_gib(device.memory)} GiB free, {speed / 1e12:.2f} TFLOP/s measured"
    if device.processes > 1:
        yield f"  processes {device.processes} a run; memory is that of each"
    runs, done = sum(estimate.runs for estimate in methods), sum(estimate.done for estimate in methods)
    running = sum(estimate.running for estimate in methods)
    yield f"  runs      {runs}, of them {done} done" + (f", {running} running" if running else "")
    if forecast.template:
        yield from textwrap.wrap(f"  template  {forecast.template}", 79, subsequent_indent=" " * 12)
    yield ""
    yield _row("method", "runs", "done", "a layer", "paper", "steps", "tokens", "GiB", "fits", "time")
    yield "─" * 79
    for estimate in methods:
        yield _method_row(estimate, forecast, device)
    yield ""
    yield from _memory(forecast, device)
    for note in _notes(forecast, device):
        yield from textwrap.wrap(note, 79, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _rows(forecast: Forecast) -> str:
    """Say how many rows a task is trained on and scored by, "" where that is not known."""
    if not forecast.rows.exact:
        return ""
    trained = [reads.rows for reads in forecast.rows.trained.values()]
    each = " a task" if len(trained) > 1 else ""
    return f"{_span(trained)} to train on, {_span(_scored(forecast).values())} to score{each}"


def _scored(forecast: Forecast) -> dict[str, int]:
    """Return how many rows of each task are scored, by the protocol that scores most of them."""
    return {
        name: round(max((reads.rows for reads in by.values()), default=0)) for name, by in forecast.rows.testing.items()
    }


def _span(counts: Iterable[float]) -> str:
    found = [round(count) for count in counts]
    low, high = min(found), max(found)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _method_row(estimate: MethodForecast, forecast: Forecast, device: Device) -> str:
    memory = estimate.memory
    needed = memory and (memory.on_cpu() if device.is_cpu else memory.device)
    return _row(
        estimate.label,
        estimate.runs,
        estimate.done,
        _short(estimate.count.per_layer) if estimate.count.trainable else "–",
        _short(published) if (published := estimate.footprint and estimate.footprint.published_per_layer) else "–",
        _short(estimate.work.steps) if estimate.work.steps else "–",
        _short(round(estimate.work.trained.tokens)) if estimate.work.steps else "–",
        _gib(needed) if needed else "–",
        "–" if memory is None else "yes" if fits(memory, device) else "NO",
        _time(estimate.seconds),
    )


def _row(label: object, *cells: object) -> str:
    widths = (4, 4, 7, 6, 6, 6, 6, 4, 8)
    padded = (f"{cell!s:>{width}}" for cell, width in zip(cells, widths, strict=True))
    name = str(label)
    return f"{name if len(name) <= 19 else name[:18] + '…':<19} " + " ".join(padded)


def _memory(forecast: Forecast, device: Device) -> Iterator[str]:
    known = [estimate for estimate in forecast.methods if estimate.memory]
    if not known:
        return
    yield "Memory in GiB"
    heads = ("weights", "gradients", "optimizer", "activ.", "held", "on CPU", "80 GB GPU")
    yield f"{'':<18} " + " ".join(f"{head:>{max(7, len(head))}}" for head in heads)
    shown: set[str] = set()
    for estimate in known:
        memory = estimate.memory
        if memory is None:
            continue
        parts = (memory.weights, memory.gradients, memory.optimizer, memory.activations, memory.held, memory.host)
        cells = [*map(_gib, parts), "fits" if fits(memory, A_LARGE_GPU) else "NO"]
        text = " ".join(f"{cell:>{max(7, len(head))}}" for cell, head in zip(cells, heads, strict=True))
        if text not in shown or len(known) < 8:
            yield f"{estimate.label[:18]:<18} {text}"
        shown.add(text)
    yield ""


def _notes(forecast: Forecast, device: Device) -> Iterator[str]:
    methods = forecast.methods
    missing = [estimate for estimate in methods if estimate.done < estimate.runs]
    total = sum((estimate.runs - estimate.done) * (estimate.seconds or 0) for estimate in missing)
    disk = sum((estimate.runs - estimate.done) * estimate.left for estimate in missing)
    checkpoint = max((estimate.checkpoint for estimate in missing), default=0)
    basis = "measured" if forecast.tried else "estimated"
    yield (
        f"Left to do: {_time(total)} on this device ({basis}), {_gib(disk)} GiB of disk, and {_gib(checkpoint)} GiB "
        f"for the latest checkpoint meanwhile."
    )
    if not forecast.tried:
        other = total * device.speed(threads_of(forecast.spec)) / A_LARGE_GPU.rate
        gpus = f"On an {A_LARGE_GPU.name}" if device.processes == 1 else f"On {device.processes} {A_LARGE_GPU.name}s"
        yield f"{gpus} (assumed {A_LARGE_GPU.rate / 1e12:.0f} TFLOP/s) about {_time(other)}."
        yield "--probe 3 measures three steps of each method here, and refines the time."
    if not forecast.rows.exact:
        yield from _bounds(forecast)
    elif few := [f"{name} {count}" for name, count in _scored(forecast).items() if count < _FEW]:
        yield (
            f"Few rows are scored: {_shortened(', '.join(few))}. Intervals will be wide. Of rows without a test side "
            f"data.test_fraction ({forecast.spec.data.test_fraction:g}) is held out, and evaluate.limit scores no more."
        )
    if forecast.spec.tune is not None:
        yield "Settings: to be chosen by trials; what the runs take is estimated with those that the spec has."
    if forecast.unknown:
        yield f"Runs done are counted by name, since fingerprints need the model and the data: {forecast.unknown}"
    for estimate in methods:
        if estimate.fault:
            unknown = "what is unknown of it" if estimate.seconds is None else "what is unknown of it but its time"
            yield (
                f"{estimate.label}: its own code failed while it was estimated, and {unknown} is in no sum here: "
                f"{estimate.fault}. A run goes on without an estimate."
            )
    if forecast.spec.evaluate.engine == "vllm":
        yield "vLLM takes what memory is free while it writes texts; its time is not counted, nor its weights on disk."
    yield "'paper': its Table 7, for a layer of two 4096×4096 modules."
    for estimate in methods:
        if estimate.memory and not fits(estimate.memory, device):
            yield f"{estimate.label} does not fit here. {way_out(forecast.spec, estimate, device)}"
        if estimate.needs:
            yield f"{estimate.label}: {estimate.needs}"


def _bounds(forecast: Forecast) -> Iterator[str]:
    data, unknown = forecast.spec.data, forecast.rows.unknown
    yield (
        f"Steps and tokens are upper bounds: data is not here, a task counts {data.rows} rows (data.rows), "
        f"and each row {data.context} tokens."
    )
    if unknown:
        yield (
            f"Times are no bounds: how many rows there are to test {_shortened(', '.join(unknown))} on is not known, "
            f"and {data.rows} are counted for each; evaluate.limit bounds them."
        )


def _gib(size: float) -> str:
    gib = size / _GIB
    return f"{gib:.0f}" if gib >= 100 else f"{gib:.1f}" if gib >= 0.95 else f"{gib:.2f}"


def _short(number: float) -> str:
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            text = f"{number / unit:.3g}"
            return f"{text}{name}"
    return f"{number:.0f}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds >= 2 * 86400:
        return f"{seconds / 86400:.0f} d"
    return duration(seconds)


def _shortened(text: str, width: int = 64) -> str:
    return text if len(text) <= width else text[: text.rindex(",", 0, width - 2)] + ", …"
