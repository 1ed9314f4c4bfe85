"""What a spec says of tuning: how it is written, what is refused and where, and what it makes of the methods."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from conftest import SPEC

from secura_bench.foundation.errors import SpecError
from secura_bench.plan.make import make_plan, make_plans
from secura_bench.spec.grid import with_settings
from secura_bench.spec.load import load_spec, load_specs
from secura_bench.spec.tune import Tuned
from secura_bench.tuning.trials import trial_experiment

TUNE = "tune: {grid: {train.lr: [1.0e-4, 1.0e-2]}, on: tiny_count, choose: best, steps: 4}\n"


def test_the_section_is_read_as_people_write_it(spec_file: Path) -> None:
    """The key ``on``, which YAML 1.1 takes for true, is a word; a range is spaced evenly on a log scale."""
    spec_file.write_text(SPEC + TUNE.replace("[1.0e-4, 1.0e-2]", "{from: 1e-5, to: 1e-2, points: 4}"))
    tune = load_spec(str(spec_file)).tune
    assert tune is not None and tune.on == "tiny_count" and tune.seeds is None
    assert tune.grid == {"train.lr": (1e-5, 1e-4, 1e-3, 1e-2)}


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("train.lr: [1.0e-4, 1.0e-2]", "train.lrr: [1]", r":12: tune\.grid\.train\.lrr: .*unknown key 'lrr'.*'lr'"),
        ("[1.0e-4, 1.0e-2]", "[1.0e-4, fast]", r":12: tune\.grid\.train\.lr: .*must be a number \(here: 'fast'\)"),
        ("[1.0e-4, 1.0e-2]", "3", r":12: tune\.grid\.train\.lr: must be a list"),
        ("[1.0e-4, 1.0e-2]", "[1, 1]", r":12: tune\.grid\.train\.lr: a value stands here twice"),
        ("[1.0e-4, 1.0e-2]", "{from: 0, to: 1, points: 3}", r":12: tune\.grid\.train\.lr: from: .*greater than 0"),
        ("[1.0e-4, 1.0e-2]", f"{[*range(101)]}", r":12: tune\.grid: makes more than 100 settings"),
        ("train.lr:", "trian.lr:", r":12: tune\.grid\.trian\.lr: a key of a grid is train\.KEY"),
        ("train.lr: [1.0e-4, 1.0e-2]", "methods.rr: [1]", r":12: tune\.grid\.methods\.rr: lora-r-2: rr: unknown key"),
        ("on: tiny_count", "on: tiny_cuont", r":12: tune\.on: unknown task 'tiny_cuont'. Did you mean 'tiny_count'"),
        ("on: tiny_count", "on: tiny_group", r":12: tune\.on: 'tiny_group' is trained on or probed"),
        ("on: tiny_count", "on: tiny_arith", r":12: tune\.on: 'tiny_arith' is trained on or probed"),
        ("on: tiny_count", "on: tiny_text", r":12: tune\.on: 'tiny_text' is plain text"),
        ("on: tiny_count", "on: tiny", r":12: tune\.on: tiny is 4 tasks"),
        ("on: tiny_count, ", "", r":12: tune: on: choose: best needs a task of no table, or train"),
        ("choose: best", "choose: bset", r":12: tune\.choose: unknown value 'bset'. Did you mean 'best'"),
        ("choose: best", "choose: match", r":12: tune: reference: choose: match needs the label"),
        ("choose: best", "choose: best, reference: seq", r":12: tune: reference: choose: best has none"),
        ("choose: best", "choose: match, reference: lroa", r":12: tune\.reference: unknown method 'lroa'"),
        ("choose: best", "choose: frontier", r":12: tune: on: choose: frontier runs every setting"),
        ("[{name: lora, r: 2}]", "[base]", r":12: tune: none of the methods is trained"),
        (
            "[{name: lora, r: 2}]",
            "[seq, {name: lora, grid: {train.lr: [1]}}]",
            r":12: tune\.grid: lora is tried with 1 settings, and seq with 2",
        ),
        (
            "[{name: lora, r: 2}]",
            "[seq, {name: lora, grid: {train.lr: [1, -1]}}]",
            r":7: methods\.1\.grid\.train\.lr: .*greater than or equal to 0",
        ),
    ],
)
def test_mistakes_are_named(spec_file: Path, right: str, wrong: str, message: str) -> None:
    text = SPEC + TUNE
    assert right in text
    spec_file.write_text(text.replace(right, wrong, 1))
    with pytest.raises(SpecError) as error:
        load_spec(str(spec_file))
    assert re.search(message, str(error.value)), error.value


def test_a_match_goes_along_one_positive_number(spec_file: Path) -> None:
    match = TUNE.replace("choose: best", "choose: match, reference: lora-r-2")
    for grid in ("train.lr: [0, 1]", "train.lr: [1]", "train.lr: [1, 2], train.weight_decay: [0, 1]"):
        spec_file.write_text(SPEC + match.replace("train.lr: [1.0e-4, 1.0e-2]", grid))
        with pytest.raises(SpecError, match=r"choose: match goes along one key of two or more positive numbers"):
            load_spec(str(spec_file))


def test_a_grid_without_tune_is_refused(spec_file: Path) -> None:
    spec_file.write_text(SPEC.replace("r: 2", "grid: {train.lr: [1]}"))
    with pytest.raises(SpecError, match=r":7: methods\.0\.grid: is the grid of 'tune'"):
        load_spec(str(spec_file))


def test_a_frontier_is_a_matrix_whose_runs_know_it(spec_file: Path) -> None:
    methods = "methods=[base, {name: lora, r: 2}, {name: seq, grid: {train.lr: [1e-5, 1e-3]}}]"
    frontier = load_spec(str(spec_file), [methods, "tune={grid: {train.lr: [1e-4, 1e-2]}, choose: frontier}"])
    assert frontier.tune is None
    assert [method.label for method in frontier.methods] == [
        "base", "lora-r-2-lr-0.0001", "lora-r-2-lr-0.01", "seq-lr-1e-05", "seq-lr-0.001",
    ]  # fmt: skip
    told = frontier.methods[1].tuned
    assert told is not None and told.told == {
        "family": "lora-r-2",
        "settings": {"train.lr": 1e-4},
        "choose": "frontier",
        "grid": {"train.lr": [1e-4, 1e-2]},
    }
    matrix = load_spec(str(spec_file), ["matrix={train.lr: [1e-4, 1e-2]}"])
    assert [run.folder for run in make_plan(frontier).runs[1:3]] == [run.folder for run in make_plan(matrix).runs[1:]]


def test_a_chosen_run_is_the_run_that_is_written_by_hand(spec_file: Path, tmp_path: Path) -> None:
    """The same folder, fingerprint and all, with its choice in spec.yaml, which is a spec again."""
    spec_file.write_text(SPEC + TUNE)
    spec = load_spec(str(spec_file))
    settings = {"train.lr": 7e-3, "methods.alpha": 5}
    tuned = Tuned(family="lora-r-2", settings=settings, choose="best", grid={"train.lr": (7e-3,)}, on=("tiny_count",))
    method = with_settings(spec.methods[0], settings, tuned)
    chosen = make_plan(spec.model_copy(update={"tune": None, "methods": (method,)})).runs[1]
    spec_file.write_text(SPEC)
    by_hand = load_spec(str(spec_file), ["methods=[{name: lora, r: 2, alpha: 5, label: lora-r-2, train: {lr: 7e-3}}]"])
    assert chosen.folder == make_plan(by_hand).runs[1].folder
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(chosen.resolved()))
    again = load_spec(str(tmp_path / "again.yaml"))
    assert again.methods[0].tuned == tuned and make_plan(again).runs[1].fingerprint == chosen.fingerprint


def test_nothing_is_planned_before_it_is_chosen(spec_file: Path) -> None:
    spec_file.write_text(SPEC + TUNE)
    with pytest.raises(SpecError, match="chosen of trials"):
        make_plans(load_specs(str(spec_file)))


def test_trials_have_equal_rows_steps_and_seeds(spec_file: Path) -> None:
    """Whatever a method says of its own steps, and on rows that are neither trained on nor tested."""
    methods = "methods=[base, {name: lora, r: 2, train: {steps: 7}}, {name: seq, grid: {train.lr: [1e-5, 1e-3]}}]"
    spec_file.write_text(SPEC + TUNE.replace("on: tiny_count", "on: train"))
    spec = load_spec(str(spec_file), [methods, "seeds=[3, 4]"])
    trials = make_plan(trial_experiment(spec))
    runs = trials.runs[1:]
    assert trials.spec.experiment == "trial-tune" and len(runs) == 4
    assert {(run.train.steps, run.seed, run.tasks) for run in runs} == {(4, 3, ("tiny_group",))}
    own = make_plan(spec.model_copy(update={"tune": None})).inputs.tasks["tiny_group"]
    tried = trials.inputs.tasks["tiny_group"]
    train, held_out, test = ({e.row.id for e in side} for side in (tried.train, tried.test, own.test))
    assert train | held_out == {example.row.id for example in own.train}
    assert not train & held_out and not held_out & test and len(held_out) == round(0.1 * len(own.train))
