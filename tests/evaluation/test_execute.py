"""The protocol that runs what a model writes: asked for on the command line, and what cannot be run is skipped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import secura_bench

from secura_bench.evaluation.evaluate import evaluate, pool
from secura_bench.evaluation.predictions import Prediction
from secura_bench.evaluation.protocols.execute import EXECUTE
from secura_bench.evaluation.protocols.protocol import Asked
from secura_bench.execution import ready
from secura_bench.execution.ready import why_not
from secura_bench.foundation.errors import DataError, SpecError
from secura_bench.plan.running import run_mark
from secura_bench.tasks.catalog import load_task
from secura_bench.tasks.code import read_code
from secura_bench.tasks.row import Code
from secura_bench.tasks.sources import read_rows

LACKING = why_not(["python"])["python"]
needs_sandbox = pytest.mark.skipif(bool(LACKING), reason=LACKING)
SPEC = """\
experiment: ran
mode: separate
model: tiny
tasks: [tiny_group]
probe: tiny_f_task_run
probe_rows: 9
methods: [base]
evaluate: {protocols: [generate, execute], limit: 2}
data: {rows: 60}
threads: 1
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "ran.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def examples(tiny) -> list:
    rows, _ = read_rows(load_task("tiny_run"), 6)
    return [tiny[1].example("tiny_run", row, 600) for row in rows]


def score(tiny, examples, reasons, known=None):
    model, chat, _ = tiny
    return evaluate("execute", model, load_task("tiny_run"), examples, chat, 4, 600, known=known or {}, why_not=reasons)


def test_what_writes_in_the_models_place_is_asked_for_programs_that_can_be_run(tiny, examples) -> None:
    model, chat, _ = tiny
    wanted = []

    def write(asked, rows, known):
        wanted.append((list(rows), set(known)))
        yield [(0, Prediction("pass"))]

    asked = Asked(model, load_task("tiny_run"), examples, chat, 4, 600, {1: Prediction()}, {"python": ""}, write=write)
    assert list(EXECUTE.predict(asked)) == [[(0, Prediction("pass"))]]
    assert wanted == [(list(examples), {1})]


@needs_sandbox
def test_programs_are_run_and_their_verdicts_kept(tiny, examples) -> None:
    found = score(tiny, examples, {"python": ""})
    assert [prediction.verdict for prediction in found.predictions] == ["passed"] * 6
    assert (found.n, found.scores["pass_at_1"], found.notes) == (6, 100.0, ())
    wrong = Code("python", examples[0].row.code.begin, "raise ValueError('not it')\n")
    others = [replace(examples[0], row=replace(examples[0].row, code=wrong)), *examples[1:]]
    found = score(tiny, others, {"python": ""})
    assert found.columns["pass_at_1"] == [0.0, *[100.0] * 5]
    assert (found.predictions[0].verdict, found.predictions[0].said) == ("failed", "ValueError: not it")
    assert [Prediction.from_json(json.loads(json.dumps(p.to_json()))) for p in found.predictions] == found.predictions


@needs_sandbox
def test_what_is_known_is_not_run_again(tiny, examples) -> None:
    known = {i: Prediction(text="", verdict="failed", said="before") for i in range(6)}
    assert score(tiny, examples, {"python": ""}, known).scores["pass_at_1"] == 0.0


def test_nothing_is_run_that_nobody_allowed(tiny, examples) -> None:
    with pytest.raises(SpecError, match="runs what the model writes, in a sandbox; if it may, say so: --allow-code"):
        score(tiny, examples, None)


def test_what_cannot_be_run_is_skipped_and_said_and_is_no_0(tiny, examples) -> None:
    go = replace(examples[0].row.code, language="go")
    others = [replace(examples[0], row=replace(examples[0].row, code=go)), *examples[1:]]
    found = score(tiny, others, {"python": "no sandbox", "go": "no go here"})
    assert (found.n, set(found.columns["pass_at_1"])) == (0, {None})
    assert found.scores["pass_at_1"] != found.scores["pass_at_1"]  # NaN
    assert found.notes == (
        "tiny_run: 1 of 6 programs are not run: no go here",
        "tiny_run: 5 of 6 programs are not run: no sandbox",
    )
    assert pool("probe", [found, found]).n == 0


def test_it_scores_programs_alone_and_no_other_protocol_does(examples) -> None:
    from secura_bench.evaluation.protocols import PROTOCOLS

    assert EXECUTE.scorable("code", examples) == list(range(6))
    assert not EXECUTE.scorable("answers", examples)
    assert [name for name, protocol in PROTOCOLS.items() if protocol.scorable("code", examples)] == ["execute"]


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_spec_cannot_allow_itself_to_run_programs(verb: str, spec: Path, tmp_path: Path) -> None:
    done = secura_bench(verb, str(spec), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "secura-bench: evaluate.protocols: execute runs what the model writes, in a sandbox; if it may, say so: "
        "--allow-code."
    )
    assert not (tmp_path / "results").exists()


@needs_sandbox
def test_a_run_from_the_spec_to_the_table(spec: Path, tmp_path: Path) -> None:
    done = secura_bench("run", str(spec), "--allow-code", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "execute · probe tiny_f_task_run" in done.stdout
    assert "pass@1" in done.stdout
    record = json.loads(next((tmp_path / "results").glob("*/*base*/record.json")).read_text())
    scores = {(s["role"], s["protocol"], s["task"]): (s["n"], s["values"].get("pass_at_1")) for s in record["scores"]}
    assert scores["part", "execute", "tiny_run"] == scores["probe", "execute", "tiny_f_task_run"]
    assert scores["part", "execute", "tiny_run"][0] == 3
    assert scores["probe", "generate", "tiny_f_task_run"] == (6, None)  # without the code, and said so by n
    texts = next((tmp_path / "results").glob("*/*base*/evals/*/execute/probe/tiny_run.texts.jsonl")).read_text()
    assert all({"verdict", "said"} <= json.loads(line).keys() for line in texts.splitlines())


def test_a_run_without_a_sandbox_ends_and_says_so(spec: Path, tmp_path: Path, monkeypatch) -> None:
    """The runs' fingerprint says what was run, so that the same command runs it where a sandbox is there."""
    monkeypatch.setattr(ready, "_why_not", lambda language: "bubblewrap is not here: install it (Debian: bubblewrap)")
    done = secura_bench("run", str(spec), "--allow-code", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = next((tmp_path / "results").glob("*/*base*"))
    record = json.loads((folder / "record.json").read_text())
    assert "tiny_run: 3 of 3 programs are not run: bubblewrap is not here: install it (Debian: bubblewrap)" in str(
        record
    )
    assert [s["values"]["pass_at_1"] for s in record["scores"] if s["protocol"] == "execute"] == [None, None]
    if not LACKING:
        monkeypatch.undo()
        again = secura_bench("run", str(spec), "--allow-code", cwd=tmp_path)
        assert again.returncode == 0, again.stderr
        assert len(list((tmp_path / "results").glob("*/*base*"))) == 2


def test_a_fingerprint_says_what_is_run_and_by_what_a_program_passes() -> None:
    assert run_mark(None) == {}
    assert run_mark({"python": "", "go": "not here"}) == {"run": ["python"], "passes": "behind its tests"}


def test_programs_are_never_trained_on(spec: Path, tmp_path: Path) -> None:
    spec.write_text(SPEC.replace("[tiny_group]", "[tiny_run]"))
    done = secura_bench("validate", str(spec), cwd=tmp_path)
    assert done.returncode == 2
    assert "'tiny_run' is code that is run: it can be a probe, and is never trained on." in done.stderr


def test_a_column_code_that_is_none_is_refused_by_name() -> None:
    good = {"language": "python", "begin": "def f():\n", "tests": "f()\n", "stop": ["\ndef", ""]}
    assert read_code(good, "here") == Code("python", "def f():\n", "f()\n", ("\ndef",))
    assert read_code(None, "here") is None
    for bad, message in (
        ("python", "here: code must map language, begin and tests to a text each, and may map stop to a list."),
        ({**good, "tests": 3}, "here: code must map"),
        ({**good, "more": "x"}, "here: code must map"),
        ({**good, "stop": "x"}, "here: the stop of code must be a list of texts, not 'x'."),
        ({**good, "language": "pyton"}, "here: code: unknown language 'pyton'. Did you mean 'python'?"),
    ):
        with pytest.raises(DataError) as caught:
            read_code(bad, "here")
        assert str(caught.value).startswith(message)
