"""Fits and bags: saved and read back, intervals, warnings, resamples of configurations."""

import json

import numpy as np
import pytest

from benchmarks.synthetic import ADDITIVE, STRONG, paper_sweep, true_error
from vlmfrontier.errors import UserError
from vlmfrontier.laws.bagging import Bag, bag, times_drawn
from vlmfrontier.laws.fit import LawFit, fit, improved, write_words
from vlmfrontier.laws.profile import profiles
from vlmfrontier.laws.table import from_arrays
from vlmfrontier.laws.words import law_in_words
from vlmfrontier.study.analysis import LawsConfig


@pytest.fixture(scope="module")
def law(sweep, quick):
    return fit(sweep, "add-interact", config=quick)


def test_a_law_predicts_the_truth_it_was_made_with(sweep, law):
    off = law.predict(sweep.points()) / true_error(STRONG, sweep) - 1
    assert np.sqrt(np.mean(off**2)) < 0.01  # the noise of a single run


def test_a_saved_law_is_the_same_law(tmp_path, sweep, law, quick):
    law.save(tmp_path / "add-interact.json")
    read = LawFit.load(tmp_path / "add-interact.json")
    assert read.parameters == law.parameters
    assert np.array_equal(read.predict(sweep.points()), law.predict(sweep.points()))
    assert np.array_equal(read.interval(sweep.points()), law.interval(sweep.points()))
    assert read.warnings == law.warnings
    write_words(sweep, read, tmp_path / "add-interact.txt", quick)
    words = (tmp_path / "add-interact.txt").read_text()
    assert "[[Variables]]" in words
    assert "of the last descents ended in this minimum" in words


def test_the_file_says_what_the_design_asks(tmp_path, law):
    law.save(tmp_path / "law.json")
    record = json.loads((tmp_path / "law.json").read_text())
    assert record["factors"] == {"N": {"unit": 1e9}, "T": {"unit": 1.0}, "V": {"unit": 1.0}}
    assert record["data_unit"] == 1e6
    assert set(record["metrics"]) == {"mse", "e_pct", "r2"}
    assert {"starts", "condition_number", "at_bound", "flat_directions", "hit_rate"} <= set(record["diagnostics"])


def test_a_file_that_is_no_law_is_refused(tmp_path):
    (tmp_path / "law.json").write_text("{}")
    with pytest.raises(UserError, match=r"law\.json: damaged"):
        LawFit.load(tmp_path / "law.json")


def test_predictions_take_the_units_of_the_table(law):
    one = law.predict({"N": 7.5e9, "T": 32, "V": 196, "n": [1e6, 2e6]})
    assert one.shape == (2,)
    assert one[1] < one[0]
    with pytest.raises(UserError, match="needs a column 'n'"):
        law.predict({"N": 7.5e9, "T": 32, "V": 196})


def test_the_interval_of_a_law_covers_the_truth_about_as_often_as_it_says(quick):
    covered = []
    for seed in range(10):
        table = paper_sweep(STRONG, 0.01, seed)
        low, high = fit(table, "add-interact-s", config=quick).interval(table.points())
        covered.append(np.mean((low <= true_error(STRONG, table)) & (true_error(STRONG, table) <= high)))
    assert 0.75 < np.mean(covered) < 0.99  # nominal 0.9; ten sweeps


@pytest.fixture(scope="module")
def degenerate(quick):
    """Interactions fitted to results that have none."""
    return fit(paper_sweep(ADDITIVE, 0.01, seed=1), "add-interact", config=quick)


def test_degenerate_fits_say_so(degenerate):
    found = {warning.split(":")[0] for warning in degenerate.warnings}
    assert {"not_identified", "at_bound"} & found
    assert degenerate.diagnostics["condition_number"] > 100
    assert degenerate.diagnostics["flattest_direction"]


def test_errors_of_fixed_parameters_are_not_made_up(degenerate):
    held = {*degenerate.diagnostics["vanished_terms"], *degenerate.diagnostics["at_bound"]}
    assert held, "this sweep is chosen to have some"
    assert all(degenerate.standard_errors[name] is None for name in held)


NOISE = {
    "of one size": lambda rng, N: 0.01 * rng.standard_normal(len(N)),
    "with tails": lambda rng, N: 0.01 * rng.standard_t(2.5, len(N)),
    "peaked": lambda rng, N: 0.01 * rng.laplace(size=len(N)),
    "larger for small models": lambda rng, N: 0.004 * rng.standard_normal(len(N)) * np.where(N < 5, 5, 1),
}


@pytest.mark.parametrize(
    ("loss", "delta", "noise"),
    [
        ("mse", 1e-3, "of one size"),
        ("mse", 1e-3, "larger for small models"),
        ("huber", 1e-3, "of one size"),
        ("huber", 1e-3, "with tails"),
        ("huber", 1e-3, "peaked"),
        ("huber", 1e-3, "larger for small models"),
        ("huber", 1e-2, "of one size"),
        ("huber", 1e-2, "with tails"),
        ("huber", 1.0, "of one size"),  # no residual is so large
    ],
)
def test_standard_errors_are_the_spread_of_fits_to_fresh_noise(loss, delta, noise):
    rng = np.random.default_rng(5)
    N, n = np.exp(rng.uniform(0, 4, (2, 150)))
    error = 1.8 + 0.4 * N**-0.5 + n**-0.5
    config = LawsConfig(preset="fast", starts=6, loss=loss, delta=delta)
    fits = [
        fit(from_arrays({"N": N}, {"e": error * np.exp(NOISE[noise](rng, N))}, data=n), "add", "e", config)
        for _ in range(40)
    ]
    assert {law.diagnostics["standard_errors"] for law in fits} == {"sandwich"}
    for name in ("a_N", "d", "xi", "epsilon"):
        told = np.median([law.standard_errors[name] for law in fits])
        low, high = np.quantile([law.parameters[name] for law in fits], [0.16, 0.84])
        # Forty fits know their spread to a tenth. Where noise has a sharp peak, a smoothed one is told too large.
        assert 0.7 < told / ((high - low) / 2) < 1.8, name


def test_seeds_of_a_configuration_are_no_independent_evidence():
    T, n = np.repeat(np.geomspace(1, 64, 16), 8), np.repeat(np.tile([1.0, 2.0, 4.0, 8.0], 4), 8)
    common = np.repeat(np.random.default_rng(1).normal(0, 0.02, 16), 8)
    table = from_arrays({"T": T}, {"e": (10 + 20 * T**-0.5 + 5 * n**-0.5) * np.exp(common)}, data=n)
    alone = table.rows(np.arange(len(T)) % 8 == 0)
    many, once = (fit(each, "add", "e", LawsConfig(preset="fast", starts=20)) for each in (table, alone))
    assert many.parameters["a_T"] == pytest.approx(once.parameters["a_T"], rel=1e-4)
    assert many.standard_errors["a_T"] == pytest.approx(once.standard_errors["a_T"], rel=0.6)  # not a third of it


def test_a_profile_is_lowest_at_the_fit_and_higher_elsewhere(sweep, quick):
    law = fit(sweep, "add", config=quick)
    found = profiles(sweep, law, ["d"], quick, points=5)
    assert found.relative_objective.min() >= -1e-6
    assert found.relative_objective.iloc[[0, -1]].min() > 0.01
    assert found["value"].iloc[2] == pytest.approx(law.parameters["d"])


def test_a_bag_saved_and_read_predicts_the_same(tmp_path, sweep, law, quick):
    members = bag(sweep, law, config=quick)
    law.save(tmp_path / "law.json")
    members.save(tmp_path / "law.bag.csv")
    read = Bag.load(tmp_path / "law.bag.csv", LawFit.load(tmp_path / "law.json"))
    assert members.members(sweep.points()).shape == (12, 88)
    assert np.array_equal(read.predict(sweep.points()), members.predict(sweep.points()))


def test_bags_depend_on_the_seed_and_on_nothing_else(sweep, law, quick):
    first, again = (bag(sweep, law, config=quick, threads=threads) for threads in (1, 2))
    other = bag(sweep, law, config=quick.model_copy(update={"seed": 1}))
    assert np.array_equal(first.theta, again.theta)
    assert not np.array_equal(first.theta, other.theta)


def test_the_fits_of_resamples_lead_a_poor_search_to_the_minimum(sweep, law, quick):
    start = fit(sweep, "add-interact", config=quick.model_copy(update={"starts": 1, "backend": "scipy"}))
    assert start.objective > law.objective * 1.01
    members = bag(sweep, law, config=quick)
    better = improved(sweep, start, members.theta, quick)
    assert better.objective == pytest.approx(law.objective, rel=1e-6)  # as close as two descents come
    assert better.diagnostics["hit_rate"] == 0
    assert "to which fits of resamples led" in law_in_words(better)
    assert improved(sweep, better, members.theta, quick) is better


def test_seeds_of_a_configuration_are_resampled_together(quick):
    T = np.repeat(np.geomspace(1, 64, 10), 2)
    noise = np.random.default_rng(0).normal(0, 0.01, 20)
    table = from_arrays({"T": T}, {"e": (20 + 30 * T**-0.5) * np.exp(noise)})
    assert bag(table, "add", "e", quick).out_of_bag is not None
    times = times_drawn(table, quick)
    assert np.array_equal(times[:, 0::2], times[:, 1::2])
    assert (times.sum(axis=1) == 20).all()


def test_standard_errors_as_weights(quick):
    table = paper_sweep(STRONG, 0.005, seed=4)
    se = np.full(88, 0.2)
    table.targets["avg"][:5] *= 1.3
    se[:5] = 50.0  # measured so badly that they should count for nothing
    weighted = from_arrays(table.factors, table.targets, table.data, table.units, 1e6, se={"avg": se})
    config = quick.model_copy(update={"weights": "se"})
    ours = fit(weighted, "add-interact-s", config=config).predict(table.points())
    plain = fit(weighted, "add-interact-s", config=quick).predict(table.points())
    truth = true_error(STRONG, table)
    assert np.abs(ours / truth - 1).mean() < np.abs(plain / truth - 1).mean() / 3
    with pytest.raises(UserError, match=r"laws.weights is `se`"):
        fit(table, "add", config=config)
