"""The exponent of x* in the budget: against the law's own, and where the space decides instead."""

import numpy as np
import pytest

from vlmfrontier.frontier.pool import Ensemble, Members, Target
from vlmfrontier.frontier.space import RunRange, SearchSpace
from vlmfrontier.frontier.tables import exponents_table


def space_of(N: np.ndarray, D: np.ndarray) -> SearchSpace:
    grid = np.meshgrid(N, D, indexing="ij")
    cost = 6 * grid[0].ravel() * grid[1].ravel()
    order = np.argsort(cost, kind="stable")
    return SearchSpace({"N": grid[0].ravel()[order], "D": grid[1].ravel()[order]}, cost[order])


def target_of(space: SearchSpace, a: np.ndarray, b: np.ndarray) -> Target:
    """Models 1.8 + 0.4 N^(−a) + D^(−b), N in billions and D in 20 billions."""
    N, D = space.factors["N"] / 1e9, space.factors["D"] / 2e10
    A = 1.8 + 0.4 * N ** -a[:, None] + 0.4 * D ** -b[:, None]
    members = Members(A, np.zeros_like(A), np.zeros(len(a)))
    return Target("loss", space, Ensemble(members), RunRange.of(space.factors, None))


FINE = space_of(np.geomspace(1e7, 1e11, 160), np.geomspace(1e8, 1e13, 200))
COSTS = np.array([1e19, 1e22])


def test_the_exponent_is_the_laws_own():
    a, b = np.array([0.34, 0.30, 0.38]), np.array([0.28, 0.36, 0.30])
    table = exponents_table(target_of(FINE, a, b), COSTS, None).set_index("factor")
    own = b / (a + b)
    assert table.exponent["N"] == pytest.approx(np.median(own), abs=0.01)
    assert table.exponent["D"] == pytest.approx(np.median(1 - own), abs=0.01)
    low, high = np.quantile(own, [0.05, 0.95])
    np.testing.assert_allclose(table.loc["N", ["exponent_lo", "exponent_hi"]].astype(float), [low, high], atol=0.01)
    assert (table.inside == 1).all()


def test_budgets_at_which_a_factor_stands_at_an_end_of_the_space_do_not_count():
    a, b = np.full(3, 0.34), np.full(3, 0.28)
    cut = space_of(np.geomspace(1e7, 3e9, 120), np.geomspace(1e8, 1e13, 200))  # N* reaches 3e9 below the last budget
    whole, some = (exponents_table(target_of(space, a, b), COSTS, None) for space in (FINE, cut))
    np.testing.assert_allclose(some.exponent, whole.exponent, atol=0.03)
    few = space_of(np.array([1e8, 2e8]), np.geomspace(1e8, 1e13, 200))  # both levels are ends
    nothing = exponents_table(target_of(few, a, b), COSTS, None)
    assert nothing[["exponent", "exponent_lo", "exponent_hi"]].isna().all(axis=None)
    assert (nothing.inside == 0).all()
