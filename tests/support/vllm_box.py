"""vLLM in a box: its names, and answers by transformers from the folder and the adapter that it is given."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch


@dataclass
class SamplingParams:
    """What of vLLM's sampling is asked for."""

    temperature: float
    max_tokens: int
    stop_token_ids: list[int]
    ignore_eos: bool
    detokenize: bool


@dataclass
class LoRARequest:
    """An adapter's name, number and folder."""

    lora_name: str
    lora_int_id: int
    lora_path: str


class LLM:
    """Reads a model's folder, and writes greedily, a prompt at a time."""

    made: ClassVar[list[dict[str, Any]]] = []
    """What each was made with."""
    wrong: ClassVar[int] = 0
    """Every how many prompts it writes something else; 0: never."""
    open: ClassVar[int] = 0

    def __init__(self, model: str, **settings: Any) -> None:
        from transformers import AutoModelForCausalLM

        files = {path.name for path in Path(model).iterdir()}
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        LLM.made.append({"model": model, "files": files, "blocked": blocked, **settings})
        LLM.open += 1
        self.settings, self.path = settings, model
        if not (Path(settings["tokenizer"]) / "tokenizer.json").is_file():
            raise ValueError("no tokenizer")
        self.base = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, settings["dtype"])).eval()
        self.llm_engine = SimpleNamespace(engine_core=SimpleNamespace(shutdown=self._shutdown))

    def _shutdown(self) -> None:
        LLM.open -= 1

    @torch.no_grad()
    def generate(self, prompts: Sequence[Any], params: SamplingParams, use_tqdm: bool, lora_request: Any) -> list[Any]:
        """Return what is written to each prompt, as vLLM gives it."""
        assert not use_tqdm and params.temperature == 0 and params.ignore_eos and not params.detokenize
        model = self._with(lora_request) if lora_request else self.base
        said = []
        for number, prompt in enumerate(prompts):
            ids = prompt["prompt_token_ids"]
            assert len(ids) + params.max_tokens <= self.settings["max_model_len"]
            row = torch.tensor([ids])
            whole = model.generate(
                input_ids=row,
                attention_mask=torch.ones_like(row),
                do_sample=False,
                max_new_tokens=params.max_tokens,
                eos_token_id=params.stop_token_ids,
                pad_token_id=0,
            )
            new = whole[0, len(ids) :].tolist()
            if LLM.wrong and number % LLM.wrong == 0:
                new = [new[0] + 1, *new]
            said.append(SimpleNamespace(outputs=[SimpleNamespace(token_ids=new)]))
        return said

    def _with(self, request: LoRARequest) -> Any:
        """Return the model with the adapter on it, as vLLM would take it."""
        from peft import PeftModel

        config = json.loads((Path(request.lora_path) / "adapter_config.json").read_text())
        assert self.settings["enable_lora"] and config["r"] <= self.settings["max_lora_rank"]
        assert not (config["use_dora"] or config["modules_to_save"] or config["bias"] != "none")
        if not isinstance(self.base, PeftModel):
            self.base = PeftModel.from_pretrained(self.base, request.lora_path).eval()
        return self.base


def open_box(monkeypatch: pytest.MonkeyPatch, cpu: bool = True) -> type[LLM]:
    """Put the box in vLLM's place, on a machine without a GPU; ``cpu``: built for one."""
    modules = {name: ModuleType(name) for name in ("vllm", "vllm.inputs", "vllm.lora", "vllm.lora.request")}
    modules["vllm.platforms"] = ModuleType("vllm.platforms")
    for name, module in modules.items():
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    vars(modules["vllm"]).update(LLM=LLM, SamplingParams=SamplingParams, __version__="0.0-box")
    vars(modules["vllm.inputs"]).update(TokensPrompt=dict)
    vars(modules["vllm.lora.request"]).update(LoRARequest=LoRARequest)
    vars(modules["vllm.platforms"]).update(current_platform=SimpleNamespace(is_cpu=lambda: cpu))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(LLM, "made", [])
    monkeypatch.setattr(LLM, "wrong", 0)
    return LLM
