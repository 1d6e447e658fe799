"""The frontier table on models that are known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vlmfrontier.cost.flops import PaperCost
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.pool import Members, Target, as_in_the_paper, pooled, shares
from vlmfrontier.frontier.search import affordable, frontier_table, member_choices, pooled_errors, runner_up
from vlmfrontier.frontier.space import RunRange, SearchSpace, grid_space
from vlmfrontier.laws.discrepancy import Basis, Discrepancy
from vlmfrontier.tables.writing import write_table

SPACE = grid_space({"N": [1.0, 4.0, 9.0], "T": np.arange(1, 11), "V": [1, 4, 9, 16]}, PaperCost(M=5, W=16))
RUNS = RunRange({"N": (1, 9), "T": (1, 8), "V": (4, 16)}, (100, 400))
BUDGETS = np.array([300.0, 900.0, 2500.0])
EXAMPLES = np.array([200.0, 800.0])


def members(seed, count=40):
    """Models around 20/T + 30/V + 40/N + 50·n^-d, each with its own coefficients."""
    rng = np.random.default_rng(seed)
    terms = np.stack([20 / SPACE.factors["T"], 30 / SPACE.factors["V"], 40 / SPACE.factors["N"]])
    A = rng.lognormal(0, 0.3, (count, 3)) @ terms
    return Members(A, np.full_like(A, 50) * np.sqrt(SPACE.factors["T"]) / 5, rng.uniform(0.3, 0.5, count), 100.0)


def missed(count, scale=0.02):
    """Return what the forms of some models miss: a little, each model its own."""
    basis = Basis(np.log([3.0, 3.0, 4.0]), np.log([3.0, 3.0, 4.0]), (np.log(200.0), np.log(2.0)))
    level, slope = np.random.default_rng(5).normal(0, scale, (2, count, basis.features(SPACE.factors).shape[1]))
    return Discrepancy(basis, level, slope, np.full(count, 0.01), np.linspace(1, 1.5, count), 0.7)


BAGS = {"add": members(0), "mult": members(1)}
MODELS = pooled(BAGS, shares(BAGS, {"add": 3.0, "mult": 1.0}, 80), missed(80), SPACE.factors)
TARGET = Target("avg", SPACE, MODELS, RUNS)


@pytest.fixture(scope="module")
def table():
    return frontier_table(TARGET, BUDGETS, EXAMPLES, near=0.02)


def test_every_row_is_the_best_affordable_configuration_of_the_pooled_median(table):
    for row in table.itertuples():
        errors = np.median(MODELS.pool.errors(np.arange(len(SPACE)), row.n), axis=0)
        affordable = row.c >= SPACE.cost
        assert row.cost <= row.c
        assert row.f == pytest.approx(errors[affordable].min(), rel=1e-12)


def test_what_a_form_misses_multiplies_its_errors():
    x, n = np.arange(7), 300.0
    found = missed(80)
    level, slope = found.over({name: values[:7] for name, values in SPACE.factors.items()})
    plain = replace(MODELS.pool, level=None, slope=None)
    delta = level + slope * found.basis.progress(np.array([n]))
    np.testing.assert_allclose(MODELS.pool.errors(x, n), plain.errors(x, n) * np.exp(delta), rtol=1e-6)
    assert np.abs(delta).max() > 0.01


def test_kernels_and_arrays_give_the_same_errors_under_ceilings_and_caps():
    rng = np.random.default_rng(3)
    ceilings, sharpness = rng.uniform(25, 60, 80), rng.choice([1.0, 4.0, 2.5], 80)
    pool = replace(MODELS.pool, ceiling=ceilings, sharpness=sharpness, largest=41.0)
    errors = pool.errors(np.arange(len(SPACE)), 200.0)
    assert errors.max() == 41
    np.testing.assert_allclose(pooled_errors(pool, np.array([200.0]))[0], np.median(errors, axis=0), rtol=1e-9)
    counts = np.array([10, len(SPACE)])
    own = member_choices(pool, np.array([200.0]), counts)[:, 0]
    assert (errors[np.arange(80), own[:, 1]] <= errors.min(axis=1) * (1 + 1e-8)).all()


def test_intervals_are_the_widened_spread_of_the_models_at_the_chosen_configuration(table):
    for row in table.itertuples():
        x = np.flatnonzero(
            (SPACE.factors["N"] == row.N) & (SPACE.factors["T"] == row.T) & (SPACE.factors["V"] == row.V)
        )
        logs = np.log(MODELS.pool.errors(x, row.n)[:, 0])
        away = (logs - np.median(logs)) * MODELS.widening
        low, high = np.exp(np.median(logs) + np.quantile(away, [0.05, 0.95]))
        assert (row.f_lo, row.f_hi) == pytest.approx((low, high))
        assert row.run_lo <= row.f_lo < row.f < row.f_hi <= row.run_hi


def test_no_interval_ends_above_the_largest_error():
    capped = replace(MODELS, pool=replace(MODELS.pool, largest=40.0), widening=np.full(80, 9.0))
    for low, high in (capped.interval(np.arange(5), 200.0), capped.run_interval(np.arange(5), 200.0)):
        assert (high <= 40).all()
        assert (low <= high).all()


def test_the_range_of_a_factor_is_that_of_the_models_own_optima(table):
    for row in table.itertuples():
        counts = affordable(SPACE.cost, np.array([row.c]))
        optima = SPACE.factors["T"][member_choices(MODELS.pool, np.array([row.n]), counts)[:, 0, 0]]
        assert set(optima) >= {row.T_lo, row.T_hi}
        assert np.mean(optima < row.T_lo) <= 0.05
        assert np.mean(optima > row.T_hi) <= 0.05


def test_near_is_no_rarer_than_best_and_regret_is_not_negative(table):
    assert (table.p_near >= table.p_best).all()
    assert table.p_best.between(0, 1).all()
    assert (table.regret_p90 >= 0).all()


def test_far_above_0_near_is_a_share_of_what_is_at_stake():
    high = replace(MODELS, pool=replace(MODELS.pool, A=MODELS.pool.A + 1e5, level=None, slope=None))
    found = frontier_table(replace(TARGET, ensemble=high), BUDGETS, EXAMPLES, near=0.002)
    assert (found.near < 2e-4).all()
    assert found.p_near.min() < 1  # within 0.2% of the error is everything
    for row in found.itertuples():
        count = affordable(SPACE.cost, np.array([row.c]))[0]
        chosen = np.flatnonzero(np.all([values == getattr(row, k) for k, values in SPACE.factors.items()], axis=0))[0]
        errors = high.pool.errors(np.arange(count), row.n)
        assert row.p_near == np.mean(errors[:, chosen] <= errors.min(axis=1) * (1 + row.near))


def test_extrapolations_name_what_lies_outside_the_runs(table):
    expected = []
    for row in table.itertuples():
        names = [k for k, (low, high) in RUNS.factors.items() if not low <= getattr(row, k) <= high]
        expected.append(" ".join(names + ["n"] * (row.n == 800)) or "no")
    assert list(table.extrapolates) == expected
    assert set(table.extrapolates) >= {"n"}


def test_the_runner_up_is_another_configuration_and_no_better(table):
    ratios = table[["second_N", "second_T", "second_V"]].to_numpy() / table[["N", "T", "V"]].to_numpy()
    assert (np.maximum(ratios, 1 / ratios).max(axis=1) >= 1.25 * (1 - 1e-12)).all()  # 1 / 0.8 is rounded
    assert (table.second_f >= table.f).all()
    assert (table.second_cost <= table.c).all()


def test_there_is_no_runner_up_where_one_configuration_is_all():
    assert runner_up(SPACE, np.zeros(len(SPACE)), 1, 0) == -1
    cheapest = frontier_table(TARGET, SPACE.cost[:1], EXAMPLES, near=0.02)
    assert cheapest.second_f.isna().all()
    assert (cheapest.p_best == 1).all()


def test_a_budget_below_the_cheapest_configuration_is_refused():
    message = r"budget 10 FLOPs is below the cheapest configuration \(N = 1, T = 1, V = 1\), which costs 162"
    with pytest.raises(UserError, match=message):
        frontier_table(TARGET, np.array([10.0, 900.0]), EXAMPLES, near=0.02)


def test_a_table_without_data_size_has_no_n():
    A = members(0).A
    bag = Members(A, np.zeros_like(A), np.zeros(40))
    target = Target("avg", SPACE, as_in_the_paper(bag), RunRange(RUNS.factors, None))
    table = frontier_table(target, BUDGETS, None, near=0.02)
    assert len(table) == len(BUDGETS)
    assert table.n.isna().all()
    assert table.f.notna().all()


def test_shares_of_the_pool_follow_the_weights():
    bags = {"add": members(0), "mult": members(1), "worst": members(2)}
    rows = shares(bags, {"add": 0.7, "mult": 0.299, "worst": 0.001}, 100)
    assert {form: len(taken) for form, taken in rows.items()} == {"add": 70, "mult": 30}
    assert list(rows["add"][38:42]) == [38, 39, 0, 1]


def test_tables_for_reading_write_parameters_with_b_and_costs_with_g(tmp_path):
    rows = pd.DataFrame(
        {
            "check": ["x* against n", "extrapolation", "x* against n"],
            "N": [2.8e9, np.nan, 1e9],
            "c": [2.5e9, np.nan, 7.1e21],
            "n": [np.nan, 1e6, 2e9],
            "value": [2.8e9, 0.9942, -1e-16],
        }
    )
    path = write_table(rows, tmp_path / "checks")
    lines = path.with_suffix(".md").read_text().splitlines()[2:]
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines] == [
        ["x* against n", "2.8B", "2.5G", "", "2.8B"],
        ["extrapolation", "", "", "1M", "0.994"],
        ["x* against n", "1B", "7.1Z", "2B", "0"],
    ]


def test_what_a_new_run_would_measure_is_wider_than_the_law_by_the_noise():
    x, n = np.arange(20), 200.0
    quiet = replace(MODELS, noise=np.zeros(1))
    np.testing.assert_allclose(quiet.run_interval(x, n), quiet.interval(x, n), rtol=1e-3)
    one = as_in_the_paper(members(0).take(np.zeros(30, int)))  # the law is known, and only noise is left
    low, high = replace(one, noise=np.array([0.05])).run_interval(x, n)
    f = one.pool.errors(x, n)[0]
    np.testing.assert_allclose([low / f, high / f], np.exp(0.05 * np.array([[-1.645] * 20, [1.645] * 20])), rtol=0.01)
    noisy = replace(MODELS, noise=np.array([0.3]))
    assert (np.array(noisy.run_interval(x, n)[0]) < MODELS.interval(x, n)[0]).all()


def test_edges_name_the_factors_at_an_end_of_the_space(table):
    ends = {"N": (1, 9), "T": (1, 10), "V": (1, 16)}
    expected = [" ".join(k for k, end in ends.items() if getattr(row, k) in end) or "no" for row in table.itertuples()]
    assert list(table.edge) == expected
    assert len(set(expected)) > 1
    alone = SearchSpace({"N": np.ones(3), "T": np.arange(1.0, 4)}, np.arange(1.0, 4))
    assert alone.at_end({"N": 1.0, "T": 3.0}) == ["T"]  # a factor with one level has no end
