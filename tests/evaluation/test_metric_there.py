"""Metrics by id are asked for at the Hub, and believed where it cannot be asked."""

from __future__ import annotations

from typing import Any

import huggingface_hub
import pytest

from secura_bench.evaluation.metric_there import check_metric
from secura_bench.foundation.errors import SpecError


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the Hub have two spaces, and return what it was asked for."""
    ids: list[str] = []

    def repo_exists(self: Any, repo_id: str, *, repo_type: str) -> bool:
        assert repo_type == "space"
        ids.append(repo_id)
        return repo_id in ("evaluate-measurement/toxicity", "someone/marks")

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(huggingface_hub.HfApi, "repo_exists", repo_exists)
    return ids


def test_an_id_that_the_hub_does_not_have_is_refused(asked: list[str]) -> None:
    check_metric("evaluate:toxicity")
    check_metric("evaluate:someone/marks")
    with pytest.raises(SpecError, match=r"'evaluate:meteo': the Hub has none of that name"):
        check_metric("evaluate:meteo")
    with pytest.raises(SpecError, match="the Hub has none"):
        check_metric("evaluate:someone/markz")
    assert asked[-4:-1] == [f"evaluate-{kind}/meteo" for kind in ("metric", "comparison", "measurement")]


def test_an_id_is_believed_where_the_hub_cannot_be_asked(monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> None:
    def away(self: Any, repo_id: str, *, repo_type: str) -> bool:
        raise ConnectionError

    monkeypatch.setattr(huggingface_hub.HfApi, "repo_exists", away)
    check_metric("evaluate:meteo")
    monkeypatch.undo()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    check_metric("evaluate:meteo")
    assert asked == []
