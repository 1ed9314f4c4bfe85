"""Warnings of libraries that tell a user nothing are left out; those that may tell something are not."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
from torch import nn

from secura_bench.foundation.library_warnings import leave_out_library_warnings
from secura_bench.methods.build import build_method
from secura_bench.models.load import shape_of, shapes_of


@pytest.fixture
def said() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        leave_out_library_warnings()
        yield found


def test_norms_that_are_tuned_are_counted_without_a_word(said: list[warnings.WarningMessage]) -> None:
    count = build_method("peft", peft_type="ln_tuning").footprint().count_on_shapes(shapes_of("tiny"))
    shape = shape_of("tiny")
    assert shape and count.trainable == (2 * shape.layers + 1) * shape.hidden
    assert [str(each.message) for each in said] == []


@pytest.mark.parametrize(("layer", "warned"), [(nn.LayerNorm(4), 0), (nn.Bilinear(4, 4, 4), 1)])
def test_of_other_layers_peft_warns(said: list[warnings.WarningMessage], layer: nn.Module, warned: int) -> None:
    from peft.tuners.tuners_utils import _get_in_out_features

    _get_in_out_features(layer)
    assert len(said) == warned
