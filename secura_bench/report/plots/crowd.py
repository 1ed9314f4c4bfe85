"""Studies of more methods than a picture can name: of each curve of settings, one stands for it."""

from __future__ import annotations

from dataclasses import replace

from secura_bench.report.study.families import Family, families
from secura_bench.report.study.placing import learned_by
from secura_bench.report.study.protocols import PROTOCOLS
from secura_bench.report.study.study import Study

MOST = 20
"""So many methods can be named beside a picture; the curves at equal learning show every setting."""
THINNED = "of each method the setting that learned most"


def thinned(study: Study) -> Study:
    """Return the study with no more than one setting of each method, the one that learned most, if it has too many."""
    known = [PROTOCOLS[name] for name in study.protocols if name in PROTOCOLS]
    found = families(study)
    if len(study.methods) <= MOST or not (known and found):
        return study
    written = next((protocol for protocol in known if protocol.id == "generate"), known[0])
    protocol, metric = learned_by(study, written)

    def learned(method: str) -> float:
        cells = [study.learned(arm, protocol.id, metric.id) for arm in study.arms if arm.method == method]
        return sum(cell.value for cell in cells if not cell.missing) / max(1, len(cells))

    def others(family: Family) -> set[str]:
        return set(family.methods) - {max(family.methods, key=learned)}

    left_out = set[str]().union(*map(others, found))
    return replace(study, arms=tuple(arm for arm in study.arms if arm.method not in left_out))
