"""Differences are told as SciPy and statsmodels tell them: McNemar, Holm, Welch, equivalence, and the best of many."""

from __future__ import annotations

import math

import numpy as np
import pytest
from samples import sample
from scipy import stats

from secura_bench.report import statistics
from secura_bench.report.statistics import Sample, Stratum, compare, holm, interval, mcnemar, ratio_interval


def test_pairing_makes_a_difference_far_surer_than_two_intervals() -> None:
    rng = np.random.default_rng(5)
    base = 50 + 20 * rng.standard_normal(100)
    better = base + 1 + rng.standard_normal(100)
    found = compare(sample(better), sample(base))
    assert found.interval.low > 0 and found.p < 0.01
    one, other = interval(sample(better)), interval(sample(base))
    assert one.low < other.high, "by themselves the two overlap"


def test_the_bootstrap_of_a_difference_agrees_with_the_t_test() -> None:
    rng = np.random.default_rng(11)
    for shift in (0.0, 0.8, 1.5):
        a, b = rng.standard_normal(200) + shift / 5, rng.standard_normal(200)
        assert compare(sample(a), sample(b)).p == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.03)


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (1, 0), (6, 0), (3, 3), (8, 2), (40, 21), (400, 350)])
def test_mcnemar_is_the_exact_binomial_test(better: int, worse: int) -> None:
    expected = stats.binomtest(better, better + worse, 0.5).pvalue if better + worse else 1.0
    assert mcnemar(better, worse) == pytest.approx(expected, rel=1e-9)
    from statsmodels.stats import contingency_tables as contingency

    if better + worse:
        assert mcnemar(better, worse) == pytest.approx(
            contingency.mcnemar([[5, better], [worse, 5]], exact=True).pvalue, rel=1e-9
        )


def test_verdicts_are_compared_by_mcnemar() -> None:
    a, b = np.zeros(40), np.zeros(40)
    a[:8], b[6:8] = 100, 100
    found = compare(sample(a), sample(b))
    assert found.test == "McNemar exact" and found.p == mcnemar(6, 0) and found.difference == pytest.approx(15)
    assert found.least == mcnemar(6, 0), "six items that disagree cannot give less"


def test_holm_by_hand_and_against_statsmodels() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # 3·0.01, then 2·0.03, carried on; 4·0.005
    from statsmodels.stats import multitest

    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 30):
        drawn = rng.random(n) ** 3
        assert holm(drawn) == pytest.approx(list(multitest.multipletests(drawn, method="holm")[1]))


def test_only_shared_items_are_compared() -> None:
    a = Sample((Stratum("t", tuple(map(str, range(30))), np.arange(30.0)[None]),))
    b = Sample((Stratum("t", tuple(map(str, range(29, 4, -1))), np.arange(29.0, 4, -1)[None] - 1),))
    assert compare(a, b).difference == pytest.approx(1.0)
    assert compare(a, Sample((Stratum("u", a.strata[0].ids, a.strata[0].values),))) is None


def test_a_probe_after_several_tasks_meets_its_own_kind() -> None:
    """The same rows are scored after each task: what is compared is after the same task; the base's meets them all."""
    after = {task: np.arange(30.0) + 10 * i for i, task in enumerate("xyz")}

    def probe(by: float, order: str) -> Sample:
        strata = (Stratum("p", tuple(map(str, range(30))), after[task][None] + by, task) for task in order)
        return Sample(tuple(strata))

    found = compare(probe(2, "xyz"), probe(0, "zyx"))
    assert found.difference == pytest.approx(2) and found.interval.high - found.interval.low == pytest.approx(0)
    assert compare(probe(2, "xyz"), sample(after["x"], "p")).difference == pytest.approx(12)


def test_a_probe_scored_after_several_tasks_is_not_counted_several_times() -> None:
    rng = np.random.default_rng(8)
    ids = tuple(map(str, range(60)))
    one, other = (100.0 * (rng.random((1, 60)) < share) for share in (0.55, 0.35))

    def after(values, tasks: str) -> Sample:
        return Sample(tuple(Stratum("probe", ids, values, task) for task in tasks))

    once, thrice = (compare(after(one, tasks), after(other, tasks)) for tasks in ("x", "xyz"))
    assert thrice.test == "paired bootstrap" and thrice.n == 60
    assert thrice.p > once.p / 2, "three times the same items say what they said once"


def test_seeds_of_two_methods_are_welchs() -> None:
    """Where the items say all alike, a difference is Welch's t of the seeds (SciPy)."""
    for one, other in (([50.0, 53.0, 49.0, 55.0], [40.0, 41.0, 44.0, 41.0]), ([50.0, 52.0], [49.0, 60.0])):
        values = [np.repeat(np.array(scores)[:, None], 30, axis=1) for scores in (one, other)]
        found = compare(*(Sample((Stratum("t", tuple(map(str, range(30))), v, "r"),)) for v in values))
        expected = stats.ttest_ind(one, other, equal_var=False)
        interval_ = expected.confidence_interval()
        assert found.p == pytest.approx(expected.pvalue, abs=0.02)
        assert found.interval.low == pytest.approx(max(interval_.low, -100), rel=0.25, abs=0.5)


def test_seeds_of_different_numbers_are_cochran_and_coxs() -> None:
    """Welch's t is too sure where the side of fewer seeds spreads more; t is the mean of both sides', by variance."""
    many, few = np.array([50.0, 50.5, 49.5, 50.2]), np.array([44.0, 52.0])
    values = [np.repeat(scores[:, None], 30, axis=1) for scores in (many, few)]
    found = compare(*(Sample((Stratum("t", tuple(map(str, range(30))), v, "r"),)) for v in values))
    variances = [scores.var(ddof=1) / len(scores) for scores in (many, few)]
    t = np.average([stats.t.ppf(0.975, len(scores) - 1) for scores in (many, few)], weights=variances)
    assert found.interval.high - 2 == pytest.approx(t * math.sqrt(sum(variances)), rel=0.1)


def test_equivalence_is_two_one_sided_tests() -> None:
    from statsmodels.stats.weightstats import ttost_paired

    rng = np.random.default_rng(10)
    for shift in (0.0, 0.6, 1.2):
        a, b = 50 + shift + 4 * rng.standard_normal(80), 50 + 4 * rng.standard_normal(80)
        expected = ttost_paired(a, b, -1.5, 1.5)[0]
        assert statistics.equivalence(sample(a), sample(b), 1.5) == pytest.approx(expected, abs=0.03)
    assert statistics.equivalence(sample(np.arange(9.0)), sample(np.arange(9.0)), 1) is None


def test_what_never_differed_is_not_certain_to_be_alike() -> None:
    """Of twenty items of which none differs, a share of one in six may: Clopper and Pearson's bound, of either kind."""
    right = np.tile([0.0, 100.0], 10)
    kept = ratio_interval(sample(right), sample(right))
    unseen = stats.binomtest(0, 20).proportion_ci().high * 100
    assert kept.low < 100 < kept.high and (100 - kept.low) * 0.5 == pytest.approx(unseen, rel=0.35)
    found = compare(sample(right), sample(right))
    assert found.p == 1 and found.interval.low < 0 < found.interval.high


def test_the_best_of_many_equals_is_told_from_the_others_as_rarely_as_it_says() -> None:
    """Of eight equal methods of four seeds, at most one table in twenty has one without a star."""
    rng = np.random.default_rng(12)
    ids = tuple(map(str, range(60)))
    told = 0
    for _ in range(150):
        items = 50 + 10 * rng.standard_normal(60)
        scores = (items + 3 * rng.standard_normal((4, 1)) + 5 * rng.standard_normal((4, 60)) for _ in range(8))
        found = statistics.told_from_best([Sample((Stratum("t", ids, each, "r"),)) for each in scores])
        told += min(found) < 0.05
    assert told <= 150 * 0.05 + 2 * math.sqrt(150 * 0.05 * 0.95)


def test_the_worst_of_several_is_told_from_the_best() -> None:
    rng = np.random.default_rng(13)
    ids = tuple(map(str, range(60)))
    samples = [
        Sample((Stratum("t", ids, mean + rng.standard_normal((4, 1)) + rng.standard_normal((4, 60)), "r"),))
        for mean in (60, 59.9, 45)
    ]
    best, near, far = statistics.told_from_best(samples)
    assert 1.0 in (best, near) and min(best, near) > 0.05 > 0.01 > far
    assert statistics.told_from_best(samples, -1)[2] == 1.0, "where less is better it is the best"
