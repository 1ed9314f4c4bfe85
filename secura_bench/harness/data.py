"""A part of the probe that is the harness's as examples: its items, read by asking a model that says nothing."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from secura_bench.data.chat import ChatFormat
from secura_bench.data.dataset import Counts, TaskData
from secura_bench.data.example import Example
from secura_bench.harness.apart import apart
from secura_bench.harness.ask import Said, ask
from secura_bench.harness.code import foreign_code
from secura_bench.harness.counted import counted_metric
from secura_bench.harness.load import Loaded, load
from secura_bench.harness.task import HarnessTask
from secura_bench.spec.probe import Suite
from secura_bench.tasks.row import Row
from secura_bench.tasks.sources import Origin

_ELSEWHERE = ("dataset_path", "dataset_kwargs")
"""What of a task's configuration says where its rows lie; the rows themselves are hashed."""


def read_suite(suite: Suite, chat: ChatFormat, allow_code: bool) -> tuple[TaskData, tuple[Example, ...]]:
    """Return a part of the probe as a task without training rows, and its items as examples.

    An item's id is the hash of its document, as the harness has it; of a group the task's name stands before. Prompt
    and answer tokens are of its first request: what is sent is the harness's own affair.

    Raises:
        SpecError: No such task, one that cannot be a probe, or one that is code and not allowed.
        DataError: It cannot be loaded, or rendered.
    """
    loaded = load(suite, allow_code)
    said = {name: _items(loaded, name, allow_code) for name in loaded.tasks}
    counted = {
        name: counted_metric(suite.part, name, loaded.tasks[name], items[0].figures) for name, items in said.items()
    }
    configs = {name: _configuration(task) for name, task in loaded.tasks.items()}
    file = HarnessTask(
        id=suite.part,
        title=suite.name,
        licence="the data set's own",
        max_new_tokens=max(_new_tokens(config) for config in configs.values()),
        suite=suite,
        counted=counted,
        allow_code=allow_code,
    )
    examples = tuple(example for name, items in said.items() for example in _examples(loaded, name, items, chat))
    sent = [item.sample["arguments"] for items in said.values() for item in items]  # worked examples and all
    identity = json.dumps([version("lm_eval"), configs, counted, sent], sort_keys=True, default=str)
    data = TaskData(
        file=file,
        origin=Origin(f"lm_eval:{version('lm_eval')}", _versions(configs), file.licence, None),
        train=(),
        test=(),
        counts=Counts(found=len(examples), filtered=0, too_long=0, cut_answers=0, duplicates=0),
        identity=hashlib.sha256(identity.encode()).hexdigest(),
    )
    return data, examples


@cache
def _silent() -> Any:
    """Return a model that says nothing."""
    from lm_eval.api.model import LM

    class Silent(LM):
        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            return [(0.0, False) for _ in requests]

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            return [0.0 for _ in requests]

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            return ["" for _ in requests]

    return Silent()


def _items(loaded: Loaded, name: str, allow_code: bool) -> list[Said]:
    with apart(), foreign_code(loaded.suite.part, allow_code):
        return ask(_silent(), loaded.suite.part, name, loaded.tasks[name], loaded.suite.limit)


def _examples(loaded: Loaded, name: str, items: Sequence[Said], chat: ChatFormat) -> Iterator[Example]:
    task = loaded.tasks[name]
    before = f"{name}/" if len(loaded.tasks) > 1 or name != loaded.suite.name else ""
    met: dict[str, int] = {}
    for item in items:
        met[item.id] = met.get(item.id, 0) + 1
        again = f"#{met[item.id]}" if met[item.id] > 1 else ""
        first = item.sample["arguments"][0]
        sent, answer = str(first[0]), first[1] if len(first) > 1 and isinstance(first[1], str) else ""
        encode = chat.tokenizer.encode
        yield Example(
            task=name,
            row=_row(f"{before}{item.id}{again}", task, item.sample),
            prompt_ids=tuple(encode(sent)),
            answer_ids=tuple(encode(answer, add_special_tokens=False)),
        )


def _row(id_: str, task: Any, sample: Any) -> Row:
    """Return an item as texts to be read: the question without what stands before it, choices where there are some."""
    document, target = sample["doc"], sample["target"]
    asked = task.doc_to_text(document)
    prompt = asked if isinstance(asked, str) else str(sample["arguments"][0][0])
    if task.OUTPUT_TYPE != "multiple_choice" or task.get_config("doc_to_choice") is None:
        return Row(id_, prompt, str(target))
    choices = tuple(map(str, task.doc_to_choice(document)))
    right = asked if isinstance(asked, int) else target
    index = choices.index(right) if isinstance(right, str) and right in choices else right
    known = isinstance(index, int) and 0 <= index < len(choices)
    return Row(id_, prompt, choices[index] if known else str(target), choices, index if known else None)


def _configuration(task: Any) -> dict[str, Any]:
    """Return a task's resolved configuration as JSON has it, functions as their source and never by address."""
    whole = {key: value for key, value in task.dump_config().items() if key not in _ELSEWHERE}
    whole["metadata"] = {k: v for k, v in (whole.get("metadata") or {}).items() if k != "config_source"}
    text = json.dumps({**whole, "VERSION": task.VERSION}, sort_keys=True, default=str)
    return json.loads(re.sub(r" at 0x[0-9a-fA-F]+", "", text))


def _versions(configs: dict[str, dict[str, Any]]) -> str:
    """Return the versions of the tasks, each once."""
    return ", ".join(dict.fromkeys(f"version {config['VERSION']}" for config in configs.values()))


def _new_tokens(config: dict[str, Any]) -> int:
    """Return at how many tokens an answer ends: lm-eval's own limit is 256."""
    given = (config.get("generation_kwargs") or {}).get("max_gen_toks")
    return given if isinstance(given, int) and given > 0 else 256
