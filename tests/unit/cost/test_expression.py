"""Formulas and conditions that users write, and those that must be refused."""

import numpy as np
import pytest

from vlmfrontier.cost.expression import ExpressionCost
from vlmfrontier.cost.safe_expression import SafeExpression
from vlmfrontier.errors import UserError

COLUMNS = {"N": np.array([1.0, 2.0, 3.0]), "V": np.array([4.0, 9.0, 16.0]), "sweep": np.array(["star", "iso", "star"])}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("N * (50 + V)", [54, 118, 198]),
        ("-N ** 2 + max(V, 10)", [9, 6, 7]),
        ("sqrt(V) / 2", [1, 1.5, 2]),
        ("sweep == 'star'", [True, False, True]),
        ("sweep == 'star' and not N > 2", [True, False, False]),
        ("sweep in ['iso', 'grid'] or N >= 3", [False, True, True]),
        ("1 < N <= 2", [False, True, False]),
    ],
)
def test_expressions_are_computed_elementwise(text, expected):
    np.testing.assert_array_equal(SafeExpression(text, "here")(COLUMNS), expected)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "N.__class__",
        "N[0]",
        "lambda: 1",
        "open('x')",
        "[n for n in N]",
        "f'{N}'",
        "N := 3",
    ],
)
def test_anything_but_arithmetic_and_conditions_is_refused_before_it_runs(text):
    with pytest.raises(UserError, match=r"cost\.expression"):
        SafeExpression(text, "cost.expression")


def test_messages_name_the_place_and_the_mend():
    with pytest.raises(UserError, match=r"table\.exclude: .* uses 'dropped'; the names are N, V, sweep"):
        SafeExpression("dropped == 'yes'", "table.exclude")(COLUMNS)
    with pytest.raises(UserError, match="is not a formula"):
        SafeExpression("N * (50 + V", "cost.expression")
    with pytest.raises(UserError, match="cannot be computed"):
        SafeExpression("sweep * 2.5", "cost.expression")(COLUMNS)


def test_a_cost_by_formula_is_positive_or_refused():
    np.testing.assert_array_equal(ExpressionCost("2 * N", "s").cost(COLUMNS), [2, 4, 6])
    np.testing.assert_array_equal(ExpressionCost("3", "s").cost(COLUMNS), 3)
    with pytest.raises(UserError, match="not a positive number"):
        ExpressionCost("N - 2", "s").cost(COLUMNS)
