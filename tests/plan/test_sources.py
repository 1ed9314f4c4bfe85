"""Rows that methods read beside the trained ones: found with the spec, read with the plan, scored nowhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import SPEC

from secura_bench.checking.live import Live
from secura_bench.checking.trial import Trial
from secura_bench.data.collate import collate
from secura_bench.data.dataset import load_data
from secura_bench.data.general import general_rows
from secura_bench.foundation.errors import DataError, SpecError
from secura_bench.plan.make import Plan, make_plan
from secura_bench.results.folder import RunFolder
from secura_bench.results.read import read_record
from secura_bench.runs.one_run import do_run
from secura_bench.runs.progress.events import NoProgress
from secura_bench.runs.stopping import Stop
from secura_bench.spec.load import load_spec, load_specs
from secura_bench.spec.sections import DataSpec
from secura_bench.tasks.catalog import CATALOG


@pytest.fixture(autouse=True)
def _own_catalog() -> Any:
    yield
    CATALOG.reset()


def write(folder: Path, *methods: Any, **changes: Any) -> str:
    spec = {**yaml.safe_load(SPEC), "evaluate": {"limit": 3}, "methods": list(methods), **changes}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    return str(folder / "spec.yaml")


def plan(folder: Path, *methods: Any, **changes: Any) -> Plan:
    return make_plan(load_spec(write(folder, *methods, **changes)))


def from_(source: str, **options: Any) -> dict[str, Any]:
    return {"name": "er", "from": source, **options}


def test_no_replayed_row_is_scored_though_the_source_is_a_part_of_the_probe(tmp_path: Path) -> None:
    made = plan(tmp_path, from_("tiny_arith"), from_("tiny_group", label="own"))
    for name, rows in made.inputs.sources.items():
        scored = {e.row.asked for e in (*made.inputs.probe.get(name, ()), *made.inputs.test.get(name, ()))}
        assert rows and scored and not scored & {example.row.asked for example in rows}
    with pytest.raises(DataError, match="'tiny_arith', which has 6 that are not trained on"):
        plan(tmp_path, from_("tiny_arith"), probe_rows=30)
    assert plan(tmp_path, "er", probe_rows=30).inputs.sources == {}


def test_a_row_that_stands_in_a_file_and_in_a_scored_task_is_not_replayed(tmp_path: Path) -> None:
    scored = plan(tmp_path, "er").inputs.probe["tiny_arith"][0].row
    rows = [{"prompt": f"Say {i}.", "target": str(i)} for i in range(20)]
    own = [*rows, *({"prompt": scored.prompt, "target": scored.target} for _ in range(20))]
    (tmp_path / "general.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    made = plan(tmp_path, from_("general.jsonl"))
    replayed = {example.row.prompt for example in made.inputs.sources["general"]}
    assert replayed and replayed <= {row["prompt"] for row in rows}
    (tmp_path / "general.jsonl").write_text("".join(json.dumps(own[-1 - i % 2]) + "\n" for i in range(9)))
    with pytest.raises(DataError, match="general"):
        plan(tmp_path, from_("general.jsonl"))


def test_plain_text_is_learned_from_its_second_token_on(tiny: Any) -> None:
    _, chat, _ = tiny
    rows = general_rows(load_data("tiny_text", DataSpec(rows=60), chat), (), 12)
    assert all(len(row) <= 12 and len(row.prompt_ids) == 1 for row in rows) and max(map(len, rows)) == 12
    batch = collate(rows[:3], chat.pad_id)
    assert len(batch.targets) == sum(row.supervised for row in rows[:3]), "each answer token has a loss"


def test_what_is_read_is_part_of_a_runs_identity_and_of_no_other(tmp_path: Path) -> None:
    before = plan(tmp_path, "er", "lora").runs
    assert [run.fingerprint for run in plan(tmp_path, "er", "lora", from_("tiny_text")).runs[:3]] == [
        run.fingerprint for run in before
    ]
    rows = [{"prompt": f"Say {i}.", "target": str(i)} for i in range(20)]
    prints = []
    for last in ("a", "b"):
        (tmp_path / "general.jsonl").write_text("".join(json.dumps({**row, "target": last}) + "\n" for row in rows))
        CATALOG.reset()
        prints.append(plan(tmp_path, from_("general.jsonl")).runs[1].fingerprint)
    assert prints[0] != prints[1]


@pytest.mark.parametrize("stacked", [False, True])
def test_a_source_that_is_not_there_is_named_at_its_line(stacked: bool, tmp_path: Path) -> None:
    for source, said in (("tiny_txet", "Did you mean 'tiny_text'"), ("none.jsonl", "no such file")):
        entry = {"stack": ["lora", from_(source)]} if stacked else from_(source)
        key = r"methods\.0\.stack\.1\.from" if stacked else r"methods\.0\.from"
        with pytest.raises(SpecError, match=rf"spec\.yaml:\d+: {key}: .*{said}"):
            load_spec(write(tmp_path, entry))


def test_a_matrix_over_the_ratio_is_an_arm_a_ratio(tmp_path: Path) -> None:
    spec = write(tmp_path, from_("tiny_text", label="er"), matrix={"methods.ratio": [0.05, 0.25, 1.0]})
    (found,) = load_specs(spec)
    assert [method.label for method in found.methods] == ["er-ratio-0.05", "er-ratio-0.25", "er-ratio-1.0"]
    assert [method.options["ratio"] for method in found.methods] == [0.05, 0.25, 1.0]


def test_a_run_in_separate_mode_replays_and_says_from_where(tmp_path: Path) -> None:
    made = plan(tmp_path, from_("tiny_text", ratio=0.5), train={"steps": 4, "batch_size": 1})
    folder = RunFolder(tmp_path / "results" / made.runs[1].folder)
    do_run(made.runs[1], made.inputs, folder, NoProgress(), Stop())
    record = read_record(folder.path / "record.json")
    assert record.data["tiny_text"].train_rows == len(made.inputs.sources["tiny_text"])
    assert record.method["options"]["from"] == "tiny_text" and record.mode == "separate"
    lengths = [json.loads(line)["tokens"] for line in (folder.path / "log.jsonl").read_text().splitlines()]
    drawn = made.inputs.tasks["tiny_group"].train
    assert [tokens > max(map(len, drawn)) for tokens in lengths] == [False, True, False, True]


def test_a_method_that_reads_rows_can_be_checked(tmp_path: Path) -> None:
    trial = Trial.of(tmp_path / "alone", tmp_path / "none.py", from_("tiny_text", ratio=0.5))
    live = Live(trial.run, trial.plan.inputs)
    live.do(0, 3)
    assert [report.rows for report in live.reports] == [6, 6, 6]


def test_a_trainer_is_handed_the_rows_or_says_how(tmp_path: Path) -> None:
    from sessions import build_model, rows_of, tasks
    from transformers import TrainingArguments

    from secura_bench.integrations import MethodTrainer

    args = TrainingArguments(
        str(tmp_path), max_steps=2, per_device_train_batch_size=2, use_cpu=True, report_to=[], save_strategy="no"
    )
    (task,) = tasks(1)
    with pytest.raises(SpecError, match="read_source"):
        MethodTrainer(build_model("llama"), args, method=from_("general"), task=task)
    trainer = MethodTrainer(
        build_model("llama"), args, method=from_("general"), task=task, sources={"general": rows_of(500, 3)}
    )
    trainer.train()
    assert trainer.method.general.new == 4
