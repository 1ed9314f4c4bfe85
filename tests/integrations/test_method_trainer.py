"""The Trainer around a method, against the bench's own loop: the same weights, bit for bit, and resumed as well."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from sessions import build_model, same, tasks
from transformers import TrainerCallback, TrainingArguments

from secura_bench.data.example import Task
from secura_bench.foundation.errors import BenchError, SpecError
from secura_bench.foundation.registry import METHODS
from secura_bench.integrations import MethodTrainer
from secura_bench.integrations.method_hooks import method_of
from secura_bench.methods.lending import attached
from secura_bench.spec.sections import TrainSpec
from secura_bench.training.loop import Diverged, TrainingLoop
from secura_bench.training.precision import new_accelerator, prepare_training

STEPS, ROWS = 6, 4  # of a step
SMALL = {"r": 4, "m": 6}
ENTRIES: dict[str, dict[str, Any]] = {
    "seq": {"name": "seq"},
    "mtl": {"name": "mtl"},
    "lora": {"name": "lora", "r": 2, "dropout": 0.0},
    "dora": {"name": "dora", "r": 2, "dropout": 0.0},
    "peft": {"name": "peft", "peft_type": "ia3"},
    "cur_lora": {"name": "cur_lora", "r": 4},
    "cabr_lora": {"name": "cabr_lora", **SMALL},
    "secura": {"name": "secura", **SMALL},
    "secura-m2": {"name": "secura", **SMALL, "merge": "m2", "fusion_step": 3},
    "i_lora-logits": {"name": "i_lora", "consistency": "logits"},
    "i_lora-hidden": {"name": "i_lora", "consistency": "hidden"},
    "o_lora": {"name": "o_lora", "lambda2": 0.1, "dropout": 0.0},
    "ewc": {"name": "ewc", "fisher_samples": 4},
    "lwf": {"name": "lwf"},
    "l2_sp": {"name": "l2_sp"},
    "kl_to_base": {"name": "kl_to_base", "direction": "reverse"},
    "er": {"name": "er", "capacity": 8},
    "a_gem": {"name": "a_gem", "capacity": 8},
    "gem": {"name": "gem", "capacity": 8},
    "der": {"name": "der", "capacity": 8},
    "ema": {"name": "ema"},
    "er-halves": {"name": "er", "loss": "halves", "ratio": 0.5},
    "stack": {
        "stack": [{"name": "lora", "r": 2, "dropout": 0.0}, {"name": "ewc", "lambda": 1.0, "fisher_samples": 4}, "er"]
    },
    "plugin-agem": {"plugin": "agem", "class": "AGEM"},
    "plugin-near": {"plugin": "near_base"},
    "plugin-l2": {"plugin": "l2_to_start"},
}
EVERY = pytest.mark.parametrize("name", ENTRIES)


def test_every_registered_method_is_among_them() -> None:
    ours = {name for name in METHODS._places if METHODS.get(name).stream != "none"}
    ours.remove("head_only")  # nothing is trained but heads, which these trainers do not have
    assert ours <= {entry.get("name", "stack") for entry in ENTRIES.values()}


def method(name: str) -> Any:
    """Return a method as a trainer takes it: what a spec says, or for a plug-in of the docs an object."""
    entry = ENTRIES[name]
    if "plugin" not in entry:
        return entry
    path = ROOT / "docs" / "methods" / f"{entry['plugin']}.py"
    spec = importlib.util.spec_from_file_location(f"plugin_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    from secura_bench.methods.method import Method

    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Method)]
    (kind,) = [kind for kind in kinds if kind.__module__ == module.__name__]
    torch.manual_seed(0)
    return kind()


def args_in(folder: Path, micro: int = 1, **changes: Any) -> TrainingArguments:
    settings = {
        "output_dir": str(folder),
        "max_steps": STEPS,
        "per_device_train_batch_size": ROWS // micro,
        "gradient_accumulation_steps": micro,
        "learning_rate": 1e-2,
        "weight_decay": 0.01,
        "lr_scheduler_type": "constant",
        "optim": "adamw_torch",
        "max_grad_norm": 1.0,
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": 1,
        "use_cpu": True,
        "seed": 0,
    }
    return TrainingArguments(**settings | changes)


def sequence() -> list[Task]:
    """Return two tasks, with as many rows as their steps take, in order."""
    return tasks(2, STEPS * ROWS)


class InOrder:
    """A stream that draws rows as a sequential sampler does."""

    def __init__(self) -> None:
        self.at = 0

    def draw(self, count: int) -> list[int]:
        self.at += count
        return list(range(self.at - count, self.at))


def by_the_loop(name: str, micro: int) -> tuple[torch.nn.Module, Any, list[float]]:
    """Train two tasks by the bench's loop; as many micro-batches a step as a Trainer makes of it."""
    train = TrainSpec(lr=1e-2, clip_norm=1.0, steps=STEPS, batch_size=ROWS, reset_optimizer=True)
    torch.manual_seed(0)
    model = build_model("llama")
    given = method(name)
    torch.manual_seed(0)
    built = method_of(given)
    model = attached(built, model, lambda model: prepare_training(model, train))
    loop = TrainingLoop(new_accelerator("fp32", cpu=True), model, built, train, pad_id=0)
    losses: list[float] = []
    for task in sequence():
        built.begin_task(model, task)
        loop.micro_batches.size = math.ceil((ROWS + built.footprint().extra_rows(ROWS, task.index)) / micro)
        loop.run_task(task, InOrder(), STEPS, lambda report: losses.append(report.loss + sum(report.terms.values())))
        built.end_task(model, task)
    return model, built, losses


def by_trainers(name: str, folder: Path, micro: int = 1, **changes: Any) -> list[MethodTrainer]:
    """Return the trainers of two tasks, before anything is trained."""
    torch.manual_seed(0)
    model, (first, second) = build_model("llama"), sequence()
    one = MethodTrainer(model, args_in(folder / "1", micro, **changes), method=method(name), task=first)
    return [one, MethodTrainer(args=args_in(folder / "2", micro, **changes), task=second, after=one)]


@pytest.fixture(scope="module")
def peace(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[list[MethodTrainer], Path]]:
    """Return a function that gives a method's trainers of two tasks, undisturbed, and their folder; made once."""

    @cache
    def made(name: str) -> tuple[list[MethodTrainer], Path]:
        folder = tmp_path_factory.mktemp(name)
        trainers = by_trainers(name, folder, save_strategy="steps", save_steps=4)
        for trainer in trainers:
            trainer.train()
        return trainers, folder

    return made


def assert_same(one: torch.nn.Module, other: torch.nn.Module) -> None:
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@EVERY
@pytest.mark.parametrize("micro", [1, 2])
def test_it_ends_as_the_loop_does_bit_for_bit(name: str, micro: int, peace: Any, tmp_path: Path) -> None:
    model, built, losses = by_the_loop(name, micro)
    if micro == 1:
        trainers, _ = peace(name)
    else:
        trainers = by_trainers(name, tmp_path, micro)
        for trainer in trainers:
            trainer.train()
    assert_same(model, trainers[0].model)
    assert same(built.state_dict(), trainers[0].method.state_dict())
    logged = [entry["loss"] for trainer in trainers for entry in trainer.state.log_history if "loss" in entry]
    assert logged == pytest.approx(losses, abs=2e-6)


@EVERY
@pytest.mark.parametrize("at", [0, 1])
def test_it_goes_on_from_a_checkpoint_as_if_never_stopped(name: str, at: int, peace: Any, tmp_path: Path) -> None:
    """Of either task, in new objects, as a new process has them."""
    whole, folder = peace(name)
    again = by_trainers(name, tmp_path)
    again[at].train(resume_from_checkpoint=str(folder / str(at + 1) / "checkpoint-4"))
    for trainer in again[at + 1 :]:
        trainer.train()
    assert_same(whole[0].model, again[0].model)
    assert same(whole[0].method.state_dict(), again[0].method.state_dict())


def test_it_goes_on_where_each_trainer_is_taken_up_in_turn(tmp_path: Path) -> None:
    """A script that is started anew resumes each task: the first from its end, then the one it was stopped in."""
    whole = by_trainers("plugin-agem", tmp_path, save_strategy="steps", save_steps=2)
    for trainer in whole:
        trainer.train()
    again = by_trainers("plugin-agem", tmp_path)
    for number, step in ((0, 6), (1, 2)):
        again[number].train(resume_from_checkpoint=str(tmp_path / str(number + 1) / f"checkpoint-{step}"))
        assert again[number].state.global_step == STEPS
    assert_same(whole[0].model, again[0].model)


def test_taken_up_at_its_end_a_task_trains_no_step_more(tmp_path: Path) -> None:
    first, _ = by_trainers("lora", tmp_path, 2, save_strategy="steps", save_steps=STEPS)
    first.train()
    again, _ = by_trainers("lora", tmp_path, 2)
    again.train(resume_from_checkpoint=str(tmp_path / "1" / f"checkpoint-{STEPS}"))
    assert_same(first.model, again.model)


def test_a_checkpoint_holds_what_is_trained_and_no_more(tmp_path: Path) -> None:
    trainer = by_trainers("lora", tmp_path, save_strategy="steps", save_steps=6)[0]
    trainer.train()
    folder = tmp_path / "1" / "checkpoint-6"
    assert not list(folder.glob("*.safetensors"))
    held = sum(file.stat().st_size for file in (folder / "method").rglob("*.safetensors"))
    trained = sum(4 * p.numel() for p in trainer.model.parameters() if p.requires_grad)
    assert trained <= held < 2 * trained + 4096


def test_terms_and_figures_are_logged_beside_the_loss(tmp_path: Path) -> None:
    trainers = by_trainers("ewc", tmp_path)
    for trainer in trainers:
        trainer.train()
    first, second = ([entry for entry in t.state.log_history if "loss" in entry] for t in trainers)
    assert "ewc" not in first[-1]
    assert second[0]["ewc"] == 0 < second[-1]["ewc"]
    assert second[-1]["fisher_mean"] > 0


def test_after_step_comes_before_whoever_looks_at_the_weights(tmp_path: Path) -> None:
    """A callback of the user's sees the weights after a merge, as a checkpoint does."""
    seen: list[int] = []

    class Looks(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            seen.append(trainer.method.steps)

    model, (first, _) = build_model("llama"), sequence()
    given = {"name": "i_lora", "consistency": "logits"}
    trainer = MethodTrainer(model, args_in(tmp_path), method=given, task=first, callbacks=[Looks()])
    trainer.train()
    assert seen == [1, 2, 3, 4, 5, 6]


def test_the_last_step_of_an_epoch_may_be_smaller(tmp_path: Path) -> None:
    model, (first, _) = build_model("llama"), tasks(2, 7)
    given = args_in(tmp_path, 2, max_steps=-1, num_train_epochs=2)
    trainer = MethodTrainer(model, given, method="er", task=first)
    trainer.train()
    assert trainer.state.global_step == 4


def test_evaluation_is_the_mean_loss_of_answer_tokens(tmp_path: Path) -> None:
    model, (first, second) = build_model("llama"), sequence()
    given = args_in(tmp_path, per_device_eval_batch_size=64)
    trainer = MethodTrainer(model, given, method="seq", task=first, eval_dataset=second.train)
    loss = trainer.method.loss(model.eval(), trainer.batch_of(second.train))
    assert trainer.evaluate()["eval_loss"] == pytest.approx(float(loss.sum / loss.tokens), rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"auto_find_batch_size": True}, "auto_find_batch_size"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor"),
        ({"optim": "lomo"}, "lomo"),
    ],
)
def test_what_would_make_another_method_is_refused_by_name(changes: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises((SpecError, ImportError), match=said):
        trainer = MethodTrainer(build_model("llama"), args_in(tmp_path, **changes), method="seq", task=sequence()[0])
        trainer.create_optimizer()


def test_a_method_that_trains_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="trains nothing"):
        MethodTrainer(build_model("llama"), args_in(tmp_path), method="base", task=sequence()[0])


def test_a_later_task_waits_for_the_first(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="train that one first"):
        by_trainers("er", tmp_path)[1].train()


def test_a_checkpoint_of_another_task_is_refused(tmp_path: Path) -> None:
    first, second = by_trainers("seq", tmp_path, save_strategy="steps", save_steps=6)
    first.train()
    with pytest.raises(BenchError, match="is of task 'task0', not of 'task1'"):
        second.train(resume_from_checkpoint=str(tmp_path / "1" / "checkpoint-6"))


def test_a_damaged_state_is_not_gone_on_from(tmp_path: Path) -> None:
    first, _ = by_trainers("seq", tmp_path, save_strategy="steps", save_steps=6)
    first.train()
    file = next((tmp_path / "1" / "checkpoint-6" / "method").rglob("model.safetensors"))
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    again, _ = by_trainers("seq", tmp_path)
    with pytest.raises(BenchError, match="damaged"):
        again.train(resume_from_checkpoint=str(tmp_path / "1" / "checkpoint-6"))


def test_a_loss_that_is_no_number_ends_training_before_the_weights_move(tmp_path: Path) -> None:
    model = build_model("llama")
    trainer = MethodTrainer(model, args_in(tmp_path), method="seq", task=sequence()[0])
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss = trainer.method.loss
    trainer.method.loss = lambda model, batch: type(found := loss(model, batch))(found.sum * math.nan, found.tokens)
    with pytest.raises(Diverged, match="step 1"):
        trainer.train()
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
