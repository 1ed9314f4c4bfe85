"""Whole runs of tasks that are classified: from the spec to tables, killed and resumed, exported and scored again."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from conftest import SPEC, secura_bench
from interrupted import assert_same, signal_me
from safetensors.torch import load_file

from secura_bench.checkpoints.score_spec import Wanted, score_spec
from secura_bench.models.load import find_model, load_model
from secura_bench.plan.make import make_plan
from secura_bench.results.read import read_record
from secura_bench.spec.load import load_spec

HEADS = (
    SPEC.replace("separate", "sequence")
    .replace("[tiny_group]", "[tiny_group_head, tiny_langid_head]")
    .replace("probe: tiny_f_task\nprobe_rows: 6", "probe: tiny_text\nprobe_rows: 4")
    .replace("steps: 2", "steps: 4")
    .replace("threads: 1", "threads: 1\nlog: {weight_norms: true}")
    .replace("[teacher_forced, generate], limit: 3", "[classify, perplexity], limit: 5, batch_size: 4")
    .replace(
        "[{name: lora, r: 2}]",
        "[base, head_only, {name: lora, r: 2, boundary: continue}, {stack: [{name: lora, r: 2}, er], label: er}]",
    )
)
RUNS = ("base", "head_only", "lora", "er")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of a sequence of two tasks, undisturbed."""
    folder = tmp_path_factory.mktemp("heads")
    (folder / "spec.yaml").write_text(HEADS)
    done = secura_bench("run", "spec.yaml", "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def run_of(folder: Path, label: str) -> Path:
    """Return the folder of a method's run."""
    (found,) = (folder / "results" / "trial").glob(f"tiny-{label}*")
    return found


def test_records_have_heads_scores_beside_the_models_own_perplexity(finished: Path) -> None:
    for label in RUNS:
        record = read_record(run_of(finished, label) / "record.json")
        assert {(s.protocol, s.role) for s in record.scores} == {
            ("classify", "task"),
            ("perplexity", "probe"),
            ("perplexity", "part"),
        }
        assert record.data["tiny_group_head"].chance == pytest.approx(20)
    base = read_record(run_of(finished, "base") / "record.json")
    only = read_record(run_of(finished, "head_only") / "record.json")
    perplexities = {s.values["perplexity"] for r in (base, only) for s in r.scores if s.role == "probe"}
    assert len(perplexities) == 1  # nothing of the model was trained


def test_records_say_how_far_the_weights_moved(finished: Path) -> None:
    """Against the product of the matrices that the run kept."""
    moved = {label: read_record(run_of(finished, label) / "record.json").weight_norms["moved"] for label in RUNS}
    assert set(moved["base"].values()) == set(moved["head_only"].values()) == {0.0}
    kept = load_file(run_of(finished, "lora") / "adapter" / "trained.safetensors")
    base = dict(load_model(find_model("tiny")).named_parameters())
    found = []
    for name, A in kept.items():
        if "q_proj.lora_A" in name:
            B, scale = kept[name.replace("lora_A", "lora_B")], 16 / 2
            W = base[name.removeprefix("base_model.model.").replace("lora_A.default.", "")]
            found.append(float((scale * B @ A).norm() / W.detach().norm()))
    assert moved["lora"]["q_proj"] == pytest.approx(sum(found) / len(found), rel=1e-4)


def test_item_files_hold_the_label_that_was_answered(finished: Path) -> None:
    (texts,) = run_of(finished, "head_only").glob("evals/*-tiny_group_head-4/classify/tiny_group_head.texts.jsonl")
    lines = [json.loads(line) for line in texts.read_text().splitlines()]
    labels = {"birds", "drinks", "metals", "sports", "trees"}
    assert len(lines) == 5 and all({line["extracted"], line["reference"]} <= labels for line in lines)
    items = json.loads(texts.with_name("tiny_group_head.json").read_text())
    assert items["accuracy"] == [100.0 * (line["extracted"] == line["reference"]) for line in lines]


def test_a_constant_answer_is_said(finished: Path) -> None:
    """By the rule: where one label is given to every row, and only there."""
    for label in RUNS:
        run = run_of(finished, label)
        said = {note for note in read_record(run / "record.json").notes if "are answered" in note}
        expected = set()
        for texts in run.glob("evals/*/classify/*.texts.jsonl"):
            answered = {json.loads(line)["prediction"] for line in texts.read_text().splitlines()}
            after = texts.parts[-3].split("-")[1]
            moment = "before training" if after == "start" else f"after {after}"
            if len(answered) == 1:
                task = texts.name.removesuffix(".texts.jsonl")
                expected.add(f"{task} {moment}: all 5 rows are answered {answered.pop()!r}")
        assert said == expected


def test_killed_and_resumed_they_end_the_same(finished: Path, tmp_path: Path, at_step) -> None:
    (tmp_path / "spec.yaml").write_text(HEADS)
    at_step(5, signal_me(signal.SIGTERM))
    codes = []
    while not codes or codes[-1]:
        codes.append(secura_bench("run", "spec.yaml", "--quiet", cwd=tmp_path).returncode)
    assert len(codes) > 3
    assert_same(finished / "results", tmp_path / "results")
    for label in ("head_only", "lora", "er"):
        ours, theirs = (load_file(run_of(f, label) / "adapter" / "heads.safetensors") for f in (finished, tmp_path))
        assert ours.keys() == theirs.keys() and all(ours[name].equal(theirs[name]) for name in ours)


def test_an_export_brings_its_heads_and_is_scored_by_them(finished: Path, tmp_path: Path) -> None:
    run = run_of(finished, "lora")
    done = secura_bench("export", str(run), str(tmp_path / "out"), "--to", "peft", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    methods = HEADS[HEADS.index("methods:") : HEADS.index("train:")]
    spec = HEADS.replace(methods, f"methods: [{{name: checkpoint, path: {tmp_path / 'out'}}}]\n")
    (tmp_path / "spec.yaml").write_text(spec)
    done = secura_bench("run", "spec.yaml", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    theirs = {s.task: s.values for s in read_record(run / "record.json").scores if s.after == "tiny_langid_head"}
    again = read_record(run_of(tmp_path, "checkpoint") / "record.json")
    for score in again.scores:
        assert score.values == pytest.approx(theirs[score.task], rel=1e-4)

    (tmp_path / "out" / "heads.safetensors").unlink()
    done = secura_bench("run", "spec.yaml", "--quiet", cwd=tmp_path)
    assert done.returncode == 2
    assert "has no heads.safetensors, so nothing in it answers tiny_group_head, tiny_langid_head" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("classify, perplexity", "generate, perplexity", "'generate' can score none of"),
        ("classify, perplexity", "perplexity", "is scored by none of evaluate.protocols; 'classify' can score it"),
        ("probe: tiny_text", "probe: tiny_group_head", "can be learned, and is no probe"),
        (
            "[tiny_group_head, tiny_langid_head]",
            "[tiny_group]",
            "'classify' can score none of|trains classification heads",
        ),
    ],
)
def test_what_has_no_head_or_no_protocol_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "spec.yaml").write_text(HEADS.replace(old, new))
    done = secura_bench("validate", "spec.yaml", cwd=tmp_path)
    done = done if done.returncode else secura_bench("plan", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert any(part in done.stderr for part in said.split("|"))


def test_head_only_needs_a_head(tmp_path: Path) -> None:
    text = SPEC.replace("[{name: lora, r: 2}]", "[head_only]")
    (tmp_path / "spec.yaml").write_text(text)
    done = secura_bench("plan", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 2 and "trains classification heads and nothing else" in done.stderr


def test_the_base_run_is_of_one_draw_of_heads(tmp_path: Path) -> None:
    """Another first seed draws other untrained heads, so it is another run; a spec without heads has one for all."""
    for text, alike in ((HEADS, False), (SPEC, True)):
        found = []
        for seed in (1, 2):
            (tmp_path / "spec.yaml").write_text(f"{text}seeds: [{seed}]\n")
            plan = make_plan(load_spec(tmp_path / "spec.yaml"))
            found.append(plan.runs[0].fingerprint)
        assert (found[0] == found[1]) == alike


def test_score_asks_a_classified_task_by_its_head() -> None:
    wanted = [Wanted("mine", "out")]
    spec = score_spec(wanted, "tiny", ["tiny_group_head"], "tiny_text")
    assert spec["evaluate"]["protocols"] == ["perplexity", "classify"]
    spec = score_spec(wanted, "tiny", ["tiny_group_head", "tiny_group"], None)
    assert spec["evaluate"]["protocols"] == ["generate", "classify"]
