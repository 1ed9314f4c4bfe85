"""A method of one's own: the README's example, as a file and through the command line."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, SPEC, secura_bench

from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.registry import METHODS


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch) -> Path:
    """The method that the README shows, in a file; forgotten after the test."""
    monkeypatch.setattr(METHODS, "_objects", dict(METHODS._objects))
    return Path(shutil.copy(ROOT / "docs/methods/l2_to_start.py", tmp_path))


def test_the_readmes_method_runs(plugin: Path, tmp_path: Path) -> None:
    text = SPEC.replace("[{name: lora, r: 2}]", "[{name: l2_to_start, strength: 0.5}, seq]")
    (tmp_path / "spec.yaml").write_text(text)
    done = secura_bench("run", "spec.yaml", "--plugin", str(plugin), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = tmp_path.glob("results/trial/*l2_to_start*")
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert log[0]["terms"]["l2"] == 0.0 and log[1]["terms"]["l2"] > 0
    record = json.loads((run / "record.json").read_text())
    assert record["method"]["code"] == hashlib.sha256(plugin.read_bytes()).hexdigest()
    (ours,) = tmp_path.glob("results/trial/*seq*")
    assert "code" not in json.loads((ours / "record.json").read_text())["method"]
    held = record["parameters"]
    assert held["held"] == held["trainable"] == held["total"]


@pytest.mark.parametrize("entry", ["l2_to_start", "{stack: [l2_to_start, er]}"])
def test_another_text_is_another_run(plugin: Path, tmp_path: Path, monkeypatch, entry: str) -> None:
    from secura_bench.methods.plugins import load_plugin
    from secura_bench.plan.make import make_plan
    from secura_bench.spec.load import load_spec

    (tmp_path / "spec.yaml").write_text(SPEC.replace("[{name: lora, r: 2}]", f"[{entry}]"))
    prints = []
    for text in (plugin.read_text(), plugin.read_text() + "\n# changed\n"):
        plugin.write_text(text)
        METHODS._objects.pop("l2_to_start", None)
        load_plugin(plugin)
        prints.append(make_plan(load_spec(str(tmp_path / "spec.yaml"))).runs[1].fingerprint)
    assert prints[0] != prints[1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no such Python file"),
        ("x = 1\n", "defines no subclass"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("from secura_bench.methods.base import Method\nclass Mine(Method):\n    name = 'lora'\n", "exists already"),
    ],
)
def test_files_that_are_no_plugins(tmp_path: Path, text: str | None, reason: str) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    done = secura_bench("validate", "spec.yaml", "--plugin", "mine.py", cwd=tmp_path)
    assert done.returncode == 2 and reason in done.stderr and "Traceback" not in done.stderr


def test_a_file_of_another_kind_is_no_plugin(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    from secura_bench.methods.plugins import load_plugin

    with pytest.raises(SpecError, match=r"spec\.yaml: its name does not end in \.py"):
        load_plugin(tmp_path / "spec.yaml")


NEEDS_A_MODEL = """\
from secura_bench.methods.base import Method


class Embeddings(Method):
    name = "embeddings"

    def attach(self, model):
        model.requires_grad_(False)
        model.get_input_embeddings().requires_grad_(True)
        return model
"""
LOSES = """\
from secura_bench.methods.base import Method


class Loses(Method):
    name = "loses"

    def loss(self, model, batch):
        return {}["oops"]
"""
SKELETON = "'ModuleDict' object has no attribute 'get_input_embeddings'"


@pytest.fixture
def own(tmp_path: Path, monkeypatch):
    """Return a function that writes a plug-in ``mine.py`` and a spec of it and LoRA; forgotten after the test."""
    monkeypatch.setattr(METHODS, "_objects", dict(METHODS._objects))

    def write(text: str, name: str) -> None:
        METHODS._objects.pop(name, None)
        (tmp_path / "mine.py").write_text(text)
        (tmp_path / "spec.yaml").write_text(SPEC.replace("[{name: lora, r: 2}]", f"[{{name: lora, r: 2}}, {name}]"))

    return write


def test_an_estimate_that_a_plugin_breaks_is_left_out(own, tmp_path: Path) -> None:
    own(NEEDS_A_MODEL, "embeddings")
    done = secura_bench("plan", "spec.yaml", "--plugin", "mine.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = re.findall("^embeddings .*$", done.stdout, flags=re.MULTILINE)
    assert line.split()[3:5] == ["–", "–"] and line.split()[-3:] == ["–", "–", "–"], "a layer, paper; GiB, fits, time"
    assert re.search(r"^lora-r-2 .* yes ", done.stdout, flags=re.MULTILINE)
    note = " ".join(done.stdout.split())
    assert "embeddings: its own code failed" in note and f"{SKELETON} ({tmp_path / 'mine.py'}:9)" in note
    own(NEEDS_A_MODEL, "embeddings")
    done = secura_bench("run", "spec.yaml", "--plugin", "mine.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("results/trial/*/record.json"))) == 3


def test_a_trial_that_a_plugin_breaks_is_left_out(own, tmp_path: Path) -> None:
    own(LOSES, "loses")
    done = secura_bench("plan", "spec.yaml", "--plugin", "mine.py", "--probe", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "loses: its own code failed" in done.stdout
    assert f"KeyError: 'oops' ({tmp_path / 'mine.py'}:8)" in " ".join(done.stdout.split())


def test_an_error_of_ours_in_an_estimate_surfaces(own, tmp_path: Path, monkeypatch) -> None:
    from secura_bench.estimates import forecast

    own(LOSES, "loses")
    monkeypatch.setattr(forecast, "disk_of", lambda *_: {}["ours"])
    with pytest.raises(KeyError, match="ours"):
        secura_bench("plan", "spec.yaml", "--plugin", "mine.py", cwd=tmp_path)


def test_a_method_that_refuses_a_model_is_refused_as_before(own, tmp_path: Path) -> None:
    refuses = NEEDS_A_MODEL.replace(
        "        model.req", '        raise SpecError("no such module here.")\n        model.req', 1
    )
    own("from secura_bench.foundation.errors import SpecError\n" + refuses, "embeddings")
    done = secura_bench("plan", "spec.yaml", "--plugin", "mine.py", cwd=tmp_path)
    assert done.returncode == 2 and "'embeddings' does not fit model 'tiny': no such module here." in done.stderr


def test_a_plugin_that_fails_in_a_run_is_named_with_its_line(own, tmp_path: Path) -> None:
    own(LOSES, "loses")
    done = secura_bench("run", "spec.yaml", "--plugin", "mine.py", cwd=tmp_path)
    assert done.returncode == 1
    (trace,) = tmp_path.glob("results/trial/*/traceback.txt")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("failed: ") and f"KeyError: 'oops' ({tmp_path / 'mine.py'}:8)." in last
    assert f"{trace.relative_to(tmp_path)} says where." in last
    failure = json.loads(trace.with_name("failure.json").read_text())
    assert f"{tmp_path / 'mine.py'}:8" in failure["reason"] and str(trace.relative_to(tmp_path)) in failure["advice"]


def test_a_plugin_that_no_model_can_take_is_one_line(own, tmp_path: Path) -> None:
    own(NEEDS_A_MODEL.replace("get_input_embeddings", "no_such_thing"), "embeddings")
    done = secura_bench("run", "spec.yaml", "--plugin", "mine.py", cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "no attribute 'no_such_thing' (" in done.stderr and f"{tmp_path / 'mine.py'}:9)" in done.stderr


REMEMBERS = """\
from secura_bench.methods.base import Method


class Remembers(Method):
    name = "remembers"

    def __init__(self, options=None):
        super().__init__(options)
        self.memory = []

    def mix(self, examples):
        self.memory.extend(examples)
        return examples
"""


@pytest.mark.parametrize("entry", ["remembers", "{stack: [{name: lora, r: 2}, remembers]}"])
def test_what_a_plugin_would_forget_ends_its_run_at_the_first_checkpoint(own, tmp_path: Path, entry: str) -> None:
    own(REMEMBERS, "remembers")
    spec = (tmp_path / "spec.yaml").read_text().replace("[{name: lora, r: 2}, remembers]", f"[{entry}]")
    spec = spec.replace("steps: 2,", "steps: 6,") + "checkpoint: {every_steps: 2}\n"
    (tmp_path / "spec.yaml").write_text(spec)
    done = secura_bench("run", "spec.yaml", "--plugin", "mine.py", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    (failed,) = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert "mine.py: method 'remembers': its attribute 'memory' changed after the start" in failed
    assert "state_dict" in failed and "start" in failed
    (log,) = tmp_path.glob("results/trial/*remembers*/log.jsonl")
    assert len(log.read_text().splitlines()) == 2, "not a step further"
    assert not list(tmp_path.rglob("state.json"))


STILL = """\
from secura_bench import Method


class Still(Method):
    name = "still"
    stream = "none"

    def attach(self, model):
        return model.requires_grad_(False)
"""


def test_a_method_that_trains_nothing_has_nothing_to_keep(own, tmp_path: Path) -> None:
    """It is not the base model: it has a run of its own, and no second run asks for what the first did not keep."""
    own(STILL, "still")
    with (tmp_path / "spec.yaml").open("a") as spec:
        spec.write("keep: adapters\n")
    for _ in range(2):
        METHODS._objects.pop("still", None)
        done = secura_bench("run", "spec.yaml", "--plugin", "mine.py", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "without keeping" not in done.stderr
    assert len(list(tmp_path.glob("results/trial/*still*/record.json"))) == 1
