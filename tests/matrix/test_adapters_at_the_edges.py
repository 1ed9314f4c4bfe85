"""PEFT's tuners and targets on real configurations: counted as they are, or refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SPEC, secura_bench
from zoo import build, shapes, write

from secura_bench.adapters.towers import other_towers
from secura_bench.estimates.formulas import count_on_shape
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.methods.method import Method
from secura_bench.models.load import shape_of

EDGES: list[tuple[str, dict[str, Any]]] = [
    ("lora", {"layers_to_transform": [1]}),
    ("lora", {"target_modules": r".*layers\.1\..*(q|v)_proj"}),
    ("lora", {"target_modules": "all-linear", "exclude_modules": ["k_proj"]}),
    ("lora", {"layer_replication": [[0, 2], [1, 2]]}),
    ("lora", {"rank_pattern": {"q_proj": 3}}),
    ("lora", {"trainable_token_indices": [5, 6]}),
    ("lora", {"init_lora_weights": "pissa"}),
    ("lora", {"init_lora_weights": "olora"}),
    ("lora", {"init_lora_weights": "mica"}),
    ("adalora", {"init_r": 3, "target_r": 2, "total_step": 4, "tinit": 1, "tfinal": 1}),
    ("adaption_prompt", {"adapter_len": 4, "adapter_layers": 2}),
    ("ln_tuning", {}),
    ("trainable_tokens", {"token_indices": [5, 6]}),
    ("shira", {"r": 2}),
    ("frod", {}),
    ("vera", {"r": 4}),
]


def peft(kind: str, config: dict[str, Any], **more: Any) -> Method:
    return build_method("peft", peft_type=kind, config=config, **more)


@pytest.mark.parametrize(("kind", "config"), EDGES, ids=str)
def test_a_plan_counts_what_a_run_trains(tmp_path: Path, kind: str, config: dict[str, Any]) -> None:
    method, model = peft(kind, config), build("llama")
    real = method.count_parameters(method.attach(model))
    folder = write("llama", tmp_path / "m")
    planned = count_on_shape(peft(kind, config).footprint(), shape_of(str(folder)), lambda: shapes("llama"))
    assert planned.trainable == real.trainable > 0
    assert planned.total == real.total


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ({"name": "lora", "target_modules": ["lm_head"]}, "shares its weight with model.embed_tokens"),
        ({"name": "i_lora", "target_modules": ["lm_head"]}, "set boundary: continue"),
        ({"name": "secura", "r": 4, "m": 6, "target_modules": ["lm_head"], "merge_dtype": "base"}, "merge_dtype: core"),
        ({"name": "lora", "target_modules": ["lm_head"], "boundary": "continue", "init_lora_weights": "pissa"}, "take"),
        (
            {
                "name": "peft",
                "peft_type": "lora",
                "config": {"target_modules": ["lm_head"], "init_lora_weights": "olora"},
            },
            "a start that changes the weight would change both",
        ),
        ({"name": "peft", "peft_type": "trainable_tokens", "config": {}}, "nothing is trained"),
        ({"name": "peft", "peft_type": "shira", "config": {"r": 32}}, "take a smaller r"),
        ({"name": "peft", "peft_type": "adaption_prompt", "config": {"adapter_len": 4}}, "PEFT refuses"),
    ],
)
def test_what_does_not_go_on_a_tied_model(method: dict[str, Any], says: str) -> None:
    name, options = method["name"], {key: value for key, value in method.items() if key != "name"}
    with pytest.raises(SpecError, match=says):
        build_method(name, **options).attach(shapes("llama-tied"))


@pytest.mark.parametrize("row", ["qwen3", "jamba"])
@pytest.mark.parametrize("make", [shapes, build])
def test_layers_that_the_configuration_tells_apart_are_not_replicated(row: str, make: Any) -> None:
    config = {"target_modules": ["q_proj"], "layer_replication": [[0, 2], [1, 2]]}
    with pytest.raises(SpecError, match="leave layer_replication out"):
        peft("lora", config).attach(make(row))


@pytest.mark.parametrize("make", [shapes, build])
def test_olora_on_weights_that_lie_the_other_way_round(make: Any) -> None:
    config = {"target_modules": ["c_attn"], "init_lora_weights": "olora"}
    with pytest.raises(SpecError, match="a Conv1D; take pissa"):
        peft("lora", config).attach(make("gpt2"))


@pytest.mark.parametrize(
    ("start", "needs"),
    [
        ("eva", "the activations of the task's rows at every adapted module, before the first step"),
        ("EVA", "the activations"),
        ("lora_ga", "the gradients of the task's rows"),
        ("loftq", "a base that is quantised beside its full weights"),
    ],
)
def test_starts_that_want_more_than_weights_are_refused(start: str, needs: str) -> None:
    with pytest.raises(SpecError, match=f"{start.lower()} needs {needs}.*another start under that name"):
        peft("lora", {"init_lora_weights": start})


@pytest.mark.parametrize("on_shapes", [True, False])
@pytest.mark.parametrize(
    "method",
    [
        {"name": "lora"},
        {"name": "secura", "r": 4, "m": 6},
        {"name": "i_lora"},
        {"name": "peft", "peft_type": "lora"},
        {"name": "peft", "peft_type": "lora", "config": {"target_modules": "all-linear"}},
        {"name": "peft", "peft_type": "lora", "config": {"target_modules": ".*q_proj", "exclude_modules": ".*x"}},
        {"name": "peft", "peft_type": "vera", "config": {"r": 4}},
        {"name": "peft", "peft_type": "shira", "config": {"r": 2, "target_modules": ["self_attn.q_proj"]}},
        {
            "name": "peft",
            "peft_type": "trainable_tokens",
            "config": {"token_indices": [5], "target_modules": ["embed_tokens"]},
        },
    ],
    ids=str,
)
def test_adapters_leave_the_towers_that_no_text_reaches(method: dict[str, Any], on_shapes: bool) -> None:
    model: Any = shapes("gemma3-vision") if on_shapes else build("gemma3-vision")
    assert any("vision" in path for path in other_towers(model))
    assert other_towers(shapes("gemma3")) == []
    options = {key: value for key, value in method.items() if key != "name"}
    adapted = build_method(method["name"], **options).attach(model)
    trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert trained and all("language_model" in name for name in trained)


def test_a_tuner_that_cannot_leave_the_towers_is_refused() -> None:
    with pytest.raises(SpecError, match="cannot leave modules out, and would go into model"):
        peft("vera", {"r": 4, "target_modules": "all-linear"}).attach(shapes("gemma3-vision"))


def test_a_model_of_which_peft_knows_no_modules() -> None:
    with pytest.raises(SpecError, match=r"PEFT has no modules of its own choice for \w+; name them: target_modules"):
        peft("ln_tuning", {}).attach(shapes("mamba"))
    assert peft("ln_tuning", {}, target_modules=["norm"]).attach(shapes("mamba"))


@pytest.mark.parametrize("on_shapes", [True, False])
@pytest.mark.parametrize("name", ["seq", "mtl", "ewc", "er"])
def test_full_training_leaves_the_towers_that_no_text_reaches(name: str, on_shapes: bool) -> None:
    """Neither trained, counted nor anchored, and what reads text is trained whole."""
    model, text = (shapes if on_shapes else build)("gemma3-vision"), shapes("gemma3")
    method = build_method(name)
    adapted = method.attach(model)
    trained = {key: p for key, p in adapted.named_parameters() if p.requires_grad}
    assert len(trained) == len(list(text.parameters()))
    assert not any("vision" in key or "projector" in key for key in trained)
    count = method.count_parameters(adapted)
    assert count.trainable == count.effective == sum(p.numel() for p in trained.values()) < count.total
    (group,) = method.parameter_groups(adapted)
    assert {id(p) for p in group["params"]} == {id(p) for p in trained.values()}


def test_dora_on_a_row_of_zeros() -> None:
    model = build("llama")
    with torch.no_grad():
        model.get_parameter("model.layers.0.self_attn.v_proj.weight")[3] = 0
    with pytest.raises(SpecError, match="a row that is all zero"):
        build_method("dora").attach(model)


@pytest.mark.parametrize(
    ("row", "changes", "says"),
    [
        ("gpt2", {}, "it has 64 positions"),
        ("llama", {"methods: [{name: lora, r: 2}]": "methods: [seq]"}, "the embedding has 1148 rows"),
        (
            "llama-tied",
            {"{name: lora, r: 2}": "{name: peft, peft_type: adalora, config: {total_step: 99}}"},
            "total_step: 99 is more than the run's 2 optimizer steps",
        ),
    ],
)
def test_what_no_table_holds_is_said_in_the_plan(tmp_path: Path, row: str, changes: dict[str, str], says: str) -> None:
    folder = write(row, tmp_path / "m")
    if row == "gpt2":
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"n_positions": 64}))
        changes = {"{name: lora, r: 2}": "seq"}
    if row == "llama":
        file = folder / "tokenizer.json"
        tokenizer = json.loads(file.read_text())
        pad = json.loads((folder / "tokenizer_config.json").read_text())["pad_token"]
        tokenizer["added_tokens"] = [
            {**token, "id": 5000} if token["content"] == pad else token for token in tokenizer["added_tokens"]
        ]
        tokenizer["model"]["vocab"] = {**tokenizer["model"]["vocab"], pad: 5000}
        file.write_text(json.dumps(tokenizer))
    text = SPEC.replace("model: tiny", f"model: {folder}")
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    (tmp_path / "spec.yaml").write_text(text)
    done = secura_bench("run", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert not (tmp_path / "results").exists()
