"""Two single settings beside one another by perplexity, as by any score: the difference, its test, what it takes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from gridded import write_grid
from perplexed import add_perplexity
from scipy.stats import t as student

from secura_bench.report.comparing.document import SCHEMA, document
from secura_bench.report.comparing.limits import not_to_be_claimed
from secura_bench.report.comparing.pair import Pair, Side, pairs
from secura_bench.report.comparing.show import table_of
from secura_bench.report.comparing.words import equality, sentence
from secura_bench.report.gate.requirement import requirements
from secura_bench.report.gate.verdict import verdicts
from secura_bench.report.make import make_report
from secura_bench.report.statistics import Sample, Stratum
from secura_bench.report.study.contrast import Contrast, items_of
from secura_bench.report.study.contrast import compare as compare_scores
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.ranking import rank
from secura_bench.report.study.read import read_runs
from secura_bench.report.study.study import Study

BY = ("perplexity", "perplexity")
ONE, OTHER, NEAR = "secura-lr-0.0003", "lora-lr-0.001", "lora-lr-0.0001"


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_grid(tmp_path_factory.mktemp("grid"), probe_items=120, task_items=60, seeds=(1, 2, 3))
    add_perplexity(root)
    return root


@pytest.fixture(scope="module")
def study(records: Path) -> Study:
    (study,) = make_studies(read_runs([records])[0])
    return study


def by_perplexity(study: Study, one: str, other: str) -> Pair:
    (found,) = (pair for pair in pairs([study], one, other) if pair.protocol.id == "perplexity")
    return found


def texts(records: Path, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Return nats a token and tokens, seeds × texts, as the files have them."""
    there = []
    for record in sorted(records.glob(f"*/{method}-*/record.json")):
        parts = [
            json.loads(file.read_text()) for file in sorted((record.parent / "evals").glob("*/perplexity/**/*.json"))
        ]
        there.append([np.concatenate([part[name] for part in parts]) for name in ("loss", "tokens")])
    loss, tokens = (np.stack(each) for each in zip(*there, strict=True))
    return loss, tokens


def perplexities(loss: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    return np.exp((loss * tokens).sum(axis=-1) / tokens.sum(axis=-1))


def test_the_difference_and_its_interval_are_those_of_a_plain_bootstrap(records: Path, study: Study) -> None:
    """Resample the texts of base and both methods, each ratio anew, and add the seeds by Student's t."""
    found = by_perplexity(study, ONE, OTHER).kept
    assert found.comparison is not None and found.told == "more"
    (base, tokens), (one, _), (other, _) = (texts(records, name) for name in ("base", ONE, OTHER))
    assert len(one) == len(other) == 3 and base.shape == (1, 120)

    def kept(loss: np.ndarray, under: np.ndarray, count: np.ndarray) -> np.ndarray:
        return 100 * perplexities(under, count) / perplexities(loss, count).mean(axis=-1)

    value = float(kept(one, base[0], tokens[0]) - kept(other, base[0], tokens[0]))
    assert found.comparison.difference == pytest.approx(value, rel=1e-9)
    assert value == pytest.approx(found.one.value - found.other.value, rel=1e-9)
    which = np.random.default_rng(0).integers(120, size=(4000, 120))
    draws = np.array(
        [kept(one[:, w], base[0][w], tokens[0][w]) - kept(other[:, w], base[0][w], tokens[0][w]) for w in which]
    )
    by_seed = [100 * perplexities(base[0], tokens[0]) / perplexities(loss, tokens[0]) for loss in (one, other)]
    errors = np.array([values.var(ddof=1) / 3 for values in by_seed])
    freedom = errors.sum() ** 2 / (errors**2 / 2).sum()
    half = math.hypot(1.96 * draws.std(), student.ppf(0.975, freedom) * math.sqrt(errors.sum()))
    interval = found.comparison.interval
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.2)
    assert interval.low < value < interval.high


def test_the_sentence_tells_learning_by_the_protocol_that_scores_it(study: Study) -> None:
    pair = by_perplexity(study, ONE, OTHER)
    said = sentence(pair)
    assert f", by perplexity, {ONE} keeps more than {OTHER}, " in said and "of the base's f_probe, " in said
    assert "paired bootstrap, p" in said and "untested" not in said and "not scored" not in said
    assert ("learning not shown to be equal by generate acc: " in said) or (
        "not at equal learning by generate acc: " in said
    )
    assert pair.learned.unit == "points of acc" and pair.learned.comparison is not None
    assert "anything about what the models write: perplexity is of given text" in list(not_to_be_claimed(pair))
    assert [row.entries[1] for row in table_of(pair).rows] == ["learned generate acc", "kept % of ppl"]
    whole = json.loads(document([pair], []))
    jsonschema.validate(whole, json.loads(SCHEMA.read_text()))
    assert whole["comparisons"][0]["learned_by"] == {"protocol": "generate", "metric": "accuracy"}
    (same,) = (each for each in pairs([study], ONE, OTHER) if each.protocol.id == "generate")
    assert not same.told_by and same.learned.comparison == pair.learned.comparison


def test_what_is_open_comes_with_what_it_would_have_taken(study: Study) -> None:
    narrow, wide = (within(study, margin) for margin in (0.1, 2.0))
    assert narrow.told == "open" and narrow.unanswered and "0.1 points apart are told" in equality(narrow)
    assert narrow.takes and narrow.takes.known and narrow.takes.scale == 1.0
    assert wide.within and wide.equal is not None and narrow.equal is not None and wide.equal < 0.05 < narrow.equal


def within(study: Study, margin: float) -> Side:
    (found,) = (p for p in pairs([study], ONE, NEAR, margin) if p.protocol.id == "perplexity")
    return found.kept


def test_a_table_ranks_by_it_and_less_is_better(study: Study, records: Path) -> None:
    ranking = rank(study, study.arms, *BY, "probe")
    values = {arm.method: study.probe(arm, *BY).value for arm in study.arms}
    assert ranking.best == min(values, key=lambda method: values[method])
    worst = max(values, key=lambda method: values[method])
    assert ranking.compared[worst].verdict == "worse" and not ranking.tied(worst)
    found = ranking.compared[worst].comparison
    assert (
        found
        and found.difference == pytest.approx(100 * (values[worst] / values[ranking.best] - 1))
        and found.interval.low > 0
    )
    tables = make_report(read_runs([records])[0], ["differences"], reference=ONE).tables
    (table,) = (table for table in tables if "perplexity" in table.title)
    assert f"% over {ONE}" in [column.heading for column in table.columns]
    verdicts_of = {row.entries[2]: row.entries[-1] for row in table.rows}
    assert verdicts_of[ONE] == "reference" and verdicts_of[worst] == "worse"
    assert {row.entries[1] for row in table.rows} == {"probe"}, "no task was scored by it"


def test_a_gate_holds_one_against_another(study: Study) -> None:
    def holds(text: str) -> bool | None:
        (found,) = (v for v in verdicts([study], requirements([text])) if v.arm.method == ONE)
        assert found.metric.id == "perplexity" and found.unit == "percent points"
        return found.holds

    gap = by_perplexity(study, ONE, OTHER).kept.comparison
    assert gap is not None
    assert holds(f"kept.perplexity >= {OTHER}") is True
    assert holds(f"kept.perplexity >= {OTHER} + {gap.interval.high + 1:.2f}") is False
    assert holds(f"kept.perplexity >= {OTHER} + {gap.difference:.2f}") is None


def test_a_perplexity_has_no_ends_and_one_that_never_differs_is_not_certain() -> None:
    ids = tuple(map(str, range(30)))
    nats = np.random.default_rng(1).normal(3, 0.5, (2, 30))
    one, other = (Sample((Stratum("t", ids, values, "r", nat=1.0),)) for values in (nats + 6, nats))
    far = Contrast(one, other, 100.0, logarithms=True).compare()
    assert far and far.difference == pytest.approx(100 * math.expm1(6)), "no percent of a whole, and not cut at 100"
    alike = Contrast(other, other, 100.0, logarithms=True).compare()
    assert alike and alike.difference == 0 and alike.p > 0.9
    assert alike.interval.low < -2 and alike.interval.high > 2, "texts that differ by a nat may be there"


def test_two_perplexities_are_told_by_their_ratio(study: Study) -> None:
    arms = {arm.method: arm for arm in study.arms}
    keys = [study.score_keys([arms[name]], *BY, "probe") for name in (ONE, OTHER)]
    values = [study.probe(arms[name], *BY).value for name in (ONE, OTHER)]
    found, turned = compare_scores(*keys), compare_scores(*keys[::-1])
    assert found and found.difference == pytest.approx(100 * (values[0] / values[1] - 1))
    assert turned and turned.p == pytest.approx(found.p, abs=0.005)
    ends = [1 + end / 100 for end in (found.interval.low, found.interval.high)]
    assert [1 + end / 100 for end in (turned.interval.high, turned.interval.low)] == pytest.approx(
        [1 / end for end in ends], rel=2e-3
    )


def test_the_mean_of_the_items_is_that_over_seeds(study: Study) -> None:
    (arm,) = (arm for arm in study.arms if arm.method == ONE)
    sample = items_of(study.score_keys([arm], *BY, "probe"))
    assert sample and math.exp(sample.value) == pytest.approx(study.probe(arm, *BY).value, rel=1e-9)
