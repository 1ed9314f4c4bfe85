"""What a finished run leaves behind: one self-describing record, from which every table is made."""

from __future__ import annotations

from typing import Any, Literal

from secura_bench.schema import Part

SCHEMA = 2
MIXED = "all-tasks"  # stands for the task where all are trained at once


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

    stage: int
    after: str | None
    step: int
    finished: bool
    role: Literal["probe", "part", "task"]
    protocol: str
    task: str
    n: int
    values: dict[str, float | None]


class DataNote(Part):
    """Which rows a task gave: where from, how many to train and test, a hash of each side, what was left out.

    ``found`` rows lie in the source; of them ``filtered`` were left out because the task file does not keep them.
    Of the rows drawn, ``too_long`` were left out because their prompt leaves no room for an answer, ``cut_answers``
    lost their answer's end, and ``duplicates`` repeat an earlier prompt (both are used). ``majority`` and ``chance``:
    accuracy in percent, over the scored rows with choices, of the best constant answer and of drawing a choice
    uniformly; None without choices. ``probe_…`` are of the rows that the probe takes, where it takes any.
    """

    source: str
    revision: str | None
    licence: str
    stand_in: str | None
    train_rows: int
    test_rows: int
    train_hash: str
    test_hash: str
    too_long: int
    found: int = 0
    filtered: int = 0
    cut_answers: int = 0
    duplicates: int = 0
    majority: float | None = None
    chance: float | None = None
    probe_rows: int = 0
    probe_hash: str | None = None
    probe_majority: float | None = None
    probe_chance: float | None = None


class Cost(Part):
    """What a run took: seconds of training and of scoring, tokens through the model, peak memory in bytes."""

    train_seconds: float
    evaluate_seconds: float
    tokens: int
    peak_memory: int
    device: str


class RunRecord(Part):
    """One run, whole. Written last: a run counts only when its record is there.

    ``model``: label and identity. ``method``: name, label, options (a stack's as written) and training settings.
    ``parameters``: as ``ParameterCount``, and the paper's ``published_per_layer`` at width 4096. ``weight_norms``:
    mean Frobenius norms by module name, of the base's weights (``before``), the trained ones before a normalisation
    (``former``) and those computed with (``updated``).
    ``precision`` and ``context`` (tokens) are the spec's, in which the base model is scored; a method may train in
    another precision, which its training settings say.
    ``status``: ``diverged`` runs say at which step the loss stopped being a number. ``notes``: sentences that a reader
    of the numbers must know (a micro-batch that had to be halved, a run that went on under other versions).
    """

    schema_version: int = SCHEMA
    program: Literal["secura-bench"] = "secura-bench"
    version: str
    name: str
    fingerprint: str
    experiment: str
    mode: Literal["sequence", "separate"]
    status: Literal["done", "diverged"]
    diverged_at: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    model: dict[str, str]
    method: dict[str, Any]
    tasks: tuple[str, ...]
    probe: str
    probe_parts: tuple[str, ...]
    seed: int
    limit: int | None
    precision: str = "fp32"
    context: int | None = None
    parameters: dict[str, int | float | None]
    weight_norms: dict[str, dict[str, float]] | None = None
    data: dict[str, DataNote]
    signatures: dict[str, dict[str, str]]
    scores: tuple[Score, ...]
    cost: Cost
    finished_at: str
