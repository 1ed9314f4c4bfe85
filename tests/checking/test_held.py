"""What a method holds beside the model is counted from its attributes, and held against what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from secura_bench.checking.held import not_counted, numbers_held
from secura_bench.checking.live import Live
from secura_bench.checking.trial import Trial
from secura_bench.foundation.registry import METHODS
from secura_bench.methods.plugins import load_plugin

ANCHORED = """\
from dataclasses import dataclass
from typing import Any
from secura_bench.methods.base import Method


@dataclass
class Kept:
    anchors: dict[str, Any]


class Anchored(Method):
    name = "anchored"

    def start(self, model):
        self.kept = Kept({name: p.detach().clone() for name, p in model.named_parameters()})
        self.views = [p.detach() for p in model.parameters()]

    def state_dict(self):
        return {"weights": {name: p.clone() for name, p in self.kept.anchors.items()}}

    def load_state_dict(self, state):
        self.kept = Kept(dict(state["weights"]))
"""


def trained(folder: Path, plugin: Path | None, entry: dict[str, Any]) -> Live:
    trial = Trial.of(folder / "trial", plugin, entry)
    live = Live(trial.run, trial.plan.inputs)
    for index in range(2):
        live.do(index, 2)
    return live


@pytest.mark.parametrize(
    ("entry", "held"),
    [
        ({"name": "seq"}, 0.0),
        ({"name": "ewc"}, 2.0),
        ({"name": "l2_sp"}, 1.0),
        ({"name": "ema"}, 1.0),
        ({"stack": ["lora", "ewc"]}, 2.0),
        ({"stack": ["lora", "kl_to_base"]}, 0.0),
    ],
    ids=lambda value: str(value)[:30],
)
def test_our_methods_count_what_they_hold(entry: dict[str, Any], held: float, tmp_path: Path) -> None:
    """In multiples of what is trained; a base that is lent is the bench's to count."""
    live = trained(tmp_path, None, entry)
    count = live.method.count_parameters(live.model)
    assert numbers_held(live.method, live.model) == held * count.trainable
    assert not_counted(live.method, live.model) is None


def test_a_copy_that_is_not_counted_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies that ``state_dict`` makes are not held, nor are views of the model; a scalar or two is no fault."""
    monkeypatch.setattr(METHODS, "_objects", dict(METHODS._objects))
    file = tmp_path / "anchored.py"
    file.write_text(ANCHORED)
    load_plugin(file)
    live = trained(tmp_path, file, {"name": "anchored"})
    size = sum(p.numel() for p in live.model.parameters())
    assert numbers_held(live.method, live.model) == size
    said = not_counted(live.method, live.model)
    assert said and f"{size:,} numbers" in said and "says 0" in said and "with_held" in said
    live.method.kept = torch.zeros(3)
    assert not_counted(live.method, live.model) is None
