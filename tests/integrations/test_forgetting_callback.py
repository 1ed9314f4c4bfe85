"""The callback that scores what a Trainer's model forgets: its numbers are the bench's, and it leaves no trace."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import secura_bench
from peft import LoraConfig, get_peft_model
from test_method_trainer import args_in
from transformers import Trainer, TrainerCallback

from secura_bench.data.collate import collate
from secura_bench.data.example import Task
from secura_bench.foundation.errors import BenchError, SpecError
from secura_bench.integrations import ForgettingCallback, MethodTrainer, read_task
from secura_bench.integrations.untouched import untouched
from secura_bench.models.load import find_model, load_model, load_tokenizer
from secura_bench.report.study.read import read_runs
from secura_bench.results.lock import RunLock
from secura_bench.spec.sections import DataSpec, EvaluateSpec

DATA = DataSpec(rows=60)
WATCHED: dict[str, Any] = {
    "probe": "tiny_f_task",
    "probe_rows": 30,
    "rows": "tiny_group",
    "data": DATA,
    "evaluate": EvaluateSpec(limit=5, batch_size=8),
    "every": 2,
}


def tiny_model() -> Any:
    return load_model(find_model("tiny"))


def tiny_task() -> Task:
    return read_task("tiny_group", load_tokenizer(find_model("tiny")), DATA)


class Rows(torch.utils.data.Dataset):
    """A task's rows as any Trainer takes them."""

    def __init__(self) -> None:
        self.rows = tiny_task().train

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int) -> dict[str, Any]:
        row = self.rows[at]
        return {"ids": [*row.prompt_ids, *row.answer_ids], "prompt": len(row.prompt_ids)}


def padded(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    length = max(len(row["ids"]) for row in rows)
    ids = torch.tensor([row["ids"] + [0] * (length - len(row["ids"])) for row in rows])
    labels = [[-100] * row["prompt"] + row["ids"][row["prompt"] :] for row in rows]
    padded = torch.tensor([row + [-100] * (length - len(row)) for row in labels])
    mask = torch.tensor([[1] * len(row["ids"]) + [0] * (length - len(row["ids"])) for row in rows])
    return {"input_ids": ids, "attention_mask": mask, "labels": padded}


def plain_trainer(folder: Path, **changes: Any) -> Trainer:
    """Return a Trainer of LoRA with dropout, which draws random numbers at every step."""
    torch.manual_seed(0)
    adapter = LoraConfig(r=2, lora_dropout=0.2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(tiny_model(), adapter)
    args = args_in(folder / "out", remove_unused_columns=False, train_sampling_strategy="random", **changes)
    return Trainer(model=model, args=args, train_dataset=Rows(), data_collator=padded)


def watched(trainer: Trainer, folder: Path, **changes: Any) -> ForgettingCallback:
    callback = ForgettingCallback(trainer, results=folder / "results", **{**WATCHED, **changes})
    trainer.add_callback(callback)
    return callback


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}


def logged(trainer: Trainer, key: str) -> list[tuple[int, float]]:
    return [(entry["step"], entry[key]) for entry in trainer.state.log_history if key in entry]


def test_removing_it_changes_no_weight(tmp_path: Path) -> None:
    alone = plain_trainer(tmp_path)
    alone.train()
    seen = plain_trainer(tmp_path)
    watched(seen, tmp_path)
    seen.train()
    ours, theirs = weights(alone), weights(seen)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert logged(alone, "loss") == logged(seen, "loss")  # no line of the steps' own is lost either
    assert [step for step, _ in logged(seen, "learned")] == [2, 4, 6]


def test_the_end_reaches_whoever_reports_before_they_close(tmp_path: Path) -> None:
    class Reports(TrainerCallback):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            self.heard += [f"learned at {state.global_step}"] if "learned" in logs else []

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.heard.append("closed")

    trainer, reports = plain_trainer(tmp_path), Reports()
    trainer.add_callback(reports)
    watched(trainer, tmp_path)
    trainer.train()
    assert reports.heard == ["learned at 2", "learned at 4", "learned at 6", "closed"]


def test_generators_and_modes_are_put_back(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Sequential(torch.nn.Linear(1, 1)))
    model[1].eval()
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    with pytest.raises(KeyError), untouched(model):
        assert not any(module.training for module in model.modules())
        random.random(), np.random.rand(), torch.rand(1)
        model.train()
        raise KeyError
    assert [module.training for module in model.modules()] == [True, True, False, False]
    assert before[:2] == (random.getstate(), np.random.get_state()[1].tolist())
    assert torch.equal(before[2], torch.get_rng_state())


def test_its_record_is_read_beside_the_base_and_its_numbers_are_those_logged(tmp_path: Path) -> None:
    trainer = plain_trainer(tmp_path)
    watched(trainer, tmp_path, label="mine")
    trainer.train()
    runs, problems = read_runs([tmp_path / "results"])
    assert not problems
    assert sorted(run.record.method["label"] for run in runs) == ["base", "mine"]
    (mine,) = [run.record for run in runs if run.record.method["label"] == "mine"]
    assert mine.method["options"]["r"] == 2
    assert mine.method["train"]["steps"] == 6
    learned = [s.values["char_bleu"] for s in mine.scores if s.role == "task" and s.after]
    assert [value for _, value in logged(trainer, "learned")] == learned
    shown = secura_bench("report", str(tmp_path / "results"), cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "mine" in shown.stdout and "trained by Trainer" in " ".join(shown.stdout.split())
    kept = logged(trainer, "kept")[-1][1]
    assert f"{kept:.1f}" in shown.stdout
    assert [json.loads(line)["step"] for line in (folder_of(tmp_path, "mine") / "log.jsonl").open()] == [*range(1, 7)]


def folder_of(root: Path, label: str) -> Path:
    (found,) = (path.parent for path in (root / "results").rglob("record.json") if f"-{label}-" in str(path))
    return found


def test_the_base_is_the_benchs_own_and_scored_once(tmp_path: Path) -> None:
    """The record of the base has the fingerprint that ``run`` gives it, which then has nothing left to do."""
    trainer = plain_trainer(tmp_path)
    watched(trainer, tmp_path, experiment="trial")
    trainer.train()
    (base,) = (tmp_path / "results").rglob("*base*/record.json")
    before = base.read_bytes()
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "{experiment: trial, mode: separate, model: tiny, tasks: [tiny_group], probe: tiny_f_task, probe_rows: 30, "
        "methods: [{name: lora, r: 2}], train: {steps: 2, lr: 1.0e-3}, data: {rows: 60}, "
        f"evaluate: {{limit: 5, batch_size: 8}}, threads: {torch.get_num_threads()}}}"
    )
    done = secura_bench("run", str(spec), "--results", str(tmp_path / "results"), "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert base.read_bytes() == before
    shown = secura_bench("report", str(tmp_path / "results"), cwd=tmp_path).stdout
    assert "lora" in shown and "trainer" in shown


def test_it_waits_for_whoever_scores_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process holds the base's run, and writes its record meanwhile."""
    first = plain_trainer(tmp_path / "a")
    watched(first, tmp_path / "a").on_train_begin(first.args, first.state, first.control)
    trainer = plain_trainer(tmp_path)
    watch = watched(trainer, tmp_path)
    folder = watch.run.base_folder
    lock = RunLock(folder)
    lock.acquire()

    def meanwhile(seconds: float) -> None:
        shutil.copytree(next((tmp_path / "a").rglob("*-base-*")), folder.path)
        lock.release()

    monkeypatch.setattr(time, "sleep", meanwhile)
    monkeypatch.setattr(watch.run, "_score_base", lambda device: pytest.fail("it was scored twice"))
    watch.run.score_base(trainer.args.device)
    assert folder.finished


def test_a_methods_trainer_is_recorded_as_that_method(tmp_path: Path) -> None:
    given = {"name": "i_lora", "consistency": "logits"}
    trainer = MethodTrainer(tiny_model(), args_in(tmp_path / "out"), method=given, task=tiny_task())
    watched(trainer, tmp_path)
    trainer.train()
    (run,) = [run for run in read_runs([tmp_path / "results"])[0] if run.record.method["name"] != "base"]
    assert run.record.method["name"] == "i_lora"
    assert run.record.method["options"]["consistency"] == "logits"
    assert run.record.parameters["held"] > 0
    assert [score.after for score in run.record.scores if score.role == "probe"] == ["tiny_group"] * 3  # starts as base


def test_it_stops_once_what_is_kept_has_surely_fallen(tmp_path: Path) -> None:
    trainer = plain_trainer(tmp_path, learning_rate=1.0, max_steps=20)
    watched(trainer, tmp_path, stop_below=99.0, probe_rows=60)
    trainer.train()
    step = trainer.state.global_step
    assert step < 20
    assert dict(logged(trainer, "kept_high"))[step] < 99
    note = " ".join(json.loads((folder_of(tmp_path, "trainer") / "record.json").read_text())["notes"])
    assert f"stopped at step {step} of 20" in note


def test_it_goes_on_while_the_interval_holds_the_bound(tmp_path: Path) -> None:
    trainer = plain_trainer(tmp_path, learning_rate=1e-5)
    watched(trainer, tmp_path, stop_below=100.0)
    trainer.train()
    assert trainer.state.global_step == 6


def test_a_resume_keeps_what_was_scored_and_ends_with_the_same_record(tmp_path: Path) -> None:
    whole = plain_trainer(tmp_path / "a")
    watched(whole, tmp_path / "a")
    whole.train()

    class Killed(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 5:
                raise KeyboardInterrupt

    cut = plain_trainer(tmp_path / "b", save_strategy="steps", save_steps=3)
    watched(cut, tmp_path / "b")
    cut.add_callback(Killed())
    with pytest.raises(KeyboardInterrupt):
        cut.train()
    again = plain_trainer(tmp_path / "b", save_strategy="steps", save_steps=3)
    watched(again, tmp_path / "b")
    again.train(resume_from_checkpoint=True)
    records = [json.loads((folder_of(tmp_path / one, "trainer") / "record.json").read_text()) for one in "ab"]
    assert records[0]["scores"] == records[1]["scores"]
    lines = [
        [json.loads(x)["step"] for x in (folder_of(tmp_path / one, "trainer") / "log.jsonl").open()] for one in "ab"
    ]
    assert lines[0] == lines[1] == [*range(1, 7)]


def test_what_was_recorded_is_never_overwritten(tmp_path: Path) -> None:
    for _ in range(2):
        trainer = plain_trainer(tmp_path)
        watched(trainer, tmp_path)
        trainer.train()
    assert len([path for path in (tmp_path / "results").rglob("record.json") if "replaced" in str(path)]) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"every": 0}, "every"), ({"probe": "f_tsk"}, "f_tsk"), ({"rows": "nowhere.jsonl"}, "nowhere.jsonl")],
)
def test_what_cannot_be_is_refused_before_training(changes: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=said):
        watched(plain_trainer(tmp_path), tmp_path, **changes)


def test_a_model_from_nowhere_is_to_be_named(tmp_path: Path) -> None:
    trainer = plain_trainer(tmp_path)
    trainer.model.config._name_or_path = ""
    with pytest.raises(SpecError, match="name the base model"):
        watched(trainer, tmp_path)


TASKS = ["tiny_group", "tiny_count"]


def sequence_of(folder: Path) -> list[MethodTrainer]:
    """Return the watched trainers of two tasks, before anything is trained."""
    tokenizer = load_tokenizer(find_model("tiny"))
    one, two = (read_task(name, tokenizer, DATA, index=i, count=2) for i, name in enumerate(TASKS))
    saving = {"save_strategy": "steps", "save_steps": 3}
    first = MethodTrainer(tiny_model(), args_in(folder / "1", **saving), method="er", task=one)
    second = MethodTrainer(args=args_in(folder / "2", **saving), after=first, task=two)
    watch = watched(first, folder, rows=TASKS)
    second.add_callback(watch.follow(second))
    return [first, second]


def scores_of(folder: Path) -> Any:
    (run,) = [run for run in read_runs([folder / "results"])[0] if run.record.method["name"] == "er"]
    return run.record


def test_a_sequence_of_tasks_is_one_record(tmp_path: Path) -> None:
    """And killed in the second task, and started anew as a script is, it is the same."""
    for trainer in sequence_of(tmp_path / "a"):
        trainer.train()
    whole = scores_of(tmp_path / "a")
    assert (whole.mode, whole.tasks) == ("sequence", tuple(TASKS))
    ends = [(s.after, s.step, s.task) for s in whole.scores if s.role == "task" and s.finished]
    assert ends == [("tiny_group", 6, "tiny_group"), ("tiny_count", 6, "tiny_group"), ("tiny_count", 6, "tiny_count")]

    class Killed(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 5:
                raise KeyboardInterrupt

    first, second = sequence_of(tmp_path / "b")
    second.add_callback(Killed())
    first.train()
    with pytest.raises(KeyboardInterrupt):
        second.train()
    for trainer in sequence_of(tmp_path / "b"):
        trainer.train(resume_from_checkpoint=True)
    assert scores_of(tmp_path / "b").scores == whole.scores


@pytest.mark.parametrize("rows", [TASKS, [*TASKS, "tiny_langid"], "tiny_group"])
def test_a_watch_that_is_not_of_the_trainers_sequence_is_refused(rows: Any, tmp_path: Path) -> None:
    task = tiny_task()
    trainer = MethodTrainer(tiny_model(), args_in(tmp_path), method="seq", task=Task(task.name, 1, task.train, 2))
    with pytest.raises(SpecError, match="follow"):
        watched(trainer, tmp_path, rows=rows)


def test_there_is_no_task_after_the_last(tmp_path: Path) -> None:
    trainer = plain_trainer(tmp_path)
    with pytest.raises(SpecError, match="name them all"):
        watched(trainer, tmp_path).follow(trainer)


def test_the_batches_of_this_test_are_the_benchs(tiny: Any) -> None:
    rows = Rows()
    ours = collate(rows.rows[:3], 0)
    assert torch.equal(padded([rows[i] for i in range(3)])["input_ids"], ours.input_ids)
