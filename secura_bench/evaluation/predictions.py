"""Items on their way through a protocol: what a model said, and in which batches items are scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from secura_bench.data.example import Example

Scored = list[tuple[int, "Prediction"]]
"""A batch of finished predictions, each with the position of its example."""


TOGETHER = 8
"""Of how many batches rows are answered in one another's company, where one takes the place of another.

More would save little, as only their last rows wait for each other; and a restart would repeat more.
"""


@dataclass(frozen=True)
class Prediction:
    """What a model answered to one item. What a protocol does not know is None.

    Attributes:
        text: the answer; of ``choice`` the choice that the model gives the most likelihood.
        correct: whether it is right, where the tokens alone say so.
        loss: nats; of ``teacher_forced`` and ``perplexity`` the mean of the scored tokens, of ``choice`` those of the
            right choice.
        cut: whether generation stopped at its limit and not at an end of turn.
        tokens: number of scored tokens.
        choices: the log-likelihood of each choice given the prompt, in nats.
        figures: of ``lm_eval`` the harness's own numbers, by metric.
        verdict: of ``execute`` what became of the program, ``passed`` or another word. said: why, in one line.
    """

    text: str = ""
    correct: bool | None = None
    loss: float | None = None
    cut: bool | None = None
    tokens: int | None = None
    choices: tuple[float, ...] | None = None
    figures: Mapping[str, float] | None = None
    verdict: str | None = None
    said: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the prediction as plain JSON, which ``from_json`` reads back exactly. NaN is text: JSON has none."""
        known = {name: value for name, value in vars(self).items() if value is not None}
        if self.loss is not None:
            known["loss"] = _plain(self.loss)
        if self.choices is not None:
            known["choices"] = [_plain(value) for value in self.choices]
        return known

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> Prediction:
        """Return the prediction that ``to_json`` wrote.

        Raises:
            TypeError: A key that is no attribute.
        """
        read = dict(known)
        if "loss" in read:
            read["loss"] = float(read["loss"])
        if "choices" in read:
            read["choices"] = tuple(map(float, read["choices"]))
        return cls(**read)


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


NOTHING_KNOWN: Mapping[int, Prediction] = MappingProxyType({})


def long_first(
    examples: Sequence[Example],
    batch_size: int,
    known: Collection[int] = (),
    among: Sequence[int] | None = None,
    length: Callable[[Example], int] = len,
) -> Iterator[list[int]]:
    """Yield batches of positions, longest examples first: little padding, and too little memory shows early.

    Batches are formed over all examples, or over those that ``among`` names. A batch of ``known`` positions alone is
    left out. So a restart scores each example in the same batch as before.
    """
    positions = range(len(examples)) if among is None else among
    order = sorted(positions, key=lambda i: (-length(examples[i]), i))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        if not all(i in known for i in batch):
            yield batch


def with_choices(example: Example) -> bool:
    """Return whether an example has choices of which one is right."""
    return bool(example.row.choices) and example.row.answer_index is not None
