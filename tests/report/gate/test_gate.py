"""A gate says what the interval shows: right side, wrong side, or neither; and how many rows would tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import secura_bench
from statsmodels.stats.power import NormalIndPower
from synthetic import Character, write_records

from secura_bench.foundation.errors import BenchError
from secura_bench.report.gate.requirement import requirements
from secura_bench.report.gate.show import NOT_TOLD, WRONG, line_of, status_of
from secura_bench.report.gate.verdict import Verdict, rows_that_tell, verdicts
from secura_bench.report.statistics import Interval
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.read import read_runs
from secura_bench.report.study.study import Study


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return records of one seed: a method that keeps and learns little, and one that learns and forgets."""
    root = tmp_path_factory.mktemp("results")
    methods = {"keeps": Character(0.3, 0.0), "learns": Character(0.95, 0.4)}
    return write_records(root, methods, ("a",), (1,), 400, 200, mode="separate", protocols=("generate",))


@pytest.fixture(scope="module")
def study(results: Path) -> Study:
    (found,) = make_studies(read_runs([results])[0])
    return found


def judged(study: Study, text: str) -> dict[str, Verdict]:
    return {verdict.arm.method: verdict for verdict in verdicts([study], requirements([text]))}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("kept >= 95", ("kept", "", 1, None, 95.0)),
        ("learned<=.5", ("learned", "", -1, None, 0.5)),
        (" learned >= base ", ("learned", "", 1, "base", 0.0)),
        ("learned.rouge1 >= base - 2.5", ("learned", "rouge1", 1, "base", -2.5)),
        ("kept >= Our method (r 8) + 1", ("kept", "", 1, "Our method (r 8)", 1.0)),
        ("kept >= lora-r-8", ("kept", "", 1, "lora-r-8", 0.0)),
        ("learned >= -1", ("learned", "", 1, None, -1.0)),
    ],
)
def test_a_requirement_is_read(text: str, parts: tuple[object, ...]) -> None:
    (found,) = requirements([text])
    assert (found.what, found.metric, found.sign, found.of, found.bound) == parts


@pytest.mark.parametrize("text", ["", "kept", "kept > 95", "kept 95", "forgot >= 3", "kept >=", "kept >= base"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match="--require"):
        requirements([text])


def test_the_side_of_the_interval_is_what_counts(study: Study) -> None:
    arm = next(arm for arm in study.arms if arm.method == "learns")
    kept = study.retention(arm, "generate", "accuracy")
    between = (kept.low + kept.value) / 2
    for bound, holds in ((kept.low - 0.1, True), (between, None), (kept.high + 0.1, False)):
        assert judged(study, f"kept >= {bound}")["learns"].holds is holds
        assert judged(study, f"kept <= {bound}")["learns"].holds is (None if holds is None else not holds)


def test_against_the_base_items_are_paired(study: Study) -> None:
    found = judged(study, "learned >= base")
    arm = next(arm for arm in study.arms if arm.method == "learns")
    base = study.learned(study.base, "generate", "accuracy", arm.sequence)
    assert found["learns"].holds is True
    assert found["learns"].value == pytest.approx(study.learned(arm, "generate", "accuracy").value - base.value)
    assert judged(study, f"learned >= base + {found['learns'].value + 1e-9:.12f}")["learns"].holds is None


def test_against_a_method_all_others_are_held(study: Study) -> None:
    found = judged(study, "kept >= keeps")
    assert set(found) == {"learns"} and found["learns"].holds is False
    keeps, learns = (study.retention(arm, "generate", "accuracy").value for arm in study.arms)
    assert found["learns"].value == pytest.approx(learns - keeps)


def test_what_is_not_there_is_refused(study: Study) -> None:
    for text, said in (("learned >= loar", "loar"), ("learned.rouge1 >= lerns", "learns"), ("kept.meteor >= 9", "met")):
        with pytest.raises(BenchError, match=said):
            judged(study, text)
    with pytest.raises(BenchError, match="only the base"):
        verdicts([], requirements(["kept >= 1"]))


def test_a_score_that_is_missing_cannot_be_told(study: Study) -> None:
    first = judged(study, "kept.bleu >= 9")["learns"]  # which the simulation does not score
    assert (first.holds, first.interval, first.rows) == (None, None, None) and first.why in line_of(first)


@pytest.mark.parametrize(("gap", "spread", "n"), [(2.0, 30.0, 100), (0.5, 12.0, 400), (-3.0, 50.0, 60)])
def test_the_rows_are_those_of_the_power_of_a_normal_mean(gap: float, spread: float, n: int) -> None:
    error = spread / np.sqrt(n)
    interval = Interval(gap - 1.959963985 * error, gap + 1.959963985 * error)
    wanted = NormalIndPower().solve_power(effect_size=abs(gap) / spread, alpha=0.05, power=0.8, ratio=0)
    assert rows_that_tell(gap, interval, n) == pytest.approx(max(n + 1, wanted), abs=1)


def test_so_many_rows_do_tell_in_four_of_five_samples() -> None:
    rng = np.random.default_rng(0)
    gap, spread, n = 2.0, 20.0, 50
    half = 1.959963985 * spread / np.sqrt(n)
    rows = rows_that_tell(gap, Interval(gap - half, gap + half), n)
    assert rows is not None
    samples = rng.normal(gap, spread, (4000, rows))
    told = samples.mean(1) - 1.96 * samples.std(1, ddof=1) / np.sqrt(rows) > 0
    assert told.mean() == pytest.approx(0.8, abs=0.02)


def test_on_the_bound_no_number_is_named() -> None:
    assert rows_that_tell(0.0, Interval(-1.0, 1.0), 100) is None
    assert rows_that_tell(1e-6, Interval(-1.0, 1.0), 100) is None


def test_the_wrong_ones_go_before_those_that_cannot_be_told(study: Study) -> None:
    good, open_ = judged(study, "kept >= 1"), judged(study, "kept >= 1")
    wrong = judged(study, "kept <= 1")
    assert status_of([*good.values(), *open_.values()]) == 0
    assert status_of([*good.values(), *wrong.values()]) == WRONG == 4
    kept = study.retention(next(a for a in study.arms if a.method == "learns"), "generate", "accuracy").value
    untold = judged(study, f"kept >= {kept - 0.01}")["learns"]
    assert status_of([untold]) == NOT_TOLD == 5 and status_of([untold, *wrong.values()]) == WRONG
    assert "would likely tell" in line_of(untold) or "no number of rows" in line_of(untold)


def test_the_command_line_says_it_and_exits_so(results: Path) -> None:
    for text, status, said in (
        ("kept >= 1", 0, "holds: kept >= 1: keeps on a · generate: "),
        ("kept >= keeps", 4, "does not hold: kept >= keeps: learns on a · generate: "),
        ("learned >= bsae", 2, "base"),
    ):
        done = secura_bench("report", str(results), "--require", text, cwd=results)
        assert (done.returncode, said in done.stderr) == (status, True), done.stderr


def test_a_wrong_requirement_is_told_before_records_are_read(tmp_path: Path) -> None:
    done = secura_bench("report", str(tmp_path / "none"), "--require", "kept > 95", cwd=tmp_path)
    assert done.returncode == 2 and "is no requirement" in done.stderr
