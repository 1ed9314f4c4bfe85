"""Two methods beside one another: the numbers are the study's, the words no stronger, and the same everywhere."""

from __future__ import annotations

import importlib.util
import json
import re
from functools import lru_cache
from inspect import signature
from pathlib import Path

import jsonschema
import pytest
from conftest import ROOT, secura_bench
from synthetic import Character, write_records
from test_naming import change_methods

from secura_bench.cli.report import compare
from secura_bench.foundation.errors import BenchError
from secura_bench.report import statistics
from secura_bench.report.comparing.document import SCHEMA
from secura_bench.report.comparing.limits import not_to_be_claimed
from secura_bench.report.comparing.pair import MARGIN, Pair, pairs
from secura_bench.report.comparing.words import equality, gap, sentence
from secura_bench.report.page.words import summary
from secura_bench.report.study import contrast
from secura_bench.report.study.cells import sample_of
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.placing import placings
from secura_bench.report.study.protocols import PROTOCOLS
from secura_bench.report.study.read import read_runs
from secura_bench.report.study.study import Study

TASKS = ("a", "b")
SEEDS = (1, 2, 3, 4)
KEEPS, LEARNS = Character(0.5, 0.0), Character(0.95, 0.4)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return records of a method that keeps, one that learns, two alike, and one of a single seed."""
    root = tmp_path_factory.mktemp("results")
    alike = {"twin": Character(0.8, 0.2), "other": Character(0.8, 0.2)}
    write_records(root, {"keeps": KEEPS, "learns": LEARNS, **alike}, TASKS, SEEDS, 200, 100)
    write_records(root, {"once": KEEPS}, TASKS, (1,), 200, 100)
    return root


@lru_cache
def study_of(root: Path) -> Study:
    (study,) = make_studies(read_runs([root])[0])
    return study


def pair_of(root: Path, one: str, other: str, margin: float = 2.0, protocol: str = "generate") -> Pair:
    (found,) = (pair for pair in pairs([study_of(root)], one, other, margin) if pair.protocol.id == protocol)
    return found


def limits(pair: Pair) -> str:
    return "\n".join(not_to_be_claimed(pair))


# The numbers


def test_the_numbers_are_those_of_the_study(results: Path) -> None:
    study, pair = study_of(results), pair_of(results, "keeps", "learns")
    arms = [study.arm(name, TASKS) for name in ("keeps", "learns")]
    by = ("generate", "accuracy")
    assert [pair.learned.one.value, pair.learned.other.value] == [study.learned(arm, *by).value for arm in arms]
    assert [pair.kept.one.value, pair.kept.other.value] == [study.retention(arm, *by).value for arm in arms]
    for what, side in (("learned", pair.learned), ("probe", pair.kept)):
        found = contrast.compare(*(study.score_keys([arm], *by, what) for arm in arms))
        assert side.comparison and found and (side.comparison.p, side.comparison.test) == (found.p, found.test)
    base = study.probe(study.base, *by).value
    found = contrast.compare(*(study.score_keys([arm], *by, "probe") for arm in arms))
    assert base < 99 and pair.kept.comparison.difference == pytest.approx(100 * found.difference / base)
    assert pair.kept.comparison.difference == pytest.approx(pair.kept.one.value - pair.kept.other.value)
    assert pair.kept.comparison.interval.low == pytest.approx(100 * found.interval.low / base)


@pytest.mark.parametrize("margin", [0.5, 2.0, 8.0])
def test_equality_is_tested_at_the_margin_on_either_scale(results: Path, margin: float) -> None:
    study, pair = study_of(results), pair_of(results, "twin", "other", margin)
    base = study.probe(study.base, "generate", "accuracy").value
    for what, side, scale in (("learned", pair.learned, 1.0), ("probe", pair.kept, base / 100)):
        arms = [study.arm(name, TASKS) for name in ("twin", "other")]
        samples = [sample_of(study.score_keys([arm], "generate", "accuracy", what)) for arm in arms]  # type: ignore[list-item, arg-type]
        assert side.equal == statistics.equivalence(*samples, margin * scale)  # type: ignore[arg-type]
        assert side.within == (side.equal < 0.05)


def test_each_task_by_itself_where_each_was_trained_alone(tmp_path: Path) -> None:
    write_records(tmp_path, {"keeps": KEEPS, "learns": LEARNS}, TASKS, (1, 2), 60, 30, mode="separate")
    write_records(tmp_path, {"keeps": KEEPS}, ("a", "b", "c"), (1, 2), 60, 30, mode="separate")
    pair = pair_of(tmp_path, "keeps", "learns")
    assert pair.tasks == TASKS, "what both were trained on"
    assert [part.tasks for part in pair.parts] == [("a",), ("b",)]
    study = study_of(tmp_path)
    for part in pair.parts:
        arm = study.arm("keeps", part.tasks)
        assert part.kept.one.value == study.retention(arm, "generate", "accuracy").value
    assert "each of a and b alone (means of 2)" in sentence(pair) and "single task" in limits(pair)
    assert "anything of c, which one of them alone was trained on" in limits(pair)


def test_several_orders_are_a_mean_and_said(tmp_path: Path) -> None:
    for order in (("a", "b"), ("b", "a")):
        write_records(tmp_path, {"keeps": KEEPS, "learns": LEARNS}, order, (1,), 60, 30, protocols=("generate",))
        for path in tmp_path.glob("*/*-all-s1-0123456789ab"):
            if not path.name.startswith("base"):
                path.rename(path.with_name(f"{path.name[:-12]}{'-'.join(order)}"))
    pair = pair_of(tmp_path, "keeps", "learns")
    assert len(pair.study.sequences) == 2 and "a and b in sequence (means of 2 orders)" in sentence(pair)


# The words


def test_what_is_told_apart_is_said_and_not_that_it_is_at_equal_learning(results: Path) -> None:
    pair = pair_of(results, "keeps", "learns")
    assert (pair.kept.told, pair.learned.told, pair.learning) == ("more", "less", "not equal")
    said = sentence(pair)
    assert said.startswith("On toy trained on a and b in sequence, by generate acc, keeps keeps more than learns, ")
    assert ", not at equal learning: " in said and said.count("paired bootstrap, p ") == 2
    assert "forgets less at equal learning: learning is not equal" in limits(pair)
    turned = pair_of(results, "learns", "keeps")
    assert (turned.kept.told, turned.learned.told) == ("less", "more")
    numbers = [re.findall(r"[\d.]+", gap(side))[:3] for side in (turned.kept, pair.kept)]
    assert [float(n) for n in numbers[0]] == pytest.approx([float(n) for n in numbers[1]], abs=1), "of what is said"
    assert " less (" in gap(turned.kept) and " more (" in gap(pair.kept)


def test_not_told_apart_is_not_equal_until_it_is_shown(results: Path) -> None:
    near, wide = pair_of(results, "twin", "other", 0.5), pair_of(results, "twin", "other", 20.0)
    assert near.kept.told == wide.kept.told == "open" and not near.kept.within and wide.kept.within
    assert "whether twin or other keeps more is open: " in sentence(near)
    assert "not told apart is not equal" in limits(near) and near.learning == "not shown to be equal"
    assert "with learning not shown to be equal: " in sentence(near)
    assert "twin keeps as much as other, " in sentence(wide) and wide.learning == "equal"
    assert "equal within ±20 percent points (two one-sided tests, p " in sentence(wide)
    assert "not told apart is not equal" not in limits(wide) and "exactly the same" in limits(wide)
    assert "at equal learning: " in sentence(wide) and "not at equal" not in sentence(wide)


def test_of_one_seed_nothing_follows(results: Path) -> None:
    for margin in (2.0, 90.0):
        pair = pair_of(results, "once", "learns", margin)
        assert pair.kept.comparison.p < 0.05 and pair.kept.told == pair.learned.told == "one seed"
        assert not pair.kept.within and not pair.learned.within and equality(pair.kept) == ""
        said = sentence(pair)
        assert ", in these runs once and learns kept " in said and "keeps" not in said
        assert said.count("items only") == 4 and pair.learning == "not shown to be equal"
        assert "anything for the methods: once has one seed on 2 tasks" in limits(pair)


def test_limits_are_those_of_these_records(results: Path, tmp_path: Path) -> None:
    told = limits(pair_of(results, "keeps", "learns", protocol="teacher_forced"))
    assert "about what the models write: teacher-forced" in told
    assert "what the models write" not in limits(pair_of(results, "keeps", "learns"))
    assert "no other of the 5 methods" in told and "at most" not in told
    write_records(tmp_path, {"idle": Character(0.1, 0.0), "works": LEARNS}, TASKS, (1, 2), 60, 30)
    for path in tmp_path.glob("*/*/record.json"):
        whole = json.loads(path.read_text()) | {"limit": 30}
        whole["data"]["sums"]["stand_in"] = "made by hand"
        path.write_text(json.dumps(whole))
    told = limits(pair_of(tmp_path, "idle", "works"))
    assert "idle keeps in spite of learning" in told and "works keeps in spite" not in told
    assert "at most 30 test rows" in told and "the paper's own sums: here it is made by hand" in told
    assert "no other of" not in told, "there is none"


def zeroed(root: Path, *methods: str) -> None:
    """Make the probe's accuracy 0 in every item of the methods' records."""
    for method in methods:
        for path in root.glob(f"*/{method}-*/evals/*/generate/probe/*.json"):
            whole = json.loads(path.read_text())
            path.write_text(json.dumps({**whole, "accuracy": [0.0] * len(whole["id"])}))
        for path in root.glob(f"*/{method}-*/record.json"):
            whole = json.loads(path.read_text())
            for score in whole["scores"]:
                if score["protocol"] == "generate" and score["role"] != "task":
                    score["values"]["accuracy"] = 0.0
            path.write_text(json.dumps(whole))


def test_where_nothing_can_be_kept_the_next_metric_speaks(tmp_path: Path) -> None:
    write_records(tmp_path, {"keeps": KEEPS, "learns": LEARNS}, TASKS, SEEDS, 60, 60)
    zeroed(tmp_path, "base", "keeps", "learns")
    study, pair = study_of(tmp_path), pair_of(tmp_path, "keeps", "learns")
    assert pair.metric.id == "rouge1" and pair.instead == "the base scores 0" and pair.kept.told == "more"
    assert "anything of acc, the protocol's main metric: the base scores 0" in limits(pair)
    protocol = PROTOCOLS["generate"]
    first = summary(study, protocol, placings(study, "generate", pair.metric))[0].text
    assert first.startswith("Of accuracy nothing can be said to be kept (the base scores 0: 0.0 %")
    assert "so this is by R-1. " in first and gap(pair.kept) in first


# The same everywhere


def test_the_page_and_compare_say_the_same_and_name_the_test(results: Path, tmp_path: Path) -> None:
    write_records(tmp_path, {"keeps": KEEPS, "learns": LEARNS}, TASKS, SEEDS, 120, 60)
    write_records(tmp_path / "alike", {"twin": Character(0.8, 0.2), "other": Character(0.8, 0.2)}, TASKS, SEEDS)
    for root, one, other in ((tmp_path / "trial", "keeps", "learns"), (tmp_path / "alike", "other", "twin")):
        study = study_of(root)
        protocol = PROTOCOLS["generate"]
        page = summary(study, protocol, placings(study, "generate", protocol.main))[0].text
        done = secura_bench("compare", str(root), one, other, cwd=tmp_path)
        assert done.returncode == 0
        quoted = next(line for line in done.stdout.splitlines() if "by generate acc" in line)
        pair = pair_of(root, one, other)
        if pair.kept.comparison.difference < 0:  # the page names the one ahead first
            pair = pair_of(root, other, one)
            quoted = sentence(pair)
        assert sentence(pair) in quoted and gap(pair.kept) in quoted
        assert gap(pair.kept) in page and re.search(r"\((.*); (paired bootstrap|McNemar exact), p [\d.]+\)", page)


def _make_docs() -> object:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "scripts" / "make_docs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="records are told from runs by version control")
def test_what_pages_quote_is_what_compare_says(tmp_path: Path) -> None:
    make_docs = _make_docs()
    folder = make_docs.tracked_results(tmp_path)  # type: ignore[attr-defined]
    studies = make_studies(read_runs([folder])[0])
    for page in make_docs.QUOTING:  # type: ignore[attr-defined]
        text = page.read_text(encoding="utf-8")
        assert make_docs.requoted(text, studies) == text, f"{page.name}: run `make docs`"  # type: ignore[attr-defined]
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    quotes = re.findall(r"<!-- compared: (\S+) (\S+) (\S+) (\S+) -->\n(.*?)<!-- end", index, flags=re.DOTALL)
    assert quotes
    for experiment, _, one, other, quote in quotes:
        name, _, _ = experiment.partition("/")  # behind the stroke stands one of its models
        done = secura_bench("compare", str(folder / name), one, other, cwd=tmp_path)
        assert done.returncode == 0 and quote.replace("\n> ", " ").removeprefix("> ").strip() in done.stdout


# At the command line


def test_json_follows_its_schema(results: Path, tmp_path: Path) -> None:
    done = secura_bench("compare", str(results), "once", "keeps", "--format", "json", cwd=tmp_path)
    schema, document = json.loads(SCHEMA.read_text()), json.loads(done.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
    assert done.returncode == 0 and [one["protocol"] for one in document["comparisons"]] == [
        "teacher_forced",
        "generate",
    ]
    pair = pair_of(results, "once", "keeps", protocol="teacher_forced")
    first = document["comparisons"][0]
    assert first["sentence"] == sentence(pair) and first["not_to_be_claimed"] == limits(pair).splitlines()
    assert first["kept"]["difference"] == pair.kept.comparison.difference and first["kept"]["verdict"] == "one seed"
    assert first["one"]["seeds"] == {"2 tasks": [1]} and first["kept"]["equal"] is False


def test_the_margin_is_asked_for_and_said(results: Path, tmp_path: Path) -> None:
    assert signature(compare).parameters["margin"].default == MARGIN
    done = secura_bench("compare", str(results), "twin", "other", "--margin", "3.5", cwd=tmp_path)
    assert done.returncode == 0 and "±3.5" in done.stdout and "±2" not in done.stdout
    for wrong in ("0", "-1", "100", "nan"):
        done = secura_bench("compare", str(results), "twin", "other", f"--margin={wrong}", cwd=tmp_path)
        assert done.returncode == 2 and "must be above 0 and below 100" in done.stderr


def test_names_and_what_cannot_be_compared(results: Path, tmp_path: Path) -> None:
    def said(*words: str, at: Path = results) -> tuple[int, str]:
        done = secura_bench("compare", str(at), *words, cwd=tmp_path)
        assert done.returncode != 1 or not done.stdout
        return done.returncode, done.stderr

    for words, text in (
        (("twin", "othr"), "othr: unknown method 'othr'. Did you mean 'other'?"),
        (("twin", "twin"), "are the same method of trial: twin"),
        (("base", "base"), "base: is what both methods are held against"),
        (("twin", "other", "--format", "yaml"), "unknown format 'yaml'"),
    ):
        code, error = said(*words)
        assert code == 2 and text in error and error.count("\n") == 1
    apart = tmp_path / "apart"
    write_records(apart / "1", {"mine": KEEPS}, ("a",), (1,))
    write_records(apart / "2", {"yours": KEEPS}, ("b",), (1,))
    code, error = said("mine", "yours", at=apart)
    assert code == 1 and "no experiment there has both mine and yours" in error
    assert said("a", "b", at=tmp_path / "nothing")[0] == 2
    write_records(apart / "3", {"mine": KEEPS}, ("a",), (2,))
    change_methods(apart / "3", "mine-*-s2-*", options={"r": 4})
    write_records(apart / "3", {"yours": KEEPS}, ("a",), (1,))
    code, error = said("mine", "yours", at=apart)
    assert code == 2 and "2 settings of that name; say which: 'mine r=None', 'mine r=4'" in error
    with pytest.raises(BenchError, match="say which"):
        pairs(make_studies(read_runs([apart])[0]), "mine", "yours")


def test_settings_of_one_label_are_asked_for_only_where_both_methods_are(tmp_path: Path) -> None:
    write_records(tmp_path / "1", {"keeps": KEEPS, "learns": LEARNS}, ("a",), (1,), 20, 20)
    write_records(tmp_path / "2", {"learns": LEARNS}, ("a",), (1, 2), 20, 20)
    change_methods(tmp_path / "2", "learns-*-s2-*", options={"r": 4})
    for path in (tmp_path / "2").glob("*/*/record.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"experiment": "another"}))
    found = pairs(make_studies(read_runs([tmp_path])[0]), "keeps", "learns")
    assert {pair.study.experiment for pair in found} == {"trial"}


def test_a_damaged_record_is_named_and_ends_with_one(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "record.json").write_text('{"program": "secura-b')
    write_records(tmp_path, {"keeps": KEEPS, "learns": LEARNS}, ("a",), (1,), 20, 20)
    done = secura_bench("compare", ".", "keeps", "learns", cwd=tmp_path)
    assert done.returncode == 1 and "skipped: broken/record.json" in done.stderr and "To quote:" in done.stdout


def test_hostile_titles_are_text(tmp_path: Path) -> None:
    write_records(tmp_path, {"keeps": KEEPS, "learns": LEARNS}, ("a",), (1, 2), 60, 30)
    change_methods(tmp_path, "keeps-*", title="\x1b]0;owned\x07[red]\u202ek\n" + "A" * 10_000)
    done = secura_bench("compare", str(tmp_path), "keeps", "learns", cwd=tmp_path)
    assert done.returncode == 0 and len(done.stdout) < 40_000
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", done.stdout)
