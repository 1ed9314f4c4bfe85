"""Exports: of the model that was trained, of a whole result, and asked before they are kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import SPEC, secura_bench
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from zoo import write

METHODS = """[
  {name: peft, peft_type: lora, label: head, config: {r: 2, target_modules: [lm_head]}},
  {name: peft, peft_type: vera, label: vera, config: {r: 4}},
  {name: peft, peft_type: adaption_prompt, label: prompt, config: {adapter_len: 4, adapter_layers: 1}},
  {name: secura, r: 4, m: 6, label: secura}]"""


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """Runs of an adapter on a tied head, one with shared tensors, one without a merge, and SECURA."""
    folder = tmp_path_factory.mktemp("exports")
    write("llama-tied", folder / "model")
    (folder / "spec.yaml").write_text(SPEC.replace("model: tiny", f"model: {folder / 'model'}"))
    settings = ["train.lr=0.02", "train.steps=4", "evaluate.protocols=[teacher_forced]", f"methods={METHODS}"]
    words = [word for setting in settings for word in ("--set", setting)]
    run = secura_bench("run", "spec.yaml", *words, cwd=folder)
    assert run.returncode == 0, run.stderr
    return folder


@pytest.fixture
def own(done: Path, tmp_path: Path) -> Path:
    """A copy of the runs and their model, to be damaged."""
    shutil.copytree(done, tmp_path / "own")
    return tmp_path / "own"


def run_of(folder: Path, label: str) -> Path:
    (run,) = folder.glob(f"results/trial/model-{label}-*")
    return run


def test_a_tied_head_is_merged_without_the_embedding(done: Path, tmp_path: Path) -> None:
    out = secura_bench("export", str(run_of(done, "head")), "out", "--to", "merged", cwd=tmp_path)
    assert out.returncode == 0, out.stderr
    merged, base = (AutoModelForCausalLM.from_pretrained(folder) for folder in (tmp_path / "out", done / "model"))
    assert torch.equal(merged.get_input_embeddings().weight, base.get_input_embeddings().weight)
    assert not torch.equal(merged.get_output_embeddings().weight, merged.get_input_embeddings().weight)
    assert merged.config.tie_word_embeddings is False


def test_shared_tensors_are_kept_once(done: Path, tmp_path: Path) -> None:
    kept = load_file(run_of(done, "vera") / "adapter" / "trained.safetensors")
    assert sum(name.endswith("vera_A.default") for name in kept) == 1
    for form in ("peft", "merged"):
        assert secura_bench("export", str(run_of(done, "vera")), form, "--to", form, cwd=tmp_path).returncode == 0


def test_what_peft_cannot_merge_is_refused(done: Path, tmp_path: Path) -> None:
    out = secura_bench("export", str(run_of(done, "prompt")), "out", "--to", "merged", cwd=tmp_path)
    assert out.returncode == 2 and "PEFT cannot merge" in out.stderr and "`--to peft`" in out.stderr
    assert not (tmp_path / "out").exists()


def test_another_model_where_the_runs_was(own: Path, tmp_path: Path) -> None:
    run, other = run_of(own, "head"), write("llama", tmp_path / "other")
    moved = shutil.move(own / "model", tmp_path / "moved")
    for model, says in ((moved, ""), (other, "is another model"), ("tiny", "is another model")):
        out = secura_bench("export", str(run), f"out-{bool(says)}", "--model", str(model), cwd=tmp_path)
        assert out.returncode == (2 if says else 0) and says in out.stderr, out.stderr
    file = moved / "model.safetensors"
    save_file({name: -tensor for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})
    out = secura_bench("export", str(run), "again", "--model", str(moved), cwd=tmp_path)
    assert out.returncode == 2 and "is another model" in out.stderr


Tensors = dict[str, torch.Tensor]


def _changed(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Tensors], Tensors]:
    return lambda kept: {name: change(t) if name.endswith("lora_B.default.weight") else t for name, t in kept.items()}


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda kept: dict(list(kept.items())[1:]), "lacks base_model.model.lm_head.lora_A.default.weight"),
        (lambda kept: {**kept, "mine": torch.zeros(1)}, "holds mine, which 'peft' on"),
        (_changed(lambda tensor: tensor[1:].contiguous()), "is of shape (1147, 2), and the model's is (1148, 2)"),
        (_changed(lambda tensor: tensor * float("nan")), "holds NaN or infinity"),
    ],
)
def test_a_kept_result_that_is_not_whole(own: Path, damage: Callable[[Tensors], Tensors], says: str) -> None:
    run = run_of(own, "head")
    kept = run / "adapter" / "trained.safetensors"
    save_file(damage(dict(sorted(load_file(kept).items()))), kept)
    for form in ("peft", "merged"):
        out = secura_bench("export", str(run), "out", "--to", form, "--model", str(own / "model"), cwd=own)
        assert out.returncode == 2 and says in out.stderr and "Traceback" not in out.stderr, out.stderr
        assert not (own / "out").exists()


def test_half_a_file(own: Path) -> None:
    run = run_of(own, "head")
    kept = run / "adapter" / "trained.safetensors"
    kept.write_bytes(kept.read_bytes()[:200])
    out = secura_bench("export", str(run), "out", "--model", str(own / "model"), cwd=own)
    assert out.returncode == 2 and "cannot be read" in out.stderr


def test_an_export_that_says_something_else_is_not_written(done: Path, tmp_path: Path, monkeypatch) -> None:
    from secura_bench.export import write as export

    right = export.merged_model

    def wrong(*given):
        plain = right(*given)
        plain.get_input_embeddings().weight.data += 0.01
        return plain

    monkeypatch.setattr(export, "merged_model", wrong)
    out = secura_bench("export", str(run_of(done, "head")), "out", "--to", "merged", cwd=tmp_path)
    assert out.returncode == 2 and "computes something else than what was trained" in out.stderr
    assert not list(tmp_path.iterdir())


def test_secura_on_a_row_of_zeros(tmp_path: Path) -> None:
    folder = write("llama", tmp_path / "model")
    file = folder / "model.safetensors"
    tensors = load_file(file)
    tensors["model.layers.1.self_attn.q_proj.weight"][5] = 0
    save_file(tensors, file, metadata={"format": "pt"})
    spec = SPEC.replace("model: tiny", f"model: {folder}").replace("{name: lora, r: 2}", "{name: secura, r: 4, m: 6}")
    (tmp_path / "spec.yaml").write_text(spec)
    assert secura_bench("run", "spec.yaml", cwd=tmp_path).returncode == 0
    run = str(run_of(tmp_path, "secura"))
    adapter = secura_bench("export", run, "adapter", cwd=tmp_path)
    assert adapter.returncode == 2 and "row 5 of the weight is all zero" in adapter.stderr, adapter.stderr
    assert secura_bench("export", run, "merged", "--to", "merged", cwd=tmp_path).returncode == 0


HUB = "org/model@" + "a1" * 20


@pytest.mark.parametrize(
    ("trained", "there", "folder", "says"),
    [
        (HUB, HUB, "snapshots/x", None),
        (HUB, "sha256:1", f"snapshots/{'a1' * 20}", None),
        (HUB, "sha256:1", "folder", "cannot be shown to be the run's model"),
        ("sha256:1", HUB, "snapshots/x", "cannot be shown to be the run's model"),
        (HUB, "org/model@" + "b2" * 20, "snapshots/x", "is another model"),
        ("sha256:1", "sha256:2", "folder", "is another model"),
    ],
)
def test_what_makes_two_bases_the_same(tmp_path: Path, trained: str, there: str, folder: str, says: str | None) -> None:
    from types import SimpleNamespace

    from secura_bench.export.identity import refuse_another_base
    from secura_bench.foundation.errors import BenchError
    from secura_bench.models.load import ModelFolder

    record, base = SimpleNamespace(model={"identity": trained}), ModelFolder("m", tmp_path / folder, there)
    if says is None:
        refuse_another_base(record, base)
    else:
        with pytest.raises(BenchError, match=says):
            refuse_another_base(record, base)
