"""What a publication's tables need, said where no record stands in them: in the publication's own words."""

from __future__ import annotations

import pytest
from published_runs import run_of

from secura_bench.foundation.errors import BenchError
from secura_bench.publications.publication import publication
from secura_bench.report.make import make_report

TASKS = ("tiny_count", "tiny_group")
RUNS = [
    run_of("base", {(None, "tiny_count"): 10.0}, TASKS),
    run_of("lora", {("tiny_count", "tiny_count"): 80.0}, TASKS),
]


def said(name: str, tables: tuple[str, ...] = ()) -> str:
    """Return the refusal of ``name``'s tables."""
    with pytest.raises(BenchError, match="can be made from these records") as refused:
        make_report(RUNS, tables, against=publication(name))
    return str(refused.value)


def test_curlora_says_its_own_tasks_protocols_and_probes() -> None:
    told = said("curlora")
    after = "need{} classify and perplexity scores after mrpc, sst2, sentiment140_odd, in sequence, with the probe {}"
    for table, probe in ("1", "wikitext_10000"), ("2", "wikitext_256"):
        assert f"CURLoRA's {table} {after.format('s', probe)}." in told
    assert "teacher_forced" not in told and "\n" not in told


def test_tables_that_need_the_same_are_named_together() -> None:
    told = said("trace")
    assert told.count(" need") == len({sentence.partition(" need")[2] for sentence in told.split(". ")[1:]})


def test_only_what_was_asked_for_is_told() -> None:
    assert "probe wikitext_256" not in said("curlora", ("1",))
    own = said("curlora", ("merges",))
    assert "merges and norms what a run logged" in own and "CURLoRA" not in own
