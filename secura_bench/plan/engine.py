"""What cannot be scored where another engine writes the texts: ``evaluate.engine``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.evaluation.vllm_engine import KEY, WAY_OUT
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.interpolation import not_weights
from secura_bench.spec.experiment import ExperimentSpec

if TYPE_CHECKING:
    from torch import nn

    from secura_bench.methods.method import Method


def refuse_on_engine(spec: ExperimentSpec) -> None:
    """Refuse what vLLM is not given: models that are no whole weights, and runs that ask for no text.

    Raises:
        SpecError: Says what, and the way out.
    """
    if spec.evaluate.engine != "vllm":
        return
    if not any(PROTOCOLS[protocol].generates for protocol in spec.protocols):
        raise SpecError(f"{KEY}: none of evaluate.protocols asks for texts; add generate, or {WAY_OUT}.")
    if "classify" in spec.protocols:
        raise SpecError(f"{KEY}: models with heads of their own are not given to it; {WAY_OUT}.")
    if spec.load.bits:
        raise SpecError(f"{KEY}: weights in few bits are not given to it; leave model_load.bits out, or {WAY_OUT}.")
    if spec.evaluate.interpolate:
        raise SpecError(f"{KEY}: evaluate.interpolate has no weights to give it; leave it out, or {WAY_OUT}.")
    if any(spec.train_of(method).shard for method in spec.methods):
        raise SpecError(f"{KEY}: divided weights are not given to it; leave train.shard out, or {WAY_OUT}.")


def refuse_without_weights(spec: ExperimentSpec, method: Method, attached: nn.Module, base: Iterable[str]) -> None:
    """Refuse an attached method whose result is no weights of the base's kind; ``base`` are its parameters' names.

    Raises:
        SpecError: Says why not.
    """
    if spec.evaluate.engine == "vllm" and method.trains and (reason := not_weights(method, attached, base)):
        raise SpecError(f"{KEY}: {reason}; {WAY_OUT}.")
