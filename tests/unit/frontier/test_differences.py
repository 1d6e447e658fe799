"""Which runs differ: intervals and verdicts over many made test sets, pairs that are compared, what seeds add."""

from dataclasses import replace

import numpy as np
import pandas as pd

from vlmfrontier.frontier.differences import EQUAL_COST, differences_table, neighbours, seed_variance
from vlmfrontier.laws.noise import JointNoise
from vlmfrontier.laws.table import from_arrays

N = np.array([1.0, 2.0, 4.0, 8.0, 1.0, 2.0, 4.0, 8.0])
T = np.array([8.0, 4.0, 2.0, 1.0, 16.0, 8.0, 4.0, 2.0])
TRUE = np.array([30.0, 30.0, 30.0, 36.0, 28.0, 28.0, 28.0, 34.0])
COSTS = N * T


def study(rng: np.random.Generator, videos: int = 400):
    """A table of eight runs tested once, half of whose noise is common, and the joint noise as answers give it."""
    own, common = rng.normal(0, 20, (8, videos)), rng.normal(0, 20, videos)
    added = (own + common) - (own + common).mean(axis=1, keepdims=True)
    error = TRUE + (own + common).mean(axis=1)
    table = from_arrays({"N": N, "T": T}, {"avg": error}, np.full(8, 100.0))
    table.frame["run"] = [f"r{i}" for i in range(8)]
    return table, JointNoise(tuple(table.names), added / videos)


def test_intervals_cover_the_true_difference_and_few_that_are_called_real_are_not():
    rng, rows = np.random.default_rng(1), []
    for _ in range(60):
        table, noise = study(rng)
        rows.append(differences_table(table, "avg", noise, COSTS, [8.0, 16.0], 0.01))
    found = pd.concat(rows)
    place = dict(zip(table.names, TRUE, strict=True))
    true = found["second"].map(place) - found["first"].map(place)
    covered = true.between(found.lo, found.hi).mean()
    assert 0.86 <= covered <= 0.94
    assert found.real[true == 0].mean() <= 0.08
    assert found.real[np.abs(true) == 6].mean() >= 0.95
    assert (np.sign(found.difference) == np.sign(true))[found.real & (true != 0)].all()


def test_compared_are_runs_of_equal_cost_and_neighbours_along_a_factor():
    table, noise = study(np.random.default_rng(0))
    found = differences_table(table, "avg", noise, COSTS, [8.0, 16.0], 0.01)
    equal = found[found.compared == EQUAL_COST]
    assert list(equal.groupby("c").size()) == [6, 6]
    assert {(1, 5), (0, 4)} <= {tuple(sorted(pair)) for pair in neighbours(table, "T")}
    assert set(found.compared) == {EQUAL_COST, "along N", "along T"}


def test_runs_at_other_n_and_repeats_are_no_rivals():
    table, noise = study(np.random.default_rng(0))
    twin = replace(table, data=np.array([100.0, 100, 200, 200, 100, 100, 200, 200]))
    found = differences_table(twin, "avg", noise, COSTS, [8.0], 0.01)
    pairs = found[found.compared == EQUAL_COST]
    assert set(zip(pairs["first"], pairs["second"], strict=True)) == {("r0", "r1"), ("r2", "r3")}
    same = replace(table, configuration=np.zeros(8, int))
    assert EQUAL_COST not in set(differences_table(same, "avg", noise, COSTS, [8.0], 0.01).compared)


def test_what_seeds_add_is_told_from_the_noise_of_the_test_and_widens_the_differences():
    rng, found = np.random.default_rng(2), []
    for _ in range(80):
        table, noise = study(rng)
        seeds = rng.normal(0, 3, 8)
        table = replace(table, targets={"avg": table.error("avg") - TRUE + seeds}, configuration=np.repeat([0, 1], 4))
        found.append(seed_variance(table, "avg", noise))
    assert 7.5 <= np.mean(found) <= 10.5
    table, noise = study(rng)
    alone = differences_table(table, "avg", noise, COSTS, [8.0], 0.01)
    assert (alone.se == alone.se_test).all()  # without repeats nothing is known
    repeated = replace(table, configuration=np.repeat([0, 1], 4), targets={"avg": seeds + 30})
    wider = differences_table(repeated, "avg", noise, COSTS, [8.0], 0.01)
    assert (wider.se > wider.se_test).all()
