"""``secura-bench score``: a spec is written and run, and what cannot be is said before anything is scored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import Done, secura_bench
from outside import TINY, save_adapter, save_merged

FEW = ("--set", "evaluate.limit=3", "--set", "probe_rows=6", "--set", "threads=1")


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    for name in ("lora", "run-a/final", "run-b/final"):
        save_adapter(folder / name, steps=2, seed=len(name))
    save_merged(folder / "merged", steps=2)
    return folder


@pytest.fixture
def out(outside: Path, tmp_path: Path) -> Path:
    """Return a working directory with checkpoints in ``out``."""
    shutil.copytree(outside, tmp_path / "out")
    return tmp_path


def score(cwd: Path, *words: str) -> Done:
    return secura_bench("score", *words, cwd=cwd)


def spec_of(cwd: Path) -> dict[str, object]:
    (path,) = cwd.glob("results/*/score-*.yaml")
    return yaml.safe_load(path.read_text())


def test_a_spec_is_written_and_run_and_its_report_printed(out: Path) -> None:
    words = ("out/lora", "ours=out/merged", "--base", "tiny", "--learned", "tiny_group", *FEW)
    done = score(out, *words)
    assert done.returncode == 0, done.stderr
    assert "score-tiny_group · tiny" in done.stdout and " ours " in done.stdout and "out/" not in done.stdout
    (path,) = out.glob("results/score-tiny_group/score-*.yaml")
    spec = yaml.safe_load(path.read_text())
    assert spec["methods"] == [
        {"name": "checkpoint", "label": "lora", "path": str(out / "out" / "lora")},
        {"name": "checkpoint", "label": "ours", "path": str(out / "out" / "merged")},
    ]
    again = score(out, *words)
    assert again.returncode == 0 and "3 of 3 runs were finished before" in again.stderr
    same = secura_bench("run", str(path), *FEW, cwd=out)
    assert same.stdout == again.stdout and "3 of 3 runs were finished before" in same.stderr
    kept = score(out, *words, "--require", "kept >= 1")
    assert kept.returncode in (0, 5) and "kept >= 1" in kept.stderr
    assert score(out, *words, "--require", "learned >= 101").returncode == 5  # three rows tell nothing
    assert score(out, *words, "--require", "kept is fine").returncode == 2
    events = score(out, *words, "--json-lines")
    assert json.loads(events.stdout.splitlines()[-1])["event"] == "finished"


def test_the_base_is_the_one_that_the_adapters_name(out: Path) -> None:
    done = score(out, "out/lora", "--learned", "tiny_group", "--probe", "tiny_f_task", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert spec_of(out)["model"] == str(TINY)
    for words, said in (
        (("out/merged",), "a whole model does not say what it was trained from"),
        (("out/elsewhere",), "names /somewhere/base, which is not there"),
        (("out/lora", "out/elsewhere"), "the adapters name several: "),
    ):
        other = shutil.copytree(out / "out" / "lora", out / "out" / "elsewhere", dirs_exist_ok=True)
        config = json.loads((other / "adapter_config.json").read_text())
        named = {**config, "base_model_name_or_path": "/somewhere/base"}
        (other / "adapter_config.json").write_text(json.dumps(named))
        done = score(out, *words, "--learned", "tiny_group", "--dry-run")
        assert done.returncode == 2 and "--base: is needed, since" in done.stderr and said in done.stderr


def test_labels_tell_apart_what_trainers_call_alike(out: Path) -> None:
    words = ("out/run-a/final", "out/run-b/final", "--base", "tiny", "--learned", "tiny_group", "--dry-run")
    assert score(out, *words).returncode == 0
    assert [each["label"] for each in spec_of(out)["methods"]] == ["final", "run-b-final"]
    done = score(out, "a=out/lora", "a=out/merged", "--base", "tiny", "--learned", "tiny_group")
    assert done.returncode == 2 and "two are called 'a'" in done.stderr
    done = score(out, "My=out/lora", "--base", "tiny", "--learned", "tiny_group")
    assert done.returncode == 2 and "a label must be of small letters" in done.stderr


def test_a_file_is_scored_whole(out: Path) -> None:
    rows = [{"prompt": f"Name number {i}.", "completion": f"It is {i}."} for i in range(12)]
    (out / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("out/lora", "--base", "tiny", "--learned", "mine.jsonl", "--quiet")
    done = score(out, *words, "--set", "probe_rows=6", "--set", "threads=1")
    assert done.returncode == 0, done.stderr
    (record,) = out.glob("results/score-mine/tiny-lora-*/record.json")
    assert json.loads(record.read_text())["data"]["mine"]["test_rows"] == 12


def test_a_task_of_ones_own_is_included_once(out: Path) -> None:
    task = {"id": "mine", "title": "Mine", "licence": "CC0", "answer": "text"}
    task |= {"generated": {"generator": "tiny_group", "seed": 7}}
    (out / "own").mkdir()
    (out / "own" / "mine.yaml").write_text(yaml.safe_dump(task))
    done = score(out, "out/lora", "--base", "tiny", "--learned", "mine", "--include", "own", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert spec_of(out)["tasks"] == ["mine"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("out/none", "--learned", "tiny_group"), "out/none"),
        (("out", "--learned", "tiny_group"), "holds neither adapter_config.json nor config.json. Did you mean"),
        (("out/lora", "--learned", "tiny_gruop"), "Did you mean 'tiny_group'?"),
        (("out/lora", "--learned", "none.jsonl"), "none.jsonl"),
        (("out/lora", "--learned", "tiny_group", "--probe", "none"), "unknown task 'none'"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(out: Path, words: tuple[str, ...], said: str) -> None:
    done = score(out, *words, "--base", "tiny", "--quiet")
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
    assert not list(out.glob("results/*/tiny-*"))


def test_a_default_probe_that_is_not_here_is_one_that_may_be_named(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(out / "none"))
    monkeypatch.delenv("SECURA_BENCH_DATA", raising=False)
    shutil.copytree(TINY, out / "base")
    words = ("out/lora", "--learned", "tiny_group", "--base", "base", "--quiet")
    done = score(out, *words)
    assert done.returncode == 2 and "f_task is the probe where --probe names none" in done.stderr
    done = score(out, *words, "--probe", "arc_c")
    assert done.returncode == 2 and "names none" not in done.stderr
