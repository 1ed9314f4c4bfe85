"""The Hub's boxes that tests share, and this process led to one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hub.box import MEMBER, Box


@pytest.fixture
def lead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Box], Box]:
    """Return what leads this process to a box, with an empty cache."""
    from secura_bench.hub import asking, listing

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setenv("HF_TOKEN", MEMBER)
    monkeypatch.delenv("SECURA_BENCH_DATA", raising=False)
    monkeypatch.setattr(asking, "_SEEN", asking._Seen())
    monkeypatch.setattr(asking, "sleep", lambda seconds: None)
    monkeypatch.setattr(listing, "_RESOLVED", {})

    def to(box: Box) -> Box:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", box.url)
        template = f"{box.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        return box

    return to


@pytest.fixture
def serve(lead: Callable[[Box], Box]) -> Iterator[Callable[..., Box]]:
    """Return what opens a box of some repositories and leads this process to it."""
    with ExitStack() as stack:
        yield lambda repositories, page=1000: lead(stack.enter_context(Box(repositories, page)))


@pytest.fixture(scope="session")
def whole() -> Iterator[Box]:
    """Return a box that serves every repository which tasks and presets name."""
    from hub.repositories import all_repositories

    with Box(all_repositories()) as box:
        yield box


@pytest.fixture(autouse=True)
def _no_faults_are_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "whole" in request.fixturenames:
        box = request.getfixturevalue("whole")
        box.faults.clear()
        box.log.clear()
