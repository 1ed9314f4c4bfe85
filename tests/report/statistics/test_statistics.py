"""Intervals cover what they promise, whatever seeds, tasks and groups the scores are of."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from samples import sample
from scipy import stats

from secura_bench.report import statistics
from secura_bench.report.statistics import Sample, Stratum, compare, interval, ratio_interval
from secura_bench.report.statistics.resampling import widening


def coverage(draw, truth: float, rounds: int = 1200) -> float:
    return sum(truth in draw() for _ in range(rounds)) / rounds


def crossed(rng, seeds: int, of_seed: float, of_item: float, rest: float):
    """Scores of 100 items under several seeds, whose true mean is 50."""
    scores = of_seed * rng.standard_normal((seeds, 1)) + of_item * rng.standard_normal((1, 100))
    return 50 + scores + rest * rng.standard_normal((seeds, 100))


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (lambda rng: interval(sample(100 * rng.beta(2, 1, 100))), 200 / 3),
        (lambda rng: interval(sample(100.0 * (rng.random(200) < 0.6))), 60),
        (lambda rng: interval(sample(crossed(rng, 5, 2, 10, 10))), 50),
        (lambda rng: interval(sample(crossed(rng, 3, 5, 5, 5))), 50),
        (lambda rng: interval(_runs_of_three_tasks(rng)), 50),
        (lambda rng: _ratio(rng), 100 * 4 / 6),
        (lambda rng: _difference(rng), 1),
    ],
    ids=["scores", "verdicts", "5 seeds", "3 seeds", "3 tasks", "retention", "difference"],
)
def test_intervals_cover_the_truth_as_often_as_they_say(draw, truth) -> None:
    rng = np.random.default_rng(7)
    assert 0.93 <= coverage(lambda: draw(rng), truth) <= 0.97


def _ratio(rng):
    base = 100 * rng.beta(2, 1, 150)
    return ratio_interval(sample(base * rng.beta(4, 2, 150)), sample(base))


def test_other_seeds_on_either_side_are_never_too_sure() -> None:
    """Seeds that do not meet add their variances; what items and seeds share is counted twice, and never left out."""
    rng = np.random.default_rng(7)
    draw = lambda: compare(_runs_of_three_tasks(rng), _runs_of_three_tasks(rng, (4, 3, 2))).interval  # noqa: E731
    assert coverage(draw, 0, 400) >= 0.94


def _runs_of_three_tasks(rng, seeds: tuple[int, ...] = (3, 3, 4)) -> Sample:
    """Runs of their own on each of three tasks, whose true mean is 50."""
    scores = [crossed(rng, count, of_seed, 5, 5) for count, of_seed in zip(seeds, (6, 5, 4), strict=True)]
    strata = [Stratum(f"task {i}", tuple(map(str, range(100))), each, str(i)) for i, each in enumerate(scores)]
    return Sample(tuple(strata))


def _difference(rng):
    base = 50 + 20 * rng.standard_normal(100)
    return compare(sample(base + 1 + 5 * rng.standard_normal(100)), sample(base)).interval


def test_the_interval_is_that_of_the_mean() -> None:
    values = 100 * np.random.default_rng(3).beta(2, 2, 400)
    found = interval(sample(values))
    low, high = stats.t.interval(0.95, 399, values.mean(), stats.sem(values))
    assert found.low == pytest.approx(low, abs=0.3) and found.high == pytest.approx(high, abs=0.3)
    assert interval(sample(values)) == found, "seeded: the same report twice"


def test_what_all_items_agree_on_is_not_certain() -> None:
    found = interval(sample(np.zeros(50)))
    assert found.low == 0 and found.high == pytest.approx(stats.binomtest(0, 50).proportion_ci().high * 100)
    found = interval(sample(np.full(50, 100.0)))
    assert found.high == 100 and found.low == pytest.approx(stats.binomtest(50, 50).proportion_ci().low * 100)
    kept = ratio_interval(sample(np.zeros(50)), sample(np.full(50, 50.0)))
    assert kept.low == 0 and kept.high == pytest.approx(2 * stats.binomtest(0, 50).proportion_ci().high * 100)


def test_seeds_that_agree_by_chance_are_no_certainty() -> None:
    one = np.tile([0.0, 100.0], 60)
    found = interval(sample([one, 100 - one]))  # either seed is right on the half that the other has wrong
    assert found.high - found.low > 10


def test_few_items_have_no_interval() -> None:
    assert interval(sample(np.arange(19.0))) is None and compare(sample(np.arange(9.0)), sample(np.ones(9))) is None
    assert interval(sample(np.arange(20.0))) is not None


def test_means_over_tasks_are_surer_of_seeds_than_one_task() -> None:
    """Runs of two seeds on each of three tasks have up to three degrees of freedom, not one."""
    values = [np.full((2, 30), 50.0) + np.array([[-1.0], [1.0]]) for _ in range(3)]
    ids = tuple(map(str, range(30)))
    of_one = Sample(tuple(Stratum(f"t{i}", ids, each, "all") for i, each in enumerate(values)))
    of_each = Sample(tuple(Stratum(f"t{i}", ids, each, f"of {i}") for i, each in enumerate(values)))
    error = 1.0
    assert interval(of_one).high - 50 == pytest.approx(error * stats.t.ppf(0.975, 1), rel=0.2)
    assert interval(of_each).high - 50 == pytest.approx(error / math.sqrt(3) * stats.t.ppf(0.975, 3), rel=0.2)


def test_a_mean_over_tasks_weighs_tasks_alike() -> None:
    both = Sample(sample(np.full((2, 30), 10.0)).strata + sample(np.full((2, 90), 30.0), "u").strata)
    assert both.value == 20 and both.n == 120
    assert interval(both).low == pytest.approx(20), "no spread, and not at an end of the scale"


def test_a_mean_of_a_task_at_zero_and_one_at_a_hundred_is_not_certain() -> None:
    both = Sample(sample(np.zeros(30)).strata + sample(np.full(30, 100.0), "u").strata)
    unseen = stats.binomtest(0, 30).proportion_ci().high * 100
    assert interval(both).low == pytest.approx(50 - unseen / 2) and interval(both).high == pytest.approx(
        50 + unseen / 2
    )


def grouped(values, groups, name: str = "t", **more) -> Sample:
    values = np.atleast_2d(np.asarray(values, dtype=float))
    ids = tuple(map(str, range(values.shape[1])))
    return Sample((Stratum(name, ids, values, groups=tuple(map(str, groups)), **more),))


def test_groups_of_one_size_are_their_means() -> None:
    """Two languages of a text are one observation: the interval is that of the groups' means (SciPy's t)."""
    rng = np.random.default_rng(2)
    means = 50 + 10 * rng.standard_normal(40)
    both = np.concatenate([means + 3, means - 3])
    found = interval(grouped(both, [*range(40), *range(40)]))
    low, high = stats.t.interval(0.95, 39, means.mean(), stats.sem(means))
    assert found.low == pytest.approx(low, abs=0.4) and found.high == pytest.approx(high, abs=0.4)
    assert interval(sample(both)).low > found.low + 0.5, "as eighty observations it were surer"


def test_groups_of_any_size_have_the_variance_of_a_cluster_sample() -> None:
    """The linearised variance of a mean of clusters is statsmodels' cluster-robust one of a regression on 1."""
    import statsmodels.api as sm

    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(30), rng.integers(1, 9, 30))
    values = 50 + 8 * rng.standard_normal(30)[groups] + 4 * rng.standard_normal(len(groups))
    clusters = {"groups": groups, "use_correction": False}
    fitted = sm.OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds=clusters)
    stratum = grouped(values, groups).strata[0]
    residuals = stratum.by_group - stratum.by_group.mean()
    assert stratum.by_group.mean() == pytest.approx(values.mean())
    assert math.sqrt((residuals**2).sum()) / 30 == pytest.approx(fitted.bse[0], rel=1e-9)


def test_groups_that_no_two_items_share_change_nothing() -> None:
    values = 100 * np.random.default_rng(4).beta(2, 2, 60)
    alone = interval(grouped(values, [f"{i:03}" for i in range(60)]))
    assert alone.low == pytest.approx(interval(sample(values)).low) and alone.high < 100


def test_few_groups_have_no_interval_however_many_items() -> None:
    values = np.arange(90.0)
    assert interval(grouped(values, [i % 9 for i in range(90)])) is None
    assert interval(grouped(values, [i % 10 for i in range(90)])) is not None


def test_groups_count_in_a_comparison() -> None:
    """Twelve puzzles in six languages that move together are twelve differences: no McNemar, and no certainty."""
    better = [f"{i % 12:02}" for i in range(72)]
    right = np.array([100.0 if i % 12 < 5 else 0.0 for i in range(72)])
    found = compare(grouped(right, better), grouped(np.zeros(72), better))
    assert found.test == "paired bootstrap" and found.groups == 12 and found.n == 72
    assert compare(sample(right), sample(np.zeros(72))).p < 1e-6 < 0.001 < found.p


def test_one_seed_is_items_only_and_the_untouched_model_is_not() -> None:
    rng = np.random.default_rng(9)
    ids = tuple(map(str, range(50)))
    base = Sample((Stratum("t", ids, 50 + rng.standard_normal((1, 50)), fixed=True),))
    one, four = (Sample((Stratum("t", ids, 50 + rng.standard_normal((n, 50)), "r"),)) for n in (1, 4))
    assert one.items_only and not four.items_only and not base.items_only
    assert compare(one, four).items_only and not compare(four, base).items_only
    assert statistics.predicted(one) is None and statistics.predicted(four) is not None


def test_one_more_run_lies_where_a_prediction_interval_says() -> None:
    """Of items without spread it is mean ± t s √(1 + 1/n) of the seeds."""
    scores = np.array([50.0, 53.0, 49.0, 55.0])
    found = statistics.predicted(sample(np.repeat(scores[:, None], 40, axis=1)))
    wide = stats.t.ppf(0.975, 3) * scores.std(ddof=1) * math.sqrt(1 + 1 / 4)
    assert found.high == pytest.approx(scores.mean() + wide, rel=0.05)
    assert found.low == pytest.approx(scores.mean() - wide, rel=0.05)


def test_what_is_added_to_rare_answers_is_added_once_to_a_mean_of_tasks() -> None:
    """Of sixteen tasks with one answer right in thirty, the mean's interval is Agresti and Coull's of all the items."""
    from statsmodels.stats.proportion import proportion_confint

    right = np.zeros(30)
    right[0] = 100.0
    tasks = Sample(tuple(stratum for i in range(16) for stratum in sample(right, f"task {i}").strata))
    found, (low, high) = interval(tasks), proportion_confint(16, 480, method="agresti_coull")
    assert found.low == pytest.approx(100 * low, abs=0.5) and found.high == pytest.approx(100 * high, abs=0.5)


def test_perplexity_weighs_texts_by_their_tokens() -> None:
    loss, tokens = np.tile([1.0, 3.0], 50)[None], np.tile([90.0, 10.0], 50)[None]
    found = statistics.perplexity_interval("t", loss, tokens)
    assert found.low < math.exp(1.2) < found.high < math.exp(2)


def test_student_is_scipys() -> None:
    for n in (1.5, 2, 3, 5, 10, 12, 20, 30, 100, 1000):
        exact = math.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1) / stats.norm.ppf(0.975)
        assert widening(n) == pytest.approx(exact, rel=1e-9)


def test_reporting_imports_no_torch() -> None:
    code = (
        "import sys, secura_bench.report.make, secura_bench.report.study.read, secura_bench.report.tables.general,"
        " secura_bench.report.against.tables, secura_bench.report.formats.document,"
        " secura_bench.report.formats.terminal;"
        " print([name for name in ('torch', 'transformers', 'pandas', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
