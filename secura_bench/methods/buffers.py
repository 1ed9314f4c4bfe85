"""Replay buffers: unpadded examples of earlier tasks, and the generator that chooses among them."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

from secura_bench.data.example import Example
from secura_bench.foundation.generators import move, position_of
from secura_bench.tasks.row import Row

BufferKind = Literal["reservoir", "balanced"]


class Buffer(ABC):
    """At most ``capacity`` examples out of a stream, chosen and drawn by a generator of its own.

    The same examples added and drawn in the same order give the same draws, on every process, whatever else uses
    random numbers.
    """

    def __init__(self, capacity: int, seed: int) -> None:
        self.capacity = capacity
        self.generator = random.Random(f"replay/{seed}")

    @property
    @abstractmethod
    def examples(self) -> list[Example]:
        """Everything that is held."""

    @abstractmethod
    def add(self, example: Example) -> None:
        """Offer one example of the stream; it may be kept, and another forgotten for it."""

    def draw(self, count: int, tasks: Collection[str] | None = None) -> list[Example]:
        """Return ``count`` examples, of ``tasks`` if given, drawn uniformly without replacement; or all there are."""
        held = [example for example in self.examples if tasks is None or example.task in tasks]
        return self.generator.sample(held, min(count, len(held)))

    @property
    def tokens(self) -> int:
        """Number of token ids held."""
        return sum(len(example) for example in self.examples)

    def state_dict(self) -> dict[str, Any]:
        """Return the examples and the generator's position as plain containers."""
        return {"generator": position_of(self.generator), "examples": [asdict(e) for e in self.examples]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        move(self.generator, state["generator"])
        self._hold(example_from(fields) for fields in state["examples"])

    @abstractmethod
    def _hold(self, examples: Iterable[Example]) -> None:
        """Hold just ``examples``, which stand in the order of ``self.examples``."""


class Reservoir(Buffer):
    """Every example of the stream so far is held with the same probability (Vitter 1985, algorithm R)."""

    def __init__(self, capacity: int, seed: int) -> None:
        super().__init__(capacity, seed)
        self.seen = 0
        self._examples: list[Example] = []

    @property
    def examples(self) -> list[Example]:
        """Everything that is held."""
        return self._examples

    def add(self, example: Example) -> None:
        """Keep the n-th example of the stream with probability capacity / n, in place of any other."""
        if (place := self.next_place()) is not None:
            self.put(place, example)

    def next_place(self) -> int | None:
        """Return where among ``examples`` the next one of the stream goes; None: it is not kept."""
        self.seen += 1
        if self.seen <= self.capacity:
            return self.seen - 1
        place = self.generator.randrange(self.seen)
        return place if place < self.capacity else None

    def put(self, place: int, example: Example) -> None:
        """Hold ``example`` at ``place``, in place of what is there."""
        self._examples[place : place + 1] = [example]

    def state_dict(self) -> dict[str, Any]:
        """Return the buffer as plain containers."""
        return {**super().state_dict(), "seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        super().load_state_dict(state)
        self.seen = state["seen"]

    def _hold(self, examples: Iterable[Example]) -> None:
        self._examples = list(examples)


class Balanced(Buffer):
    """Tasks share the buffer equally, and each one's share is a uniform sample of its rows.

    Nothing is reserved for tasks to come: a new one takes its place, row by row, from whichever task holds most
    (Chrysakis and Moens 2020, algorithm 1). So the buffer is always full, and only a task with fewer rows than its
    share holds less than the others, give or take one.
    """

    def __init__(self, capacity: int, seed: int) -> None:
        super().__init__(capacity, seed)
        self.seen: dict[str, int] = {}
        self._held: dict[str, list[Example]] = {}
        self._sampled: set[str] = set()  # tasks of which not every row is held

    @property
    def examples(self) -> list[Example]:
        """Everything that is held."""
        return [example for held in self._held.values() for example in held]

    def add(self, example: Example) -> None:
        """Keep the example while its task has less than its share, else as a reservoir of that task would."""
        own = self._held.setdefault(example.task, [])
        self.seen[example.task] = self.seen.get(example.task, 0) + 1
        if sum(map(len, self._held.values())) < self.capacity:
            own.append(example)
            return
        largest = max(self._held, key=lambda task: len(self._held[task]))
        if len(own) < len(self._held[largest]) and example.task not in self._sampled:
            self._held[largest].pop(self.generator.randrange(len(self._held[largest])))
            self._sampled.add(largest)
            own.append(example)
            return
        self._sampled.add(example.task)
        if (place := self.generator.randrange(self.seen[example.task])) < len(own):
            own[place] = example

    def state_dict(self) -> dict[str, Any]:
        """Return the buffer as plain containers."""
        return {**super().state_dict(), "seen": dict(self.seen), "sampled": sorted(self._sampled)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        self.seen = dict(state["seen"])
        self._sampled = set(state["sampled"])
        super().load_state_dict(state)

    def _hold(self, examples: Iterable[Example]) -> None:
        self._held = {task: [] for task in self.seen}
        for example in examples:
            self._held[example.task].append(example)


def new_buffer(kind: BufferKind, capacity: int, seed: int) -> Buffer:
    """Return an empty buffer."""
    return {"reservoir": Reservoir, "balanced": Balanced}[kind](capacity, seed)


def together(new: Sequence[Example], replayed: Sequence[Example]) -> list[Example]:
    """Return a step's rows, replayed ones marked; its loss is the mean over the answer tokens of them all."""
    return [*new, *(replace(row, replayed=True) for row in replayed)]


def halves(new: Sequence[Example], replayed: Sequence[Example], mean_over: Literal["rows", "tokens"]) -> list[Example]:
    """Return a step's rows, weighted so that its loss is (mean over new + mean over replayed) / 2.

    The mean is over a half's answer tokens, or over its rows, each of them the mean of its own tokens. The loop
    computes Σ w CE / Σ w over the step's T answer tokens, however they are cut into micro-batches. So a token gets
    w = T / (2 T_half), or w = T / (2 N n) in a row of n tokens, one of N of its half: each half has Σ w = T / 2.
    Replayed rows are marked. Without any, all weights stay 1.
    """
    if not replayed:
        return list(new)
    total = sum(example.supervised for example in (*new, *replayed))

    def weighted(rows: Sequence[Example], replayed: bool) -> Iterator[Example]:
        tokens = sum(row.supervised for row in rows)
        for row in rows:
            parts = tokens if mean_over == "tokens" else len(rows) * row.supervised
            yield replace(row, weight=total / (2 * parts), replayed=replayed)

    return [*weighted(new, False), *weighted(replayed, True)]


def example_from(fields: Mapping[str, Any]) -> Example:
    """Return the example of which ``dataclasses.asdict`` made ``fields``; lists stand for tuples too."""
    row = dict(fields["row"])
    if row["choices"] is not None:
        row["choices"] = tuple(row["choices"])
    row["history"] = tuple((role, text) for role, text in row["history"])
    ids = {key: tuple(fields[key]) for key in ("prompt_ids", "answer_ids")}
    return Example(**{**fields, **ids, "row": Row(**row)})
