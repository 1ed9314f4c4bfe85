"""Which metric speaks for a protocol: its main one, unless nothing can be said to be kept of that."""

from __future__ import annotations

from secura_bench.report.study.kept import BASE_SCORES_NONE, BY_CHANCE, NEAR_ZERO
from secura_bench.report.study.protocols import Metric, Protocol
from secura_bench.report.study.protocols import metric as known
from secura_bench.report.study.study import Study

_NOTHING_TO_KEEP = (BY_CHANCE, BASE_SCORES_NONE, NEAR_ZERO)


def speaking(study: Study, protocol: Protocol) -> tuple[Metric, str]:
    """Return the metric by which a study's methods are told of, and why it is not the main one ("" if it is).

    Where the base model scores next to nothing by the main metric, or no more than chance, it is the next metric of
    trained tasks by which something is kept. Where there is none, it is the first that tells of every trained task: an
    answer to a translation is never right, and by accuracy none is learned.
    """
    why = _why(study, protocol, protocol.main)
    if why not in _NOTHING_TO_KEEP:
        return protocol.main, ""
    others = [known(name) for name in protocol.learned if name != protocol.main.id]
    keeping = (other for other in others if _why(study, protocol, other) not in _NOTHING_TO_KEEP)
    telling = (each for each in (protocol.main, *others) if _tells_of_all(study, protocol, each))
    found = next(keeping, None) or next(telling, protocol.main)
    return (found, why) if found != protocol.main else (protocol.main, "")


def _tells_of_all(study: Study, protocol: Protocol, metric: Metric) -> bool:
    """Return whether some method scores above 0 on every task of every sequence."""
    return all(
        any(study.task(arm, protocol.id, metric.id, task, "learned").value > 0 for arm in study.arms)
        for sequence in study.sequences
        for task in sequence
    )


def told_by(study: Study, protocol: Protocol) -> tuple[str, ...]:
    """Return the sentence that says by which other metric kept is told, or why by none; none where it is the main."""
    found, why = speaking(study, protocol)
    if why and _why(study, protocol, found) not in _NOTHING_TO_KEEP:
        return (f"Kept is told by {found.heading}: by {protocol.main.heading}, {why}.",)
    if why:
        return (f"Nothing is said to be kept: by {protocol.main.heading}, {why}.",)
    chance = any(study.retention(arm, protocol.id, found.id).why == BY_CHANCE for arm in study.arms)
    return (f"Nothing is said to be kept where {BY_CHANCE}.",) if chance else ()


def _why(study: Study, protocol: Protocol, metric: Metric) -> str:
    """Return why nothing is said to be kept by any method, or nothing sure; "" where something is."""
    whys = {study.retention(arm, protocol.id, metric.id).why for arm in study.arms}
    return "" if "" in whys else next((why for why in whys if why in _NOTHING_TO_KEEP), min(whys, default=""))
