"""Which runs lie on a line of one factor."""

import numpy as np

from vlmfrontier.frontier.space import center_rows

# A star around (2, 2) with n = 1 and 2 on its horizontal line, and a run elsewhere.
FACTORS = {
    "a": np.array([3.0, 1, 2, 1, 2, 3, 2, 2, 9]),
    "b": np.array([2.0, 2, 2, 2, 2, 2, 1, 5, 7]),
}


def test_the_line_with_most_levels_comes_in_order_of_its_factor():
    rows = center_rows(FACTORS, "a")
    np.testing.assert_array_equal(FACTORS["a"][rows], [1, 1, 2, 2, 3, 3])
    assert (FACTORS["b"][rows] == 2).all()
    np.testing.assert_array_equal(FACTORS["b"][center_rows(FACTORS, "b")], [1, 2, 2, 5])


def test_two_levels_are_no_line():
    assert center_rows({"a": np.array([1.0, 2, 2]), "b": np.array([1.0, 1, 2])}, "a") is None


def test_a_single_factor_is_one_line():
    np.testing.assert_array_equal(center_rows({"a": np.array([3.0, 1, 2])}, "a"), [1, 2, 0])
