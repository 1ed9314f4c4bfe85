"""What scoring and training read of a model, as a plan counts it, against what goes through its modules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import SPEC, example

from secura_bench.estimates.device import EFFICIENCY, Device
from secura_bench.estimates.forecast import MethodForecast, forecast
from secura_bench.estimates.formulas import count_on_shape
from secura_bench.estimates.memory import Scoring, memory_of
from secura_bench.estimates.reads import reads_of
from secura_bench.estimates.rows import Rows
from secura_bench.estimates.text import plan_text
from secura_bench.evaluation.evaluate import evaluate
from secura_bench.methods.build import build_method
from secura_bench.models.head import lend_heads
from secura_bench.models.load import shape_of
from secura_bench.models.task_heads import TaskHeads
from secura_bench.plan.make import make_plan
from secura_bench.plan.run import planned_runs
from secura_bench.spec.load import load_spec
from secura_bench.spec.sections import TrainSpec
from secura_bench.tasks.catalog import load_task

DEVICE = Device("cpu", 1e12, 1e9, 1e12)
SPEC_OF_HEADS = (
    SPEC.replace("separate", "sequence")
    .replace("[tiny_group]", "[tiny_group_head, tiny_langid_head]")
    .replace("probe: tiny_f_task\nprobe_rows: 6", "probe: tiny_text\nprobe_rows: 4")
    .replace("steps: 2", "steps: [4, 2]")
    .replace("[teacher_forced, generate], limit: 3", "[classify, perplexity], limit: 5")
    .replace("[{name: lora, r: 2}]", "[head_only, {name: lora, r: 2}]")
)


@pytest.mark.parametrize(("task", "protocol"), [("tiny_text", "perplexity"), ("heads", "classify")])
def test_what_is_read_goes_through_layers_and_head(tiny: Any, task: str, protocol: str) -> None:
    model, chat, _ = tiny
    examples = [example(length, 5, seed=length) for length in (9, 20, 41)]
    file = load_task("tiny_group_head" if task == "heads" else task)
    if task == "heads":
        choices = tuple(file.labels or ())
        examples = [
            replace(e, head=task, answer_ids=(1,), row=replace(e.row, choices=choices, target=choices[1]))
            for e in examples
        ]
    seen = {"layers": 0, "head": 0}

    def count(where: str) -> Any:
        def hook(module: Any, inputs: Any, *_: Any) -> None:
            seen[where] += inputs[0].shape[0] * inputs[0].shape[1]

        return hook

    hooks = [
        model.model.layers[0].register_forward_hook(count("layers")),
        model.lm_head.register_forward_hook(count("head")),
    ]
    lend_heads(model, TaskHeads({"heads": 5}, model.config.hidden_size, seed=0))
    try:
        evaluate(protocol, model, file, examples, chat, batch_size=1, context=16)
    finally:
        lend_heads(model, None)
        for hook in hooks:
            hook.remove()
    reads = reads_of([protocol], file.kind, examples, window=16)[protocol]
    assert (reads.rows, reads.tokens, reads.positions) == (3, seen["layers"], seen["head"])


@pytest.fixture(scope="module")
def planned(tmp_path_factory: Any) -> tuple[Any, dict[str, MethodForecast]]:
    """A spec of two classified tasks and plain text, and each method's estimate."""
    folder = tmp_path_factory.mktemp("heads")
    (folder / "spec.yaml").write_text(SPEC_OF_HEADS)
    spec = load_spec(str(folder / "spec.yaml"))
    (found,) = forecast([spec], folder / "results", DEVICE)
    return spec, {method.label: method for method in found.methods}


def test_each_protocol_is_counted_for_the_rows_that_it_scores(planned: Any) -> None:
    """The probe after each task; the first task's rows after both, the second's after the second."""
    _, methods = planned
    lora = methods["lora-r-2"]
    assert {name: reads.rows for name, reads in lora.work.scored.items()} == {"classify": 15, "perplexity": 8}
    assert {name: reads.rows for name, reads in methods["base"].work.scored.items()} == {
        "classify": 10,
        "perplexity": 4,
    }
    assert lora.work.scored["classify"].positions == 0 < lora.work.scored["perplexity"].positions


def test_steps_are_as_long_as_their_own_tasks_rows(planned: Any) -> None:
    spec, methods = planned
    inputs = make_plan(spec).inputs

    def mean(name: str) -> float:
        return sum(map(len, inputs.tasks[name].train)) / len(inputs.tasks[name].train)

    first, second = spec.task_names
    trained, size = methods["lora-r-2"].work.trained, spec.train.batch_size
    assert trained.tokens == pytest.approx(size * (4 * mean(first) + 2 * mean(second)))
    assert mean(first) != pytest.approx(mean(second), rel=0.05) and trained.positions == 0


def test_nothing_goes_backwards_where_nothing_of_the_model_is_trained(planned: Any) -> None:
    """2 operations a parameter and token, where adapters take 4; neither goes through the head."""
    _, methods = planned
    shape = shape_of("tiny")
    only, lora = methods["head_only"], methods["lora-r-2"]
    assert only.work == lora.work
    less = 2 * shape.layers * shape.layer * lora.work.trained.tokens
    assert lora.seconds - only.seconds == pytest.approx(less / (DEVICE.speed(1) * EFFICIENCY))
    assert only.memory.gradients == only.memory.optimizer == 0
    assert only.memory.device < lora.memory.device


def test_a_step_of_heads_alone_takes_a_forward() -> None:
    """tests/training/test_heads_in_steps.py shows that it keeps nothing of the body."""
    shape, footprint = shape_of("smollm2-135m"), build_method("head_only").footprint()
    scoring, train = Scoring(1, 320, 0, 0, ("classify",)), TrainSpec(batch_size=8, micro_batch_size=2)
    memory = memory_of(footprint, count_on_shape(footprint, shape), shape, train, scoring, 0)
    assert memory.activations == 4 * 2 * 320 * (2 * shape.hidden + 3 * shape.intermediate)
    assert memory.weights == 4 * shape.parameters and memory.gradients == memory.optimizer == 0


def test_bounds_count_what_each_protocol_can_score(tmp_path: Path) -> None:
    """Where nothing is here: rows as long as the context; a text of 2½ windows is read in four that overlap."""
    (tmp_path / "spec.yaml").write_text(SPEC_OF_HEADS)
    spec = load_spec(str(tmp_path / "spec.yaml"))
    bounds, context = Rows.of(spec, None, None), spec.data.context
    assert bounds.probing["classify"].rows == 0 and bounds.probing["perplexity"].rows == 4
    assert bounds.probing["perplexity"].tokens == pytest.approx(4 * 4 * context, rel=0.01)
    (first, _) = spec.task_names
    assert bounds.testing[first]["perplexity"].rows == 0
    assert bounds.testing[first]["classify"].tokens == bounds.testing[first]["classify"].rows * context
    assert bounds.answers == 0 and bounds.trained[first].positions == 0


@pytest.mark.parametrize(
    ("data", "evaluate", "trained", "tested", "unknown"),
    [
        ("", "", (54, 60), (6, 60), ["mrpc"]),
        ("", ", limit: 70", (54, 60), (6, 70), []),
        ("", ", limit: 3", (54, 60), (3, 3), []),
        (", held_out: validation", "", (54, 54), (6, 6), []),
        (", held_out: all", ", limit: 50", (0, 0), (50, 50), []),
        (", held_out: all", ", limit: 500", (0, 0), (60, 60), []),
    ],
)
def test_rows_of_its_own_to_test_on_take_none_from_training(
    tmp_path: Path, data: str, evaluate: str, trained: Any, tested: Any, unknown: list[str]
) -> None:
    """Of 60 rows 6 test a task that has one source; another trains on 60, and nobody knows how many it has to test."""
    text = SPEC_OF_HEADS.replace("tiny_langid_head", "mrpc").replace(", limit: 5", evaluate)
    if "all" in data:  # nothing may be trained
        text = text.replace("[head_only, {name: lora, r: 2}]", "[base]")
    (tmp_path / "spec.yaml").write_text(text.replace("rows: 60", f"rows: 60{data}"))
    spec = load_spec(str(tmp_path / "spec.yaml"))
    bounds = Rows.of(spec, None, None)
    assert tuple(reads.rows for reads in bounds.trained.values()) == trained
    assert tuple(reads["classify"].rows for reads in bounds.testing.values()) == tested
    assert list(bounds.unknown) == unknown


def test_bounds_of_the_authors_own_splits() -> None:
    """TRACE: 5,000 rows of each task in batches of 128, whose last may hold rows of two epochs, but of no two tasks."""
    spec = load_spec("configs/trace_llama2.yaml")
    rows = {name: round(reads.rows) for name, reads in Rows.of(spec, None, None).trained.items()}
    steps = {run.method.label: sum(run.steps(rows)) for run in planned_runs(spec)}
    of_one, of_three, of_five, of_seven = 40, 118, 196, 274  # epochs
    assert steps["seq"] == 3 * of_one + 5 * of_five
    assert steps["lora"] == 2 * of_three + 4 * of_five + 2 * of_seven


def test_a_plan_says_what_its_bounds_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECURA_BENCH_DATA", raising=False)
    text = SPEC_OF_HEADS.replace("tiny_langid_head", "sst2_text").replace(", limit: 5", "").replace("classify, ", "")
    (tmp_path / "spec.yaml").write_text(text.replace("head_only, ", ""))
    plans = forecast([load_spec(str(tmp_path / "spec.yaml"))], tmp_path / "results", DEVICE)
    said = " ".join(" ".join(plan_text(plans, DEVICE)).split())
    assert "Steps and tokens are upper bounds: data is not here, a task counts 60 rows (data.rows)" in said
    assert "how many rows there are to test sst2_text on is not known, and 60 are counted for each" in said
