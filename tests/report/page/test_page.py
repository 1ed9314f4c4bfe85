"""The page: what its words say, what it holds of the texts, and what it does in a browser."""

from __future__ import annotations

import base64
import html
import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, drawn
from conftest import ROOT
from synthetic import CHARACTERS, Character, write_records

from secura_bench.report.make import make_report, render
from secura_bench.report.page.assemble import embed
from secura_bench.report.page.payload import make_payload
from secura_bench.report.page.texts import LONGEST, _asked, make_texts
from secura_bench.report.page.words import averaged, caveats, summary
from secura_bench.report.plots.style import COLOURS
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.placing import front, lead, placings
from secura_bench.report.study.protocols import PROTOCOLS
from secura_bench.report.study.read import read_runs
from secura_bench.report.study.study import Study

HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "\x1b[31m\x00\u202egnp</script><!--"
)
TASKS = ("colours", "counting", "language")


def study_of(folder: Path) -> Study:
    (study,) = make_studies(read_runs([folder])[0])
    return study


def page_of(folder: Path) -> str:
    runs, problems = read_runs([folder])
    return render(make_report(runs, problems=problems), "html")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_records(tmp_path_factory.mktemp("records"), tasks=TASKS, seeds=(1,), probe_items=80, hostile=HOSTILE)


def unpacked(blob: str) -> dict[str, Any]:
    return json.loads(zlib.decompress(base64.b64decode(blob), wbits=-15))


# The summary


def told(folder: Path, protocol: str = "generate") -> list[tuple[str, str]]:
    study, named = study_of(folder), PROTOCOLS[protocol]
    found = placings(study, protocol, named.main)
    return [(each.kind, each.text) for each in (*summary(study, named, found), *caveats(study))]


def test_a_clear_winner_is_named_with_its_margin(tmp_path: Path) -> None:
    write_records(tmp_path, {"good": Character(0.9, 0.0), "bad": Character(0.4, 0.4)}, TASKS, (1, 2, 3, 4), 120, 60)
    (kind, text), *_ = told(tmp_path)
    assert kind == "lead" and text.startswith("good is ahead in both: it learned most, accuracy ")


def test_a_trade_off_has_no_winner(tmp_path: Path) -> None:
    write_records(
        tmp_path, {"keeps": Character(0.5, 0.0), "learns": Character(0.95, 0.4)}, TASKS, (1, 2, 3, 4), 120, 60
    )
    (_, text), *_ = told(tmp_path)
    assert text.startswith("No method is best at both: learns learned most") and "keeps kept most" in text
    assert re.search(
        r"\d+\.\d percent points more \(\d+\.\d to \d+\.\d; paired bootstrap, p [\d.]+\) than learns", text
    )


def test_two_of_a_kind_are_not_told_apart(tmp_path: Path) -> None:
    same = Character(0.8, 0.2)
    write_records(tmp_path, {"one": same, "other": same}, TASKS, (1, 2, 3, 4), 120, 60)
    (_, text), *_ = told(tmp_path)
    assert text.startswith("No winner.") and text.count("one and other are not told apart, ") == 2
    assert text.count("equal within ±2 ") == 2 and text.count("two one-sided tests, p ") == 2


def test_keeping_without_learning_is_no_win(tmp_path: Path) -> None:
    write_records(tmp_path, {"idle": Character(0.1, 0.0), "works": Character(0.9, 0.3)}, TASKS, (1, 2, 3, 4), 120, 60)
    (_, text), *rest = told(tmp_path)
    assert text.startswith("works learned") and "only method that was shown to learn" in text
    (idle,) = [sentence for sentence in rest if sentence[1].startswith("idle")]
    assert idle[0] == "warning" and "A method that does not learn keeps everything" in idle[1]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    write_records(tmp_path, CHARACTERS, TASKS, (1, 2))
    for gone in (*tmp_path.glob("*/base-*"), *tmp_path.glob("*/lora-*-s2-*")):
        (gone / "record.json").unlink()
    texts = [text for kind, text in told(tmp_path) if kind == "missing"]
    assert texts == [
        "The untouched model's record is missing: retention and gain cannot be computed.",
        "lora: no run of seed 2.",
    ]


def test_mode_separate_averages_over_tasks(tmp_path: Path) -> None:
    write_records(tmp_path, {"lora": Character(0.9, 0.3)}, TASKS, (1,), mode="separate")
    study = study_of(tmp_path)
    (placing,) = placings(study, "generate", PROTOCOLS["generate"].main)
    learned = [study.learned(arm, "generate", "accuracy").value for arm in study.arms]
    assert len(learned) == 3 and placing.learned.value == pytest.approx(sum(learned) / 3)


def test_over_what_the_summary_is_a_mean_is_said(records: Path, tmp_path: Path) -> None:
    write_records(tmp_path, CHARACTERS, TASKS, (1,), mode="separate")
    for gone in tmp_path.glob("*/lora-counting-*"):
        (gone / "record.json").unlink()
    study = study_of(tmp_path)
    found = placings(study, "generate", PROTOCOLS["generate"].main)
    assert averaged(study) == "mean of 3 tasks" and averaged(study_of(records)) == ""
    assert {each.method: averaged(study, each) for each in found if averaged(study, each)} == {"lora": "2 of 3 tasks"}


def test_the_page_opens_with_what_says_who_learned() -> None:
    runs, _ = read_runs([ROOT / "results" / "curlora"])
    payload = make_payload(make_studies(runs), [], [], [])
    assert [[each["id"] for each in study["protocols"]] for study in payload["studies"]] == [
        ["classify", "perplexity"]
    ] * 2


def test_one_seed_leads_nobody(records: Path) -> None:
    study, metric = study_of(records), PROTOCOLS["generate"].main
    found = lead(study, placings(study, "generate", metric), "generate", metric, "kept")
    assert found is not None and found.winner is None and set(found.once) == {"lora", "seq"}


def test_the_lead_is_over_all_methods(tmp_path: Path) -> None:
    write_records(tmp_path, CHARACTERS, TASKS, (1, 2, 3, 4), 80)
    study, metric = study_of(tmp_path), PROTOCOLS["generate"].main
    found = lead(study, placings(study, "generate", metric), "generate", metric, "kept")
    assert found is not None and found.winner == "secura" and set(found.behind) == {"lora", "seq"}


@pytest.mark.parametrize(
    ("points", "best"),
    [([(1, 3), (2, 2), (3, 1)], [0, 1, 2]), ([(1, 1), (2, 2)], [1]), ([(1, 1), (1, 2), (0, 2)], [1]), ([], [])],
)
def test_the_pareto_front(points: list[tuple[float, float]], best: list[int]) -> None:
    assert front(points) == best


# The texts


def test_every_answer_can_be_had_back(records: Path) -> None:
    study = study_of(records)
    (facts,) = [t for t in make_texts([study]) if t.about["task"] == "facts" and t.about["protocol"] == "generate"]
    data = unpacked(facts.blob)
    assert facts.about["shown"] == facts.about["of"] == 40
    for arm, packed in zip(study.arms, data["arms"], strict=True):
        current: dict[str, str] = {}
        for number, moment in enumerate(arm.moments):
            score = arm.runs[0].score("generate", "part", "facts", moment)
            for line in arm.runs[0].texts(score):
                place = [item[0] for item in data["items"]].index(line["id"])
                changes = {change[0]: change for change in packed["answers"][place]}
                if number in changes:
                    current[line["id"]] = data["strings"][changes[number][1]]
                assert current[line["id"]] == line["prediction"]
                assert data["strings"][data["items"][place][2]] == line["reference"]


def test_what_does_not_fit_is_sampled_and_said(records: Path) -> None:
    study = study_of(records)
    whole = make_texts([study])
    size = sum(len(text.blob) for text in whole)
    some = make_texts([study], budget=size // 3)
    assert sum(len(text.blob) for text in some) <= size // 3
    assert all(0 < text.about["shown"] < text.about["of"] for text in some if text.about["role"] == "part")
    assert make_texts([study], budget=100) == []


def test_a_megabyte_of_text_is_cut_and_counted(tmp_path: Path) -> None:
    write_records(tmp_path, {"lora": Character(0.5, 0.1)}, TASKS[:1], (1,), 40, hostile="x" * 1_000_000)
    strings = [s for t in make_texts([study_of(tmp_path)]) for s in unpacked(t.blob)["strings"]]
    assert ["x" * LONGEST, 1_000_000 - LONGEST] in strings
    assert len(page_of(tmp_path)) < 300_000


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ({"prompt": "Go on."}, "Go on."),
        (
            {"prompt": "Go on.", "history": [["user", "One."], ["assistant", "1"]]},
            "user: One.\n\nassistant: 1\n\nuser: Go on.",
        ),
        ({"prompt": "Go on.", "history": 3}, "Go on."),
        ({}, None),
    ],
)
def test_what_was_said_before_stands_before_the_prompt(line, shown: str | None) -> None:
    assert _asked(line) == shown


def test_no_items_no_texts(records: Path, tmp_path: Path) -> None:
    for number, record in enumerate(sorted(records.rglob("record.json"))):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "record.json").write_bytes(record.read_bytes())
    page = page_of(tmp_path)
    assert 'id="texts-0"' not in page and '"texts":[]' in page


# The file


def test_the_page_stands_alone_and_is_the_same_each_time(records: Path) -> None:
    page = page_of(records)
    assert page == page_of(records)
    assert "default-src 'none'" in html.unescape(page) and not re.search(r"""(src|href)=["'](?!#)""", page)
    assert page.count("</script>") == page.count("<script")  # nothing in the data ends an element


def test_embedded_data_cannot_end_its_element() -> None:
    value = {"a": "</script><!--<script>&\u2028\u0000\ud800"}
    text = embed(value)
    assert not set("<>&\u2028") & set(text) and json.loads(text) == value


def test_the_page_has_every_colour_of_the_pictures(records: Path) -> None:
    page = page_of(records)
    assert f'"colours":{len(COLOURS)},' in page and f"--series-{len(COLOURS) - 1}: light-dark({COLOURS[-1]}," in page


def test_the_script_never_parses_html() -> None:
    from secura_bench.report import page

    for script in Path(page.__file__).parent.glob("*.js"):
        found = re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(", script.read_text())
        assert found is None, script.name


# In a browser


@pytest.mark.browser
def test_the_page_in_a_browser(records: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page_of(records), encoding="utf-8")
    with chromium(tmp_path / "profile", 1280) as driver:
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys
        from selenium.webdriver.support.wait import WebDriverWait

        def all_of(selector: str) -> list[Any]:
            return driver.find_elements(By.CSS_SELECTOR, selector)

        def one(selector: str) -> Any:
            return driver.find_element(By.CSS_SELECTOR, selector)

        driver.get(path.as_uri())
        WebDriverWait(driver, 20).until(lambda _: all_of(".item"))
        assert "secura" in one(".lead").text

        # Sorting by a heading, with the keyboard.
        def kept() -> list[float]:
            return [float(cell.text) for cell in all_of(".placing tbody tr td:nth-child(3) b")]

        heading = all_of(".placing th .sort")[2]
        heading.send_keys(Keys.ENTER)
        assert kept() == sorted(kept(), reverse=True)
        assert all_of(".placing thead th")[2].get_attribute("aria-sort") == "descending"
        heading.send_keys(Keys.ENTER)
        assert kept() == sorted(kept()) and len(kept()) == 3

        # Filtering methods and protocols.
        one("#controls input[value='seq']").click()
        assert len(all_of(".placing tbody tr")) == 2 and "seq" not in one(".placing tbody").text
        one("#controls input[value='seq']").click()
        one("#controls input[value='teacher_forced']").click()
        assert "BLEU" in one(".placing thead").text
        one("#controls input[value='generate']").click()

        # The slider over the stages, with the arrow keys.
        slider = one("input[type='range']")
        assert one(".stagebar output").text == "after language"
        slider.send_keys(Keys.ARROW_LEFT)
        assert one(".stagebar output").text == "after counting"
        assert one("table.heat tr.now th").text == "after counting" and len(all_of("table.heat tr.later")) == 1
        slider.send_keys(Keys.HOME)
        assert one(".stagebar output").text == "base, untrained"

        # An item: the hostile one, shown as text; then the forgotten ones of one method.
        WebDriverWait(driver, 20).until(lambda _: all_of(".item"))
        all_of(".item")[1].click()
        assert "number 1 on the list" in one(".detail blockquote").text
        all_of(".item")[1].send_keys(Keys.ARROW_UP)
        answers = one(".answers").text
        assert "<script>document.title='owned'</script>" in answers and "U+202E" in answers and "U+0000" in answers
        assert not all_of(".answers script, .answers img") and "owned" not in driver.title
        show = next(label for label in all_of(".filters label") if label.text.startswith("show"))
        show.find_element(By.CSS_SELECTOR, "option[value='forgotten']").click()
        WebDriverWait(driver, 20).until(lambda _: 0 < len(all_of(".item")) < 40)
        steps = all_of(".answers .when")
        assert "right" in steps[0].text and "wrong" in steps[-1].text

        # Dark and light by hand; nothing wider than a telephone; no complaint.
        ground = "return getComputedStyle(document.body).backgroundColor"
        light = driver.execute_script(ground)
        one("#theme option[value='dark']").click()
        assert driver.execute_script(ground) != light
        size = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 400
        assert driver.get_log("browser") == []
        assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0


@pytest.mark.browser
def test_tasks_trained_alone_are_no_sequence_and_their_means_are_called_so(records: Path, tmp_path: Path) -> None:
    write_records(tmp_path / "alone", CHARACTERS, TASKS, (1,), every=20, mode="separate")
    path = tmp_path / "page.html"
    path.write_text(page_of(tmp_path / "alone"), encoding="utf-8")
    page = drawn(path, tmp_path / "profile")
    assert re.search(r"<h1>[^<]* · mean of 3 tasks</h1>", page)
    assert re.search(r"<caption>Who learned[^<]*: mean of 3 tasks;", page)
    assert re.search(r"<figcaption>[^<]*the mean of 3 tasks\.", page)
    assert "training on colours alone →" in page and "training on colours alone, percent" in page
    assert "one after another" not in page and "the sequence" not in page

    path.write_text(page_of(records), encoding="utf-8")
    page = drawn(path, tmp_path / "profile")
    assert "tasks trained, one after another →" in page and "mean of" not in page.split("<section")[1]
