"""A finished run's trained result, as others load it: a stock PEFT adapter, or a whole model."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from secura_bench.adapters.layer import CURLinear
from secura_bench.adapters.peft_layers import lora_layers
from secura_bench.adapters.secura_layer import PublicSecuraLinear, SecuraLinear, UnnormedSecuraLinear
from secura_bench.adapters.signorm import resting_restraint
from secura_bench.data.chat import ChatFormat
from secura_bench.errors import BenchError
from secura_bench.methods.base import Method
from secura_bench.methods.build import build_method
from secura_bench.methods.lending import attached
from secura_bench.models.load import ModelFolder, find_model, load_model, load_tokenizer
from secura_bench.records import RunRecord
from secura_bench.spec import load_run_spec
from secura_bench.store import RunFolder, read_record
from secura_bench.training.precision import weights_dtype

Form = Literal["peft", "merged"]


def export(run: Path, form: Form, target: Path, model_name: str | None = None) -> None:
    """Write the trained result of ``run`` to ``target``, a new or empty folder, in one piece.

    ``model_name`` says where the base model is now, if not where the run had it.

    Raises:
        BenchError: There is no such run, it kept nothing, the target is not empty, or the form cannot be exact; says
            the other way.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BenchError(f"{target}: is there already and not empty; name another folder.")
    if not run.is_dir():
        raise BenchError(f"{run}: no such folder; name a finished run's, such as results/EXPERIMENT/RUN.")
    kept = RunFolder(run).kept
    if not kept.is_file():
        raise BenchError(
            f"{run}: keeps no trained result. Runs keep adapters; a whole model is kept with `keep: all` in the spec."
        )
    record = read_record(run / "record.json")
    spec = load_run_spec(run / "spec.yaml", [f"model={model_name}"] if model_name else [])
    base = find_model(spec.model)
    method = build_method(spec.methods[0].name, **spec.methods[0].options)
    model = restore(base, method, kept, weights_dtype(spec.train.precision))
    _refuse_what_is_no_weight(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as beside:
        folder = Path(beside) / "export"
        if form == "peft":
            _write_peft(base, method, model, folder)
        else:
            _write_merged(base, method, model, folder)
        chat = ChatFormat(load_tokenizer(base), spec.data.system, base.label)
        (folder / "README.md").write_text(_card(record, base, chat, form), encoding="utf-8")
        if target.exists():
            target.rmdir()
        shutil.move(str(folder), target)


def restore(base: ModelFolder, method: Method, kept: Path, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return the trained model in fp32: the base with the method attached and its kept tensors put back.

    ``dtype`` is the one in which the run held the base: columns and rows are chosen by norms in it.
    """
    from safetensors.torch import load_file

    model = attached(method, load_model(base, dtype))
    tensors = load_file(kept)
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].data = tensor.to(own[name].device)
    return model.float().eval()


def _write_peft(base: ModelFolder, method: Method, model: nn.Module, folder: Path) -> None:
    adapted = {path: module for path, module in model.named_modules() if isinstance(module, CURLinear)}
    if adapted:
        _write_core_as_peft(base, adapted, folder)
        return
    if not hasattr(model, "peft_config"):
        raise BenchError(
            f"method {method.name!r} leaves no adapter that PEFT knows; `--to merged` writes the whole model."
        )
    original = dict(load_model(base).named_parameters())
    for path, layer in lora_layers(model):
        name = path.removeprefix("base_model.model.") + ".weight"
        if not torch.equal(layer.get_base_layer().weight, original[name]):
            raise BenchError(
                "the adapter was merged into the weights at the boundaries of tasks, so an adapter of its rank cannot "
                "hold what was learned; `--to merged` writes the whole model."
            )
    _save_adapter(model, base, folder)


def _write_core_as_peft(base: ModelFolder, adapted: dict[str, CURLinear], folder: Path) -> None:
    """Write C core R as a LoRA (B = C core, A = R, alpha = r), under a constant Res as a DoRA.

    DoRA divides by the norm of each row of W + B A and multiplies by a magnitude, so the magnitudes are the norms of
    (W + C core R) / Res. A plain LoRA cannot hold 1 / Res: (1 / Res − 1) W has full rank.
    """
    from peft import LoraConfig, get_peft_model

    other_way = "`--to merged` writes the whole model."
    first = next(iter(adapted.values()))
    if isinstance(first, UnnormedSecuraLinear) and first.into_base:
        raise BenchError(f"merge_dtype: base put the updates into the weights; {other_way}")
    normed = isinstance(first, SecuraLinear)
    if normed and not first.always_merged:
        raise BenchError(f"SigNorm with fusion_step > 1 divides every entry by another number; {other_way}")
    r = len(first.K)
    config = LoraConfig(
        r=r,
        lora_alpha=r,
        lora_dropout=0.0,
        target_modules=sorted({path.rpartition(".")[2] for path in adapted}),
        use_dora=normed,
        task_type="CAUSAL_LM",
    )
    stock: Any = get_peft_model(load_model(base), config)
    with torch.no_grad():
        for path, layer in lora_layers(stock):
            ours = adapted[path.removeprefix("base_model.model.")]
            (name,) = layer.active_adapters
            layer.lora_B[name].weight.copy_(ours.C.float() @ ours.core())
            layer.lora_A[name].weight.copy_(ours.R)
            if normed:
                rows = (ours.former() + ours.delta()).norm(dim=1) / resting_restraint(ours.scale)  # type: ignore[arg-type]
                layer.lora_magnitude_vector[name].weight.copy_(rows)
    _save_adapter(stock, base, folder)


def _card(record: RunRecord, base: ModelFolder, chat: ChatFormat, form: Form) -> str:
    """Return the README: what was trained, and how the prompts were made that it was trained and scored with.

    It takes the place of PEFT's, a card of placeholders with the base's path.
    """
    what = "PEFT adapter" if form == "peft" else "whole model"
    system = json.dumps(chat.system, ensure_ascii=False) if chat.system else "none"
    told = [
        f"A {what} by secura-bench {record.version}: {base.label}, trained by {record.method['label']} on "
        f"{', '.join(record.tasks)}, seed {record.seed}.",
        f"The system message that it was trained and scored with: {system}.",
    ]
    if chat.differences:
        lines = "\n".join(f"- {difference}" for difference in chat.differences)
        told.append(f"Its prompts differ from `apply_chat_template(…, add_generation_prompt=True)`:\n\n{lines}")
    else:
        told.append("Its prompts are what `apply_chat_template(…, add_generation_prompt=True)` gives.")
    return "\n\n".join([f"# {record.name}", *told]) + "\n"


def _save_adapter(model: Any, base: ModelFolder, folder: Path) -> None:
    """Write a PEFT adapter that names its base, and no path of this machine."""
    for config in model.peft_config.values():
        config.base_model_name_or_path = base.label
    model.save_pretrained(folder, save_embedding_layers=False)  # PEFT would look the base up by name


def _refuse_what_is_no_weight(model: nn.Module) -> None:
    """Refuse what neither an adapter nor a model can hold."""
    for module in model.modules():
        if isinstance(module, PublicSecuraLinear):
            raise BenchError(
                "signorm: public_code divides outputs by a number that depends on the input: there is no weight to "
                "export. signorm: paper and off can be exported."
            )
        if isinstance(module, UnnormedSecuraLinear) and module.adapter_bias is not None:
            raise BenchError(
                "adapter_bias is a bias that neither a LoRA nor a model without biases can hold; train with "
                "adapter_bias: false to export."
            )


def _write_merged(base: ModelFolder, method: Method, model: nn.Module, folder: Path) -> None:
    plain: Any = load_model(base)
    own = dict(plain.named_parameters())
    with torch.no_grad():
        if all(name in own for name, _ in model.named_parameters()):  # full fine-tuning: the same names
            plain.load_state_dict(model.state_dict())
        elif method.name == "peft":  # any tuner, with all that it trains beside its matrices
            plain = model.merge_and_unload()  # type: ignore[operator]
        else:
            for path, weight in method.weights(model):
                own[path.removeprefix("base_model.model.") + ".weight"].copy_(weight)
    plain.save_pretrained(folder)
    load_tokenizer(base).save_pretrained(folder)
