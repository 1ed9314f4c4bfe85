"""PEFT's tuners by name, and their configurations as a spec may give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from secura_bench.adapters.injection import DEFAULT_TARGETS
from secura_bench.foundation.errors import unknown_name
from secura_bench.methods.adalora import refuse_schedule

# What is the bench's to say, or PEFT's own bookkeeping.
_NOT_OPTIONS = {
    "peft_type", "task_type", "peft_version", "auto_mapping", "base_model_name_or_path", "revision", "inference_mode",
}  # fmt: skip
_REFUSED = {
    "poly": "it wants task numbers with every forward, which the bench does not give",
    "xlora": "it mixes LoRA adapters that were trained before",
}
_WANT_ROWS = {
    "eva": "needs the activations of the task's rows at every adapted module, before the first step",
    "lora_ga": "needs the gradients of the task's rows by every adapted weight, before the first step",
    "loftq": "needs a base that is quantised beside its full weights",
}
NOT_LINEAR = ("ln_tuning", "trainable_tokens", "adaption_prompt", "shadow")
"""Their target_modules are norms, embeddings, attention blocks or decoder blocks: PEFT's choice is the sensible one."""


def peft_config(name: str, given: Mapping[str, Any], targets: Sequence[str] | None) -> Any:
    """Return PEFT's configuration of the tuner ``name``, a fresh one.

    Raises:
        ValueError: An unknown key, or what PEFT's class itself refuses.
    """
    allowed = {field.name for field in fields(tuners()[name]) if field.init} - _NOT_OPTIONS
    for key in given:
        if key not in allowed:
            raise ValueError(unknown_name(f"key of {name}", key, allowed))
    start = str(given.get("init_lora_weights", "")).lower()
    if start in _WANT_ROWS:
        raise ValueError(
            f"init_lora_weights: {start} {_WANT_ROWS[start]}, which it is not given here: it would be another "
            f"start under that name; corda, pissa, olora, mica, orthogonal, gaussian, true and false can be used"
        )
    if start.startswith("corda"):
        _refuse_corda(name, given)
    elif given.get("corda_config"):
        raise ValueError("corda_config is for init_lora_weights: corda, and would do nothing here; leave it out")
    if given.get("use_asa"):
        raise ValueError("use_asa: AdaMSS keeps its scores where no state holds them, so no run could be resumed")
    settings = dict(given)
    targets = targets or (None if name in NOT_LINEAR else DEFAULT_TARGETS)
    if targets and "target_modules" in allowed:
        settings.setdefault("target_modules", list(targets))
    try:
        config = tuners()[name](**settings)
    except (TypeError, ValueError, ImportError) as error:
        raise ValueError(f"refused by PEFT: {error}") from None
    if name == "adalora":
        refuse_schedule(config)
    return config


def _refuse_corda(name: str, given: Mapping[str, Any]) -> None:
    """Refuse CorDA where PEFT would make another start of it, or where its rows are the bench's to say.

    Raises:
        ValueError: It is so.
    """
    start, said = given["init_lora_weights"], given.get("corda_config")
    if name != "lora" or start != "corda":
        raise ValueError(f"init_lora_weights: {start} of {name}: CorDA is init_lora_weights: corda of peft_type: lora")
    if not isinstance(said, Mapping) or said.get("corda_method") not in ("kpm", "ipm"):
        raise ValueError(
            "corda_config: say {corda_method: kpm}, which trains what matters least to the rows that 'from' names, or "
            "{corda_method: ipm}, which trains what matters most to them"
        )
    if others := sorted(said.keys() - {"corda_method"}):
        raise ValueError(f"corda_config: {others[0]} is not offered here; corda_method alone is")


def tuners() -> dict[str, Any]:
    """Return the configuration classes of PEFT's tuners that can be used, by name in lower case."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    known = {kind.value.lower(): config for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    return {name: config for name, config in known.items() if not unusable(name)}


def unusable(name: str) -> str | None:
    """Return why the tuner cannot be used, or None."""
    from peft.config import PromptLearningConfig
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING as CONFIGS

    config = {kind.value.lower(): config for kind, config in CONFIGS.items()}.get(name)
    if config is not None and issubclass(config, PromptLearningConfig):
        return "it puts virtual tokens before the prompt, so that answer positions shift; adapt weights instead"
    return _REFUSED.get(name)


def not_renewed(name: str, config: Mapping[str, Any]) -> str | None:
    """Return why the tuner cannot be merged at a boundary and made again, or None."""
    if name == "adalora":
        return "AdaLoRA allocates its ranks over the whole run, which no boundary may begin anew"
    if name not in ("lora", "osf"):
        return f"PEFT's {name} is not made again from merged weights here; osf and lora are"
    for key in ("init_lora_weights", "init_weights"):
        if config.get(key) is False:
            return f"{key}: false starts away from the weights, and every boundary would move the model by chance"
    return None
