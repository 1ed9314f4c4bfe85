"""Several processes of one run: how they meet, and that they divide a step."""

from __future__ import annotations

import datetime
import json
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import secura_bench
from divided_steps import CUT, METHODS, MIXTURES, SHARDED, do_divided_steps
from forked import together

from secura_bench.foundation.errors import BenchError
from secura_bench.training import processes

LAUNCHED = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29511"}


@pytest.fixture(scope="module")
def done(tmp_path_factory: Any) -> dict[str, Path]:
    """Return the folders in which one process, and two, wrote what they did."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("one", "two")}
    do_divided_steps(folders["one"])
    ends = together(2, do_divided_steps, folders["two"], cwd=folders["two"])
    assert [code for code, _, _ in ends] == [0, 0], ends
    return folders


@pytest.mark.parametrize(
    ("name", "size"), [(name, size) for name in METHODS for size in (None, 1)] + [(name, "auto") for name in CUT]
)
def test_two_processes_divide_a_step_and_take_the_one_that_one_takes(
    done: dict[str, Path], name: str, size: int | str | None
) -> None:
    """Each feeds its own rows, together one process's; losses, gradients and weights agree to 1e-5 of the largest."""
    key = f"{name}-{size}"
    (alone,) = (json.loads(path.read_text())[key] for path in done["one"].glob("*.json"))
    first, second = (json.loads((done["two"] / f"{rank}.json").read_text())[key] for rank in (0, 1))
    assert len(alone["fed"]) == 4 and all(len(rows) >= 6 for rows in alone["fed"])
    for whole, mine, other in zip(alone["fed"], first["fed"], second["fed"], strict=True):
        assert sorted(mine + other) == sorted(whole)
        assert 0 < len(mine) < len(whole) and abs(len(mine) - len(other)) <= 1
    for other in (first, second):
        assert other["losses"] == pytest.approx(alone["losses"], abs=1e-5)
    ours = torch.load(done["one"] / f"{key}-0.pt")
    for rank in (0, 1):
        for mine, other in zip(ours, torch.load(done["two"] / f"{key}-{rank}.pt"), strict=True):
            assert mine.abs().max() > 1e-3
            assert torch.allclose(mine, other, atol=1e-5 * max(1.0, float(mine.abs().max())), rtol=0)


@pytest.mark.parametrize("name", [*SHARDED, *MIXTURES])
def test_two_processes_that_divide_the_weights_take_the_step_that_one_takes(done: dict[str, Path], name: str) -> None:
    """Losses, gradients before they are clipped, and weights agree to 1e-5 of the largest, boundaries and all."""
    key = f"sharded-{name}"
    (alone,) = (json.loads(path.read_text())[key] for path in done["one"].glob("*.json"))
    ours = torch.load(done["one"] / f"{key}-0.pt")
    for rank in (0, 1):
        assert json.loads((done["two"] / f"{rank}.json").read_text())[key]["losses"] == pytest.approx(
            alone["losses"], abs=1e-5
        )
        for mine, other in zip(ours, torch.load(done["two"] / f"{key}-{rank}.pt"), strict=True):
            assert mine.abs().max() > 1e-4
            assert torch.allclose(mine, other, atol=1e-5 * max(1.0, float(mine.abs().max())), rtol=0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"RANK": None}, "WORLD_SIZE is 2, and RANK is not set"),
        ({"LOCAL_RANK": None}, "LOCAL_RANK is not set"),
        ({"MASTER_ADDR": None}, "MASTER_ADDR is not set"),
        ({"MASTER_PORT": ""}, "MASTER_PORT is not set"),
        ({"MASTER_PORT": "http"}, "MASTER_PORT is 'http'"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two', and must be a whole number, 1 or more"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0'"),
        ({"RANK": "2"}, "RANK is 2, and WORLD_SIZE is 2"),
        ({"RANK": "-1"}, "RANK is '-1'"),
    ],
)
def test_other_processes_that_cannot_be_found_are_refused_at_once(
    tmp_path: Path, spec_file: Path, monkeypatch: Any, changes: dict[str, str | None], said: str
) -> None:
    for name, value in {**LAUNCHED, **changes}.items():
        monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name, raising=False)
    ended = secura_bench("run", "spec.yaml", cwd=tmp_path)
    assert ended.returncode == 2 and said in ended.stderr and "torchrun --nproc-per-node 2" in ended.stderr
    assert "Traceback" not in ended.stderr and [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


def test_more_processes_than_accelerate_launch_starts_are_missed_at_once(tmp_path: Path, spec_file: Path) -> None:
    """Without GPUs it starts one, and leaves the environment in which mpirun would start the others."""
    said = {"ACCELERATE_USE_CPU": "True", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    ended = secura_bench("run", "spec.yaml", cwd=tmp_path, **said)
    assert ended.returncode == 2 and "accelerate launch started one process" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


@pytest.mark.parametrize(("rank", "world"), [(0, "1"), (3, ""), (1, None)])
def test_one_process_is_the_first_one(monkeypatch: Any, rank: int, world: str | None) -> None:
    """Also where somebody set a rank, and nobody else is there."""
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", world) if world is not None else monkeypatch.delenv("WORLD_SIZE", raising=False)
    processes.join()
    assert processes.is_main() and processes.gather(3) == [3]


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_process_that_does_not_come_is_waited_for_so_long(monkeypatch: Any, rank: str) -> None:
    """Both for the first, which listens, and for another, which calls it."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    for name, value in {**LAUNCHED, "MASTER_PORT": port, "RANK": rank, "LOCAL_RANK": rank}.items():
        monkeypatch.setenv(name, value)
    assert datetime.timedelta(minutes=1) <= processes.MEETING <= datetime.timedelta(minutes=30)
    monkeypatch.setattr(processes, "MEETING", datetime.timedelta(seconds=2))
    with pytest.raises(BenchError, match=rf"not all of the 2 processes .* met at localhost:{port} within"):
        processes.join()


class _HalfMadeError(Exception):
    """Cannot be made again of what it says alone."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)


@pytest.mark.parametrize(
    ("others", "own", "kind", "said"),
    [
        ([None, None], None, None, ""),
        ([None, BenchError("b.")], None, BenchError, "b."),
        ([torch.OutOfMemoryError("full"), BenchError("b.")], torch.OutOfMemoryError("full"), BenchError, "b."),
        ([torch.OutOfMemoryError("full"), None], None, torch.OutOfMemoryError, "full"),
        ([ValueError("a"), ValueError("b")], ValueError("b"), ValueError, "a"),
        ([None, _HalfMadeError(1, "half")], None, BenchError, "_HalfMadeError: half"),
    ],
)
def test_all_processes_raise_the_error_that_is_the_first_of_those_that_end_the_work(
    monkeypatch: Any, others: list[Any], own: Any, kind: Any, said: str
) -> None:
    monkeypatch.setattr(processes, "together", lambda: True)
    monkeypatch.setattr(processes, "place", lambda: (2, 3))
    monkeypatch.setattr(processes, "gather", lambda _: [(processes._sendable(error), "how") for error in others])
    if kind is None:
        return processes.agree(own)
    with pytest.raises(kind) as met:
        processes.agree(own)
    assert str(met.value) == said and processes.is_for_all(met.value)
    assert "in another process of the run:\nhow" in str(met.value.__cause__)
    return None


@pytest.mark.parametrize(("here", "own"), [(0, ValueError("a")), (1, ValueError("a")), (0, _HalfMadeError(1, "half"))])
def test_a_process_raises_its_own_error_where_it_has_the_one(monkeypatch: Any, here: int, own: Exception) -> None:
    """With its own traceback, and of its own kind, which may be none that can be sent."""
    monkeypatch.setattr(processes, "together", lambda: True)
    monkeypatch.setattr(processes, "place", lambda: (here, 2))
    monkeypatch.setattr(processes, "gather", lambda mine: [(processes._sendable(own), "")] * 2)
    with pytest.raises(type(own)) as met:
        processes.agree(own)
    assert met.value is own and own.__cause__ is None
    assert processes.is_for_all(own) and not processes.is_for_all(ValueError("a"))
