"""The page's address holds what is shown: experiment, protocol, methods, table, item, theme."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from browser import chromium
from synthetic import CHARACTERS, Character, write_records

from secura_bench.report.make import make_report, render
from secura_bench.report.plots.style import COLOURS, ON_DARK
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.read import read_runs

TASKS = ("colours", "counting")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two studies of one experiment and model: in sequence, and a probe of fewer rows."""
    root = tmp_path_factory.mktemp("records")
    write_records(root / "one", tasks=TASKS, seeds=(1,), probe_items=60)
    write_records(root / "other", {"lora": Character(0.5, 0.1)}, TASKS, (1, 2), 40)
    for path in (root / "other").rglob("record.json"):
        record = json.loads(path.read_text())
        for note in record["data"].values():
            note["probe_hash"] = "another"
            note["probe_rows"] = 20 if note["probe_rows"] else 0
        path.write_text(json.dumps(record))
    return root


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.fixture(scope="module")
def page(records: Path) -> str:
    runs, problems = read_runs([records])
    return render(make_report(runs, problems=problems), "html")


def test_no_two_studies_are_called_alike(records: Path, page: str) -> None:
    runs, _ = read_runs([records])
    titles = [study.title for study in make_studies(runs)]
    assert len(set(titles)) == 2 and all(re.search(r" · \d+ probe rows$", title) for title in titles)
    data = data_of(page)
    assert [study["title"] for study in data["studies"]] == titles
    tables = [(table["id"], table["title"]) for table in data["tables"]]
    assert len(set(tables)) == len(tables)
    alone = make_studies(run for run in runs if run.folder and "one" in run.folder.parts)
    assert [study.apart for study in alone] == [""], "nothing is to be told apart"


def test_a_method_has_a_colour_that_is_seen_on_either_ground() -> None:
    """By WCAG 2.2's contrast: 3 to 1 on the dark ground for all of them, and none like another."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert len(ON_DARK) == len(COLOURS) == len(set(ON_DARK))
    for colour in ON_DARK:
        for ground in ("#14161a", "#1b1e24"):
            assert (luminance(colour) + 0.05) / (luminance(ground) + 0.05) > 3, colour


def test_the_page_has_notes_with_the_marks_that_they_explain(page: str) -> None:
    (table,) = (
        t
        for t in data_of(page)["tables"]
        if t["id"] == "retention" and t["of"]["protocol"] == "generate" and "60" in t["title"]
    )
    marks = {mark: note["text"] for note in table["notes"] for mark in note["marks"]}
    assert set(marks) == {"[", "±", "*", "†"} and marks["†"].startswith("†: one seed")
    assert any(entry["o"] for row in table["rows"] for entry in row["entries"] if isinstance(entry, dict))


@pytest.fixture(scope="module")
def driver(page: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "page.html").write_text(page, encoding="utf-8")
    with chromium(folder / "profile", 1280) as found:
        found.address = (folder / "page.html").as_uri()
        yield found


def opened(driver: Any, **asked: Any) -> None:
    """Open the page anew at an address."""
    from selenium.webdriver.support.wait import WebDriverWait

    driver.get("about:blank")
    driver.get(f"{driver.address}#{urlencode(asked, doseq=True)}")
    WebDriverWait(driver, 20).until(lambda _: driver.find_elements("css selector", ".item"))


def title_of(driver: Any) -> str:
    """Return what the study of three methods is called."""
    studies = driver.execute_script("return JSON.parse(document.getElementById('data').textContent).studies")
    return next(study["title"] for study in studies if len(study["methods"]) == 3)


def click(driver: Any, selector: str, number: int) -> None:
    """Click an element, wherever the page is scrolled to."""
    driver.execute_script("arguments[0].click()", driver.find_elements("css selector", selector)[number])


def shown(driver: Any) -> dict[str, list[str]]:
    return parse_qs(driver.execute_script("return location.hash.slice(1)"))


@pytest.mark.browser
def test_what_is_chosen_stands_in_the_address(driver: Any) -> None:
    opened(driver)
    assert shown(driver) == {}, "nothing was chosen yet"
    options = [option.text for option in driver.find_elements("css selector", "#controls select:first-of-type option")]
    assert len(set(options)) == len(options) == 2
    opened(driver, experiment=title_of(driver))
    driver.find_element("css selector", "#theme option[value='dark']").click()
    click(driver, "#controls input[value='lora']", 0)
    click(driver, "details.table > summary", 1)
    click(driver, ".item", 2)
    driver.execute_async_script("setTimeout(arguments[0], 300)")  # a toggle is told of later
    found = shown(driver)
    assert found["theme"] == ["dark"] and found["table"] == ["retention", "continual"] and found["hidden"] == ["lora"]
    assert found["items"] == ["facts"] and found["item"][0].startswith("facts")


@pytest.mark.browser
def test_an_address_leads_to_what_it_names(driver: Any) -> None:
    opened(driver)
    title = title_of(driver)
    opened(
        driver, experiment=title, protocol="generate", hidden=["lora"], table="cost", items="sums", of="secura",
        item="sums-7", theme="dark",
    )  # fmt: skip

    def one(selector: str) -> Any:
        return driver.find_element("css selector", selector)

    assert title in one("h1").text and "lora" not in one(".placing tbody").text
    assert [
        each.find_element("css selector", "summary").text
        for each in driver.find_elements("css selector", "details.table[open]")
    ] == [f"{title} · cost"]
    assert "sums-7" in one(".detail > .notes").text and "Answers of secura" in one(".detail").text
    assert driver.execute_script("return document.documentElement.dataset.theme") == "dark"
    assert driver.execute_script("return scrollY") > 500, "the items are looked at"
    driver.execute_script("location.hash = 'experiment=no+such&table=none&item=none&theme=odd'")
    driver.execute_async_script("setTimeout(arguments[0], 300)")
    assert driver.find_elements("css selector", ".item"), "what is not there is not shown, and nothing breaks"
    assert driver.get_log("browser") == []


@pytest.mark.browser
def test_notes_explain_the_marks_that_are_shown_alone(driver: Any) -> None:
    opened(driver)
    driver.execute_script("document.querySelectorAll('details.table').forEach((each) => { each.open = true; })")
    for table in driver.find_elements("css selector", "details.table"):
        cells = " ".join(cell.text for cell in table.find_elements("css selector", "td.number"))
        notes = table.find_element("css selector", "ul.notes").text
        assert ("†: one seed" in notes) == ("†" in cells)
        assert ("*: the best" in notes) == ("*" in cells)
        assert ("Intervals are of 95 %" in notes) == (" to " in cells)
        assert "±" not in notes


@pytest.mark.browser
def test_before_and_after_alone_are_no_course_and_few_items_no_shares(tmp_path: Path) -> None:
    from browser import drawn

    write_records(tmp_path, {"lora": CHARACTERS["lora"]}, TASKS, (1,), 18, mode="separate")
    path = tmp_path / "page.html"
    path.write_text(render(make_report(read_runs([tmp_path])[0]), "html"), encoding="utf-8")
    main = drawn(path, tmp_path / "profile")
    assert "Along the training" not in main
    assert "Too few items for shares" in main and "lossbar" not in main


@pytest.mark.browser
def test_an_experiment_without_texts_names_those_that_have_some(records: Path, tmp_path: Path) -> None:
    from browser import drawn

    runs, _ = read_runs([records])
    bare = [run if run.folder and "one" in run.folder.parts else replace(run, folder=None) for run in runs]
    path = tmp_path / "page.html"
    path.write_text(render(make_report(bare), "html"), encoding="utf-8")
    main = drawn(path, tmp_path / "profile")
    assert re.search(r'There are texts of <a href="#experiment=[^"]*">[^<]*60 probe rows</a>', main)
