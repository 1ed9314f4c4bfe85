"""Replay of general data: how much of it comes, in which order, and that a run that was cut off goes on with it."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import pytest
import torch
from pydantic import ValidationError
from sessions import Session, assert_resumes, build_model, new_method, rows_of, tasks

from secura_bench.foundation.errors import SpecError
from secura_bench.methods.er import ER
from secura_bench.methods.lora import LoRA
from secura_bench.methods.stack import Stack

GENERAL = rows_of(500, 7)


def replaying(**options: object) -> ER:
    method = new_method(ER, **{"from": "general", "seed": 0} | options)
    method.take("general", GENERAL)
    return method


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("ratio", [0.05, 0.1, 0.3, 1.0, 2.5])
def test_the_share_is_exact_after_every_step_of_the_first_task_too(ratio: float, batch: int) -> None:
    method, replayed = replaying(ratio=ratio), 0
    for step in range(1, 41):
        rows = method.mix(rows_of(0, batch))
        assert [row.replayed for row in rows[:batch]] == [False] * batch and all(row.replayed for row in rows[batch:])
        replayed += len(rows) - batch
        assert replayed == floor(Fraction(str(ratio)) * batch * step)
    assert not method.buffer.examples  # the run's own rows are not kept beside


def test_every_row_comes_once_before_any_comes_again_in_an_order_of_the_seed() -> None:
    orders = []
    for seed in (1, 1, 2):
        method = replaying(ratio=1, seed=seed)
        orders.append([method.mix(rows_of(0, 1))[1].row.id for _ in range(14)])
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0][:7]) == sorted(orders[0][7:]) == sorted(row.row.id for row in GENERAL)


def test_resumes_with_the_rows_handed_over_anew() -> None:
    def session() -> Session:
        torch.manual_seed(2)
        method = Stack([new_method(LoRA, boundary="continue"), new_method(ER, **{"from": "general", "ratio": 0.75})])
        assert method.sources == ("general",)
        method.take("general", GENERAL)
        return Session(build_model("llama"), method)

    whole = assert_resumes(session, 3)
    assert sum(report.rows for report in whole.reports) == 10 * 2 + 15


def test_what_is_said_of_it_is_what_there_is() -> None:
    """An ER without a source is called what it was before there was one: fingerprints hang on that."""
    assert ER().options.model_dump(mode="json").keys() == {"buffer", "capacity", "ratio", "seed", "loss"}
    assert replaying().options.model_dump(mode="json") == {"from": "general", "ratio": 1, "seed": 0, "loss": "tokens"}
    assert ER().sources == ()
    footprint = replaying(ratio=0.05).footprint()
    assert footprint.relative_rows == 1.05 and footprint.extra_rows(4, 0) == pytest.approx(0.2)


@pytest.mark.parametrize("idle", [{"buffer": "balanced"}, {"capacity": 5}])
def test_a_buffer_beside_a_source_is_refused(idle: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="is a buffer's, and with 'from' there is none"):
        ER.Options.model_validate({"from": "general", **idle})


def test_rows_that_nobody_handed_over_are_named() -> None:
    with pytest.raises(SpecError, match="rows of 'general', and was handed none"):
        new_method(ER, **{"from": "general"}).mix(tasks(1)[0].train)
