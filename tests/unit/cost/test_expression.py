"""Formulas and conditions that users write, and those that must be refused."""

import numpy as np
import pytest

from vlmfrontier.cost.model import ExpressionCost
from vlmfrontier.errors import UserError
from vlmfrontier.tables.expressions import SafeExpression

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


REFUSED = {
    "max(N)": "calls max with 1 value, and it takes two or more",
    "min()": "calls min with 0 values",
    "sqrt(N, V)": "calls sqrt with 2 values, and it takes one",
    "ceil(N, V)": "calls ceil with 2 values",
    "log(N, 2)": "calls log with 2 values",
    "max(N, V, out=N)": "may not contain",
    "max(*N, V)": "may not contain",
    "N.real": "may not contain",
    "N[0]": "may not contain",
    "lambda: N": "may not contain",
    "(N := 3)": "may not contain",
    "[n for n in N]": "may not contain",
    "f'{N}'": "may not contain",
    "N if V else 2": "may not contain",
    "N & V": "may not contain",
    "1j * N": "may not contain",
    "None": "may not contain",
    "b'1'": "may not contain",
    "[N] * 10**9": "may not contain",
    "(N, V)": "may not contain",
    "N in V": "as a list, such as",
    "N in [1] in [2]": "as a list, such as",
    "'%1000000000d' % 5": "uses the text .* where a number or a condition belongs",
    "'a' * 10**9": "uses the text",
    "max('a', 'b')": "uses the text",
    "not 'a'": "uses the text",
    "9" * 400: "a number that is too large",
    "1e400 * N": "a number that is too large",
    "-" * 999 + "N": "too many parts or levels|nested too deeply",
    "-" * 3000 + "N": "write at most 1000",
    "(" * 300 + "N" + ")" * 300: "is not a formula|nested too deeply",
    "+".join(["N"] * 300): "too many parts or levels",
    "N" * 5000: "write at most 1000",
    "N *": "is not a formula",
    "": "is not a formula",
    "N\0": "is not a formula",
    "N; V": "is not a formula",
    "import os": "is not a formula",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_formula_is_refused_before_anything_is_computed(text):
    with pytest.raises(UserError, match=REFUSED[text]) as error:
        SafeExpression(text, "cost.expression")
    assert len(str(error.value)) < 400


NO_COST = {
    "1 / 0": "not a finite number",
    "N / 0": "not a finite number",
    "N * (0 - 1) ** 0.5": r"not a finite number in '\(0 - 1\) \*\* 0.5'",
    "2.0 ** 99999": "not a finite number",
    "9 ** 9 ** 9": "not a finite number",
    "N * 9 ** 9 ** 9": "not a finite number",
    "exp(N * 1000)": "not a finite number",
    "log(N - N)": "not a finite number",
    "N % 0": "not a finite number",
    "min(N, 1 / 0)": "not a finite number",
    "N - 2": "not a positive number everywhere: it is -1 where N = 1",
    "N * 0": "not a positive number everywhere: it is 0",
    "-3": "not a positive number everywhere: it is -3",
    "N > 2": "gives true or false, and a number is needed",
    "True": "gives true or false",
    "N == 1 or V == 4": "gives true or false",
    "N and V": "holds numbers, and `and`, `or` and `not` join conditions",
    "max + N": "uses 'max' as a name, and it is a function",
    "n * N": "uses 'n'; the names are N, V, sweep",
}


@pytest.mark.parametrize("text", NO_COST)
def test_a_cost_that_is_no_finite_positive_number_is_refused(text):
    with pytest.raises(UserError, match=NO_COST[text]):
        ExpressionCost(text, "s").cost(COLUMNS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max(N, V, 10)", [10, 10, 16]),
        ("min(N, V, 2, 1.5)", [1, 1.5, 1.5]),
        ("N * (1 + (V > 5))", [1, 4, 6]),
        ("N in (1, 3) or V == 9", [True, True, True]),
        ("N not in [1, 3]", [False, True, False]),
        ("N ** -1", [1, 0.5, 1 / 3]),
        ("7 // N + V % 5", [11, 7, 3]),
    ],
)
def test_more_expressions_are_computed_elementwise(text, expected):
    np.testing.assert_allclose(SafeExpression(text, "here")(COLUMNS), expected)


def test_no_column_is_written_and_no_integer_wraps():
    columns = {name: np.array([4_000_000_000, 5]) for name in ("A", "B", "C")}
    before = {name: column.copy() for name, column in columns.items()}
    np.testing.assert_array_equal(ExpressionCost("A * B * C", "s").cost(columns), [6.4e28, 125])
    ExpressionCost("max(A, B, C) + min(A, B)", "s").cost(columns)
    assert all((columns[name] == before[name]).all() for name in columns)


def test_a_constant_costs_the_same_everywhere():
    np.testing.assert_array_equal(ExpressionCost("3", "s").cost(COLUMNS), [3, 3, 3])
