"""Exported adapters and models, loaded with nothing but PEFT and transformers, give the trained model's logits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import SPEC, secura_bench
from transformers import AutoModelForCausalLM

from secura_bench.export.write import restore
from secura_bench.methods.build import build_method
from secura_bench.models.load import find_model
from secura_bench.spec.load import load_spec

METHODS = """[
  {name: lora, r: 2}, {name: dora, r: 2, label: dora}, {name: cur_lora, r: 8, label: cur},
  {name: cabr_lora, r: 8, m: 16, label: cabr}, {name: secura, r: 8, m: 16, label: secura},
  {name: secura, signorm: 'off', r: 8, m: 16, label: unnormed},
  {name: secura, r: 8, m: 16, fusion_step: 3, label: full},
  {name: o_lora, r: 2, label: o_lora},
  {name: secura, r: 8, m: 16, signorm: public_code, label: public}, {name: seq, label: seq}]"""

PEFT = ["lora-r-2", "dora", "cur", "cabr", "secura", "unnormed", "o_lora"]
MERGED = [*PEFT, "full"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """One short run of every method, by label."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "spec.yaml").write_text(SPEC)
    settings = ["train.lr=0.02", "train.steps=4", "evaluate.protocols=[teacher_forced]", "probe_rows=3"]
    words = [word for setting in [*settings, f"methods={METHODS}"] for word in ("--set", setting)]
    done = secura_bench("run", "spec.yaml", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    found = [(json.loads(path.read_text())["method"]["label"], path.parent) for path in folder.rglob("record.json")]
    return dict(found)


def trained_logits(run: Path, ids: torch.Tensor) -> torch.Tensor:
    spec = load_spec(str(run / "spec.yaml"))
    method = build_method(spec.methods[0].name, **spec.methods[0].options)
    model = restore(find_model("tiny"), method, run / "adapter" / "trained.safetensors")
    with torch.no_grad():
        return model(input_ids=ids).logits


IDS = torch.randint(10, 900, (3, 17), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("label", PEFT)
def test_a_stock_adapter(runs, tmp_path: Path, label: str) -> None:
    from peft import PeftModel

    done = secura_bench("export", str(runs[label]), "adapter", "--to", "peft", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    base = AutoModelForCausalLM.from_pretrained(find_model("tiny").path, dtype=torch.float32).eval()
    with torch.no_grad():
        untrained = base(IDS).logits
        loaded = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
        logits = loaded(input_ids=IDS).logits
    assert torch.allclose(logits, trained_logits(runs[label], IDS), atol=1e-4)
    assert not torch.allclose(logits, untrained, atol=1e-2), "the run learned nothing, so this test shows nothing"
    assert {path.name for path in (tmp_path / "adapter").iterdir()} >= {
        "adapter_config.json",
        "adapter_model.safetensors",
    }


@pytest.mark.parametrize("label", MERGED)
def test_a_merged_model(runs, tmp_path: Path, label: str) -> None:
    done = secura_bench("export", str(runs[label]), "model", "--to", "merged", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32).eval()
    with torch.no_grad():
        assert torch.allclose(loaded(IDS).logits, trained_logits(runs[label], IDS), atol=1e-4)


@pytest.mark.parametrize(
    ("label", "form", "reason"),
    [
        ("public", "peft", "depends on the input"),
        ("public", "merged", "depends on the input"),
        ("full", "peft", "--to merged"),
        ("seq", "merged", "keep: all"),
        ("lora-r-2", "gguf", "Known: merged, peft"),
    ],
)
def test_what_cannot_be_exact_is_refused(runs, tmp_path: Path, label: str, form: str, reason: str) -> None:
    done = secura_bench("export", str(runs[label]), "out", "--to", form, cwd=tmp_path)
    assert done.returncode == 2 and reason in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_full_target_is_never_touched(runs, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    done = secura_bench("export", str(runs["cur"]), "out", cwd=tmp_path)
    assert done.returncode == 2 and "not empty" in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_kept_whole_model(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC.replace("{name: lora, r: 2}", "seq") + "keep: all\n")
    assert secura_bench("run", "spec.yaml", cwd=tmp_path).returncode == 0
    run = next(tmp_path.glob("results/trial/tiny-seq-*"))
    assert secura_bench("export", str(run), "model", "--to", "merged", cwd=tmp_path).returncode == 0
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32).eval()
    with torch.no_grad():
        assert torch.allclose(loaded(IDS).logits, trained_logits(run, IDS), atol=1e-4)
    refused = secura_bench("export", str(run), "adapter", cwd=tmp_path)
    assert refused.returncode == 2 and "--to merged" in refused.stderr


@pytest.mark.parametrize("entry", ["[../rows/own.jsonl]", "[mine]"])
def test_a_run_on_a_task_of_ones_own(tmp_path: Path, entry: str) -> None:
    rows = ({"question": f"{k} km in m?", "answer": str(1000 * k)} for k in range(60))
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = "file: {path: own.jsonl, columns: {prompt: '{{ question }}', target: '{{ answer }}'}}"
    (tmp_path / "rows" / "mine.yaml").write_text(f"id: mine\ntitle: Mine\nlicence: MIT\n{file}\n")
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "spec.yaml").write_text(SPEC.replace("[tiny_group]", entry))
    done = secura_bench("run", "specs/spec.yaml", "--include", "rows", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = next(tmp_path.glob("results/trial/tiny-lora-*"))
    for form, file in (("peft", "adapter_config.json"), ("merged", "config.json")):
        done = secura_bench("export", str(run), form, "--to", form, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / form / file).is_file()


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    done = secura_bench("export", "tiny-lora", "out", cwd=tmp_path)
    assert done.returncode == 2 and "tiny-lora: no such folder" in done.stderr
    assert not list(tmp_path.iterdir())
