"""Which rows train and which test: seeded, by group, and named by a hash."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from secura_bench.tasks.row import Row
from secura_bench.tasks.ties import tied


@dataclass(frozen=True)
class Split:
    """The training and test rows of a task, each in a fixed random order, so that a prefix is a fair sample.

    Split without a seed, each is in the order of the source.

    ``groups`` counts what could not be parted among the drawn rows, and ``met`` the drawn rows that are left out of
    training because a test row has their prompt or group.
    """

    train: tuple[Row, ...]
    test: tuple[Row, ...]
    groups: int
    met: int = 0


def split_rows(rows: Sequence[Row], count: int, test_fraction: float, seed: int | None) -> Split:
    """Draw ``count`` rows and part them into train and test, no group on both sides.

    Rows of one ``group`` stay together, and so do rows with the same prompt after the same turns: no test prompt was
    trained on. The test side takes whole groups, in random order, until it holds ``test_fraction`` of the rows; of two
    groups or more each side gets one at least. The same rows, count, fraction and seed give the same split on every
    machine. Without a seed the first rows are drawn, and the test side takes the last groups of them.
    """
    generator, drawn = _draw(rows, count, seed)
    members: dict[str, list[Row]] = {}
    for row, root in zip(drawn, tied(drawn), strict=True):
        members.setdefault(root, []).append(row)
    wanted = round(test_fraction * len(drawn))
    test: list[list[Row]] = []
    train: list[list[Row]] = []
    held = 0  # rows of the test side
    for group in members.values() if generator else reversed(members.values()):
        # A large group may overshoot; one that brings the test side nearer to what is wanted is taken.
        side = test if held + len(group) / 2 <= wanted else train
        side.append(group)
        held += len(group) if side is test else 0
    for side, other in ((test, train), (train, test)):
        if not side and len(other) > 1:  # few rows, or large groups: the smallest group is less than nothing off
            side.append(other.pop(other.index(min(other, key=len))))
    training, tested = ([row for group in side for row in group] for side in (train, test))
    if generator is None:  # members of a group need not stand side by side
        place = {id(row): index for index, row in enumerate(drawn)}
        for ordered in (training, tested):
            ordered.sort(key=lambda row: place[id(row)])
    return _sides(generator, training, tested, len(members))


def validation_split(split: Split, test_fraction: float, seed: int | None) -> Split:
    """Part the training rows of ``split`` once more, as ``split_rows`` does; its test rows are on neither side."""
    return replace(split_rows(split.train, len(split.train), test_fraction, seed), met=split.met)


def split_from(rows: Sequence[Row], test: Sequence[Row], count: int, seed: int | None) -> Split:
    """Draw ``count`` of ``rows`` for training, where a task names all of its ``test`` rows itself.

    A drawn row that is tied to a test row by group or prompt is left out of training, and counted. Without a seed the
    first rows are drawn.
    """
    generator, drawn = _draw(rows, count, seed)
    roots = tied([*drawn, *test])
    tested = set(roots[len(drawn) :])
    train = [row for row, root in zip(drawn, roots, strict=False) if root not in tested]
    return _sides(generator, train, list(test), len(set(roots)), len(drawn) - len(train))


def _draw(rows: Sequence[Row], count: int, seed: int | None) -> tuple[random.Random | None, list[Row]]:
    generator = None if seed is None else random.Random(f"split/{seed}")
    drawn = list(rows)
    if generator:
        generator.shuffle(drawn)
    return generator, drawn[:count]


def _sides(generator: random.Random | None, train: list[Row], test: list[Row], groups: int, met: int = 0) -> Split:
    if generator:
        generator.shuffle(train)
        generator.shuffle(test)
    return Split(tuple(train), tuple(test), groups, met)


def rows_hash(rows: Sequence[Row]) -> str:
    """Return a SHA-256 over all that ``rows`` hold, in order, but their groups: what a run was fed."""
    digest = hashlib.sha256()
    for row in rows:
        for part in (
            row.id,
            row.prompt,
            row.target,
            *(row.choices or ()),
            str(row.answer_index),
            *sum(row.history, ()),
            *((row.code.language, row.code.begin, row.code.tests, *row.code.stop) if row.code else ()),
            *(() if row.pair is None else (row.pair,)),
        ):
            encoded = part.encode()
            digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()
