"""What the runs of a plan share: data, probe, chat format, metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from secura_bench.data import quality
from secura_bench.data.chat import ChatFormat
from secura_bench.data.dataset import TaskData, examples_hash, load_data, probe_examples
from secura_bench.data.example import Example
from secura_bench.data.general import general_rows
from secura_bench.evaluation.user_metrics import UserMetric, load_metric
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.build import build_method
from secura_bench.methods.method import Method
from secura_bench.models.load import ModelFolder, find_model, load_tokenizer
from secura_bench.plan.running import check_allowed, languages_here
from secura_bench.results.record import DataNote
from secura_bench.spec.experiment import ExperimentSpec
from secura_bench.spec.sections import PROBE_ROWS
from secura_bench.tasks.ties import count_ties


@dataclass(frozen=True)
class Inputs:
    """What all runs of a plan read and none changes.

    Attributes:
        tasks: every task that is trained or scored, by name. probe: the probe's examples by part.
        test: the test examples of each trained task, after ``evaluate.limit``.
        notes: what of each task was used, for records. metrics: the user's own, loaded.
        sources: the rows that methods read beside the trained ones, by task; no row that is scored is among them.
        why_not: of each language of the programs that are scored why it cannot be run here; None where none is scored.
    """

    model: ModelFolder
    chat: ChatFormat
    tasks: Mapping[str, TaskData]
    probe: Mapping[str, tuple[Example, ...]]
    test: Mapping[str, tuple[Example, ...]]
    notes: Mapping[str, DataNote]
    metrics: tuple[UserMetric, ...] = ()
    sources: Mapping[str, tuple[Example, ...]] = field(default_factory=dict)
    why_not: Mapping[str, str] | None = None

    @property
    def classes(self) -> dict[str, int]:
        """How many labels each task has that a classification head of its own answers."""
        return {name: len(data.file.labels) for name, data in self.tasks.items() if data.file.labels}

    def hand_to(self, method: Method) -> Method:
        """Hand a fresh method the rows that it reads beside the trained ones; return it."""
        for name in method.sources:
            method.take(name, self.sources[name])
        return method


def read_inputs(
    spec: ExperimentSpec, metrics: tuple[UserMetric, ...], fetch: bool, allow_code: bool, chat: ChatFormat | None = None
) -> Inputs:
    """Read what the runs of a spec share: model, rows and probe; prompts as ``chat`` makes them, the model's own."""
    check_allowed(spec, allow_code)
    found = find_model(spec.model, fetch="tokenizer" if fetch else "nothing")  # data first: weights come last
    model = replace(found, load=spec.load)
    chat = chat or ChatFormat(load_tokenizer(model), spec.data.system, model.label, bare=spec.data.bare)
    trained, own, sources = spec.task_names, spec.own_parts, sources_of(spec)
    learned = (*trained, *sources)  # whose training rows no probe may score
    shares = -(-(spec.probe_rows or PROBE_ROWS) // max(1, len(own)))
    tasks: dict[str, TaskData] = {}
    for name in dict.fromkeys((*trained, *own, *sources)):
        # A generator makes as many rows as the probe wants, if that is more than a task has.
        wanted = max(spec.data.rows, shares) if name in own and name not in learned else None
        tasks[name] = load_data(name, spec.data, chat, wanted)
    probe = dict(probe_examples([tasks[part] for part in own], spec.probe_rows, learned)) if own else {}
    for suite in spec.suites:
        from secura_bench.harness.data import read_suite  # it takes seconds to import, and few probes want it

        tasks[suite.part], probe[suite.part] = read_suite(suite, chat, allow_code)
    test = {name: tasks[name].test[: spec.evaluate.limit] for name in trained}
    scored = [example for rows in (*probe.values(), *test.values()) for example in rows]
    general = {name: general_rows(tasks[name], scored, spec.data.context) for name in sources}
    notes = {name: _note(data, probe.get(name), test.get(name), general.get(name)) for name, data in tasks.items()}
    return Inputs(model, chat, tasks, probe, test, notes, metrics, general, languages_here(spec, scored))


def sources_of(spec: ExperimentSpec) -> tuple[str, ...]:
    """Return the tasks whose rows a spec's methods read beside those they are trained on."""
    methods = (build_method(method.name, **method.options) for method in spec.methods)
    return tuple(dict.fromkeys(name for method in methods for name in method.sources))


def load_metrics(spec: ExperimentSpec, allow_code: bool) -> tuple[UserMetric, ...]:
    """Load the metrics of ``evaluate`` that a spec asks for, if it may."""
    if spec.evaluate.metrics and not allow_code:
        raise SpecError(
            f"evaluate.metrics: {', '.join(spec.evaluate.metrics)} is code that is not this program's; if you trust "
            f"it, say so: --allow-code."
        )
    return tuple(map(load_metric, spec.evaluate.metrics))


def _note(
    data: TaskData,
    probe: tuple[Example, ...] | None,
    test: tuple[Example, ...] | None,
    source: tuple[Example, ...] | None,
) -> DataNote:
    scored = test or ()
    trained = data.train if test is not None else source or ()
    return DataNote(
        source=data.origin.source,
        revision=data.origin.revision,
        licence=data.origin.licence,
        stand_in=data.origin.stand_in,
        train_rows=len(trained),
        test_rows=len(scored),
        train_hash=examples_hash(trained),
        test_hash=examples_hash(scored),
        too_long=data.counts.too_long + (data.spare_too_long if test is None else 0),
        found=data.counts.found,
        filtered=data.counts.filtered,
        cut_answers=data.counts.cut_answers,
        duplicates=data.counts.duplicates,
        met=data.counts.met,
        test_source=data.test_origin and data.test_origin.source,
        test_revision=data.test_origin and data.test_origin.revision,
        majority=quality.majority(example.row for example in scored),
        chance=quality.chance(example.row for example in scored),
        probe_rows=len(probe or ()),
        probe_hash=None if probe is None else data.scored_hash(probe),
        probe_majority=quality.majority(example.row for example in probe or ()),
        probe_chance=quality.chance(example.row for example in probe or ()),
        marked=data.counts.marked,
        respelled=data.counts.respelled,
        fewshot=data.counts.fewshot,
        groups=count_ties([example.row for example in scored]),
        probe_groups=count_ties([example.row for example in probe or ()]),
        options=quality.with_options(example.row for example in scored),
        probe_options=quality.with_options(example.row for example in probe or ()),
    )
