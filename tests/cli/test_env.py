"""What `env` shows for a bug report, and what it keeps to itself."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secura_bench.cli import env
from secura_bench.cli.main import app
from secura_bench.foundation.version import __version__


def shown() -> dict[str, str]:
    done = CliRunner().invoke(app, ["env"])
    assert done.exit_code == 0, done.output
    return {name: value.strip() for name, _, value in (line.partition(" ") for line in done.stdout.splitlines())}


def test_it_shows_versions_machine_and_caches() -> None:
    facts = shown()
    assert facts["secura-bench"].startswith(__version__) and facts["python"] == platform.python_version()
    named = ("torch", "transformers", "peft", "accelerate", "datasets", "huggingface_hub", "tokenizers")
    assert {name: facts[name] for name in named} == {name: version(name) for name in named}
    assert facts.keys() >= {"platform", "cpu", "threads", "HF_HOME", "HF_HUB_CACHE"}


def test_it_shows_the_home_as_a_tilde_and_no_token(tmp_path: Path) -> None:
    cache = tmp_path / ".cache" / "huggingface"
    cache.mkdir(parents=True)
    (cache / "token").write_text("hf_fromafile")
    there = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))}
    environment = {**there, "HOME": str(tmp_path), "HF_TOKEN": "hf_fromthevariable", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "secura_bench", "env"]
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "~/.cache/huggingface/hub" in out.stdout
    said = out.stdout + out.stderr
    assert str(tmp_path) not in said and "hf_from" not in said and platform.node() not in said


def test_it_answers_where_torch_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    facts = shown()
    assert "torch cannot be imported" in facts["devices"] and facts["HF_HUB_CACHE"]


def test_it_names_the_commit_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "secura_bench.foundation.installed.commit", lambda: {"commit": "0123456789abcdef", "dirty": True}
    )
    monkeypatch.setattr(env, "_PACKAGES", ("torch", "no-such-distribution"))
    facts = shown()
    assert facts["secura-bench"] == f"{__version__} (commit 0123456789, with changes)"
    assert facts["no-such-distribution"] == "not installed"
