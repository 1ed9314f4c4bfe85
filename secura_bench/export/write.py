"""A finished run's trained result, as others load it: a stock PEFT adapter, or a whole model."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from secura_bench.adapters.conv1d import is_conv1d
from secura_bench.adapters.cur_layers import CURLinear
from secura_bench.adapters.pair_sum import pair_layers
from secura_bench.adapters.peft_layers import lora_layers, tuner_layers
from secura_bench.adapters.secura_layers import PublicSecuraLinear, SecuraLinear, UnnormedSecuraLinear
from secura_bench.adapters.signorm import resting_restraint
from secura_bench.data.chat import ChatFormat
from secura_bench.export.agreement import refuse_disagreement
from secura_bench.export.identity import refuse_another_base
from secura_bench.export.merged import merged_model
from secura_bench.export.pairs import pairs_as_lora
from secura_bench.export.restore import restore
from secura_bench.foundation.errors import BenchError
from secura_bench.foundation.files import open_as_its_folder
from secura_bench.foundation.nearest import nearest_path
from secura_bench.methods.build import build_method
from secura_bench.methods.method import Method
from secura_bench.models.config import configuration
from secura_bench.models.load import ModelFolder, find_model, load_model, load_tokenizer
from secura_bench.models.quantised import bitsandbytes_config, in_fp32, settle
from secura_bench.models.sound import load_sound
from secura_bench.models.task_heads import FILE
from secura_bench.results.folder import RunFolder
from secura_bench.results.read import read_record
from secura_bench.results.record import RunRecord
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.load import load_run_spec
from secura_bench.training.precision import weights_dtype

__all__ = ["Form", "export", "restore"]

Form = Literal["peft", "merged"]
_OTHER = {
    "peft": "`--to merged` writes the whole model.",
    "merged": "`--to peft` writes the adapter, where PEFT has one for it.",
}


def export(run: Path, form: Form, target: Path, model_name: str | None = None) -> None:
    """Write the trained result of ``run`` to ``target``, a new or empty folder, in one piece.

    ``model_name`` says where the base model is now, if not where the run had it.

    Raises:
        BenchError: There is no such run, it kept nothing or nothing whole, the base is another, the target is not
            empty, or the form is not exact: what was written is loaded and asked first. Says the other way.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BenchError(f"{target}: is there already and not empty; name another folder.")
    if not run.is_dir():
        raise BenchError(
            f"{run}: no such folder.{nearest_path(run)} Name a finished run's, such as results/EXPERIMENT/RUN."
        )
    kept = RunFolder(run).trained_file
    if not kept.is_file():
        raise BenchError(
            f"{run}: keeps no trained result. Runs keep adapters; a whole model is kept with `keep: all` in the spec."
        )
    record = read_record(run / "record.json")
    spec = load_run_spec(run / "spec.yaml", [f"model={model_name}"] if model_name else [])
    base = replace(find_model(spec.model), load=spec.load)
    if form == "merged" and spec.load.bits:
        raise BenchError(
            f"the base's weights are held in {spec.load.bits} bits, and nothing is merged into them; {_OTHER[form]}"
        )
    refuse_another_base(record, base)
    dtype = weights_dtype(spec.train.precision)
    method, model = _restored(spec, base, kept, dtype)
    _refuse_what_is_no_weight(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as beside:
        folder = Path(beside) / "export"
        if form == "peft":
            _write_peft(base, method, model, folder, dtype)
        else:
            again, used_up = _restored(spec, base, kept, dtype)
            _write_merged(base, merged_model(base, again, used_up, dtype), folder)
        untrained = in_fp32(load_model(base, dtype))
        refuse_disagreement(method, model, untrained, lambda: _written(form, folder, base, dtype), _OTHER[form])
        chat = ChatFormat(load_tokenizer(base), spec.data.system, base.label, bare=spec.data.bare)
        if (heads := RunFolder(run).heads_file).is_file():
            shutil.copyfile(heads, folder / FILE)
        (folder / "README.md").write_text(_card(record, base, chat, form), encoding="utf-8")
        for file in folder.glob("*.safetensors"):
            open_as_its_folder(file)
        if target.exists():
            target.rmdir()
        shutil.move(str(folder), target)


def _restored(spec: ExperimentSpec, base: ModelFolder, kept: Path, dtype: torch.dtype) -> tuple[Method, nn.Module]:
    """Return the run's method, fresh, and the trained model."""
    method = build_method(spec.methods[0].name, **spec.methods[0].options)
    return method, restore(base, method, kept, dtype, targets_alone=spec.train.parameters == "targets")


def _written(form: Form, folder: Path, base: ModelFolder, dtype: torch.dtype) -> nn.Module:
    """Return what stock PEFT or transformers make of what was written."""
    if form == "merged":
        return load_sound("export", folder, torch.float32)
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    config = configuration(base.path)
    few = {"quantization_config": bitsandbytes_config(base.load, dtype)} if base.load.bits else {}
    stock = AutoModelForCausalLM.from_pretrained(base.path, config=config, dtype=dtype, use_safetensors=True, **few)
    settle(base.label, stock)
    loaded: nn.Module = PeftModel.from_pretrained(in_fp32(stock), str(folder))
    return loaded


def _write_peft(base: ModelFolder, method: Method, model: nn.Module, folder: Path, dtype: torch.dtype) -> None:
    adapted = {path: module for path, module in model.named_modules() if isinstance(module, CURLinear)}
    if adapted:
        _write_core_as_peft(base, adapted, folder, dtype)
        return
    if summed := dict(pair_layers(model)):
        _save_adapter(pairs_as_lora(in_fp32(load_model(base, dtype)), summed), base, folder)
        return
    if not hasattr(model, "peft_config"):
        raise BenchError(
            f"method {method.name!r} leaves no adapter that PEFT knows; `--to merged` writes the whole model."
        )
    original = in_fp32(load_model(base, dtype)).state_dict()
    for path, layer in tuner_layers(model):
        name = path.removeprefix("base_model.model.") + ".weight"
        weight = getattr(layer.get_base_layer(), "weight", None)
        if name in original and weight is not None and not torch.equal(weight, original[name]):
            raise BenchError(
                f"the adapter was merged into the weights at the boundaries of tasks, or began by changing them "
                f"({name}), so the adapter alone cannot hold what was learned; `--to merged` writes the whole model."
            )
    _save_adapter(model, base, folder)


def _write_core_as_peft(base: ModelFolder, adapted: dict[str, CURLinear], folder: Path, dtype: torch.dtype) -> None:
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
    stock_base: Any = in_fp32(load_model(base, dtype))
    names = {path.rpartition(".")[2] for path in adapted}
    alike = {path for path, _ in stock_base.named_modules() if path.rpartition(".")[2] in names}
    config = LoraConfig(
        r=r,
        lora_alpha=r,
        lora_dropout=0.0,
        target_modules=sorted(names if alike == set(adapted) else adapted),
        use_dora=normed,
        fan_in_fan_out=any(is_conv1d(stock_base.get_submodule(path)) for path in adapted),
        task_type="CAUSAL_LM",
    )
    stock: Any = get_peft_model(stock_base, config)
    with torch.no_grad():
        for path, layer in lora_layers(stock):
            ours = adapted[path.removeprefix("base_model.model.")]
            (name,) = layer.active_adapters
            layer.lora_B[name].weight.copy_(ours.C.float() @ ours.core())
            layer.lora_A[name].weight.copy_(ours.R)
            if normed:
                norms = (ours.former() + ours.delta()).norm(dim=1)
                if not norms.all():
                    row = int((norms == 0).nonzero()[0])
                    raise BenchError(
                        f"{path}: row {row} of the weight is all zero, and a DoRA divides by its norm; {other_way}"
                    )
                rows = norms / resting_restraint(ours.scale)  # type: ignore[arg-type]
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
    if base.load.bits:
        settings = json.dumps(record.model.get("load", {}))
        told.append(f"The base's linear weights were held in {base.load.bits} bits, by bitsandbytes: {settings}.")
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


def _write_merged(base: ModelFolder, plain: Any, folder: Path) -> None:
    plain.save_pretrained(folder)
    load_tokenizer(base).save_pretrained(folder)
