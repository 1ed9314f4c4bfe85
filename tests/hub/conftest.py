"""The Hub's boxes that tests share, and this process led to one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from hub.box import MEMBER, Box, Repository


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Box]]:
    """Return what opens a box of some repositories and leads this process to it, with an empty cache."""
    from secura_bench.hub import asking, listing

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setenv("HF_TOKEN", MEMBER)
    monkeypatch.delenv("SECURA_BENCH_DATA", raising=False)
    monkeypatch.setattr(asking, "_SEEN", asking._Seen())
    monkeypatch.setattr(asking, "sleep", lambda seconds: None)
    monkeypatch.setattr(listing, "_RESOLVED", {})
    with ExitStack() as stack:

        def open_box(repositories: Sequence[Repository], page: int = 1000) -> Box:
            box = stack.enter_context(Box(repositories, page))
            monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", box.url)
            template = f"{box.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
            monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
            return box

        yield open_box


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
        request.getfixturevalue("whole").faults.clear()
