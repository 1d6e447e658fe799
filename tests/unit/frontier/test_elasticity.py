"""Elasticities where they are known."""

import numpy as np
import pytest

from vlmfrontier.cost.flops import PaperCost
from vlmfrontier.frontier.elasticity import (
    ElasticityGrid,
    ablation_table,
    direction,
    elasticity_by_budget,
    elasticity_table,
)
from vlmfrontier.frontier.pool import Ensemble, Members, Target, as_in_the_paper
from vlmfrontier.frontier.search import affordable, member_choices
from vlmfrontier.frontier.space import RunRange, grid_space

SPACE = grid_space({"N": [1.0], "T": np.arange(1, 200), "V": np.arange(1, 15) ** 2}, PaperCost(M=0.001, W=1))
GRID = ElasticityGrid(np.linspace(500, 1500, 40), np.linspace(1, 4, 7), 2.0)


def target(A, B, d):
    spread = as_in_the_paper(Members(A, B, d))
    return Target("avg", SPACE, spread, RunRange({}, (1, 4)))


def test_without_interaction_nothing_moves():
    rng = np.random.default_rng(0)
    A = rng.lognormal(0, 0.2, (20, 2)) @ np.stack([1 / SPACE.factors["T"], 1 / SPACE.factors["V"]])
    table = elasticity_table(target(A, np.ones_like(A), np.full(20, 0.4)), GRID)
    assert (table[["e", "e_median", "e_lo", "e_hi", "share_up", "share_down"]] == 0).all(axis=None)
    assert (table.direction == "not determined").all()


def test_the_direction_and_size_of_a_known_shift():
    # f = 1/V + n^-1/2 / T at c = 2TV: V* = sqrt(c/2)·n^(1/4), so V rises and T falls with n, both by the exponent 1/4.
    T, V = SPACE.factors["T"], SPACE.factors["V"]
    A, B = np.tile(1 / V, (10, 1)), np.tile(1 / T, (10, 1))
    table = elasticity_table(target(A, B, np.full(10, 0.5)), GRID).set_index("factor")
    n, step = GRID.examples, GRID.step
    exact = np.mean((((n + step) / n) ** 0.25 - 1) * n / step)
    assert table.e["V"] == pytest.approx(exact, abs=0.05)  # x* is discrete
    assert table.e["T"] == pytest.approx(np.mean((((n + step) / n) ** -0.25 - 1) * n / step), abs=0.05)
    assert table.e["N"] == 0
    assert list(table.direction) == ["not determined", "down", "up"]
    assert table.share_up["V"] == 1


def test_the_average_is_eq_9_over_every_cell():
    rng = np.random.default_rng(1)
    T, V = SPACE.factors["T"], SPACE.factors["V"]
    A, B = rng.uniform(0.5, 1, (3, 1)) / V, rng.uniform(0.5, 1, (3, 1)) / T
    members, counts = Members(A, B, np.full(3, 0.5)), affordable(SPACE.cost, GRID.budgets)
    table = elasticity_table(target(A, B, members.d), GRID).set_index("factor")
    sums = np.zeros(3)
    for n in GRID.examples:
        before, after = (member_choices(members, np.array([size]), counts)[:, 0] for size in (n, n + GRID.step))
        sums += ((V[after] - V[before]) / GRID.step * n / V[before]).sum(axis=1)
    assert table.e_median["V"] == pytest.approx(np.median(sums / (len(GRID.examples) * len(GRID.budgets))))


def test_a_direction_is_stated_on_the_widened_band_as_every_interval():
    rng = np.random.default_rng(2)
    T, V = SPACE.factors["T"], SPACE.factors["V"]
    members = Members(np.tile(1 / V, (40, 1)), np.tile(1 / T, (40, 1)), rng.uniform(0.02, 0.5, 40))
    wide = Ensemble(members, widening=np.full(40, 1.5))
    bare, stated = (
        [
            view(Target("avg", SPACE, ensemble, RunRange({}, (1, 4))), GRID)
            for view in (elasticity_table, elasticity_by_budget)
        ]
        for ensemble in (as_in_the_paper(members), wide)
    )
    for narrow, table in zip(bare, stated, strict=True):
        for end in ("e_lo", "e_hi"):  # medians of few digits: sums in another order
            away = table[end] - table.e_median
            assert away.to_numpy() == pytest.approx(1.5 * (narrow[end] - narrow.e_median).to_numpy(), abs=1e-12)
    before, after = (tables[0].set_index("factor").loc["V"] for tables in (bare, stated))
    assert 0 < before.e_lo < 0.5 * (before.e_median - before.e_lo)  # what the widening leads beyond 0
    assert (before.direction, after.direction) == ("up", "not determined")
    assert after.share_up == before.share_up


def test_ablations_change_one_setting_at_a_time():
    T, V = SPACE.factors["T"], SPACE.factors["V"]
    known = target(np.tile(1 / V, (4, 1)), np.tile(1 / T, (4, 1)), np.full(4, 0.5))
    table = ablation_table(known, GRID, largest=4.0)
    same = elasticity_table(known, ElasticityGrid(GRID.budgets, GRID.examples, 0.5 * 4.0)).set_index("factor")
    assert GRID.step == 0.5 * 4.0
    row = table[(table.setting == "step") & (table.level == 0.5)].set_index("factor")
    assert row.e["V"] == same.e["V"]
    single = table[(table.setting == "largest_n") & (table.level == 0.5)]
    assert single.e.notna().all()


@pytest.mark.parametrize(
    ("band", "expected"),
    [((0.1, 0.2), "up"), ((-0.2, -0.1), "down"), ((-0.1, 0.1), "not determined"), ((0, 0.1), "not determined")],
)
def test_a_direction_is_only_given_when_the_band_excludes_zero(band, expected):
    assert direction(*band) == expected
