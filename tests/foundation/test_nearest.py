"""The nearest of what lies where a path that is not there should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from secura_bench.foundation.nearest import nearest_path


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results" / "exp2" / "run-a").mkdir(parents=True)
    (tmp_path / ".resalts").mkdir()
    for name in ("method.py", "spec.yaml", "metod.txt"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize(
    ("path", "suffixes", "meant"),
    [
        ("reslts", ("",), "results"),
        ("reslts/exp2/run-a", ("",), "results"),
        ("results/ex2", ("",), "results/exp2"),
        ("metho.py", (".py",), "method.py"),
        ("./methd.py", (".py",), "method.py"),
        ("spc.yaml", (".yaml", ".yml"), "spec.yaml"),
        ("nothing.yaml", (".yaml",), None),
        ("x.py", (".py",), None),
        ("method.py/below", ("",), None),
    ],
)
def test_the_nearest_path_is_the_one_that_was_meant(path: str, suffixes: tuple[str, ...], meant: str | None) -> None:
    assert nearest_path(Path(path), suffixes) == ("" if meant is None else f" Did you mean {meant!r}?")
