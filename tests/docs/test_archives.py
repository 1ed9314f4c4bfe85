"""What is handed to others, a wheel and a source archive, says under which terms, and which version it is."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from secura_bench import __version__

TERMS = ("LICENSE", "NOTICE")
PAGES = ("CITATION.cff", "CHANGELOG.md", "CONTRIBUTING.md")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    from hatchling.builders.wheel import WheelBuilder

    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    return zipfile.ZipFile(built)


def test_the_wheel_holds_the_terms_and_its_metadata_names_them(wheel: zipfile.ZipFile) -> None:
    folder = f"secura_bench-{__version__}.dist-info"
    for name in TERMS:
        assert wheel.read(f"{folder}/licenses/{name}") == (ROOT / name).read_bytes()
    metadata = wheel.read(f"{folder}/METADATA").decode().split("\n\n")[0].splitlines()
    assert {"License-Expression: Apache-2.0", *(f"License-File: {name}" for name in TERMS)} <= set(metadata)
    assert f"Version: {__version__}" in metadata


def test_the_source_archive_holds_the_terms_and_the_pages(tmp_path: Path) -> None:
    from hatchling.builders.sdist import SdistBuilder

    (built,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(built) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {*TERMS, *PAGES} <= held


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n" in text and "END OF TERMS AND CONDITIONS" in text
    assert all(f"\n   {number}. " in text for number in range(1, 10))


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == __version__ and cited["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()


def test_every_count_of_moved_numbers_has_its_line() -> None:
    from secura_bench.plan.fingerprint import RESULTS_VERSION

    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for count in range(1, RESULTS_VERSION + 1):
        assert f"- **Number moves** (`RESULTS_VERSION` {count}): " in log, (
            f"CHANGELOG.md has no line of RESULTS_VERSION {count}"
        )
