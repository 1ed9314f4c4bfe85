"""One lazy registry for everything that a spec names: nothing is imported until a name is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from secura_bench.foundation.errors import SpecError, unknown_name


class Registry:
    """Names to ``"module:attribute"`` strings; entry points of installed packages and ``add`` join in."""

    def __init__(self, kind: str, built_in: Mapping[str, str], group: str | None = None) -> None:
        self.kind = kind
        self._places = dict(built_in)
        self._objects: dict[str, Any] = {}
        self._group = group

    @property
    def built_in(self) -> tuple[str, ...]:
        """The names that the package itself registers, in that order."""
        return tuple(self._places)

    def names(self) -> list[str]:
        """Return every name that can be asked for."""
        return sorted({*self._places, *self._objects, *self._entry_points()})

    def add(self, name: str, value: Any) -> None:
        """Register ``value`` for this process.

        Raises:
            SpecError: The name is taken: a plug-in never replaces what others mean by a name.
        """
        if name in self.names():
            raise SpecError(f"{self.kind} {name!r} exists already; give the new one another name.")
        self._objects[name] = value

    def get(self, name: str) -> Any:
        """Import and return what ``name`` stands for.

        Raises:
            SpecError: Unknown name; the message has the nearest one and the list.
        """
        if name not in self._objects:
            if name in self._places:
                module, attribute = self._places[name].split(":")
                self._objects[name] = getattr(import_module(module), attribute)
            elif name in (found := self._entry_points()):
                self._objects[name] = found[name].load()
            else:
                way = f" A {self.kind} of your own comes with --plugin FILE." if self._group else ""
                raise SpecError(unknown_name(self.kind, name, self.names()) + way)
        return self._objects[name]

    def foreign_packages(self) -> set[str]:
        """Return the packages, or single modules, of what is loaded and not ours."""
        return {value.__module__.partition(".")[0] for value in self._objects.values()} - {"secura_bench"}

    def _entry_points(self) -> dict[str, Any]:
        if self._group is None:
            return {}
        return {point.name: point for point in entry_points(group=self._group)}


METHODS = Registry(
    "method",
    {
        "base": "secura_bench.methods.base_model:Base",
        "head_only": "secura_bench.methods.head_only:HeadOnly",
        "seq": "secura_bench.methods.method:Method",
        "lora": "secura_bench.methods.lora:LoRA",
        "dora": "secura_bench.methods.dora:DoRA",
        "cur_lora": "secura_bench.methods.cur_lora:CURLoRA",
        "cabr_lora": "secura_bench.methods.cabr_lora:CABRLoRA",
        "secura": "secura_bench.methods.secura:Secura",
        "i_lora": "secura_bench.methods.i_lora:ILoRA",
        "peft": "secura_bench.methods.peft_tuner:Peft",
        "mtl": "secura_bench.methods.mtl:MultiTask",
        "checkpoint": "secura_bench.methods.checkpoint:Checkpoint",
        "o_lora": "secura_bench.methods.o_lora:OLoRA",
        "ewc": "secura_bench.methods.ewc:EWC",
        "lwf": "secura_bench.methods.lwf:LwF",
        "l2_sp": "secura_bench.methods.l2_sp:L2SP",
        "kl_to_base": "secura_bench.methods.kl_to_base:KLToBase",
        "er": "secura_bench.methods.er:ER",
        "der": "secura_bench.methods.der:DER",
        "a_gem": "secura_bench.methods.a_gem:AGEM",
        "gem": "secura_bench.methods.gem:GEM",
        "ema": "secura_bench.methods.ema:EMA",
        "stack": "secura_bench.methods.stack:Stack",
    },
    group="secura_bench.methods",
)

PROTOCOLS = Registry(
    "protocol",
    {
        "teacher_forced": "secura_bench.evaluation.protocols.teacher_forced:TEACHER_FORCED",
        "generate": "secura_bench.evaluation.protocols.generate:GENERATE",
        "own_metric": "secura_bench.evaluation.protocols.own_metric:OWN_METRIC",
        "choice": "secura_bench.evaluation.protocols.choice:CHOICE",
        "perplexity": "secura_bench.evaluation.protocols.perplexity:PERPLEXITY",
        "execute": "secura_bench.evaluation.protocols.execute:EXECUTE",
        "classify": "secura_bench.evaluation.protocols.classify:CLASSIFY",
        "lm_eval": "secura_bench.evaluation.protocols.lm_eval:LM_EVAL",
    },
)
