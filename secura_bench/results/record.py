"""What a finished run leaves behind: one self-describing record, from which every table is made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
    with_config,
)
from typing_extensions import NotRequired, TypedDict

from secura_bench.foundation.errors import quoted
from secura_bench.foundation.schema import Part

SCHEMA = 2
MIXED = "all-tasks"  # stands for the task where all are trained at once


_CLOSED = ConfigDict(extra="forbid")

Whole = Annotated[int, Field(ge=0, lt=2**63)]
"""A count, or a seed."""

LARGEST = 1e150
Real = Annotated[float, Field(allow_inf_nan=False, gt=-LARGEST, lt=LARGEST)]
"""A number whose square is one too."""


def _tame(value: Any, depth: int = 0) -> Any:
    """Refuse settings that nobody set: without end, or with numbers that are none."""
    if depth > 10:
        raise ValueError("is nested more than ten times")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        _tame(each, depth + 1)
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("holds a number of more digits than a setting has")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"holds {value}, which is no number")
    return value


Settings = Annotated[dict[str, Any], AfterValidator(_tame)]


@with_config(_CLOSED)
class ModelNote(TypedDict):
    """A model: what it is called, what makes two models the same, and how it was loaded, where that is said."""

    label: str
    identity: str
    load: NotRequired[Settings]


@with_config(_CLOSED)
class MethodNote(TypedDict):
    """A method: as registered, as labelled, as tables call it if not so, its options and its training settings.

    ``tuned`` is how these were chosen, where ``tune`` chose them: ``secura_bench.spec.tune.Tuned``. ``code`` hashes
    the file that defines it, of a stack those of its parts, where it is not this package's: other code, other method.
    """

    name: str
    label: str
    title: NotRequired[str]
    options: Settings
    train: Settings
    code: NotRequired[str | list[str]]
    tuned: NotRequired[Settings]


EARLIER: Mapping[str, Mapping[str, Any]] = {"er": {"loss": "halves"}}
"""By method, the options that the first records lack, and what their runs did: today's defaults are others."""


def _as_it_was(note: MethodNote) -> MethodNote:
    """Return a method's note with what it did before there was an option for it."""

    def whole(name: Any, options: dict[str, Any]) -> dict[str, Any]:
        return {**EARLIER.get(name, {}), **options} if isinstance(name, str) else options

    options = whole(note["name"], note["options"])
    if note["name"] == "stack" and isinstance(options.get("parts"), list):
        parts = [whole(part.get("name"), part) if isinstance(part, dict) else part for part in options["parts"]]
        options = {**options, "parts": parts}
    return {**note, "options": options}


@with_config(_CLOSED)
class Parameters(TypedDict, total=False):
    """Numbers of scalars, as in ``ParameterCount``; ``published_per_layer`` is the paper's, at width 4096."""

    trainable: Whole
    total: Whole
    held: Whole
    effective: Whole
    per_layer: Real
    published_per_layer: Real | None


@with_config(_CLOSED)
class Divergence(TypedDict):
    """Where the loss stopped being a number."""

    task: str
    step: Whole


class Score(Part):
    """One protocol on one task at one moment of a run.

    Attributes:
        stage: Number of the moment, from 0 (before training); it names the folder under ``evals/``.
        after: The task trained last or being trained, None at the start. step: optimizer steps done within it.
        finished: Whether that task's training had ended (and its boundary's merge was done).
        role: ``probe`` (the pool), ``part`` (of the probe) or ``task``.
        n: Number of items that the protocol scored. values: scores by metric, in percent, but ``loss`` in nats,
            ``perplexity``, ``tokens``, and what a user's metric gives; None where a metric cannot tell.
    """

    stage: Whole
    after: str | None
    step: Whole
    finished: bool
    role: Literal["probe", "part", "task"]
    protocol: str
    task: str
    n: Whole
    values: dict[str, Real | None]


class DataNote(Part):
    """Which rows a task gave: where from, how many to train and test, a hash of each side, what was left out.

    ``found`` rows lie in the source; of them ``filtered`` were left out because the task file does not keep them.
    Of the rows drawn, ``too_long`` were left out because their prompt leaves no room for an answer, ``cut_answers``
    lost their answer's end, and ``duplicates`` repeat an earlier prompt (both are used). ``test_source`` is set where
    the task names its test rows itself, and ``met`` counts the rows left out of training because they have the prompt
    or the group of one of those. ``majority`` and ``chance``: accuracy in percent, over the scored rows with choices,
    of the best constant answer and of drawing a choice uniformly; None without choices. ``options``: how many rows have
    choices, None in records that are older than the count. ``probe_…`` are of the rows that the probe takes, where it
    takes any. ``marked`` rows spell special tokens, which were read as text; the answers
    of ``respelled`` ones are compared as they come back from their tokens, which is not as they were. ``fewshot``
    worked examples stand before every scored prompt. ``groups``: how many sets of tied rows (of one group, or with one
    prompt) the test rows are, which is how many rows there are where none are tied; None in records that are older than
    the count.
    """

    source: str
    revision: str | None
    licence: str
    stand_in: str | None
    train_rows: Whole
    test_rows: Whole
    train_hash: str
    test_hash: str
    too_long: Whole
    found: Whole = 0
    filtered: Whole = 0
    cut_answers: Whole = 0
    duplicates: Whole = 0
    met: Whole = 0
    test_source: str | None = None
    test_revision: str | None = None
    majority: Real | None = None
    chance: Real | None = None
    probe_rows: Whole = 0
    probe_hash: str | None = None
    probe_majority: Real | None = None
    probe_chance: Real | None = None
    marked: Whole = 0
    respelled: Whole = 0
    fewshot: Whole = 0
    groups: Whole | None = None
    probe_groups: Whole | None = None
    options: Whole | None = None
    probe_options: Whole | None = None


class Cost(Part):
    """What a run took: seconds of training and of scoring, tokens through the model, peak memory in bytes."""

    train_seconds: Real
    evaluate_seconds: Real
    tokens: Whole
    peak_memory: Whole
    device: str


class Interpolated(Part):
    """A run's end scored with the weights W_base + alpha (W − W_base): ``evaluate.interpolate``."""

    alpha: Annotated[float, Field(ge=0, le=1)]
    scores: tuple[Score, ...]


Form = Literal["folder", "adapter", "weights"]
"""As what an engine got a model: as its own folder, with an adapter beside it, or as weights that were written."""


@with_config(_CLOSED)
class Compared(TypedDict):
    """How many of some texts, at one moment, another engine and the bench's own wrote alike."""

    after: str | None
    step: Whole
    form: Form
    texts: Whole
    same: Whole


@with_config(_CLOSED)
class EngineNote(TypedDict):
    """What wrote the texts in the bench's place, and every comparison with what the bench writes."""

    name: str
    version: str
    compared: list[Compared]


class RunRecord(Part):
    """One run, whole. Written last: a run counts only when its record is there.

    The options of a stack are those as written, and those of ``EARLIER``. ``weight_norms``: mean Frobenius norms by
    module name, of the base's weights (``before``), the trained ones before a normalisation (``former``) and those
    computed with (``updated``); ``moved`` is no norm but ‖W − W_base‖ / ‖W_base‖ of those, a mean over the modules.
    ``precision`` and ``context`` (tokens) are the spec's, in which the base model is scored; a method may train in
    another precision, which its training settings say.
    ``status``: ``diverged`` runs say at which step the loss stopped being a number. ``notes``: sentences that a reader
    of the numbers must know (how prompts differ from the tokenizer's own, a micro-batch that had to be halved, a run
    that went on under other versions). ``engine``: what wrote the texts of ``generate`` and ``execute``, where the
    bench did not.
    """

    schema_version: int = SCHEMA
    program: Literal["secura-bench"] = "secura-bench"
    version: str
    name: str
    fingerprint: str
    experiment: str
    mode: Literal["sequence", "separate"]
    status: Literal["done", "diverged"]
    diverged_at: Divergence | None = None
    notes: tuple[str, ...] = ()
    model: ModelNote
    method: Annotated[MethodNote, AfterValidator(_as_it_was)]
    tasks: tuple[str, ...]
    probe: str
    probe_parts: tuple[str, ...]
    seed: Whole
    limit: Whole | None
    precision: str = "fp32"
    context: Whole | None = None
    parameters: Parameters
    weight_norms: dict[str, dict[str, Real | None]] | None = None
    data: dict[str, DataNote]
    signatures: dict[str, dict[str, str]]
    scores: tuple[Score, ...]
    interpolated: tuple[Interpolated, ...] = ()
    engine: EngineNote | None = None
    cost: Cost
    finished_at: str

    @model_validator(mode="after")
    def _names_its_own_tasks(self) -> RunRecord:
        for score in (*self.scores, *(score for each in self.interpolated for score in each.scores)):
            if score.after not in (None, MIXED, *self.tasks):
                raise ValueError(f"a score is of the moment after {quoted(score.after)}, which is none of the tasks")
            if score.task not in (self.probe, *self.probe_parts, *self.tasks):
                raise ValueError(f"a score is of {quoted(score.task)}, which is neither a task nor of the probe")
        return self

    @model_serializer(mode="wrap")
    def _without_what_was_not_asked(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out ``interpolated`` and ``engine`` where none was: earlier versions read no key they do not know."""
        told: dict[str, Any] = serialize(self)
        return {key: value for key, value in told.items() if value or key not in ("interpolated", "engine")}
