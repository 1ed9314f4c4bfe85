"""What the check found as one JSON and one page of Markdown, which can be sent back as they are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PAGE, DATA = "gpu_check.md", "gpu_check.json"
Result = Mapping[str, Any]


def write(found: Result, out: Path) -> None:
    """Write both files, each whole or not at all."""
    for name, text in ((DATA, json.dumps(found, indent=1) + "\n"), (PAGE, "\n".join(page(found)) + "\n")):
        beside = out / f".{name}"
        beside.write_text(text, encoding="utf-8")
        beside.replace(out / name)


def verdict(result: Result) -> str:
    """Return "failed", "skipped", "out" of bounds, "within" them, or "measured": held to nothing."""
    if "error" in result:
        return "failed"
    if "skipped" in result:
        return "skipped"
    if "within" in result:
        return "within" if result["within"] else "out"
    return "measured"


def line(result: Result) -> str:
    """Return a result in a line, for the terminal."""
    figures = " ".join(f"{key} {_short(result[key])}" for key in SHOWN if result.get(key) is not None)
    why = str(result.get("skipped") or result.get("error", "").strip().rpartition("\n")[2])
    return f"{verdict(result):<8} {result['name']}  {why or figures}"


SHOWN = ("loss", "gradient", "text", "ratio", "seconds", "seconds_a_step", "tokens_a_second", "outcome")


def summary(found: Result) -> str:
    """Return how many results ended how."""
    counts = Counter(verdict(result) for part in found["parts"].values() for result in part["results"])
    return ", ".join(f"{counts[kind]} {kind}" for kind in ("within", "out", "failed", "skipped", "measured"))


def is_bad(found: Result) -> bool:
    """Return whether anything failed or is out of its bounds."""
    return any(verdict(r) in ("failed", "out") for part in found["parts"].values() for r in part["results"])


def page(found: Result) -> Iterator[str]:
    """Yield the page's lines."""
    yield "# gpu-check"
    yield ""
    yield f"{summary(found)}; device {found['device']}, {found.get('seconds', 0):.0f} s of {found['budget']:.0f}."
    parts = found["parts"]
    rate = next((r.get("matmul") for r in _of(parts, "environment") if found["device"] == "cuda"), None)
    writers: dict[str, Callable[[Sequence[Result]], Iterator[str]]] = {
        "environment": _environment,
        "runs": _runs,
        "options": _options,
        "memory": lambda results: _memory(results, rate),
        "tests": _tests,
        "speed": lambda results: _speed(results, rate),
    }
    for name, part in parts.items():
        yield from ("", f"## {part['title']}", "")
        yield from writers[name]([result for result in part["results"] if verdict(result) not in ("failed", "skipped")])
        for result in part["results"]:
            if "skipped" in result:
                yield from ("", f"- left out: {result['name']}: {result['skipped']}")
            if "error" in result:
                yield from ("", f"- **failed**: {result['name']}", "", "```text", result["error"].rstrip(), "```")


def _environment(results: Sequence[Result]) -> Iterator[str]:
    for result in results:
        for key, value in result.items():
            said = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else _unit(key, value)
            yield f"- {key}: {said}"


def _runs(results: Sequence[Result]) -> Iterator[str]:
    pairs = [result for result in results if "loss" in result]
    yield from _table(
        ("run", "loss apart", "at most", "same texts", "at least", "accuracy apart", "train s", "verdict"),
        [
            (
                r["name"], _short(r["loss"]), r["bound"]["loss"], _short(r["text"]), r["bound"]["text"],
                _short(r["accuracy"]), _short(r["seconds"]), verdict(r),
            )
            for r in pairs
        ],
    )  # fmt: skip
    yield ""
    for result in results:
        if "equal" in result:
            yield f"- {result['name']}: the same scores in both processes: {', '.join(result['equal']) or 'none'};"
            yield f"  other scores: {', '.join(result['different']) or 'none'}"
        elif "loss" not in result:
            yield f"- {result['name']}: all runs in {result['seconds']:.0f} s"


def _options(results: Sequence[Result]) -> Iterator[str]:
    yield from _table(
        ("option", "loss apart", "at most", "gradient apart", "at most", "same bits", "verdict"),
        [
            (
                r["name"], _short(r["loss"]), _bound(r, "loss"), _short(r["gradient"]), _bound(r, "gradient"),
                "yes" if r["same"] else "no", verdict(r),
            )
            for r in results if "gradient" in r
        ],
    )  # fmt: skip
    yield ""
    for result in results:
        if "joins" in result:
            places = "taken by waiting ones" if result["joins"] else "left as they are"
            yield f"- {result['name']}: places of rows that have ended are {places}; texts as of each row alone"
            yield f"  {_short(result['text'])}, at least {result['bound']['text']}: {verdict(result)}"
        if "processes" in result:
            yield f"- {result['name']}: {result['processes']} processes"


def _bound(result: Result, key: str) -> str:
    return _short(result["bound"][key]) if result["bound"] else "0"


def _memory(results: Sequence[Result], rate: float | None) -> Iterator[str]:
    for result in results:
        if result["name"] == "context":
            yield f"A process with nothing loaded takes {_gib(result['measured'])} GiB of the device (the plan says"
            yield f"{_gib(result['forecast'])}), of it in the allocator after a product: {_gib(result['workspace'])}."
            yield ""
    yield from _table(POINT, [_point(result, rate) for result in results if "stages" in result])


POINT = (
    "point", "forecast GiB", "measured GiB", "forecast / measured", "reserved GiB", "peak in", "s a step", "tokens/s",
    "of matmul", "verdict",
)  # fmt: skip


def _point(result: Result, rate: float | None) -> Sequence[str]:
    forecast, stages = result["forecast"], result["stages"]
    return (
        result["name"],
        _gib(forecast["total"] - forecast["process"]),
        _gib(result["measured"]),
        _short(result["ratio"]),
        _gib(result["reserved"]),
        max(stages, key=stages.__getitem__),
        _short(result.get("seconds_a_step")),
        _short(result.get("tokens_a_second")),
        _share(result, rate),
        verdict(result),
    )


def _tests(results: Sequence[Result]) -> Iterator[str]:
    yield from _table(
        ("test", "outcome", "seconds"), [(r["name"], r["outcome"], _short(r["seconds"])) for r in results]
    )


def _speed(results: Sequence[Result], rate: float | None) -> Iterator[str]:
    yield from _table(
        ("scoring", "seconds", "tokens/s", "rows/s", "of matmul"),
        [
            (
                r["name"], _short(r["seconds"]), _short(r["tokens_a_second"]), _short(r["rows_a_second"]),
                _share(r, rate),
            )
            for r in results
        ],
    )  # fmt: skip


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    if not rows:
        return
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(str(cell) for cell in row)} |"


def _of(parts: Mapping[str, Any], name: str) -> Sequence[Result]:
    return parts[name]["results"] if name in parts else ()


def _share(result: Result, rate: float | None) -> str:
    operations = result.get("operations_a_second")
    return f"{100 * operations / rate:.0f} %" if operations and rate else "–"


def _unit(key: str, value: Any) -> str:
    if key in ("free", "memory"):
        return f"{_gib(value)} GiB"
    return f"{value / 1e12:.2f} TFLOP/s" if key == "matmul" else str(value)


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f}"


def _short(value: Any) -> str:
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
