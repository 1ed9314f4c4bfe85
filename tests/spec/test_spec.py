"""Specs: what is accepted, and that every mistake is one clear error."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from conftest import SPEC

from secura_bench.foundation.errors import SpecError
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.load import load_spec, load_specs
from secura_bench.spec.sections import TrainSpec

MISTAKES = [
    ("probe_rows: 6", "prob_rows: 6", r":6: prob_rows: unknown key 'prob_rows'. Did you mean 'probe_rows'"),
    ("steps: 2", "step: 2", r":8: train.step: unknown key 'step'. Did you mean 'steps'"),
    (
        "name: lora",
        "name: loora",
        r":7: methods.0: unknown method 'loora'. Did you mean 'lora'.*Known: .*secura.*--plugin FILE",
    ),
    ("r: 2", "r: -2", r":7: methods.0.r: input should be greater than 0 \(here: -2\)"),
    ("r: 2", "rank: 2", r":7: methods.0.rank: unknown key 'rank'. .*Known: .*target_modules"),
    ("r: 2", "train: {lrr: 1}", r":7: methods.0.train.lrr: unknown key 'lrr'. Did you mean 'lr'"),
    ("tiny_group", "tiny_gruop", r":4: tasks: unknown task 'tiny_gruop'. Did you mean 'tiny_group'"),
    ("tiny_f_task", "f_tsk", r":5: probe: unknown task 'f_tsk'. Did you mean 'f_task'"),
    ("separate", "seperate", r":2: mode: unknown value 'seperate'. Did you mean 'separate'"),
    ("experiment: trial", "experiment: ../../x", r":1: experiment: must be of small letters, digits"),
    ("experiment: trial", "experiment: a\nexperiment: b", r":2: .*key 'experiment' stands here twice"),
    ("experiment: trial", "experiment: !!python/object:os.system x", r":1: is not plain YAML"),
    ("[tiny_group]", "[tiny_group, tiny_group]", r":4: tasks: a task stands here twice"),
    ("[{name: lora, r: 2}]", "[{r: 2}]", r":7: methods.0: a method is a name"),
    ("[{name: lora, r: 2}]", "[lora, lora]", r":7: methods: two entries have one label, 'lora'"),
    (
        "{rows: 60}",
        "{rows: 60, held_out: all}",
        r":7: methods.0: 'lora-r-2' trains, and with data.held_out: all every row is scored",
    ),
    ("[{name: lora, r: 2}]", "[]", r":7: methods: .*at least 1"),
    ("steps: 2", "steps: true", r":8: train.steps: .*valid integer"),
    ("steps: 2", "steps: 2.5", r":8: train.steps: .*valid integer"),
    ("lr: 1.0e-3", "lr: .nan", r":8: train.lr: .*finite number"),
    ("lr: 1.0e-3", "lr: fast", r":8: train.lr: must be a number \(here: 'fast'\)"),
    ("mode: separate", "mode: [", r"is not plain YAML"),
    ("mode: separate", "\tmode: separate", r":2: is not plain YAML: .* Indent with spaces\."),
    ("mode: separate", "1: x", r":2: .*key 1 is not a word"),
    ("threads: 1", "threads: &a 1\nseeds: [*a]", r":12: .*aliases"),
    ("model: tiny\n", "", r": model: this key is required and missing"),
]


@pytest.mark.parametrize(("right", "wrong", "message"), MISTAKES)
def test_mistakes_are_named(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    assert right in SPEC
    path = tmp_path / "bad.yaml"
    path.write_text(SPEC.replace(right, wrong, 1))
    with pytest.raises(SpecError) as error:
        load_spec(str(path))
    assert re.search(message, str(error.value)), error.value
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("- a\n", "must be a mapping"),
        ("just words", "must be a mapping"),
        ("a: [1", "is not plain YAML"),
    ],
)
def test_files_that_are_no_specs(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=message):
        load_spec(str(path))


def test_missing_file_and_binary_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no such file.* `secura-bench ls configs` lists them"):
        load_spec(str(tmp_path / "none.yaml"))
    for wrong in ("smoek", "configs/smoek.yaml"):
        with pytest.raises(SpecError, match=r"Did you mean 'smoke'\?") as error:
            load_spec(wrong)
        assert len(str(error.value)) < 160, "names the nearest, not all"
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="not UTF-8"):
        load_spec(str(tmp_path / "x.yaml"))


def test_overrides_beat_the_file(spec_file: Path) -> None:
    spec = load_spec(str(spec_file), ["train.lr=1e-4", "methods=[base, {name: secura, r: 4}]", "seeds=[1, 2]"])
    assert spec.train.lr == 1e-4
    assert [method.name for method in spec.methods] == ["base", "secura"]
    assert spec.seeds == (1, 2)
    assert spec.train.batch_size == 2  # untouched


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lr", "must be KEY=VALUE"),
        ("train.lr=fast", "--set train.lr=fast: train.lr: must be a number"),
        ("train.lr.x=1", "holds no keys"),
        ("trian.lr=1", "Did you mean 'train'"),
        ("train.lr=[", "not YAML"),
    ],
)
def test_bad_overrides(spec_file: Path, override: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        load_spec(str(spec_file), [override])
    assert message in str(error.value)


def test_method_entries(spec_file: Path) -> None:
    spec = load_spec(str(spec_file), ["methods=[seq, {name: lora, r: 4, train: {lr: 0.5}}, {name: lora, label: big}]"])
    assert [method.label for method in spec.methods] == ["seq", "lora-r-4", "big"]
    assert spec.train_of(spec.methods[1]).lr == 0.5
    assert spec.train_of(spec.methods[1]).steps == spec.train.steps
    assert spec.train_of(spec.methods[0]).lr == spec.train.lr


def test_the_papers_sampling_is_the_default() -> None:
    """One random row a step, with replacement; AdamW without schedule or clipping."""
    spec = TrainSpec()
    assert (spec.sampling, spec.batch_size, spec.schedule, spec.clip_norm) == ("replacement", 1, "constant", None)
    assert (spec.betas, spec.eps, spec.weight_decay, spec.steps) == ((0.9, 0.999), 1e-8, 0.01, 2000)


def test_specs_are_frozen(spec_file: Path) -> None:
    spec = load_spec(str(spec_file))
    with pytest.raises(ValueError, match="frozen"):
        spec.train.lr = 1.0  # type: ignore[misc]


def test_numbers_as_people_write_them(spec_file: Path) -> None:
    spec_file.write_text(SPEC.replace("1.0e-3", "1e-3"))
    assert load_spec(str(spec_file)).train.lr == 1e-3


def test_a_resolved_run_is_a_spec_again(spec_file: Path, tmp_path: Path) -> None:
    """What spec.yaml in a run's folder says can be run."""
    from secura_bench.plan.make import make_plan

    plan = make_plan(load_spec(str(spec_file)))
    for run in plan.runs:
        path = tmp_path / f"{run.name}.yaml"
        path.write_text(yaml.safe_dump(run.resolved()))
        again = load_spec(str(path))
        assert isinstance(again, ExperimentSpec)
        assert run.fingerprint in {other.fingerprint for other in make_plan(again).runs}


@pytest.mark.parametrize(
    ("key", "value", "moves"),
    [
        ("train.lr", "2e-3", True),
        ("train.steps", "3", True),
        ("train.micro_batch_size", "1", True),  # dropout draws other masks
        ("train.micro_batch_size", "auto", True),  # and a gradient is summed in another order
        ("train.kernels", "chunked", True),
        ("train.offload", "activations", False),
        ("evaluate.engine", "vllm", True),
        ("methods", "[{name: lora, r: 2, alpha: 16}]", False),  # a default spelled out
        ("tasks", "[tiny_group, tiny_count]", False),
        ("evaluate.batch_size", "5", False),
        ("evaluate.limit", "2", True),
        ("probe_rows", "7", True),
        ("seeds", "[1]", True),
        ("data.seed", "5", True),
        ("threads", "2", True),
        ("experiment", "other", False),
        ("methods", "[{name: lora, r: 3}]", True),
    ],
)
def test_fingerprints_cover_what_moves_a_number(spec_file: Path, key: str, value: str, moves: bool) -> None:
    from secura_bench.plan.make import make_plan

    before = make_plan(load_spec(str(spec_file))).runs[1].fingerprint
    after = make_plan(load_spec(str(spec_file), [f"{key}={value}"])).runs[1].fingerprint
    assert (before != after) == moves


def test_base_scores_are_shared_by_what_scores_the_same(spec_file: Path) -> None:
    from secura_bench.plan.make import make_plan

    def base(*overrides: str) -> str:
        return make_plan(load_spec(str(spec_file), overrides)).runs[0].fingerprint

    assert base() == base("train.lr=1", "methods=[seq, secura]", "seeds=[3]")
    assert base() != base("probe_rows=9")
    assert base() != base("evaluate.protocols=[generate]")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{stack: [lora, cur_lora]}", r"adapts the model once"),
        ("{stack: [secura, ewc]}", r"'ewc' holds trained weights near an anchor, and 'secura' merges"),
        ("{stack: [{name: lora, boundary: merge}, ewc]}", r"'lora' merges"),
        ("{stack: [lora, base]}", r"decides by itself"),
        ("{stack: [lora, {name: ewc, lamda: 3}]}", r"unknown key 'lamda'. Did you mean 'lambda'"),
        ("{stack: [lora, ewk]}", r"unknown method 'ewk'. Did you mean 'ewc'"),
        ("{stack: []}", r"at least one"),
        ("{stack: lora}", r"a stack is a list"),
    ],
)
def test_stacks_that_make_no_sense_are_refused_when_the_spec_is_read(spec_file: Path, entry: str, message: str) -> None:
    spec_file.write_text(SPEC.replace("[{name: lora, r: 2}]", f"[{entry}]"))
    with pytest.raises(SpecError) as error:
        load_spec(str(spec_file))
    assert re.search(message, str(error.value)), error.value
    assert f"{spec_file}:7" in str(error.value)


def test_a_stack_of_the_issue_is_valid(spec_file: Path) -> None:
    spec = load_spec(str(spec_file), ["methods=[{stack: [lora, {name: ewc, lambda: 100}, er]}]"])
    assert spec.methods[0].label == "lora-ewc-er"
    from secura_bench.methods.build import build_method

    stack = build_method("stack", **spec.methods[0].options)
    assert [part.name for part in stack.parts] == ["lora", "ewc", "er"]
    assert stack.parts[0].options.boundary == "continue", "an anchored adapter goes on over boundaries"
    assert stack.parts[1].options.lambda_ == 100


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / f"{next(iter(files))}.yaml"


def test_extending_merges_mappings_and_replaces_the_rest(tmp_path: Path) -> None:
    path = write(tmp_path, top="extends: base.yaml\ntrain: {lr: 0.5}\nmethods: [seq]\n", base=SPEC)
    spec, base = load_spec(str(path)), load_spec(str(tmp_path / "base.yaml"))
    assert (spec.train.lr, spec.train.steps) == (0.5, base.train.steps)
    assert [method.name for method in spec.methods] == ["seq"]
    assert load_spec(str(path), ["train.lr=1"]).train.lr == 1, "flags beat both"
    shipped_one = write(tmp_path, other="extends: smoke\nthreads: 1\n")
    assert load_spec(str(shipped_one)).methods == load_spec("smoke").methods


@pytest.mark.parametrize(
    ("top", "message"),
    [
        ("extends: base.yaml\n", r"base\.yaml:8: train\.lr: must be a number"),
        ("extends: base.yaml\ntrain:\n  lr: quick\n", r"top\.yaml:3: train\.lr: must be a number"),
        ("extends: top.yaml\n", r"top\.yaml:1: extends: .*extends this file in turn"),
        ("x: 1\nextends: there.yaml\n", r"top\.yaml:2: extends: there\.yaml: no such file"),
        ("extends: [base.yaml]\n", r"top\.yaml:1: extends: must be a file"),
    ],
)
def test_errors_name_the_file_in_which_a_key_stands(tmp_path: Path, top: str, message: str) -> None:
    path = write(tmp_path, top=top, base=SPEC.replace("lr: 1.0e-3", "lr: fast"))
    with pytest.raises(SpecError) as error:
        load_spec(str(path))
    assert re.search(message, str(error.value)), error.value


def test_a_matrix_multiplies_methods_and_specs(spec_file: Path) -> None:
    methods = "methods=[base, lora, {name: dora, label: d, train: {lr: 1}}]"
    matrix = "matrix={train.lr: [1e-5, 1e-3], methods.r: [2], model: [tiny, smollm2-135m], data.rows: [50]}"
    first, second = load_specs(str(spec_file), [methods, matrix])
    assert [spec.model for spec in (first, second)] == ["tiny", "smollm2-135m"]
    assert first.experiment == "trial-rows-50" and first.data.rows == 50
    assert [method.label for method in first.methods] == [
        "base", "lora-lr-1e-05-r-2", "lora-lr-0.001-r-2", "d-lr-1e-05-r-2", "d-lr-0.001-r-2",
    ]  # fmt: skip
    assert [first.train_of(method).lr for method in first.methods[1:]] == [1e-5, 1e-3, 1e-5, 1e-3]
    assert {method.options["r"] for method in first.methods[1:]} == {2}
    assert load_spec(str(spec_file), ["matrix=null"]) == load_spec(str(spec_file))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ("[1]", r":12: matrix: must be a mapping"),
        ("{train.lr: 3}", r":12: matrix\.train\.lr: must be a list"),
        ("{train.lr: []}", r"must be a list of values"),
        ("{train.lr: [1, 1]}", "a value stands here twice"),
        ("{train.lrr: [1, 2]}", r":12: .*unknown key 'lrr'. Did you mean 'lr'"),
        ("{methods.rr: [1, 2]}", r":12: .*unknown key 'rr'"),
        ("{trian.lr: [1, 2]}", r"Did you mean 'train'"),
        ("{seeds: [1, 2]}", r"'seeds' is a list by itself"),
        ("{model.x: [1, 2]}", r":12: 'model' holds no keys"),
        ("{train.lr: [fast]}", r":12: .*must be a number"),
    ],
)
def test_bad_matrices(spec_file: Path, matrix: str, message: str) -> None:
    spec_file.write_text(f"{SPEC}matrix: {matrix}\n")
    with pytest.raises(SpecError) as error:
        load_specs(str(spec_file))
    assert re.search(message, str(error.value)), error.value


def test_orders(spec_file: Path) -> None:
    sequence = ["mode=sequence", "tasks=[tiny_count, tiny_langid, tiny_group]", "methods=[seq, mtl]"]
    orders = "orders=[given, reversed, shuffle-1, [tiny_langid, tiny_group, tiny_count]]"
    spec = load_spec(str(spec_file), [*sequence, orders])
    found = spec.sequences(spec.methods[0])
    assert found["3-tasks"] == ("tiny_count", "tiny_langid", "tiny_group")
    assert found["3-tasks-reversed"] == ("tiny_group", "tiny_langid", "tiny_count")
    assert len(found) == len(set(found.values())) == 4
    assert list(spec.sequences(spec.methods[1])) == ["3-tasks"], "a mixture has no order"
    from secura_bench.plan.make import make_plan

    runs = make_plan(spec).runs
    assert len({run.fingerprint for run in runs}) == len({run.name for run in runs}) == 6
    for bad, message in [
        ("orders=[sideways]", "given, reversed, shuffle-N"),
        ("orders=[given, [tiny_count, tiny_langid, tiny_group]]", "same sequence"),
        ("orders=[[tiny_count]]", "must be all tasks, each once"),
    ]:
        with pytest.raises(SpecError, match=message):
            load_spec(str(spec_file), [*sequence, bad])
    with pytest.raises(SpecError, match="there is no order"):
        load_spec(str(spec_file), ["orders=reversed"])
