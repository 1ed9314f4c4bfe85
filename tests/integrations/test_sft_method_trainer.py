"""A method inside TRL's SFTTrainer: TRL's loss, the method's penalties, merges and replay; the rest refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import example
from test_forgetting_callback import DATA, WATCHED, tiny_model

pytest.importorskip("trl", reason="trl is not installed: pip install 'secura-bench[trl]'")

from trl import SFTConfig, SFTTrainer

from secura_bench import Method
from secura_bench.data.example import Task
from secura_bench.foundation.errors import DataError, SpecError
from secura_bench.integrations import ForgettingCallback, SFTMethodTrainer, dataset_of, read_task
from secura_bench.integrations.rows import example_of, feature_of
from secura_bench.models.load import find_model, load_tokenizer
from secura_bench.report.study.read import read_runs

STEPS = 4
LORA = {"name": "lora", "r": 2, "dropout": 0.0}


def tokenizer() -> Any:
    return load_tokenizer(find_model("tiny"))


def task(index: int = 0) -> Task:
    return read_task(("tiny_group", "tiny_count")[index], tokenizer(), DATA, index=index, count=2)


def args_in(folder: Path, **changes: Any) -> SFTConfig:
    settings = {
        "output_dir": str(folder),
        "max_steps": STEPS,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "constant",
        "optim": "adamw_torch",
        "weight_decay": 0.0,
        "bf16": False,
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": 1,
        "use_cpu": True,
        "seed": 0,
    }
    return SFTConfig(**settings | changes)


def trainer_of(folder: Path, method: Any, **changes: Any) -> SFTMethodTrainer:
    args = args_in(folder, **changes)
    return SFTMethodTrainer(tiny_model(), args, method=method, task=task(), processing_class=tokenizer())


def after(one: SFTMethodTrainer, folder: Path, **changes: Any) -> SFTMethodTrainer:
    return SFTMethodTrainer(args=args_in(folder, **changes), task=task(1), after=one, processing_class=tokenizer())


def logged(trainer: Any, key: str) -> list[float]:
    return [entry[key] for entry in trainer.state.log_history if key in entry]


def same_weights(one: Any, other: Any) -> bool:
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_plain_training_is_trls_own_bit_for_bit(tmp_path: Path) -> None:
    ours = trainer_of(tmp_path / "a", "seq")
    rows = dataset_of(task().train)
    theirs = SFTTrainer(tiny_model(), args_in(tmp_path / "b"), train_dataset=rows, processing_class=tokenizer())
    for trainer in (ours, theirs):
        torch.manual_seed(0)
        trainer.train()
    assert same_weights(ours, theirs)
    assert logged(ours, "loss") == logged(theirs, "loss")


def test_ewc_holds_lora_and_says_so(tmp_path: Path) -> None:
    given = {"stack": [LORA, {"name": "ewc", "lambda": 50.0, "fisher_samples": 8}]}
    first = trainer_of(tmp_path / "1", given)
    first.train()
    assert logged(first, "ewc") == []
    anchors = {name: t.clone() for name, t in first.method.parts[1].anchors.items()}
    assert any(fisher.any() for fisher in first.method.parts[1].fisher.values())
    second = after(first, tmp_path / "2")
    second.train()
    assert logged(second, "ewc")[0] == 0 < logged(second, "ewc")[-1]
    assert anchors.keys() == {name for name, p in second.model.named_parameters() if p.requires_grad}


def test_o_lora_keeps_its_pairs_apart_under_trl(tmp_path: Path) -> None:
    first = trainer_of(tmp_path / "1", {"name": "o_lora", "r": 2, "dropout": 0.0, "lambda1": 5.0})
    first.train()
    pairs = {name: t.clone() for name, t in first.model.named_parameters() if t.requires_grad}
    frozen = {name: t.clone() for name, t in first.model.named_buffers() if "earlier" in name}
    assert logged(first, "orthogonality") == [] and pairs and frozen
    second = after(first, tmp_path / "2")
    second.train()
    assert len(logged(second, "orthogonality")) == STEPS and all(logged(second, "orthogonality"))
    buffers = dict(second.model.named_buffers())
    assert all(torch.equal(buffers[name], tensor) for name, tensor in frozen.items())


def test_a_penalty_has_its_weight_once_a_step_however_it_is_cut(tmp_path: Path) -> None:
    """Its gradient, on rows with no gradient of their own: with one micro-batch and with four."""

    class Pulls(Method):
        name = "pulls"

        def terms(self, model: Any, batch: Any, logits: Any) -> Any:
            return {"pull": sum(p.sum() for p in model.parameters() if p.requires_grad)}

        def after_backward(self, model: Any, step: Any) -> None:
            gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])

    pulled = []
    for micro in (1, 4):
        found = []
        for method in (Pulls(), type("Plain", (Pulls,), {"terms": Method.terms})()):
            gradients: list[Any] = []
            cut = {"per_device_train_batch_size": 4 // micro, "gradient_accumulation_steps": micro, "max_steps": 1}
            trainer_of(tmp_path / f"{micro}{method.name}", method, **cut).train()
            found.append(torch.cat([g.flatten() for g in gradients[0]]))
        pulled.append(found[0] - found[1])
    for gap in pulled:
        assert torch.allclose(gap, torch.ones_like(gap), atol=1e-4)


def test_secura_merges_into_the_weights_under_trl(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, {"name": "secura", "r": 4, "m": 6, "merge": "m2", "fusion_step": 2})
    before = {name: t.clone() for name, t in trainer.model.state_dict().items()}
    trained = {name for name, p in trainer.model.named_parameters() if p.requires_grad}
    trainer.train()
    moved = {name for name, t in trainer.model.state_dict().items() if not torch.equal(t, before[name])}
    assert moved - trained, "no frozen tensor took anything in"


@pytest.mark.parametrize("padding_free", [False, True])
def test_replayed_rows_go_through_trls_own_collator(padding_free: bool, tmp_path: Path) -> None:
    """From the second task on a step has twice the rows, in as many micro-batches."""
    given = {"padding_free": padding_free, **({"max_length": None} if padding_free else {})}
    first = trainer_of(tmp_path / "1", "er", **given)
    first.train()
    second = after(first, tmp_path / "2", **given)
    sizes: list[int] = []
    collate = second.data_collator
    second.data_collator = lambda rows: sizes.append(len(rows)) or collate(rows)
    second.train()
    assert sizes == [4] * (2 * STEPS)
    assert second.method.buffer.seen == 2 * 4 * STEPS


def test_packing_is_trls_where_nothing_is_replayed(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, LORA, packing=True, max_length=64, max_steps=2)
    trainer.train()
    assert trainer.state.global_step == 2


@pytest.mark.parametrize(
    ("method", "changes", "said"),
    [
        ("er", {"packing": True, "max_length": 64}, "packed ones are rows no more"),
        ({"name": "i_lora", "consistency": "logits"}, {}, "looks at .*MethodTrainer"),
        ({"name": "i_lora", "consistency": "hidden"}, {}, "looks at .*MethodTrainer"),
    ],
)
def test_what_needs_logits_or_rows_is_refused_with_the_reason(
    method: Any, changes: Any, said: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=said):
        trainer_of(tmp_path, method, **changes)


def test_a_loss_of_the_methods_own_and_terms_of_logits_are_refused(tmp_path: Path) -> None:
    class Own(Method):
        name = "own"

        def loss(self, model: Any, batch: Any) -> Any:
            return super().loss(model, batch)

    class Looks(Method):
        name = "looks"

        def terms(self, model: Any, batch: Any, logits: Any) -> Any:
            return {"entropy": torch.softmax(logits, dim=-1).sum()}

    for method, said in ((Own(), "computes the loss"), (Looks(), "looks at logits")):
        with pytest.raises(SpecError, match=said):
            trainer_of(tmp_path, method)


def test_weighted_rows_are_refused(tmp_path: Path) -> None:
    first = trainer_of(tmp_path / "1", {"name": "er", "loss": "halves", "ratio": 0.5})
    first.train()
    with pytest.raises(SpecError, match="weighs rows"):
        after(first, tmp_path / "2").train()


def test_a_resume_under_trl_ends_as_if_never_stopped(tmp_path: Path) -> None:
    def pair() -> list[SFTMethodTrainer]:
        given = {"stack": [LORA, {"name": "ewc", "fisher_samples": 4}, "er"]}
        saving = {"save_strategy": "steps", "save_steps": 2}
        one = trainer_of(tmp_path / "1", given, **saving)
        return [one, after(one, tmp_path / "2", **saving)]

    whole = pair()
    for trainer in whole:
        trainer.train()
    again = pair()
    again[1].train(resume_from_checkpoint=str(tmp_path / "2" / "checkpoint-2"))
    assert same_weights(whole[1], again[1])


def test_the_callback_under_trl_changes_nothing_and_keeps_its_lines_apart(tmp_path: Path) -> None:
    alone = trainer_of(tmp_path / "a", LORA)
    alone.train()
    seen = trainer_of(tmp_path / "b", LORA)
    names = ["tiny_group", "tiny_count"]
    watch = ForgettingCallback(seen, results=tmp_path / "results", **{**WATCHED, "rows": names})
    seen.add_callback(watch)
    seen.train()
    assert same_weights(alone, seen)
    for key in ("loss", "mean_token_accuracy", "entropy"):
        assert logged(alone, key) == logged(seen, key)
    assert len(logged(seen, "learned")) == 2
    last = after(seen, tmp_path / "c")
    last.add_callback(watch.follow(last))
    last.train()
    (run,) = [run for run in read_runs([tmp_path / "results"])[0] if run.record.method["name"] != "base"]
    assert run.record.method["label"] == "lora-sftmethodtrainer"


def test_rows_go_there_and_back() -> None:
    row = example(9, 3)
    back = example_of(feature_of(row), row.task)
    assert (back.prompt_ids, back.answer_ids) == (row.prompt_ids, row.answer_ids)
    with pytest.raises(DataError, match="one answer"):
        example_of({"input_ids": [1, 2, 3, 4], "labels": [-100, 2, -100, 4]}, "turns")


def test_an_adapter_of_ones_own_is_the_methods_business(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="peft_config"):
        SFTMethodTrainer(
            tiny_model(),
            args_in(tmp_path),
            method="seq",
            task=task(),
            processing_class=tokenizer(),
            peft_config=object(),
        )
