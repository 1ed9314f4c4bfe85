"""Experience replay (Rolnick et al. 2019, arXiv 1811.11682; Chaudhry et al. 2019, arXiv 1902.10486).

for each step of task t:
    new ~ the task's rows
    replayed ~ the buffer, ratio · |new| rows, if t > 1
    offer each new row to the buffer
    loss = mean over the answer tokens of new ∪ replayed
    θ ← optimizer(θ, ∇ loss)

with ``from`` no buffer is kept, and replayed are rows of general data, in the first task too:
    replayed ~ those rows, ⌊ratio · n⌋ in all after n new rows
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from torch import nn

from secura_bench.data.example import Example, Task
from secura_bench.foundation.errors import SpecError
from secura_bench.methods.buffers import BufferKind, halves, new_buffer, together
from secura_bench.methods.footprint import Footprint
from secura_bench.methods.general_rows import GeneralRows
from secura_bench.methods.method import Method, Options
from secura_bench.methods.options import OwnSeed, Positive, resolve_seed
from secura_bench.methods.parameters import ParameterCount
from secura_bench.spec.sources import Source
from secura_bench.spec.types import Number


class EROptions(Options):
    """The buffer, in examples, how many replayed rows come on each new one, and the loss; the defaults are ours."""

    model_config = ConfigDict(serialize_by_alias=True)

    from_: Annotated[Source, Field(alias="from")] = None
    """What is replayed: the training rows of this task or file of rows, from the first step on; unset, rows of the
    run's earlier tasks, out of a buffer."""

    buffer: BufferKind = "reservoir"
    """Which rows are kept: a uniform sample of all (``reservoir``), or one in which tasks have equal shares
    (``balanced``)."""

    capacity: Positive = 1000
    """How many rows are kept."""

    ratio: Annotated[Number, Field(gt=0)] = 1.0
    """How many replayed rows come on each new one. Of a source (``from``) that holds over the steps, however small it
    is: at 0.05 every twentieth new row brings one. Out of a buffer a step replays one row at least."""

    seed: OwnSeed = None
    """The seed that draws rows in and out; unset, the run's."""

    loss: Literal["tokens", "halves"] = "tokens"
    """What the loss is a mean over: ``tokens`` of new and replayed rows together, as in any other step, or ``halves``,
    (mean over new rows + mean over replayed rows) / 2, a row's loss being the mean over its tokens: below ``ratio`` 1 a
    replayed row then weighs more than a new one. Records from before there was a choice have ``halves``."""

    @model_validator(mode="after")
    def _has_one_supply(self) -> EROptions:
        if self.from_ is not None and (idle := sorted({*_OF_BUFFERS} & self.model_fields_set)):
            raise ValueError(f"{idle[0]} is a buffer's, and with 'from' there is none; leave one of them out")
        return self

    @model_serializer(mode="wrap")
    def _of_what_there_is(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is not there, a source or a buffer: so a run without a source is called what it always was."""
        idle = ("from",) if self.from_ is None else _OF_BUFFERS
        return {key: value for key, value in serialize(self).items() if key not in idle}


_OF_BUFFERS = ("buffer", "capacity")


class ER(Method[EROptions]):
    """Loss over new rows ∪ replayed rows: from the second task on, each step replays rows out of a buffer.

    With ``from`` they are rows of general data instead, replayed from the first step on: so in ``separate`` runs too.

    During the first task nothing is replayed, and a step is one as without ER. Rows enter the buffer as they are
    trained on, the current task's too; a replayed row never enters again. The buffer knows no boundaries: in later
    tasks, rows of the current one may be replayed.

    Deviation: Chaudhry's Algorithm 1 replays within the first task already, and its rows are labelled images, of which
    a mean over rows and one over tokens are the same; Rolnick's CLEAR is for reinforcement learning, and its terms that
    hold the policy near the remembered one are not here.
    """

    name = "er"
    Options = EROptions

    def __init__(self, options: EROptions | None = None) -> None:
        super().__init__(options)
        seed = resolve_seed(self.options.seed)
        self.buffer = new_buffer(self.options.buffer, self.options.capacity, seed)
        self.general = None if self.options.from_ is None else GeneralRows(self.options.ratio, seed)
        self.task = 0

    def take(self, source: str, rows: Sequence[Example]) -> None:
        """Replay these rows."""
        if self.general is not None:
            self.general.hold(rows)

    def begin_task(self, model: nn.Module, task: Task) -> None:
        """Note where in the sequence we are."""
        self.task = task.index

    def mix(self, examples: Sequence[Example]) -> Sequence[Example]:
        """Add replayed rows.

        Raises:
            SpecError: They are of a source, and nobody handed its rows over.
        """
        replayed = self._from_buffer(examples) if self.general is None else self._from_source(examples, self.general)
        if self.options.loss == "halves":
            return halves(examples, replayed, mean_over="rows")
        return together(examples, replayed)

    def _from_buffer(self, examples: Sequence[Example]) -> list[Example]:
        """Draw rows, and offer the new ones to the buffer: after drawing, so that none meets itself."""
        extra = self.replayed_rows(len(examples), self.task)
        replayed = self.buffer.draw(extra) if extra else []
        for example in examples:
            self.buffer.add(example)
        return replayed

    def _from_source(self, examples: Sequence[Example], general: GeneralRows) -> list[Example]:
        if not general.rows:
            raise SpecError(f"method 'er' replays rows of {self.options.from_!r}, and was handed none: Method.take.")
        return general.draw(len(examples))

    def replayed_rows(self, rows: int, task: int) -> int:
        """Return how many rows a buffer gives to a step of ``rows`` new ones, in task number ``task`` from 0."""
        return max(1, round(self.options.ratio * rows)) if task > 0 else 0

    def footprint(self) -> Footprint:
        """A new row brings its share of replayed ones: of a buffer's from the second task on, of a source's always."""
        ratio = self.options.ratio
        extra = self.replayed_rows if self.general is None else lambda rows, task: ratio * rows
        return replace(super().footprint(), relative_rows=1 + ratio, extra_rows=extra)

    def count_parameters(self, model: nn.Module) -> ParameterCount:
        """Count the model's parameters; held are the token ids in the buffer by now."""
        count = super().count_parameters(model)
        return replace(count, held=self.buffer.tokens)

    def state_dict(self) -> dict[str, Any]:
        """Return the task's place in the sequence, and the buffer or the place in the source's rows."""
        supply = {"buffer": self.buffer.state_dict()} if self.general is None else {"from": self.general.state_dict()}
        return {"task": self.task, **supply}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self.task = state["task"]
        if self.general is None:
            self.buffer.load_state_dict(state["buffer"])
        else:
            self.general.load_state_dict(state["from"])
