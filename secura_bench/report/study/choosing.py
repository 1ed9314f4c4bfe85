"""Methods that a user names: by title, by label, by either as a slug, or by what the registry calls them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from secura_bench.foundation.errors import BenchError, unknown_name
from secura_bench.foundation.schema import slug
from secura_bench.report.study.arms import Arm
from secura_bench.report.study.families import families, family_of
from secura_bench.report.study.study import Study


def find_methods(study: Study, name: str) -> tuple[str, ...]:
    """Return the methods of a study that ``name`` means, none where it means none.

    Those that ``labelled`` finds come before all that the registry calls so: ``lora`` is the one labelled ``lora-r-8``.
    """
    registered = dict.fromkeys(arm.method for arm in study.arms if name in _registered(arm))
    return labelled(study, name) or tuple(registered)


def labelled(study: Study, name: str) -> tuple[str, ...]:
    """Return the methods of a study whose title or label ``name`` is, or the slug of one.

    The one that tables call so comes before all of that label, those before the settings of a family that is called so;
    ``base`` is the untouched model.
    """
    if name == "base":
        return ("base",) if study.base else ()
    if name in study.methods:
        return (name,)
    meant = dict.fromkeys(arm.method for arm in study.arms if name in _called(arm))
    meant = meant or dict.fromkeys(arm.method for arm in study.arms if slug(name, "") in _slugs(arm))
    family = family_of(study, name)
    return tuple(meant) or (family.methods if family else ())


def check_names(studies: Sequence[Study], names: Sequence[str], option: str) -> None:
    """Refuse a name that no study has a method of.

    Raises:
        BenchError: It is unknown; the message has the nearest one.
    """
    for name in names:
        if not any(find_methods(study, name) for study in studies):
            known = {called for study in studies for arm in study.arms for called in (arm.method, arm.label)}
            known |= {family.name for study in studies for family in families(study)}
            known |= {"base" for study in studies if study.base}
            raise BenchError(f"{option}{name}: {unknown_name('method', name, known)}")


def one_method(study: Study, name: str, option: str) -> str | None:
    """Return the one method of a study that ``name`` means, None where it means none.

    Raises:
        BenchError: It means several settings of one label; the message lists them.
    """
    found = find_methods(study, name)
    if len(found) > 1:
        raise BenchError(
            f"{option}{name}: {study.experiment} on {study.model} has {len(found)} settings of that name; say which: "
            f"{', '.join(repr(method) for method in found)}."
        )
    return found[0] if found else None


def shown_alone(studies: Sequence[Study], names: Sequence[str]) -> list[Study]:
    """Return the studies with the named methods alone, and the base; those without any of them are left out.

    Raises:
        BenchError: A name is unknown.
    """
    check_names(studies, names, "--methods ")
    found = []
    for study in studies:
        meant = {method for name in names for method in find_methods(study, name)}
        arms = tuple(arm for arm in study.arms if arm.method in meant)
        if arms:
            left_out = tuple(method for method in study.methods if method not in meant)
            found.append(replace(study, arms=arms, left_out=left_out))
    return found


def _called(arm: Arm) -> set[str]:
    return {arm.label, *(title for run in arm.runs if (title := run.record.method.get("title")))}


def _registered(arm: Arm) -> set[str]:
    return {run.record.method["name"] for run in arm.runs}


def _slugs(arm: Arm) -> set[str]:
    return {slug(name, arm.label) for name in (arm.method, *_called(arm))}
