"""Which methods of a study are one method at several settings, so that they make a curve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secura_bench.report.study.arms import Arm
from secura_bench.report.study.study import Study

LEAST = 3
"""How many settings make a family where no grid was declared: two entries of one method need not be meant as one."""


@dataclass(frozen=True)
class Family:
    """One method along one setting: ``methods``, as the study calls them, in the order of the setting's ``values``."""

    name: str
    key: str
    methods: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class _Member:
    """One method of a study, by what may make a curve of it: the family that it was declared of, and its settings."""

    method: str
    name: str
    settings: Mapping[str, Any]
    declared: bool


def families(study: Study) -> list[Family]:
    """Return the curves that a study's methods make, in their order.

    What ``tune`` spread over a grid is one by its declaration. Elsewhere it is methods of one name that differ in one
    number alone, three of them at least. Of a grid of several settings the one with the most values makes the curve.
    """
    first: dict[str, Arm] = {}
    for arm in study.arms:
        first.setdefault(arm.method, arm)
    members = [_member(method, arm) for method, arm in first.items() if arm.trained_here]
    by_name: dict[tuple[str, bool], list[_Member]] = {}
    for member in members:
        by_name.setdefault((member.name, member.declared), []).append(member)
    found = [family for (_, declared), mine in by_name.items() for family in _curves(mine, 2 if declared else LEAST)]
    place = {method: i for i, method in enumerate(study.methods)}
    return sorted(found, key=lambda family: min(place[method] for method in family.methods))


def family_of(study: Study, name: str) -> Family | None:
    """Return the family of that name, None where there is none."""
    return next((family for family in families(study) if family.name == name), None)


def _member(method: str, arm: Arm) -> _Member:
    note: Mapping[str, Any] = arm.runs[0].record.method
    tuned = note.get("tuned")
    if isinstance(tuned, Mapping) and isinstance(tuned.get("family"), str) and isinstance(tuned.get("settings"), dict):
        return _Member(method, tuned["family"], tuned["settings"], True)
    options = {f"methods.{key}": value for key, value in note["options"].items()}
    return _Member(method, arm.name, options | {f"train.{key}": value for key, value in note["train"].items()}, False)


def _curves(members: Sequence[_Member], least: int) -> list[Family]:
    """Return the curves of one name: the largest first, each method in one of them."""
    found: list[Family] = []
    left = list(members)
    while curve := max(_along_each(left), key=lambda each: len(each[1]), default=None):
        key, mine = curve
        if len(mine) < least:
            break
        ordered = sorted(mine, key=lambda member: member.settings[key])
        found.append(
            Family(
                mine[0].name,
                key,
                tuple(member.method for member in ordered),
                tuple(float(member.settings[key]) for member in ordered),
            )
        )
        left = [member for member in left if member not in mine]
    if len(found) < 2:
        return found
    by_method = {member.method: member for member in members}
    return [_told_apart(family, found, by_method) for family in found]


def _along_each(members: Sequence[_Member]) -> list[tuple[str, list[_Member]]]:
    """Return, by each key that holds numbers, the members that differ in it alone."""
    found = []
    for key in sorted({key for member in members for key in member.settings}):
        alike: dict[str, list[_Member]] = {}
        for member in members:
            if _is_number(member.settings.get(key)):
                rest = {other: value for other, value in member.settings.items() if other != key}
                alike.setdefault(json.dumps(rest, sort_keys=True), []).append(member)
        for mine in alike.values():
            values = [member.settings[key] for member in mine]
            if len(set(values)) == len(values) > 1:
                found.append((key, mine))
    return found


def _told_apart(family: Family, all_: Sequence[Family], by_method: Mapping[str, _Member]) -> Family:
    """Return a family of several of one name, called by the settings that it does not share with them all."""
    settings = [by_method[each.methods[0]].settings for each in all_]
    mine = by_method[family.methods[0]].settings
    keys = sorted({key for each in settings for key in each} - {family.key})
    differing = [key for key in keys if len({json.dumps(each.get(key)) for each in settings}) > 1]
    told = [f"{key.partition('.')[2] or key}={mine.get(key)}" for key in differing]
    return Family(" ".join([family.name, *told]), family.key, family.methods, family.values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
