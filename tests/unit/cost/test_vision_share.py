"""The share of the vision model."""

from types import SimpleNamespace

import numpy as np
import pytest

from vlmfrontier.cost.flops import PaperCost
from vlmfrontier.cost.model import has_vision_share
from vlmfrontier.frontier.tables import vision_share_table
from vlmfrontier.study.analysis import CostConfig


def test_under_eq_1_the_share_does_not_depend_on_frames_and_falls_with_tokens_and_size():
    few, many = (vision_share_table(PaperCost(M=10, W=4), [1, 5], T, [4, 8, 16]) for T in (1.0, 9.0))
    np.testing.assert_allclose(few.share, 40 / (40 + few.N * few.V))
    np.testing.assert_allclose(few.more, 40 / (few.N * few.V))
    np.testing.assert_array_equal(few.share, many.share)
    assert len(few) == 6


def test_the_papers_encoder_takes_half_of_a_7_5b_model_at_44_tokens():
    table = vision_share_table(PaperCost(M=430e6, W=768), [7.5e9], 32, [44])
    assert table.share.item() == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        ({}, True),
        ({"model": "counted"}, True),
        ({"expression": "N"}, False),
        ({"table": {"path": "a", "column": "s"}}, False),
    ],
)
def test_only_costs_with_two_parts_have_a_share(cost, expected):
    assert has_vision_share(SimpleNamespace(trained=True, cost=CostConfig(**cost))) is expected
