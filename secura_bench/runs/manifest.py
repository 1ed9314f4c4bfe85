"""What a run was made with: versions, code, machine, data, template."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import torch

from secura_bench.foundation.installed import commit, versions
from secura_bench.foundation.version import __version__
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.run import Run
from secura_bench.runs.processor import processor

_PACKAGES = ("torch", "transformers", "peft", "accelerate", "datasets", "nltk", "rouge-score", "sacrebleu")


def make_manifest(run: Run, inputs: Inputs, device: torch.device) -> Mapping[str, Any]:
    """Return the manifest of a run; it holds no path and nothing of the environment."""
    first = next(iter(inputs.probe.values()))[0]
    return {
        "secura_bench": __version__,
        "code": commit(),
        "python": platform.python_version(),
        "packages": versions((*_PACKAGES, *(["vllm"] if run.spec.evaluate.engine == "vllm" else []))),
        "machine": {
            "platform": platform.platform(),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
            "threads": run.threads,
        },
        "model": inputs.model.identity,
        "template": {
            "sha256": inputs.chat.template_hash,
            "kind": "chat" if inputs.chat.template else "plain",
            "system": inputs.chat.system,
            "system_in_user_turn": inputs.chat.system_in_user_turn,
            "differences": list(inputs.chat.differences),
            "end_of_turn": list(inputs.chat.end_of_turn),
            "first_prompt_ids": list(first.prompt_ids[:16]),
        },
        "data": {name: note.model_dump(mode="json") for name, note in inputs.notes.items()},
        "seed": run.seed,
        "methods": [method.label for method in run.spec.methods],  # in whose order reports have their rows
    }


def changed_since(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what is another one now and may change a number, as "torch 2.12 → 2.13"."""
    lines = []
    for name, version_now in {"secura_bench": now["secura_bench"], **now["packages"]}.items():
        then = before.get("packages", {}).get(name) if name != "secura_bench" else before.get("secura_bench")
        if then is not None and then != version_now:
            lines.append(f"{name} {then} → {version_now}")
    device, then = now["machine"]["device"], before.get("machine", {}).get("device")
    if then is not None and then != device:
        lines.append(f"{then} → {device}")
    return lines
