"""The published settings of each method and experiment, and in what a run's are others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from secura_bench.records import RunRecord
from secura_bench.report.paper.published import MODELS
from secura_bench.report.paper.shapes import CONTINUAL, PEFT, Part
from secura_bench.report.study import Study

STEPS, BATCH, PROBE, PROBE_ROWS = 2000, 1, "f_task", 500
_LENGTH = {"steps": STEPS, "batch_size": BATCH}
_EXP1_LR = {"lora": 1e-5, "dora": 1e-4, "cur_lora": 1e-4, "i_lora": 1e-3, "secura": 1e-3}
LEARNING_RATES = {"exp1": _EXP1_LR, "exp2": dict.fromkeys(PEFT, 1e-3), "exp3": dict.fromkeys(CONTINUAL, 1e-5)}
"""The published code's learning rates by experiment."""
OPTIONS: Mapping[str, Mapping[str, object]] = {
    "lora": {"r": 8},
    "dora": {"r": 8},
    "cur_lora": {"r": 150},
    "i_lora": {"r": 8},
    "cabr_lora": {"r": 150, "m": 200},
    "secura": {"r": 150, "m": 200},
}
"""The published settings of the methods, where they have any."""
DEFAULTS: Mapping[str, object] = {"fusion_step": 1, "merge": "m1"}
"""What ablations vary, as it is outside of them."""
STATED: Mapping[str, object] = {"signorm": "paper", "merge_dtype": "core"}
"""What the published code does otherwise than the paper's equations."""


def why_not(study: Study, record: RunRecord, part: Part) -> list[str]:
    """Return why a run's scores cannot be compared with the paper's: other model, data, rows or training."""
    reasons = [] if study.model in MODELS else [f"another model ({study.model})"]
    data, parts = record.data, record.probe_parts if part.experiment != "exp1" else ()
    stand_ins = sorted({name for name in [*record.tasks, *parts] if name in data and data[name].stand_in})
    if stand_ins:
        reasons.append(f"stand-in data ({', '.join(stand_ins)})")
    if part.experiment == "exp1":
        if record.limit is not None:
            reasons.append(f"test rows limited to {record.limit}")
    elif record.probe != PROBE:
        reasons.append(f"another probe ({record.probe})")
    elif (rows := sum(data[name].probe_rows for name in parts if name in data)) not in (0, PROBE_ROWS):
        reasons.append(f"{rows} rows of the probe, not {PROBE_ROWS}")
    return reasons + not_its_settings(record, part)


def not_its_settings(record: RunRecord, part: Part) -> list[str]:
    """Return in what a run's training and its method's settings are not the published ones."""
    name, train, options = record.method["name"], record.method["train"], record.method["options"]
    rate = LEARNING_RATES[part.experiment].get(name)
    length = [
        f"{key} {train[key]}, not {stated}" for key, stated in _LENGTH.items() if train.get(key, stated) != stated
    ]
    reasons = [f"other training ({', '.join(length)})"] if length else []
    if rate is not None and train.get("lr", rate) != rate:
        reasons.append(f"other training (lr {train['lr']}, not {rate})")
    other = ", ".join(other_options(name, options))
    return reasons + ([f"other settings ({other})"] if other else [])


def other_options(name: str, options: Mapping[str, object]) -> Iterator[str]:
    """Yield which options of a method are not as published; below 1 a size is a share of the model's width."""
    for key, stated in OPTIONS.get(name, {}).items():
        value = options.get(key, stated)
        if value != stated:
            yield f"{key} {value}{' of the width' if isinstance(value, float) and value < 1 else ''}, not {stated}"
