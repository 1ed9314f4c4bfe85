"""What tables of every kind share: the first column, the title, what they are of."""

from __future__ import annotations

from secura_bench.report.metrics import Protocol
from secura_bench.report.study import Arm, Study
from secura_bench.report.table import Column

LABEL = Column("method", "label")
SEPARATE = "mean of"


def metric_name(protocol: Protocol) -> str:
    """Return the heading of the protocol's main metric."""
    return protocol.main.heading


def arms_on(study: Study, sequence: tuple[str, ...]) -> list[Arm]:
    """Return the arms on a sequence, multi-task training first: it is the upper bound."""
    arms = [arm for arm in study.arms if arm.sequence == sequence]
    return sorted(arms, key=lambda arm: arm.name != "mtl")


def title_of(study: Study, protocol: Protocol) -> str:
    """Return what a table of scores is called before its own name."""
    only = study.sequences[0][0] if study.mode == "separate" and len(study.sequences) == 1 else ""
    trained = f" · trained on {only}" if only else ""
    return f"{study.experiment} · {study.model}{trained} · {protocol.heading} · probe {study.probe_name}"


def place_of(study: Study, protocol: Protocol | None = None) -> dict[str, str]:
    """Return what every number of a table is of."""
    return study.names | ({"protocol": protocol.id} if protocol else {})
