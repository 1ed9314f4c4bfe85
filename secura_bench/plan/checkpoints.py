"""What the runs of a method ``checkpoint`` load: found, checked on shapes, and compared with the base."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from secura_bench.checkpoints.adapter import check_adapter
from secura_bench.checkpoints.find import Checkpoint, find_checkpoint
from secura_bench.checkpoints.heads import heads_identity, read_heads
from secura_bench.checkpoints.own_prompts import differences_of, own_chat
from secura_bench.data.chat import ChatFormat
from secura_bench.foundation.errors import DataError, SpecError
from secura_bench.methods.build import build_method
from secura_bench.methods.checkpoint import CheckpointOptions
from secura_bench.methods.peft_quantised import not_on_few_bits
from secura_bench.models.load import shapes_in
from secura_bench.plan.inputs import Inputs
from secura_bench.plan.limits import check_limits
from secura_bench.results.record import MIXED
from secura_bench.spec.experiment import ExperimentSpec


@dataclass(frozen=True)
class Loads:
    """What the runs of one entry of ``methods`` load.

    Attributes:
        checkpoints: by the task whose training it follows; of one that was trained on all at once, by ``MIXED``.
        notes: what a reader of scores must know of each, by the same.
        inputs: rows and prompts made with the checkpoint's own tokenizer and template; None where they are the base's.
    """

    options: CheckpointOptions
    checkpoints: Mapping[str, Checkpoint]
    notes: Mapping[str, tuple[str, ...]]
    inputs: Inputs | None = None

    def after(self, task: str) -> Checkpoint:
        """Return the checkpoint that stands for the model as it was after ``task``."""
        return self.checkpoints.get(task) or self.checkpoints[MIXED]

    def notes_for(self, tasks: tuple[str, ...]) -> tuple[str, ...]:
        """Return what a reader of a run on ``tasks`` must know."""
        told = (note for key, notes in self.notes.items() if key in (MIXED, *tasks) for note in notes)
        return tuple(dict.fromkeys(told))

    def identity(self, tasks: tuple[str, ...]) -> list[Any]:
        """Return what of it changes a number of a run on ``tasks``: the content of the files."""
        mine = {key: each for key, each in self.checkpoints.items() if key in (MIXED, *tasks)}
        return [[key, each.folder.identity, *filter(None, [heads_identity(each)])] for key, each in mine.items()]

    @property
    def told(self) -> dict[str, Any]:
        """The options as a record has them: names for paths, and of the files' hashes ten digits."""
        names = {key: each.label for key, each in self.checkpoints.items()}
        files = {key: each.digest for key, each in self.checkpoints.items()}
        whole = {"path": names.get(MIXED), "after": None if MIXED in names else names}
        return {**whole, "template": self.options.template, "files": files.get(MIXED, files)}


def checkpoints_of(spec: ExperimentSpec, inputs: Inputs, read: Callable[[ChatFormat], Inputs]) -> Mapping[str, Loads]:
    """Return what the runs of each method that loads do, by its label; ``read`` reads the rows for another chat format.

    Raises:
        BenchError: A checkpoint cannot be found or read, is for another base, or has no tokenizer of its own where one
            is asked for.
    """
    found = {}
    for method in spec.methods:
        options = build_method(method.name, **method.options).options
        if isinstance(options, CheckpointOptions):
            try:
                found[method.label] = _load(options, spec, inputs, read)
            except (DataError, SpecError) as error:
                raise type(error)(f"method {method.label!r}: {error}") from None
    return found


def _load(
    options: CheckpointOptions, spec: ExperimentSpec, inputs: Inputs, read: Callable[[ChatFormat], Inputs]
) -> Loads:
    """Return what the runs of one entry load."""
    paths = {MIXED: options.path} if options.path is not None else dict(options.after or {})
    found = {key: find_checkpoint(path) for key, path in paths.items()}
    notes = {key: _check(each, spec, inputs, options.template) for key, each in found.items()}
    for key, each in found.items():
        alone = key != MIXED and spec.mode == "separate"
        if wanted := {task: count for task, count in inputs.classes.items() if not alone or task == key}:
            read_heads(each, wanted)
    own = None
    if options.template == "own":
        chats = [own_chat(each, spec.data.system, bare=spec.data.bare) for each in found.values()]
        if len({chat.template_hash for chat in chats}) > 1:
            raise SpecError("template: own: their tokenizers differ; give each an entry of its own, with its 'path'.")
        own = read(chats[0])
    for each in found.values():
        if own is not None or each.adapter is None:
            whole = each.folder if each.adapter is None else inputs.model
            check_limits(spec, own or inputs, each.label, shapes_in(whole))
    return Loads(options, found, notes, own)


def _check(checkpoint: Checkpoint, spec: ExperimentSpec, inputs: Inputs, template: str) -> tuple[str, ...]:
    """Return what a reader of a checkpoint's scores must know."""
    shapes = shapes_in(inputs.model)
    if checkpoint.adapter is not None:
        _refuse_on_few_bits(checkpoint, spec)
        notes = list(check_adapter(checkpoint, inputs.model.label, shapes))
    else:
        notes = _sizes(shapes_in(checkpoint.folder), shapes)
    differences = differences_of(checkpoint, inputs.chat)
    if differences:
        whose = "its own" if template == "own" else "the base's"
        notes.append(
            f"its tokenizer files differ from the base's: {'; '.join(differences)}. Prompts are made with {whose}"
        )
    elif template == "own":
        notes.append("prompts are made with its own tokenizer and chat template, which are the base's")
    return tuple(f"{checkpoint.label}: {note}" for note in notes)


def _refuse_on_few_bits(checkpoint: Checkpoint, spec: ExperimentSpec) -> None:
    """Refuse an adapter of a kind that PEFT puts on no base whose weights are held in few bits."""
    config = checkpoint.adapter or {}
    tuner = str(config.get("peft_type")).lower()
    if spec.load.bits and (reason := not_on_few_bits(tuner, config)):
        raise SpecError(f"model_load.bits: {spec.load.bits}: {checkpoint.label}: {reason}; or leave bits out.")


def _sizes(model: Any, base: Any) -> list[str]:
    """Return how a whole model is no fine-tuned base: its kind, its number of scalars, its vocabulary."""
    notes = []
    kinds = [each.config.model_type for each in (model, base)]
    if kinds[0] != kinds[1]:
        notes.append(f"it is a {kinds[0]}, and the base a {kinds[1]}")
    rows = [each.get_input_embeddings().weight.shape[0] for each in (model, base)]
    if rows[0] != rows[1]:
        notes.append(f"its vocabulary has {rows[0]} rows, and the base's {rows[1]}")
    bodies = [each.num_parameters() - each.get_input_embeddings().weight.numel() for each in (model, base)]
    if kinds[0] == kinds[1] and rows[0] == rows[1] and bodies[0] != bodies[1]:
        notes.append(f"it has {bodies[0]:,} parameters beside its embedding, and the base {bodies[1]:,}")
    return notes
