"""What a form misses is found where it is, not where it is not, and predicted where there are runs."""

import numpy as np
import pytest

from benchmarks.synthetic import ADDITIVE, law_of, paper_grid, paper_sweep, true_error
from vlmfrontier.laws.bagging import bag
from vlmfrontier.laws.discrepancy import Basis, concatenated, draw, widening
from vlmfrontier.laws.fit import fit
from vlmfrontier.laws.table import from_arrays


def warped(noise=0.01, seed=0):
    """Return the sweep of an additive law whose errors are up to 12% higher where T and V are large together."""
    grid, _ = paper_grid()
    form, theta = law_of(ADDITIVE)
    return from_warp(form.predict(theta, grid[:, :3], grid[:, 3]) * warp(grid[:, 1], grid[:, 2]), noise, seed)


def warp(T, V):
    return np.exp(0.12 / (1 + np.exp(-(np.log(T) + np.log(V) - 6.5) * 2)))


def from_warp(error, noise, seed):
    grid, _ = paper_grid()
    error = error * np.exp(noise * np.random.default_rng(seed).standard_normal(len(error)))
    factors = {"N": grid[:, 0] * 1e9, "T": grid[:, 1], "V": grid[:, 2]}
    return from_arrays(factors, {"avg": error}, grid[:, 3] * 1e6, {"N": 1e9}, 1e6)


def drawn(table, quick, form="add", count=60):
    law = fit(table, form, "avg", quick)
    theta = np.resize(bag(table, law, "avg", quick).theta, (count, len(law.theta)))
    return law, theta, draw(table, law, theta, np.random.default_rng(0))


def errors(law, theta, found, table):
    """Return f of every model at the rows of a table, with and without what the form misses."""
    X = np.stack([table.factors[k] / table.units[k] for k in ("N", "T", "V")], axis=1)
    plain = law.form.predict(theta, X, table.data / table.data_unit)
    level, slope = found.over(table.factors)
    return plain * np.exp(level + slope * found.basis.progress(table.data)), plain


def test_a_form_that_holds_misses_next_to_nothing(quick):
    table = paper_sweep(ADDITIVE, 0.01, seed=3)
    law, theta, found = drawn(table, quick)
    bent, plain = errors(law, theta, found, table)
    assert found.probability < 0.5
    assert np.median(np.abs(np.log(bent / plain))) < 0.002
    assert np.median(found.noise) == pytest.approx(0.01, rel=0.3)


def test_a_warp_that_no_sum_of_powers_has_is_found_between_the_runs(quick):
    table = warped()
    law, theta, found = drawn(table, quick)
    assert found.probability > 0.95
    assert np.median(found.noise) == pytest.approx(0.01, rel=0.4)
    form, truth = law_of(ADDITIVE)
    between = from_arrays(
        {"N": np.full(12, 2.8e9), "T": np.repeat([6.0, 14, 24], 4), "V": np.tile([20.0, 60, 150, 300], 3)},
        {"avg": np.arange(1.0, 13)}, np.full(12, 2e6), {"N": 1e9}, 1e6,
    )  # fmt: skip
    T, V = between.factors["T"], between.factors["V"]
    exact = form.predict(truth, np.stack([np.full(12, 2.8), T, V], axis=1), np.full(12, 2.0)) * warp(T, V)
    bent, plain = (np.median(f, axis=0) for f in errors(law, theta, found, between))
    wrong, right = np.abs(np.log(plain / exact)), np.abs(np.log(bent / exact))
    assert np.sqrt(np.mean(right**2)) < 0.75 * np.sqrt(np.mean(wrong**2))


def test_draws_differ_more_where_there_are_no_runs(quick):
    table = warped()
    _, _, found = drawn(table, quick, count=200)
    at_runs, _ = found.over({k: v[:1] for k, v in table.factors.items()})
    corner, _ = found.over({"N": np.array([1e9]), "T": np.array([40.0]), "V": np.array([600.0])})
    assert corner.std() > 2 * at_runs.std()


def test_the_same_seed_draws_the_same_models(quick):
    table = warped()
    law, theta, found = drawn(table, quick)
    again = draw(table, law, theta, np.random.default_rng(0))
    np.testing.assert_array_equal(found.level, again.level)
    np.testing.assert_array_equal(found.noise, again.noise)
    both = concatenated([found, again])
    assert len(both.noise) == 2 * len(found.noise)
    assert both.probability == pytest.approx(found.probability)


def test_beyond_the_runs_a_discrepancy_stays_as_at_the_end():
    table = paper_sweep(ADDITIVE)
    basis = Basis.over(table)
    assert basis.progress([1e4, 0.25e6, 2e6, 1e9]).tolist() == pytest.approx([-1, -1, 1, 1])
    far, farther = (basis.features({"N": [1e9], "T": [value], "V": [36.0]}) for value in (1e4, 1e5))
    np.testing.assert_array_equal(far, farther)


def test_a_table_without_data_size_and_one_of_a_single_factor_have_discrepancies(quick):
    T = np.geomspace(1, 64, 20)
    error = (20 + 30 / T) * np.exp(0.1 * np.sin(np.log(T) * 2))
    table = from_arrays({"T": T}, {"avg": error})
    law, theta, found = drawn(table, quick)
    assert found.probability > 0.9
    assert (found.slope == 0).all()
    level, _ = found.over({"T": T})
    plain = law.form.predict(theta, T[:, None])
    off = [np.abs(np.log(np.median(f, axis=0) / error)).mean() for f in (plain, plain * np.exp(level))]
    assert off[1] < 0.7 * off[0]


def test_errors_without_noise_end_in_no_warning(quick):
    table = from_arrays(
        dict(zip(("N", "T", "V"), paper_sweep(ADDITIVE).factors.values(), strict=True)),
        {"avg": true_error(ADDITIVE, paper_sweep(ADDITIVE))}, paper_sweep(ADDITIVE).data, {"N": 1e9}, 1e6,
    )  # fmt: skip
    _, _, found = drawn(table, quick)
    assert np.isfinite(found.level).all()
    assert (found.noise < 1e-3).all()


def test_few_configurations_for_many_parameters_widen_an_interval():
    assert widening(1000, 5) == pytest.approx(1.1, rel=0.01)
    assert 1.24 < widening(62, 15) < 1.33
    assert widening(17, 15) > 4
