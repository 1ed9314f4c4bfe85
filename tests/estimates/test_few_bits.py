"""What a plan says of weights in few bits: by QLoRA's own count, of loaded ones, and of a model of 70B."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT, secura_bench
from llama3_70b import LLAMA3_70B, PARAMETERS

from secura_bench.estimates.few_bits import quantised_savings, scalar_bytes
from secura_bench.models.shape import Shape
from secura_bench.spec.loading import LoadSpec


def test_scales_take_what_qlora_says() -> None:
    """Half a bit a weight, and 0.127 where they are quantised in turn (arXiv 2305.14314, section 3)."""
    assert scalar_bytes(LoadSpec(bits=4, double_quant=False)) * 8 == 4 + 0.5
    assert scalar_bytes(LoadSpec(bits=4)) * 8 == pytest.approx(4 + 0.127, abs=5e-4)
    assert scalar_bytes(LoadSpec(bits=8)) == 1


@pytest.mark.parametrize("double", [True, False])
def test_loaded_weights_take_as_much(double: bool) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: pip install 'secura-bench[quantised]'")
    from few_bits import held_in

    model = held_in(4, double_quant=double)
    shape = Shape.from_config("llama", model.config.to_dict())
    taken, whole = 0, []
    for parameter in model.parameters():
        if (state := getattr(parameter, "quant_state", None)) is not None:
            taken += parameter.nbytes + state.absmax.nbytes + (state.state2.absmax.nbytes if double else 0)
            whole.append(4 * state.shape.numel())
    saved = quantised_savings(shape, "fp32", LoadSpec(bits=4, double_quant=double)) + max(whole)
    assert sum(whole) - saved == pytest.approx(taken, rel=0.005)


def test_a_plan_of_70b_in_four_bits_on_one_gpu(tmp_path: Path) -> None:
    """docs/quantised.md has its arithmetic: 68.5 G weights in 4.127 bits, 2.1 G in 16."""
    shape = Shape.from_config("llama", LLAMA3_70B)
    assert shape.parameters == PARAMETERS
    quantised = 80 * (2 * 8192 * (8192 + 1024) + 3 * 8192 * 28672)
    held = quantised * (0.5 + 1 / 64 + 4 / (64 * 256)) + 2 * (PARAMETERS - quantised) + 2 * 8192 * 28672
    assert 2 * PARAMETERS - quantised_savings(shape, "bf16", LoadSpec(bits=4)) == held
    (tmp_path / "llama3-70b").mkdir()
    (tmp_path / "llama3-70b" / "config.json").write_text(json.dumps(LLAMA3_70B))
    page = (ROOT / "docs" / "quantised.md").read_text(encoding="utf-8")
    spec, shown = (page.split(fence)[1].split("```")[0] for fence in ('yaml title="qlora_secura.yaml"\n', "```text\n"))
    (tmp_path / "qlora_secura.yaml").write_text(spec)
    done = secura_bench("plan", "qlora_secura.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout
    (base,) = [line.split() for line in shown.splitlines() if line.startswith("base")]
    assert float(base[1]) == pytest.approx(held / 2**30, abs=0.05) and base[-1] == "fits"
