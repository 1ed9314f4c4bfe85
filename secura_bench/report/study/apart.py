"""What tells studies of one experiment and model from each other, where there are several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from secura_bench.report.study.study import Study


def told_apart(studies: Sequence[Study]) -> list[Study]:
    """Return the studies, those that share experiment and model with what they differ in as ``apart``."""
    by_name: dict[tuple[str, str], list[Study]] = {}
    for study in studies:
        by_name.setdefault((study.experiment, study.model), []).append(study)
    found: dict[int, str] = {}
    for alike in by_name.values():
        facts = [_facts(study) for study in alike]
        differing = [i for i in range(len(facts[0])) if len({fact[i] for fact in facts}) > 1]
        said = [", ".join(fact[i] for i in differing) for fact in facts]
        for n, (study, words) in enumerate(zip(alike, said, strict=True), 1):
            numbered = f"{words} ({n})".strip() if len(alike) > 1 and said.count(words) > 1 else words
            found[id(study)] = numbered
    return [replace(study, apart=found[id(study)]) for study in studies]


def _facts(study: Study) -> tuple[str, ...]:
    """Return what a study may differ in from another of its name, a reader's words for it each."""
    record = study.runs[0].record
    rows = sum(record.data[part].probe_rows for part in record.probe_parts if part in record.data)
    return (
        {"sequence": "in sequence", "separate": "each task alone"}[study.mode],
        f"probe {study.probe_name}",
        f"{rows} probe rows",
        f"at most {study.limit} test rows" if study.limit is not None else "all test rows",
        record.precision,
        f"context {record.context}" if record.context is not None else "context not recorded",
        f"texts by {record.engine['name'] if record.engine else 'the bench'}",
    )
