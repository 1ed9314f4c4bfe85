"""What a run must be to stand beside the paper's numbers: each setting of it, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from paper_records import CONTINUAL, PEFT, SECURA, TABLE, changed, compared_in, numbers, other, record_of, table_of
from pydantic import BaseModel, ValidationError

from secura_bench.foundation.registry import METHODS
from secura_bench.report.against import settings
from secura_bench.report.against.reasons import spelled
from secura_bench.results.record import RunRecord
from secura_bench.spec.sections import DataSpec, EvaluateSpec, TrainSpec

# Every setting, one at a time


def _others(kind: type[BaseModel], key: str, default: Any) -> Iterator[Any]:
    """Yield values that a key may have beside its default, as its type says; at least one, if it must be refused."""
    schema = kind.model_json_schema()["properties"][key]
    kinds = [schema, *schema.get("anyOf", ())]
    named = [value for each in kinds for value in (*each.get("enum", ()), each.get("const", default))]
    numbers = [default * 2, default / 2, default + 1] if isinstance(default, (int, float)) else []
    candidates = [*named, True, False, *numbers, 1, 2, 0.5, "Be brief.", ["k_proj"], [0.8, 0.99], ["evaluate:x"]]
    seen = [default]
    for value in candidates:
        try:
            found = kind.model_validate({key: value}).model_dump(mode="json")[key]
        except ValidationError:
            continue
        if not any(found == each and type(found) is type(each) for each in seen):
            seen.append(found)
            yield found
    if len(seen) == 1:  # as I-LoRA's buffer, which its default consistency does without
        yield 7


def _settings() -> Iterator[Any]:
    for method in (*PEFT, *(name for name in CONTINUAL if name not in PEFT)):
        experiment = "exp2" if method in PEFT else "exp3"
        kind: type[BaseModel] = METHODS.get(method).Options
        for part, type_, held, alike in (
            ("options", kind, settings.options_of(SECURA, method), settings.KEPT_ALIKE),
            ("train", TrainSpec, settings.training_of(SECURA, method, experiment), settings.TRAINED_ALIKE),
        ):
            for key, default in type_().model_dump(mode="json", exclude=set(alike)).items():
                for value in _others(type_, key, default):
                    if value not in held[key]:
                        yield pytest.param(experiment, method, part, key, value, id=f"{method}-{key}-{value}")


@pytest.mark.parametrize(("experiment", "method", "part", "key", "value"), _settings())
def test_no_option_or_training_key_can_be_another_one(experiment, method, part, key, value) -> None:
    record = changed(record_of(experiment, method), part, **{key: value})
    if said := settings.refused(SECURA, record):  # such a run is left out
        assert said.startswith(f"{part}.{key}: ")
        return
    table = table_of([record], TABLE[experiment])
    reasons = [entry.reason for entry in numbers(table) if not entry.cell.missing]
    assert any(f"{key} {spelled(value)}" in reason and ", not " in reason for reason in reasons)
    assert all(entry.verdict == "n/c" and f"{key} " in entry.reason for entry in compared_in(table))


@pytest.mark.parametrize("method", [*PEFT, *CONTINUAL])
def test_the_published_settings_are_the_same(method) -> None:
    experiment = "exp2" if method in PEFT else "exp3"
    compared = compared_in(table_of([record_of(experiment, method)], TABLE[experiment]))
    assert compared and {entry.verdict for entry in compared} == {"same"}


def test_where_and_how_a_step_is_computed_changes_no_verdict() -> None:
    record = changed(record_of("exp3", "ewc"), "options", device="cpu")
    record = changed(record, "train", gradient_checkpointing=True, micro_batch_size=1)
    assert {entry.verdict for entry in compared_in(table_of([record], TABLE["exp3"]))} == {"same"}


def test_as_the_paper_says_or_as_its_code_does() -> None:
    record = record_of("exp2", "secura")
    for part, values in (("options", {"signorm": "public_code"}), ("train", {"precision": "bf16_pure"})):
        assert {entry.verdict for entry in compared_in(table_of([changed(record, part, **values)], "10"))} == {"same"}
    (off,) = {e.reason for e in compared_in(table_of([changed(record, "options", signorm="off")], "10"))}
    assert off == "other settings (signorm off, not paper or public_code)"


def test_a_new_key_is_held_against_its_default(monkeypatch) -> None:
    class Grown(TrainSpec):
        momentum: float = 0.9

    monkeypatch.setattr(settings, "TrainSpec", Grown)
    for found in (settings.training_of, settings._defaults):
        found.cache_clear()
    record = record_of("exp2", "lora")
    try:
        assert {entry.verdict for entry in compared_in(table_of([record], "10"))} == {"same"}, "not recorded: as unset"
        (reason,) = {e.reason for e in compared_in(table_of([changed(record, "train", momentum=0.5)], "10"))}
    finally:
        settings.training_of.cache_clear()
    assert reason == "other training (momentum 0.5, not 0.9)"


# The rows, and what spec.yaml says


def _noted(record: RunRecord, **changes: Any) -> RunRecord:
    return other(record, data={name: note.model_copy(update=changes) for name, note in record.data.items()})


@pytest.mark.parametrize(
    ("experiment", "change", "reason"),
    [
        ("exp2", {"train_rows": 10}, "10 rows to train on and 100 to test, not 900 and 100"),
        ("exp2", {"train_rows": 800, "test_rows": 200}, "800 rows to train on and 200 to test, not 900 and 100"),
        ("exp2", {"train_rows": 90, "test_rows": 10}, "90 rows to train on and 10 to test, not 900 and 100"),
        ("exp1", {"test_rows": 10}, "900 rows to train on and 10 to test, not 900 and 100"),
        ("exp1", {"test_source": "file:t"}, "test rows that the task names itself"),
        ("exp2", {"fewshot": 3}, "other data (num_fewshot 3, not 0)"),
        ("exp2", {"probe_rows": 166}, "498 rows of the probe, not 500"),
    ],
)
def test_rows_are_held(experiment, change, reason) -> None:
    record = _noted(record_of(experiment, "lora"), **change)
    (found,) = {entry.reason for entry in compared_in(table_of([record], TABLE[experiment]))}
    assert found == reason


def test_rows_that_groups_and_long_prompts_move_are_the_same() -> None:
    record = record_of("exp2", "lora")
    for change in (
        {"train_rows": 893, "test_rows": 107},
        {"train_rows": 850, "test_rows": 92, "too_long": 58},
        {"train_rows": 880, "test_rows": 98, "too_long": 22},
    ):
        assert {entry.verdict for entry in compared_in(table_of([_noted(record, **change)], "10"))} == {"same"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"context": 512}, "other data (context 512, not 600)"),
        ({"context": None}, "other data (context unset, not 600)"),
        ({"precision": "fp32"}, "other scoring (precision fp32, not bf16 or bf16_pure)"),
        ({"probe_parts": ("arc_c", "gsm8k")}, "a probe of arc_c, gsm8k, not arc_c, gsm8k, multipl_e"),
        ({"notes": ("the system turn is 'Be brief.'",)}, "the system turn is 'Be brief.'"),
    ],
)
def test_what_the_record_says_of_a_run_is_held(changes, reason) -> None:
    (found,) = {e.reason for e in compared_in(table_of([other(record_of("exp2", "lora"), **changes)], "10"))}
    assert found == reason


def test_a_record_that_lacks_a_part_of_the_probe_says_so() -> None:
    record = record_of("exp2", "lora")
    data = {name: note for name, note in record.data.items() if name != "multipl_e"}
    (found,) = {e.reason for e in compared_in(table_of([other(record, data=data)], "10"))}
    assert found == "the record does not say which rows of multipl_e"


def _spec(folder: Path, **sections: dict[str, Any]) -> Path:
    spec = {"data": DataSpec().model_dump(mode="json"), "evaluate": EvaluateSpec().model_dump(mode="json")}
    for section, values in sections.items():
        spec[section] |= values
    folder.mkdir(exist_ok=True)
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    return folder


def _of_specs() -> Iterator[Any]:
    for section, kind in (("data", DataSpec), ("evaluate", EvaluateSpec)):
        for key, default in kind().model_dump(mode="json").items():
            if key not in ("context", "num_fewshot"):  # which the record says
                for value in _others(kind, key, default):
                    yield pytest.param(section, key, value, id=f"{section}-{key}-{value}")


@pytest.mark.parametrize(("section", "key", "value"), _of_specs())
def test_no_key_of_data_or_scoring_can_be_another_one(tmp_path, section, key, value) -> None:
    record = record_of("exp2", "lora")
    for folder, sections in ((tmp_path / "as", {}), (tmp_path / "other", {section: {key: value}})):
        table = table_of([record], "10", _spec(folder, **sections))
        assert not any(note.startswith("Without spec.yaml") for note in table.notes)
        same = not sections or key in settings.SCORED_BESIDE
        compared = compared_in(table)
        assert compared and all((entry.verdict == "same") == same for entry in compared)
        assert same or all(f"({key} " in entry.reason for entry in compared)


def test_a_spec_that_is_missing_or_damaged_is_said(tmp_path) -> None:
    record = record_of("exp2", "lora")
    table = table_of([record], "10")
    assert any(note.startswith("Without spec.yaml beside the record, 1 of 1 runs") for note in table.notes)
    for number, text in enumerate(("data: [", "- 1", "data: {}", "\x00")):
        folder = _spec(tmp_path / str(number))
        (folder / "spec.yaml").write_text(text)
        assert all(
            "spec.yaml beside the record" in entry.reason for entry in compared_in(table_of([record], "10", folder))
        )
    unknown = _spec(tmp_path / "unknown", data={"shuffled": True})
    (reason,) = {entry.reason for entry in compared_in(table_of([record], "10", unknown))}
    assert reason == "other data (shuffled true, which this version does not know)"
