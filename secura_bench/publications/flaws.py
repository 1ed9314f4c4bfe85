"""What is wrong with printed numbers, or must be known of them: found by rules from the numbers themselves.

A rule is a pure function of a publication's file and its numbers. Which of them have something to say follows from what
the file declares: classes' shares, tasks scored again, numbers that follow from others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from secura_bench.publications.file import PublicationFile
from secura_bench.publications.follows import followed
from secura_bench.publications.place import AVERAGE, Numbers, Place

_ROUNDING = 1e-9
Found = Mapping[Place, str]
"""Numbers, each with what is to be said of it; what stands before a colon is the same for all of a kind."""


@dataclass(frozen=True)
class Flaw:
    """What one rule found: of single ``places``, or of the whole publication what is ``said``.

    ``wrong``: whether the numbers cannot be right; else they may be, and mean less than they seem to.
    """

    rule: str
    wrong: bool
    places: Found = field(default_factory=dict)
    said: str = ""


def flaws_of(file: PublicationFile, numbers: Numbers) -> Iterator[Flaw]:
    """Yield what each rule finds, first what cannot be right."""
    for wrong, rules in ((True, WRONG), (False, REMARKABLE)):
        for name, rule in rules.items():
            if places := rule(file, numbers):
                yield Flaw(name, wrong, places)
    for name, about in OF_THE_WHOLE.items():
        for said in about(file, numbers):
            yield Flaw(name, False, {}, said)


# What cannot be right


def do_not_follow(file: PublicationFile, numbers: Numbers) -> Found:
    """Return the averages, transfers and gains that are not what follows from the other numbers, rounding allowed."""
    found = {}
    for place, printed in numbers.items():
        due = followed(file, numbers, place)
        if due and abs(due.value - printed.value) > due.tolerance + _ROUNDING:
            found[place] = f"does not follow from {due.said}"
    return found


def repeated_over_tasks(file: PublicationFile, numbers: Numbers) -> Found:
    """Return numbers whose whole group (all metrics of one model, task and method) stands under another task as well.

    Groups of one metric, or with a zero among them, may meet by chance and are left out.
    """
    groups: dict[Place, list[Place]] = {}
    for place in numbers:
        groups.setdefault(replace(place, metric=""), []).append(place)
    alike: dict[tuple[object, ...], list[list[Place]]] = {}
    for places in groups.values():
        values = tuple(numbers[place].value for place in sorted(places, key=lambda place: place.metric))
        one = places[0]
        if len(values) > 1 and all(values) and one.model != AVERAGE and not one.variant and not one.after:
            alike.setdefault((one.table, one.method, values), []).append(places)
    found = {}
    for same in alike.values():
        if len({places[0].task for places in same}) > 1:
            where = ", ".join(f"{places[0].model} {places[0].task}" for places in same)
            for places in same:
                found.update(dict.fromkeys(places, f"the same numbers stand under {where}"))
    return found


def identical_for_models(file: PublicationFile, numbers: Numbers) -> Found:
    """Return the numbers of methods of which all cells of a sequence are identical for two models."""
    found = {}
    for method in dict.fromkeys(place.method for place in numbers):
        by_model: dict[str, dict[Place, Place]] = {}
        for place in numbers:
            if place.method == method and (place.step is not None or place.after):
                by_model.setdefault(place.model, {})[replace(place, table="", model="")] = place
        models = list(by_model)
        for i, one in enumerate(models):
            for other in models[i + 1 :]:
                mine, theirs = by_model[one], by_model[other]
                if mine.keys() == theirs.keys() and _equal(numbers, mine, theirs):
                    said = f"all {len(mine)} numbers of {method} are identical for {one} and {other}"
                    found.update(dict.fromkeys([*mine.values(), *theirs.values()], said))
    return found


def rouge_l_above_rouge_1(file: PublicationFile, numbers: Numbers) -> Found:
    """Return the ROUGE-L numbers above their ROUGE-1: a longest common subsequence has no more words than are shared.

    It holds row by row, so for any mean of rows as well.
    """
    found = {}
    for place, printed in numbers.items():
        above = numbers.get(replace(place, metric="rouge1")) if place.metric == "rougeL" else None
        if above is not None and printed.value > above.value:
            found[place] = f"ROUGE-L above ROUGE-1 ({above.value:.2f}), which no row of text can give"
    return found


# What must be known


def constant_answers(file: PublicationFile, numbers: Numbers) -> Found:
    """Return the scores that are a class's share of the rows to the last printed digit: one answer to every row."""
    found = {}
    for place, printed in _of_classes(file, numbers):
        for rows, of in file.shares[place.task]:
            if abs(100 * rows / of - printed) <= numbers[place].unit / 2 + _ROUNDING:
                found[place] = (
                    f"one answer to every row of {place.task} scores just this: {rows} of {of} are of one class"
                )
    return found


def below_the_majority(file: PublicationFile, numbers: Numbers) -> Found:
    """Return the scores that the most frequent class, answered to every row, beats."""
    found = {}
    for place, printed in _of_classes(file, numbers):
        rows, of = max(file.shares[place.task], key=lambda share: share[0] / share[1])
        share = 100 * rows / of
        if printed < share - numbers[place].unit / 2 - _ROUNDING:
            found[place] = (
                f"below what one answer to every row of {place.task} scores: its most frequent class has {share:.2f}"
            )
    return found


def unchanged_by_later_tasks(file: PublicationFile, numbers: Numbers) -> Found:
    """Return the scores that stay the same in every printed digit whatever is trained after them."""
    groups: dict[Place, list[Place]] = {}
    for place in numbers:
        if place.after:
            groups.setdefault(replace(place, after=""), []).append(place)
    found = {}
    for place, again in groups.items():
        if len(again) > 1 and len({numbers[each].value for each in again}) == 1:
            who = " ".join(filter(None, (place.model, place.method, place.variant)))
            said = f"unchanged in every printed digit by later tasks: {who}, {place.task} {place.metric}"
            found.update(dict.fromkeys(again[1:], said))
    return found


def identical_rows(file: PublicationFile, numbers: Numbers) -> Found:
    """Return the rows of one table and model that are another method's, or another variant's, in all their numbers.

    Rows of fewer than three numbers may meet by chance and are left out.
    """
    rows: dict[tuple[str, str, str, str], dict[Place, float]] = {}
    for place, printed in numbers.items():
        row = rows.setdefault((place.table, place.model, place.method, place.variant), {})
        row[replace(place, method="", variant="")] = printed.value
    alike: dict[tuple[object, ...], list[tuple[str, str, str, str]]] = {}
    for key, row in rows.items():
        if len(row) > 2 and len(set(row.values())) > 1:
            alike.setdefault((key[:2], frozenset(row.items())), []).append(key)
    found = {}
    for keys in alike.values():
        if len(keys) > 1:
            who = ", ".join(" ".join(filter(None, key[2:])) for key in keys)
            said = f"rows identical in all {len(rows[keys[0]])} numbers: {keys[0][1]}, {who}"
            for place in numbers:
                if (place.table, place.model, place.method, place.variant) in keys:
                    found[place] = said
    return found


def best_not_marked(file: PublicationFile, numbers: Numbers) -> Found:
    """Return the best numbers of columns in which another one is marked as the best, and they are not."""
    columns: dict[Place, list[Place]] = {}
    for place, printed in numbers.items():
        if printed.marked is not None and place.method != "base":
            columns.setdefault(replace(place, method="", variant=""), []).append(place)
    found = {}
    for places in columns.values():
        sign = -1 if file.metrics[places[0].metric].better == "lower" else 1
        marked = [place for place in places if numbers[place].marked]
        best = max(sign * numbers[place].value for place in places)
        for place in places:
            if marked and sign * numbers[place].value == best and not numbers[place].marked:
                others = ", ".join(f"{each.method} ({numbers[each].value:g})" for each in marked)
                found[place] = f"the best of its column, and not marked so: {others} is"
    return found


# What is to be said of the whole


def no_base_row(file: PublicationFile, numbers: Numbers) -> Iterator[str]:
    """Yield the tables that have no number of the untouched model, by metric; a change from it needs none."""
    lacking: dict[str, list[str]] = {}
    for name, table in file.tables.items():
        own = [place for place in numbers if place.table == name]
        for metric in dict.fromkeys(place.metric for place in own):
            there = any(place.metric == metric and "base" in (place.method, place.after) for place in own)
            if table.layout != "listed" and not there and file.metrics[metric].what == "score":
                lacking.setdefault(metric, []).append(name)
    by_tables: dict[str, list[str]] = {}
    for metric, tables in lacking.items():
        by_tables.setdefault(", ".join(tables), []).append(metric)
    for where, metrics in by_tables.items():
        yield f"no number of the untouched model by {', '.join(metrics)}: tables {where}"


def no_spread(file: PublicationFile, numbers: Numbers) -> Iterator[str]:
    """Yield that numbers are of one seed, and that none has an interval."""
    if file.seeds == 1:
        yield "one seed: whether two numbers differ by chance cannot be told"
    if numbers and not any(printed.interval for printed in numbers.values()):
        yield "no number has an interval or a deviation"


Rule = Callable[[PublicationFile, Numbers], Found]
WRONG: Mapping[str, Rule] = {
    "does not follow": do_not_follow,
    "repeated over tasks": repeated_over_tasks,
    "identical for models": identical_for_models,
    "ROUGE-L above ROUGE-1": rouge_l_above_rouge_1,
}
REMARKABLE: Mapping[str, Rule] = {
    "constant answer": constant_answers,
    "below the majority": below_the_majority,
    "unchanged by later tasks": unchanged_by_later_tasks,
    "identical rows": identical_rows,
    "best not marked": best_not_marked,
}
OF_THE_WHOLE: Mapping[str, Callable[[PublicationFile, Numbers], Iterator[str]]] = {
    "no base row": no_base_row,
    "no spread": no_spread,
}


def _of_classes(file: PublicationFile, numbers: Numbers) -> Iterator[tuple[Place, float]]:
    """Yield the accuracies on tasks whose classes' shares are declared."""
    for place, printed in numbers.items():
        accuracy = (file.metrics[place.metric].metric or place.metric) == "accuracy"
        if place.task in file.shares and accuracy:
            yield place, printed.value


def _equal(numbers: Numbers, mine: Mapping[Place, Place], theirs: Mapping[Place, Place]) -> bool:
    return all(numbers[mine[key]].value == numbers[theirs[key]].value for key in mine)


def kinds(said: Sequence[str]) -> dict[str, int]:
    """Return how many are of each kind: what stands before a colon, or before a parenthesis."""
    counted: dict[str, int] = {}
    for each in said:
        kind = each.split(":")[0].split(" (")[0]
        counted[kind] = counted.get(kind, 0) + 1
    return counted
