"""lm-evaluation-harness, where it is installed, and a folder of tasks for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness_tasks import write_tasks


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install -e '.[lm-eval]'")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, _installed: None) -> None:
    """The harness reads rows through datasets, which would keep them in the user's cache."""
    import datasets

    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="session")
def suites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tasks, which the harness indexes once."""
    return write_tasks(tmp_path_factory.mktemp("suites"))
