"""No trainer has classification heads: a method or a task that wants one is refused at once, with the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import example
from sessions import build_model
from test_forgetting_callback import plain_trainer, watched
from test_method_trainer import args_in, sequence

from secura_bench.data.example import Task
from secura_bench.foundation.errors import BenchError, DataError, SpecError
from secura_bench.integrations import MethodTrainer, read_source, read_task
from secura_bench.models.load import find_model, load_tokenizer
from secura_bench.spec.sections import EvaluateSpec

HEADED = replace(example(4, 1), head="heads")


def trainer(kind: str, folder: Path, method: Any, task: Task, **changes: Any) -> Any:
    """Return a trainer of a kind: transformers' or, where it is installed, TRL's."""
    if kind == "trl":
        pytest.importorskip("trl", reason="trl is not installed: pip install 'secura-bench[trl]'")
        import test_sft_method_trainer as trl

        return trl.SFTMethodTrainer(
            trl.tiny_model(),
            trl.args_in(folder),
            method=method,
            task=task,
            processing_class=trl.tokenizer(),
            **changes,
        )
    return MethodTrainer(build_model("llama"), args_in(folder), method=method, task=task, **changes)


@pytest.mark.parametrize("kind", ["transformers", "trl"])
def test_a_method_of_heads_alone_is_refused_when_the_trainer_is_made(kind: str, tmp_path: Path) -> None:
    for entry, name in ("head_only", "head_only"), ({"stack": ["head_only", "er"]}, "stack"):
        with pytest.raises(SpecError, match=f"{name}.*heads and nothing else.*secura-bench run") as refused:
            trainer(kind, tmp_path, entry, sequence()[0])
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["transformers", "trl"])
def test_rows_that_a_head_answers_are_refused_when_the_trainer_is_made(kind: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'heads' is answered by a classification head"):
        trainer(kind, tmp_path, "lora", Task("heads", 0, [HEADED]))
    beside = {"name": "er", "from": "heads"}
    with pytest.raises(DataError, match="'heads' is answered by a classification head"):
        trainer(kind, tmp_path, beside, sequence()[0], sources={"heads": [HEADED]})


@pytest.mark.parametrize("read", [read_task, read_source])
def test_a_task_of_heads_is_not_read_for_a_trainer(read: Any) -> None:
    with pytest.raises(DataError, match=r"tiny_group_head.*no trainer here has"):
        read("tiny_group_head", load_tokenizer(find_model("tiny")))


@pytest.mark.parametrize("changes", [{"rows": "tiny_group_head"}, {"probe": "tiny_group_head"}])
def test_a_task_of_heads_is_not_watched(changes: Any, tmp_path: Path) -> None:
    for evaluate in EvaluateSpec(limit=5), EvaluateSpec(protocols=("classify",)):
        with pytest.raises(BenchError, match=r"tiny_group_head.*no trainer here has"):
            watched(plain_trainer(tmp_path), tmp_path, evaluate=evaluate, **changes)
