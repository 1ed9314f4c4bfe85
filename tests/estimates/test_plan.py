"""Plans: counts against built models and published ones, memory against what is measured, mutated specs."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
import yaml
from conftest import SPEC, random_llama, secura_bench
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from secura_bench.estimates.formulas import count_on_shape, training_flops, work_of
from secura_bench.estimates.reads import Reads
from secura_bench.estimates.rows import Rows
from secura_bench.methods.build import build_method
from secura_bench.models.layouts import shape_from
from secura_bench.models.load import find_model, load_model, presets, shape_of, shapes_of
from secura_bench.models.shape import Shape
from secura_bench.spec.load import load_spec
from secura_bench.spec.sections import TrainSpec

PUBLISHED = {  # safetensors' parameter counts on the models' pages of the Hub; Llama 2's as its users print it
    "smollm2-135m": 134_515_008,
    "gemma2-2b": 2_614_341_888,
    "qwen2-1.5b": 1_543_714_304,
    "qwen2-7b": 7_615_616_512,
    "llama2-7b-chat": 6_738_415_616,
    "llama3-8b": 8_030_261_248,
    "llama3.1-8b": 8_030_261_248,
    "llama3.2-3b": 3_212_749_824,
    "mistral-7b": 7_248_023_552,
}
NOT_PUBLISHED = ("tiny", "gpt2-large", "gemma3-270m")  # GPT-2's page counts its masks too, Gemma 3's not to the digit
METHODS = [
    ("base", {}),
    ("seq", {}),
    ("lora", {}),
    ("lora", {"target_modules": ["up_proj"], "r": 3}),
    ("dora", {}),
    ("cur_lora", {"r": 8}),
    ("cabr_lora", {"r": 8, "m": 12}),
    ("secura", {"r": 8, "m": 12}),
    ("secura", {"r": 8, "m": 12, "fusion_step": 20, "signorm": "public_code"}),
    ("secura", {"r": 8, "m": 12, "merge": "m2", "merge_dtype": "base"}),
    ("i_lora", {}),
    ("o_lora", {"r": 3}),
    ("ewc", {}),
    ("ema", {}),
    ("l2_sp", {}),
    ("stack", {"parts": ["lora", "l2_sp"]}),
    ("stack", {"parts": ["secura", "lwf"]}),
    ("mtl", {}),
    ("stack", {"parts": [{"name": "lora"}, {"name": "ewc"}]}),
]


def test_shapes_count_as_published() -> None:
    assert {name: shape_of(name).parameters for name in PUBLISHED} == PUBLISHED
    assert presets().keys() == {*PUBLISHED, *NOT_PUBLISHED}


@pytest.mark.parametrize("name", [*NOT_PUBLISHED, *PUBLISHED])
def test_skeletons_have_the_names_and_shapes_of_transformers(name: str) -> None:
    built = {path: p.shape for path, p in shapes_of(name).named_parameters()}
    assert {path: p.shape for path, p in shape_of(name).skeleton().named_parameters()} == built


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_parameters_are_counted_exactly_without_building_the_model(name: str, options: dict) -> None:
    method = build_method(name, **options)
    real = build_method(name, **options)
    model = real.attach(load_model(find_model("tiny")))
    assert count_on_shape(method.footprint(), shape_of("tiny")) == real.count_parameters(model)


def test_shapes_are_built_once_for_the_same_method(monkeypatch) -> None:
    """A matrix has it for every rate; other options, and other models, are counted for themselves."""
    built, inner = [], Shape.skeleton
    monkeypatch.setattr(Shape, "skeleton", lambda self, layers: built.append(layers) or inner(self, layers))
    shape = shape_of("tiny")
    counts = [count_on_shape(build_method("lora", r=rank).footprint(), shape).trainable for rank in (5, 5, 7, 5)]
    assert counts[0] == counts[1] == counts[3] != counts[2] and built == [1, 2, 1, 2]
    assert count_on_shape(build_method("lora", r=5).footprint(), shape_of("smollm2-135m")).trainable != counts[0]


@pytest.mark.parametrize(("name", "times"), [("lora", 1.0), ("i_lora", 1.5)])
def test_the_work_of_a_method_is_in_its_time(name: str, times: float) -> None:
    shape, train = shape_of("tiny"), TrainSpec(gradient_checkpointing=True)
    expected = times * (4 + 2) * (shape.layers * shape.layer + shape.embedding)
    footprint = build_method(name).footprint()
    assert training_flops(shape, train, False, footprint) == expected
    assert training_flops(shape, train, True, footprint) == expected * 8 / 6


def test_work_is_counted_as_runs_do_it(spec_file: Path, tmp_path: Path) -> None:
    """Steps and scored rows of the estimate are those of the record."""
    overrides = ["mode=sequence", "tasks=[tiny_group, tiny_count]", "train.steps=5", "evaluate.every=2"]
    words = [word for override in overrides for word in ("--set", override)]
    assert secura_bench("run", str(spec_file), *words, cwd=tmp_path).returncode == 0
    spec = load_spec(str(spec_file), overrides)
    (path,) = tmp_path.rglob("*lora*/record.json")
    scores = json.loads(path.read_text())["scores"]
    scored = sum(s["n"] for s in scores if s["role"] != "part" and s["protocol"] == "teacher_forced")
    once = {part: {"teacher_forced": Reads(n)} for part, n in (("probe", 6), ("tiny_group", 3), ("tiny_count", 3))}
    rows = Rows(6, dict.fromkeys(spec.task_names, Reads(1)), probing=once["probe"], testing=once)
    work = work_of(spec, build_method("lora").footprint(), spec.train, dict.fromkeys(spec.task_names, 5), rows)
    assert (work.steps, work.scored["teacher_forced"].rows) == (10, scored)
    stages = {(s["after"], s["step"], s["finished"]) for s in scores}
    assert ("tiny_group", 2, False) in stages and ("tiny_group", 4, False) in stages, "evaluate.every"


@pytest.mark.parametrize(("tasks", "counts"), [("current", [1, 1]), ("seen", [1, 2]), ("all", [2, 2])])
def test_which_tasks_are_scored(spec_file: Path, tmp_path: Path, tasks: str, counts: list[int]) -> None:
    overrides = ["mode=sequence", "tasks=[tiny_group, tiny_count]", f"evaluate.tasks={tasks}",
                 "evaluate.protocols=teacher_forced", "evaluate.limit=2"]  # fmt: skip
    words = [word for override in overrides for word in ("--set", override)]
    assert secura_bench("run", str(spec_file), *words, cwd=tmp_path).returncode == 0
    (path,) = tmp_path.rglob("*lora*/record.json")
    scores = [score for score in json.loads(path.read_text())["scores"] if score["role"] == "task"]
    assert [sum(s["after"] == after for s in scores) for after in ("tiny_group", "tiny_count")] == counts
    assert {score["n"] for score in scores} == {2}, "evaluate.limit"


def test_a_plan_warns_of_few_rows_and_says_what_makes_more(spec_file: Path, tmp_path: Path) -> None:
    """Of a file of 60 rows 6 are scored: it must be known before the runs, not after them."""
    rows = [{"prompt": f"Count {i}.", "completion": f"{i}"} for i in range(60)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("plan", "spec.yaml", "--set", "tasks=mine.jsonl", "--set", "evaluate.limit=100")
    said = " ".join(secura_bench(*words, cwd=tmp_path).stdout.split())
    assert "rows 54 to train on, 6 to score" in said
    assert "Few rows are scored: mine 6. " in said and "data.test_fraction (0.1)" in said
    said = " ".join(secura_bench(*words, "--set", "data.test_fraction=0.5", cwd=tmp_path).stdout.split())
    assert "rows 30 to train on, 30 to score" in said and "Few rows" not in said


def test_plan_counts_what_is_done_and_measures(spec_file: Path, tmp_path: Path) -> None:
    before = secura_bench("plan", "spec.yaml", "--probe", "1", cwd=tmp_path)
    assert before.returncode == 0, before.stderr
    assert "runs      2, of them 0 done" in before.stdout and "(measured)" in before.stdout
    assert re.search(r"^lora-r-2 +1 +0 +1\.02k +131k ", before.stdout, flags=re.MULTILINE), before.stdout
    assert secura_bench("run", "spec.yaml", "--quiet", cwd=tmp_path).returncode == 0
    dry = secura_bench("run", "spec.yaml", "--dry-run", cwd=tmp_path)
    assert "runs      2, of them 2 done" in dry.stdout


def test_shapes_of_other_layouts_have_no_estimate() -> None:
    assert shape_from("opt", {}) is None
    config = random_llama().config.to_dict()
    assert Shape.from_config("llama", config).parameters == sum(p.numel() for p in random_llama().parameters())


# Mutated specs. An odd number makes the spec wrong by construction, an even one draws from anything.

WRONG = [
    lambda spec, value: spec.update({f"x{value}": 1}),
    lambda spec, value: spec.pop(["experiment", "mode", "model", "tasks", "methods"][value % 5]),
    lambda spec, value: spec["train"].update({["lr", "steps", "eps"][value % 3]: ["fast", -1, None, {}][value % 4]}),
    lambda spec, value: spec["evaluate"].update(protocols=[["bleu"], [], {}, 3][value % 4]),
    lambda spec, value: spec.update(experiment=["../x", "", None, ["a"], "A B"][value % 5]),
    lambda spec, value: spec.update(tasks=[[], ["nope"], {}, 7, ["tiny_group", "tiny_group"]][value % 5]),
    lambda spec, value: spec.update(methods=[[], [7], [{}], [{"name": "lora", "q": 1}], [["lora"]]][value % 5]),
    lambda spec, value: spec.update(methods=[{"name": "secura", "r": [10**9, -1, "x", None][value % 4]}]),
    lambda spec, value: spec.update(seeds=[[-1], ["a"], [1, 1], [], [2**70]][value % 5]),
    lambda spec, value: spec.update(matrix=[[1], {"a": [1]}, {"train.lr": 1}, {"seeds": [1]}][value % 4]),
    lambda spec, value: spec.update(orders=[["up"], ["reversed"], 3][value % 3]),
    lambda spec, value: spec.update(extends=["/nowhere.yaml", 3, [1], "\0"][value % 4]),
    lambda spec, value: spec.update(model=["no such model", "", None, "a/b/c", "~nobody/x"][value % 5]),
    lambda spec, value: spec.update(train=[1, "x", [1], {"train": {}}][value % 4]),
]  # fmt: skip

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def check(text: bytes, folder: Path, wrong: bool) -> None:
    path = folder / "spec.yaml"
    path.write_bytes(text)
    done = secura_bench("plan", "spec.yaml", cwd=folder)
    assert done.returncode == 2 if wrong else done.returncode in (0, 2), (text, done)
    assert "Traceback" not in done.stderr + done.stdout
    assert bool(done.stderr) == (done.returncode == 2)
    assert [file.name for file in folder.iterdir()] == ["spec.yaml"], "a plan writes nothing"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("mutated")


@settings(max_examples=100, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(st.integers(0, len(WRONG) - 1), st.integers(0, 60))
def test_specs_that_are_wrong_by_construction_exit_with_2(folder: Path, kind: int, value: int) -> None:
    spec = yaml.safe_load(SPEC)
    WRONG[kind](spec, value)
    check(yaml.safe_dump(spec, allow_unicode=True).encode(), folder, wrong=True)


@settings(max_examples=100, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(st.integers(0, 5), st.integers(0, 10_000), anything)
def test_mutated_specs_plan_or_exit_with_2(folder: Path, kind: int, seed: int, value: object) -> None:
    """A key gone, doubled, renamed or moved, any value anywhere, other encodings, bytes flipped and cut."""
    draw = random.Random(seed)
    spec = yaml.safe_load(SPEC.replace("[teacher_forced, generate]", "[teacher_forced]"))
    place = draw.choice([spec, spec, spec["train"], spec["evaluate"], spec["methods"][0], spec["data"]])
    key = draw.choice(sorted(place))
    if kind == 0:
        place[key] = value
    elif kind == 1:
        del place[key]
    elif kind == 2:
        place[draw.choice([*sorted(spec), "lr", "orders", "matrix", "seeds", "x"])] = place.pop(key)
    text = yaml.safe_dump(spec, allow_unicode=True).encode()
    if kind == 3:
        text = text.decode().encode(draw.choice(["utf-16", "utf-8-sig", "latin-1", "utf-32"]))
    elif kind == 4:
        position = draw.randrange(len(text))
        text = text[:position] + bytes([draw.randrange(256)]) + text[position + 1 :]
    elif kind == 5:
        text = text[: draw.randrange(len(text))]
    check(text, folder, wrong=False)
