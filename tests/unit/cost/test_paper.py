"""Eq. 1 against the paper's Table 6 numbers and by hand."""

import numpy as np
import pytest

from vlmfrontier.cost.flops import PaperCost, paper_cost


@pytest.mark.parametrize(
    ("N", "T", "V", "teraflops"),
    [(7.5e9, 32, 196, 115.2154), (1e9, 32, 196, 33.6794), (7.5e9, 3, 1, 2.0264), (2.8e9, 9, 484, 30.3379)],
)
def test_paper_cost_gives_the_costs_of_table_6(N, T, V, teraflops):
    cost = paper_cost(N, T, V, M=430e6, W=768)
    assert cost / 1e12 == pytest.approx(teraflops, abs=5e-5)  # the table prints four decimals


def test_costs_of_a_table_come_row_by_row_and_the_vision_share_is_their_first_term():
    model = PaperCost(M=10.0, W=4.0)
    table = {"N": np.array([1.0, 5.0]), "T": np.array([2.0, 3.0]), "V": np.array([4.0, 8.0])}
    np.testing.assert_array_equal(model.cost(table), [2 * 2 * (40 + 4), 2 * 3 * (40 + 40)])
    np.testing.assert_allclose(model.vision_share(table), [40 / 44, 0.5])


def test_a_column_of_vision_parameters_replaces_the_constant():
    table = {"N": 1.0, "T": 1.0, "V": 1.0, "M": np.array([1.0, 2.0])}
    np.testing.assert_array_equal(PaperCost(M=100.0, W=3.0).cost(table), [2 * 4, 2 * 7])
