"""What a publication must hold beyond each key's own kind: names that are there, and layouts that can be read."""

from __future__ import annotations

from collections.abc import Mapping

from secura_bench.foundation.errors import SpecError, quoted, unknown_name
from secura_bench.foundation.yaml_file import KeyPath, YamlFile
from secura_bench.publications.file import Coordinate, PublicationFile, PublishedTable, train_value
from secura_bench.publications.follows import is_at
from secura_bench.publications.place import Numbers
from secura_bench.tasks.pattern import compile_pattern

_COORDINATES: tuple[Coordinate, ...] = ("model", "method", "task", "metric", "after", "step", "variant")
_NEEDED: Mapping[str, tuple[Coordinate, ...]] = {
    "scores": ("method", "task"),
    "stages": ("method", "task", "step"),
    "matrix": ("method", "after", "task"),
    "methods": ("method",),
}
_STRANGE: Mapping[str, tuple[Coordinate, ...]] = {
    "scores": ("after", "step"),
    "stages": ("after",),
    "matrix": ("step",),
    "methods": ("after", "step"),
}
"""By layout, the coordinates without which no number finds its place, and those with which none does."""
_MODES = {"scores": "separate", "stages": "sequence", "matrix": "sequence"}
"""By layout, how the tasks of its experiments are trained; others take either."""
_TRAINED = {"separate": "each alone", "sequence": "one after another"}


def check_names(yaml: YamlFile, file: PublicationFile) -> None:
    """Refuse tables that name what is not there, or that nothing could be set beside.

    Raises:
        SpecError: That is so; it names the key.
    """
    _check_lists(yaml, file)
    _check_printed(yaml, file)
    for task, metric in file.metric_of.items():
        if metric not in file.metrics:
            raise yaml.error(("metric_of", task), unknown_name("metric", metric, file.metrics))
    for method in file.varied:
        if method not in file.methods:
            raise yaml.error(("varied", method), unknown_name("method", method, file.methods))
    for name, of in file.experiments.items():
        for metric in of.metrics:
            if metric not in file.metrics:
                raise yaml.error(("experiments", name, "metrics"), unknown_name("metric", metric, file.metrics))
    for name, table in file.tables.items():
        at = ("tables", name)
        if table.layout == "counts":
            continue
        if table.file is None or not table.values:
            means = f"the columns of {table.file} that hold numbers" if table.file else "the CSV with the numbers"
            missing = "values" if table.file else "file"
            raise yaml.error((*at, missing), f"this key is required and missing: {means}.")
        _check_layout(yaml, at, table)
        for metric in table.scales:
            if metric not in file.metrics:
                raise yaml.error((*at, "scales"), unknown_name("metric", metric, file.metrics))
        if table.layout != "listed" and not table.parts:
            raise yaml.error((*at, "layout"), f"{table.layout} needs 'parts': the experiment that its numbers are of.")
        for index, part in enumerate(table.parts):
            below = (*at, "parts", index)
            if part.experiment not in file.experiments:
                said = unknown_name("experiment", part.experiment, file.experiments)
                raise yaml.error((*below, "experiment"), said)
            if (mode := file.experiments[part.experiment].mode) != _MODES.get(table.layout, mode):
                said = f"{table.layout} is of tasks that are trained {_TRAINED[_MODES[table.layout]]}"
                fits = [name for name, of in _MODES.items() if of == mode]
                raise yaml.error(
                    (*below, "experiment"),
                    f"{said}, and those of {part.experiment} are {_TRAINED[mode]} (mode: {mode}); "
                    f"{', '.join(fits)} or methods would do.",
                )
            for metric in part.metrics:
                if metric not in file.metrics:
                    raise yaml.error((*below, "metrics"), unknown_name("metric", metric, file.metrics))
        for method in table.methods:
            if method not in file.methods:
                raise yaml.error((*at, "methods"), unknown_name("method", method, file.methods))
        for model in table.models:
            if model not in file.models:
                raise yaml.error((*at, "models"), unknown_name("model", model, file.models))
        for index, follows in enumerate(table.follows):
            if follows.table is not None and follows.table not in file.tables:
                raise yaml.error((*at, "follows", index, "table"), unknown_name("table", follows.table, file.tables))


def check_numbers(yaml: YamlFile, file: PublicationFile, numbers: Numbers) -> None:
    """Refuse what speaks of numbers that are not there: it would never say anything.

    Raises:
        SpecError: That is so; it names the key.
    """
    for name, table in file.tables.items():
        own = [place for place in numbers if place.table == name]
        if table.file is not None and not own:
            only = f" whose {' and '.join(table.only)} is as 'only' says" if table.only else ""
            raise yaml.error(("tables", name, "file"), f"{yaml.path.parent / table.file}: holds no number{only}.")
        for index, follows in enumerate(table.follows):
            if not any(is_at(place, follows) for place in own):
                where = ", ".join(f"{key} {quoted(value)}" for key, value in follows.where.items())
                raise yaml.error(("tables", name, "follows", index, "where"), f"no number of the table has {where}.")
    tasks = {place.task for place in numbers if place.task}
    for task in file.shares:
        if task not in tasks:
            raise yaml.error(("shares", task), unknown_name("task", task, tasks))


def _check_layout(yaml: YamlFile, at: KeyPath, table: PublishedTable) -> None:
    """Refuse a layout without the coordinates by which its numbers are found, and patterns that say none."""
    said = {*table.columns, *table.fixed, *(key for own in table.values.values() for key in own)}
    for column, pattern in table.patterns.items():
        try:
            groups = compile_pattern(pattern).groupindex
        except ValueError as error:
            raise yaml.error((*at, "patterns", column), f"{error}.") from None
        for group in groups:
            if group not in _COORDINATES:
                raise yaml.error((*at, "patterns", column), unknown_name("group", group, _COORDINATES))
        said |= {*groups}
    for key in _NEEDED.get(table.layout, ()):
        if key not in said:
            raise yaml.error((*at, "layout"), f"{table.layout} needs the {key} of each number: say it in 'columns'.")
    for key in _STRANGE.get(table.layout, ()):
        if key in said:
            fits = [layout for layout, strange in _STRANGE.items() if key not in strange]
            said_of = f"{table.layout} has no place for a number's {key}"
            raise yaml.error((*at, "layout"), f"{said_of}; {' and '.join(fits)} has one.")


def _check_printed(yaml: YamlFile, file: PublicationFile) -> None:
    """Refuse two that are printed by one name: all numbers would be the last one's."""
    printed = {
        "models": file.models,
        "tasks": file.tasks,
        "methods": {name: of.printed for name, of in file.methods.items()},
        "metrics": {name: of.printed for name, of in file.metrics.items()},
    }
    for kind, names in printed.items():
        first: dict[str, str] = {}
        for name, called in names.items():
            for each in called:
                if first.setdefault(each, name) != name:
                    raise yaml.error((kind, name), f"{quoted(each)} is what {first[each]} is printed as already.")


def _check_lists(yaml: YamlFile, file: PublicationFile) -> None:
    """Refuse lists in ``train`` that have not one value for each task of an experiment."""
    for name, of in file.experiments.items():
        at = ("experiments", name)
        held = [(("train",), file.train), ((*at, "train"), of.train)]
        held += [(("methods", row, "train"), method.train) for row, method in file.methods.items()]
        held += [((*at, "methods", row, "train"), method.train) for row, method in of.methods.items()]
        for place, values in held:
            for key, value in values.items():
                try:
                    train_value(key, value, of.sequence)
                except SpecError as error:
                    raise yaml.error((*place, key), f"{error} Experiment {name} has {len(of.sequence)}.") from None
