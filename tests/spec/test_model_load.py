"""How a spec says that its model is loaded: what is refused, and what sets a run apart."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from conftest import SPEC, secura_bench

from secura_bench.foundation.errors import SpecError
from secura_bench.models.config import attention_of
from secura_bench.models.load import find_model, load_model
from secura_bench.plan.make import make_plan
from secura_bench.plan.run import Run
from secura_bench.spec.load import load_spec
from secura_bench.spec.loading import LoadSpec

CONTINUE = {"name": "lora", "boundary": "continue"}


def write(folder: Path, *methods: Any, **load: Any) -> str:
    spec = {**yaml.safe_load(SPEC), "methods": list(methods)}
    (folder / "spec.yaml").write_text(yaml.safe_dump({**spec, **({"model_load": load} if load else {})}))
    return str(folder / "spec.yaml")


def runs_of(folder: Path, *methods: Any, **load: Any) -> tuple[Run, ...]:
    return make_plan(load_spec(write(folder, *methods, **load))).runs


@pytest.mark.parametrize(
    ("load", "error"),
    [
        ({"bits": 3}, r"model_load.bits: unknown value 3. .*Known: 4, 8"),
        ({"bits": "4"}, r"model_load.bits: unknown value '4'"),
        ({"quant_type": "nf4"}, r"model_load: quant_type: is for bits: 4 alone"),
        ({"bits": 8, "compute_dtype": "bf16"}, r"model_load: compute_dtype: is for bits: 4 alone"),
        ({"bits": 4, "double_quant": 1}, r"model_load.double_quant: input should be a valid boolean"),
        ({"attn_implementation": "paged"}, r"attn_implementation: unknown value 'paged'"),
        ({"bit": 4}, r"model_load.bit: unknown key 'bit'. Did you mean 'bits'"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, load: dict[str, Any], error: str) -> None:
    with pytest.raises(SpecError, match=error):
        load_spec(write(tmp_path, CONTINUE, **load))


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("seq", "'seq' cannot be trained so: it trains the base's weights; or leave bits out"),
        ("ewc", "'ewc' cannot be trained so: it trains the base's weights"),
        ("lora", "boundary: merge merges into the weights; set continue"),
        ({**CONTINUE, "init_lora_weights": "pissa"}, "init_lora_weights: pissa takes something out of the weights"),
        ("i_lora", "boundary: merge merges into the weights"),
        ({"name": "secura", "merge_dtype": "base", "r": 8, "m": 16}, "merge_dtype: base merges into the weights"),
        ({"name": "peft", "peft_type": "vera"}, "PEFT's vera has no layer for such weights"),
        ({"name": "peft", "peft_type": "osf", "boundary": "renew"}, "boundary: renew merges into the weights"),
        ({"name": "peft", "peft_type": "lora", "config": {"init_lora_weights": "olora"}}, "olora takes something"),
        ({"stack": ["er", "ewc"]}, "it trains the base's weights"),
    ],
)
def test_what_changes_weights_is_refused_on_few_bits(tmp_path: Path, method: Any, reason: str) -> None:
    """Before anything is loaded, and without bitsandbytes."""
    spec = load_spec(write(tmp_path, method, bits=4))
    with pytest.raises(SpecError, match=reason):
        make_plan(spec)


@pytest.mark.parametrize(
    "method",
    [
        CONTINUE,
        {**CONTINUE, "name": "dora"},
        {"name": "i_lora", "boundary": "continue"},
        {"name": "cur_lora", "r": 8},
        {"name": "secura", "r": 8, "m": 16},
        {"name": "peft", "peft_type": "ia3"},
        {"stack": [CONTINUE, "ewc", "er"]},
        {"stack": [{"name": "secura", "r": 8, "m": 16}, "kl_to_base"]},
    ],
)
def test_adapters_go_with_few_bits(tmp_path: Path, method: Any) -> None:
    base, run = runs_of(tmp_path, method, bits=4)
    assert base.name == "tiny-4bit-base" and run.name.startswith("tiny-4bit-")


def test_what_changes_a_number_is_a_runs_identity_and_nothing_else(tmp_path: Path) -> None:
    plain = runs_of(tmp_path, CONTINUE)
    loads: list[dict[str, Any]] = [
        {"bits": 8},
        {"bits": 4},
        {"bits": 4, "quant_type": "fp4"},
        {"bits": 4, "double_quant": False},
        {"bits": 4, "compute_dtype": "bf16"},
        {"attn_implementation": "eager"},
    ]
    found = [runs_of(tmp_path, CONTINUE, **load) for load in loads]
    prints = [run.fingerprint for runs in (plain, *found) for run in runs]
    assert len(set(prints)) == 2 * (1 + len(loads)), "the base too is another"
    spelled = {"bits": 4, "quant_type": "nf4", "double_quant": True, "compute_dtype": "fp32"}
    assert [run.fingerprint for run in runs_of(tmp_path, CONTINUE, **spelled)] == [r.fingerprint for r in found[1]]
    assert "model_load" not in plain[1].resolved()
    assert found[3][1].resolved()["model_load"] == {"bits": 4, "double_quant": False}


def test_the_compute_dtype_is_the_precisions_where_nothing_is_said() -> None:
    assert LoadSpec().told("bf16") == {}
    assert [LoadSpec(bits=4).told(p)["compute_dtype"] for p in ("fp32", "bf16", "bf16_pure")] == [
        "fp32",
        "bf16",
        "bf16",
    ]
    assert LoadSpec(bits=8).told("fp32") == {"bits": 8}
    marks = [LoadSpec().mark, LoadSpec(bits=8).mark, LoadSpec(bits=4, quant_type="fp4", double_quant=False).mark]
    assert marks == ["", "-8bit", "-4bit-fp4-single"]


def test_a_bench_without_bitsandbytes_says_how_to_get_it(tmp_path: Path) -> None:
    write(tmp_path, CONTINUE, bits=4)
    done = secura_bench("validate", "spec.yaml", cwd=tmp_path)
    if find_spec("bitsandbytes"):
        assert done.returncode == 0, done.stderr
        return
    for words in (("validate", "spec.yaml"), ("run", "spec.yaml")):
        done = secura_bench(*words, cwd=tmp_path)
        assert done.returncode and "model_load.bits: 4 needs bitsandbytes: pip install 'secura-b" in done.stderr
    done = secura_bench("plan", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 0 and "needs bitsandbytes" in done.stdout, "a plan is made all the same"


def test_validate_refuses_at_the_line_of_the_key(tmp_path: Path) -> None:
    if find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed: pip install 'secura-bench[quantised]'")
    write(tmp_path, "seq", bits=4)
    done = secura_bench("validate", "spec.yaml", cwd=tmp_path)
    assert done.returncode and "model_load: model_load.bits: 4: 'seq' cannot be trained so" in done.stderr


def test_attention_is_computed_by_what_is_said(tmp_path: Path) -> None:
    tiny = find_model("tiny")
    for said, expected in ((None, "sdpa"), ("eager", "eager"), ("sdpa", "sdpa")):
        model: Any = load_model(replace(tiny, load=LoadSpec(attn_implementation=said)))
        assert model.config._attn_implementation == expected
    capped = SimpleNamespace(attn_logit_softcapping=50.0)  # as Gemma 2's is
    assert attention_of(capped, "eager") == {"attn_implementation": "eager"} and not attention_of(capped, None)
    with pytest.raises(SpecError, match="sdpa leaves out the soft cap"):
        attention_of(capped, "sdpa")
