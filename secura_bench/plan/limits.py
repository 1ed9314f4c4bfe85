"""Whether a model can do what a spec asks for: look up its rows, and be trained by its methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.methods.sharding import why_not_sharded
from secura_bench.methods.stack import overrides
from secura_bench.models.limits import refuse_what_overruns
from secura_bench.plan.inputs import Inputs
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.method import MethodSpec
from secura_bench.spec.sections import TrainSpec

if TYPE_CHECKING:
    from torch import nn

    from secura_bench.methods.method import Method


def check_limits(spec: ExperimentSpec, inputs: Inputs, label: str, shapes: Any) -> None:
    """Refuse rows that the tables of the model ``label``, of ``shapes`` alone, cannot look up.

    Raises:
        SpecError: Names what is too large, and the way out.
    """
    longest = 0
    ids: set[int] = set()
    for name, data in inputs.tasks.items():
        if data.kind == "lm_eval":  # the harness cuts what is too long by itself
            continue
        scored = (*inputs.probe.get(name, ()), *inputs.test.get(name, ()))
        for example in (*scored, *(data.train if name in inputs.test else ())):
            ids.update(example.prompt_ids, example.answer_ids)
            if data.file.kind != "text":  # those are read in windows of the model's own size
                longest = max(longest, len(example))
            elif data.file.first_tokens is not None:
                _refuse_too_long(label, shapes, name, len(example))
        if any(PROTOCOLS[protocol].generates for protocol in spec.evaluate.protocols):
            longest = max([longest, *(len(row.prompt_ids) + data.file.max_new_tokens for row in scored)])
    for example in (row for rows in inputs.sources.values() for row in rows):
        ids.update(example.prompt_ids, example.answer_ids)
        longest = max(longest, len(example))
    refuse_what_overruns(label, shapes, ids, inputs.chat.pad_id, longest)


def _refuse_too_long(label: str, shapes: Any, task: str, tokens: int) -> None:
    """Refuse a text that is read in one forward, and is longer than the model was made for."""
    places = getattr(shapes.config.get_text_config(decoder=True), "max_position_embeddings", None)
    if isinstance(places, int) and tokens > places:
        raise SpecError(
            f"model {label!r}: {tokens} tokens of task {task!r} are read in one forward, and it was made for {places}; "
            f"take a task of fewer 'first_tokens', or one without, which is read in windows."
        )


def refuse_nothing_to_train(method: Method, attached: nn.Module, inputs: Inputs) -> None:
    """Refuse a method that trains classification heads alone where no task has one.

    Raises:
        SpecError: Says so.
    """
    if method.trains and not inputs.classes and not any(p.requires_grad for p in attached.parameters()):
        raise SpecError(
            f"{method.name!r} trains classification heads and nothing else, and no task has one: take tasks of "
            f"kind: classify."
        )


def refuse_on_shards(spec: ExperimentSpec, method: MethodSpec) -> None:
    """Refuse what cannot be done with weights that are divided among processes, where a method's ``train`` says so.

    Raises:
        SpecError: Says what, and why not.
    """
    train = spec.train_of(method)
    if train.shard is None:
        return
    if train.kernels or train.offload:
        # The chunks of a loss are as many as its rows want: other processes would wait for weights.
        raise SpecError("train.shard: was not seen to beside kernels and offload; leave these out, or shard.")
    if reason := why_not_sharded(build_method(method.name, **method.options)):
        raise SpecError(f"train.shard: {method.name!r} cannot be trained so: {reason}; or leave shard out.")
    if spec.load.bits:
        raise SpecError("train.shard: weights in few bits are not divided; leave model_load.bits out, or shard.")
    if spec.evaluate.interpolate:
        raise SpecError("train.shard: evaluate.interpolate makes weights of whole ones; leave it out, or shard.")


def refuse_on_few_bits(spec: ExperimentSpec, method: Method) -> None:
    """Refuse a method that changes weights which the spec has held in few bits.

    Raises:
        SpecError: Says how it would.
    """
    if spec.load.bits and (reason := method.not_quantised):
        raise SpecError(
            f"model_load.bits: {spec.load.bits}: {method.name!r} cannot be trained so: {reason}; or leave bits out."
        )


def refuse_without_logits(train: TrainSpec, method: Method) -> None:
    """Refuse a method that needs all logits of a step where ``train`` has its loss made in chunks.

    Raises:
        SpecError: Says what it needs them for.
    """
    if "chunked" not in (train.kernels or ()):
        return
    if overrides(type(method), "loss"):
        raise SpecError(f"train.kernels: chunked: {method.name!r} has a loss of its own; leave chunked out.")
    if method.footprint().kept_logits:
        raise SpecError(
            f"train.kernels: chunked: {method.name!r} compares logits, which are then never there all at once; leave "
            f"chunked out."
        )
