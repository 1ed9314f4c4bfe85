"""What `ls` prints besides names."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from conftest import ROOT, secura_bench

from secura_bench.cli.found_results import results
from secura_bench.cli.listing import methods
from secura_bench.cli.one_method import one_method
from secura_bench.cli.scores import metrics, protocols
from secura_bench.foundation.errors import BenchError, RecordError
from secura_bench.foundation.registry import METHODS
from secura_bench.report.study.protocols import PROTOCOLS
from secura_bench.spec.types import Protocol


def test_methods_that_are_not_their_papers_say_so() -> None:
    heading, *notes = methods().notes
    told = {note.partition(": ")[0]: note.partition(": ")[2] for note in notes}
    assert heading and set(told) == {
        name for name in METHODS.names() if "Deviation: " in (METHODS.get(name).__doc__ or "")
    }
    assert "A and B" in told["ewc"] and "Algorithm 1" in told["secura"] and "Chaudhry" in told["er"]
    assert all(note.endswith(".") and "\n" not in note for note in notes)


@pytest.mark.parametrize("name", METHODS.names())
def test_a_method_tells_each_of_its_options(name: str) -> None:
    listing = one_method(name)
    fields = METHODS.get(name).Options.model_fields
    keys = [field.alias or key for key, field in fields.items()]
    assert [row[0] for row in listing.rows] == (keys or [f"{name} has no options."])
    assert all(len(row) == 1 or all(row) for row in listing.rows), "an option without type, default or sentence"
    assert listing.notes[0].startswith(f"{name}: ")


def test_what_a_method_tells_of_its_options_is_so() -> None:
    told = {row[0]: row for row in one_method("ewc").rows}
    assert told["lambda"][1:3] == ("number ≥ 0", "400") and told["gamma"][1] == "number ≥ 0, ≤ 1"
    assert told["device"][1:3] == ("same or cpu", "same") and told["seed"][1:3] == ("whole number or null", "null")
    assert told["dtype"][3].startswith("How F and θ* are kept. bf16 halves the memory")
    (peft_type, *_) = one_method("peft").rows
    assert peft_type[:3] == ("peft_type", "text", "required")


def test_a_method_names_its_paper_and_what_is_otherwise_there() -> None:
    _, source, deviation = one_method("ewc").notes
    assert "1612.00796" in source and deviation.startswith("Otherwise than there: stacked on LoRA")
    assert len(one_method("seq").notes) == 1


def test_a_plug_in_is_looked_up_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METHODS, "_objects", dict(METHODS._objects))
    done = secura_bench("ls", "methods", "agem", "--plugin", str(ROOT / "docs" / "methods" / "agem.py"), cwd=ROOT)
    assert done.returncode == 0 and "1812.00420" in done.stdout and "How many of them each step looks at" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("methods", "lroa"), "Did you mean 'lora'?"),
        (("protcols",), "Did you mean 'protocols'?"),
        (("models", "tiny"), "are listed whole"),
    ],
)
def test_what_cannot_be_listed_is_refused(words: tuple[str, ...], said: str) -> None:
    done = secura_bench("ls", *words, cwd=ROOT)
    assert done.returncode == 2 and said in done.stderr


def test_every_protocol_of_a_spec_is_listed_and_every_metric_explained() -> None:
    assert [row[0] for row in protocols().rows] == [*get_args(Protocol), "lm_eval"]
    assert {name for each in PROTOCOLS.values() for name in each.metrics} <= {row[0] for row in metrics().rows}
    assert all(all(row) for row in (*protocols().rows, *metrics().rows))


def test_results_are_counted_by_experiment_and_model(tmp_path: Path) -> None:
    for run in [path for path in (ROOT / "results" / "fusion").iterdir() if (path / "record.json").is_file()]:
        (tmp_path / "results" / "fusion" / run.name).mkdir(parents=True)
        shutil.copy(run / "record.json", tmp_path / "results" / "fusion" / run.name)
    damaged = tmp_path / "results" / "fusion" / "damaged"
    damaged.mkdir()
    (damaged / "record.json").write_text("{")
    listing = results(tmp_path / "results")
    ((experiment, model, done, newest),) = listing.rows
    assert (experiment, model, done) == ("fusion", "smollm2", "3") and newest.startswith("20")
    assert [note.startswith("skipped: ") for note in listing.notes] == [True]


def test_a_results_folder_that_is_not_there_has_its_nearest_named(tmp_path: Path) -> None:
    (tmp_path / "results" / "exp2").mkdir(parents=True)
    with pytest.raises(RecordError, match=r"reslts.*no such folder\. Did you mean '.*results'\?"):
        results(tmp_path / "reslts" / "exp2")
    with pytest.raises(RecordError, match=r"Did you mean '.*results/exp2'\?"):
        results(tmp_path / "results" / "exp")
    with pytest.raises(BenchError, match="no finished run"):
        results(tmp_path / "results")


@pytest.mark.parametrize("words", [["protocols"], ["metrics"], ["results"], ["tasks"], ["configs"]], ids="".join)
def test_what_needs_no_method_reads_no_torch(words: list[str]) -> None:
    code = f"""
import sys
from secura_bench.cli.main import app
app({["ls", *words]!r}, standalone_mode=False)
sys.exit("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
