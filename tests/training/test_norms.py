"""How far weights moved from where they began."""

from __future__ import annotations

import pytest
import torch

from secura_bench.training.norms import copied, relative_change


def test_it_is_the_norm_of_the_change_over_the_bases_and_not_the_change_of_the_norm() -> None:
    """A rotation leaves the norm as it was, and moves every entry."""
    W = torch.eye(2)
    before = copied([("layers.0.q_proj", W), ("layers.1.q_proj", W)])
    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]])  # ‖R − I‖ = 2, ‖I‖ = √2
    now = [("base_model.model.layers.0.q_proj", quarter), ("layers.1.q_proj", 1.5 * W), ("layers.0.k_proj", W)]
    assert relative_change(before, now) == {"q_proj": pytest.approx((2 / 2**0.5 + 0.5) / 2)}


def test_what_is_copied_stays_when_the_weight_moves() -> None:
    W = torch.ones(2, 2)
    before = copied([("q_proj", W)])
    W.mul_(2)
    assert relative_change(before, [("q_proj", W)]) == {"q_proj": pytest.approx(1.0)}
