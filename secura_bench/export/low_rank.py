"""What an adapter adds to the weights of its base as one product B A each, where it is one: a stock LoRA."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from secura_bench.adapters.cur_layers import CURLinear
from secura_bench.adapters.pair_sum import PairSumLinear
from secura_bench.adapters.secura_layers import PublicSecuraLinear, SecuraLinear, UnnormedSecuraLinear
from secura_bench.methods.interpolation import WRAPPED, adapted_modules, is_below
from secura_bench.methods.method import Method

Pair = tuple[Tensor, Tensor]
"""A (r, d) and B (h, r) in fp32: the weight is that of the base and B A."""

_STARTS = (True, False, "gaussian", "orthogonal")
"""PEFT's ``init_lora_weights`` that leave the base's weights as they are."""


@torch.no_grad()
def low_rank(method: Method, view: Any, base: Collection[str]) -> dict[str, Pair] | None:
    """Return by path the pairs that make a base the model that is scored; None where it is no such thing.

    ``base`` are the names of the base's tensors. The base is as it was: nothing was merged into it, and nothing of it
    is trained. An adapted head is left out too, since engines make no room for one.
    """
    adapted = dict(adapted_modules(view))
    head = view.get_output_embeddings() if hasattr(view, "get_output_embeddings") else None
    beside = [(name, p) for name, p in view.named_parameters() if not is_below(name, adapted)]
    if any(p.requires_grad or name.removeprefix(WRAPPED) not in base for name, p in beside):
        return None
    if hasattr(view, "peft_config") and not _is_plain(view.peft_config):
        return None
    if any(".base_layer." in name for name in method.trained_state(view)):  # it was merged into them
        return None
    pairs = {path.removeprefix(WRAPPED): _pair(module) for path, module in adapted.items() if module is not head}
    found = {path: pair for path, pair in pairs.items() if pair is not None}
    return found if adapted and len(found) == len(adapted) else None


def write_adapter(pairs: Mapping[str, Pair], folder: Path) -> int:
    """Write ``pairs`` as PEFT's LoRA of one rank, alpha = r, zeros where a pair has less; return the rank."""
    from peft import LoraConfig

    rank = max(len(A) for A, _ in pairs.values())
    tensors: dict[str, Tensor] = {}
    for path, (A, B) in pairs.items():
        more = rank - len(A)
        tensors[f"{WRAPPED}{path}.lora_A.weight"] = F.pad(A, (0, 0, 0, more)).cpu().contiguous()
        tensors[f"{WRAPPED}{path}.lora_B.weight"] = F.pad(B, (0, more)).cpu().contiguous()
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=sorted(pairs), task_type="CAUSAL_LM")
    config.save_pretrained(str(folder))
    save_file(tensors, folder / "adapter_model.safetensors")
    return rank


def _is_plain(configs: Mapping[str, Any]) -> bool:
    """Return whether PEFT's one configuration says a LoRA and nothing else."""
    from peft import LoraConfig

    (config, *others) = configs.values()
    return (
        not others
        and type(config) is LoraConfig
        and config.init_lora_weights in _STARTS
        and config.bias == "none"
        and not config.layer_replication
    )


def _pair(module: nn.Module) -> Pair | None:
    """Return A and B of an adapted module, of CUR's without a norm R and C core; None where there are none."""
    if isinstance(module, PairSumLinear):
        A, B = module.pairs()
        return A, module.scale * B
    if isinstance(module, CURLinear):
        if isinstance(module, (SecuraLinear, PublicSecuraLinear)) or module.into_base:
            return None
        if isinstance(module, UnnormedSecuraLinear) and module.adapter_bias is not None:
            return None
        return module.R.float(), module.C.float() @ module.core()
    return _peft_pair(module)


def _peft_pair(module: Any) -> Pair | None:
    names: Sequence[str] = getattr(module, "active_adapters", ())
    if len(names) != 1 or names[0] not in getattr(module, "lora_A", ()):
        return None
    name = names[0]
    variant = getattr(module, "lora_variant", {})
    A, B = module.lora_A[name], module.lora_B[name]
    if not isinstance(module.get_base_layer(), nn.Linear) or name in variant or B.bias is not None:
        return None
    return A.weight.float(), B.weight.float() * module.scaling[name]
