"""The options of PEFT's tuners: PEFT's own configuration, and what the bench does with it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from secura_bench.foundation.errors import unknown_name
from secura_bench.methods.method import Options
from secura_bench.methods.options import Positive, Targets
from secura_bench.methods.peft_config import not_renewed, peft_config, tuners, unusable
from secura_bench.spec.sources import Source


class PeftOptions(Options):
    """A tuner of PEFT and its configuration.

    All is checked when the options are read, but for what PEFT finds out on the model; PEFT is imported for that, by
    specs that use this method alone.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    peft_type: str
    """PEFT's name of a tuner, in any case."""

    target_modules: Targets | None = None
    """Names of the modules to adapt; unset, ``q_proj`` and ``v_proj`` where the tuner adapts linear layers. PEFT's own
    key of that name, with its regular expressions, goes into ``config`` instead."""

    config: Annotated[dict[str, Any], Field(default_factory=dict, validate_default=True)]
    """The fields of the tuner's configuration in PEFT."""

    boundary: Literal["continue", "renew"] = "continue"
    """Whether the adapter goes on at the end of a task, or is merged into the weights and made again from these, as a
    sequence of ``osf`` asks for. ``lora`` can be renewed as well, with any start that leaves the model as it is."""

    from_: Annotated[Source, Field(alias="from")] = None
    """The task or file of rows that a start with ``init_lora_weights: corda`` looks at: with ``kpm`` what is to be
    kept, with ``ipm`` what is to be learned. Its training rows are read, and none that is scored."""

    rows: Positive = 256
    """How many of these rows are drawn, by the run's seed; 256 is its authors' number."""

    @field_validator("peft_type")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if reason := unusable(name.lower()):
            raise ValueError(f"{name} cannot be used: {reason}")
        if name.lower() not in tuners():
            raise ValueError(unknown_name("tuner", name, tuners()))
        return name.lower()

    @field_validator("config")
    @classmethod
    def _is_accepted(cls, config: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "peft_type" in info.data and "target_modules" in info.data:
            if info.data["target_modules"] and "target_modules" in config:
                raise ValueError("target_modules stands beside 'config' too; leave one of them out")
            peft_config(info.data["peft_type"], config, info.data["target_modules"])
        return config

    @field_validator("boundary")
    @classmethod
    def _can_be_renewed(cls, boundary: str, info: ValidationInfo) -> str:
        known = boundary == "renew" and {"peft_type", "config"} <= info.data.keys()
        if known and (reason := not_renewed(info.data["peft_type"], info.data["config"])):
            raise ValueError(f"renew: {reason}; use 'continue'")
        return boundary

    @model_validator(mode="after")
    def _rows_are_for_a_start(self) -> PeftOptions:
        looks = self.config.get("init_lora_weights") == "corda"
        if looks and self.from_ is None:
            raise ValueError("init_lora_weights: corda looks at rows; name a task or a file of them by 'from'")
        if not looks and (idle := sorted({"from_", "rows"} & self.model_fields_set)):
            raise ValueError(f"{idle[0].rstrip('_')} is for a start with init_lora_weights: corda; leave it out")
        return self

    @model_serializer(mode="wrap")
    def _as_it_was(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return the options, those from later where they say something: runs from before keep their fingerprints."""
        idle = {"boundary"} if self.boundary == "continue" else set()
        idle |= {"from", "rows"} if self.from_ is None else set()
        return {key: value for key, value in dump(self).items() if key not in idle}
