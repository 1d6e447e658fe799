"""What runs of equal cost say without a law, beside it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vlmfrontier.cost.flops import PaperCost
from vlmfrontier.frontier.caveats import contradicted
from vlmfrontier.frontier.law_free import columns, in_words, law_free_table
from vlmfrontier.frontier.pool import Target, TargetLaws
from vlmfrontier.frontier.space import RunRange, grid_space
from vlmfrontier.laws.bagging import Bag
from vlmfrontier.laws.discrepancy import Basis, Discrepancy
from vlmfrontier.laws.forms import form_for
from vlmfrontier.study.sweep import IsoflopDesign, SweepConfig

FACTORS = ("N", "T", "V")
COST = PaperCost(M=0.0, W=1)
SPACE = grid_space({"N": [1.0, 2.0, 4.0, 8.0], "T": np.arange(1, 33), "V": [1.0, 2.0, 4.0, 8.0]}, COST)
NOISE = 0.02
TRUTH = {"alpha_N": 20, "a_N": 0.7, "alpha_T": 30, "a_T": 0.6, "alpha_V": 20, "a_V": 0.5, "xi": 5, "d": 0.5}
C = float(COST.cost({"N": 4.0, "T": 8.0, "V": 4.0}))


def laws(**changed) -> TargetLaws:
    """Return 41 additive laws around the truth, or around another one, 1% apart."""
    form = form_for("add", FACTORS, True)
    truth = TRUTH | {"epsilon": 10} | changed
    rng = np.random.default_rng(0)
    theta = np.array([[truth[name] * rng.lognormal(0, 0.01) for name in form.parameter_names] for _ in range(41)])
    bag = Bag(form, dict.fromkeys(FACTORS, 1.0), 1.0, theta, np.zeros(41), np.ones(41))
    basis = Basis(np.log([2.8, 5.6, 2.8]), np.ones(3), (0.0, 1.0))
    found = Discrepancy(basis, *np.zeros((2, 41, 90)), np.full(41, NOISE), np.ones(41), 0.0)
    return TargetLaws("avg", {"add": bag}, "add", {"add": np.arange(41)}, found, largest=100.0)


RIGHT = laws()


def scattered(noise: float) -> TargetLaws:
    """Return the right laws, around which runs scatter so much."""
    return replace(RIGHT, discrepancy=replace(RIGHT.discrepancy, noise=np.full(41, noise)))


def rivals(n=1.0, seed=None, noise=NOISE) -> pd.DataFrame:
    """Return every configuration of the space that costs C, measured with noise, or exactly."""
    at_c = np.flatnonzero(np.isclose(SPACE.cost, C))
    frame = pd.DataFrame({name: values[at_c] for name, values in SPACE.factors.items()})
    f = np.median(RIGHT.ensemble(SPACE.factors).pool.errors(at_c, n), axis=0)
    measured = f if seed is None else f * np.random.default_rng(seed).lognormal(0, noise, len(f))
    return frame.assign(n=n, c=C, avg=measured, avg_se=1e9)


def table(runs, of=RIGHT, sweep=None):
    target = Target("avg", SPACE, of.ensemble(SPACE.factors), RunRange({}, (1, 1)))
    return law_free_table(target, of, runs, sweep)


def test_a_right_law_is_confirmed_and_the_estimate_without_it_lies_near():
    (row,) = table(rivals()).to_dict("records")
    assert row["verdict"] == "agrees"
    assert {name: row[name] for name in FACTORS} == {name: row[f"law_{name}"] for name in FACTORS}
    assert row["measured"] == pytest.approx(row["predicted"]) == pytest.approx(row["law_f"])
    assert row["method"] == "quadratic"
    assert row["free_f"] == pytest.approx(row["law_f"], rel=0.1)
    assert all(0.4 < row[f"free_{name}"] / row[f"law_{name}"] < 2.5 for name in FACTORS)


def test_noise_alone_seldom_contradicts():
    runs = pd.concat([rivals(n, seed) for seed, n in enumerate(np.linspace(1, 2, 60))])
    assert (table(runs).verdict == "contradicts").sum() <= 2


def test_a_law_that_prefers_what_measured_worse_is_contradicted():
    wrong = laws(alpha_N=2, alpha_V=120)  # V matters most, it says; the runs say N and T
    (row,) = table(rivals(), wrong).to_dict("records")
    assert row["x_agrees"] == "no"
    assert row["verdict"] == "contradicts"
    assert "prefers a rival that measured worse" in in_words(row)


def test_a_law_that_is_off_where_the_best_was_measured_is_contradicted():
    runs = rivals()
    (row,) = table(runs.assign(avg=runs.avg * 0.85)).to_dict("records")
    assert (row["x_agrees"], row["f_agrees"]) == ("yes", "no")
    assert "measured something else than the law predicts" in in_words(row)
    (sentence,) = contradicted(pd.DataFrame([row]), "FLOPs")
    assert sentence == f"runs of equal cost contradict the law in 1 of 1 groups ({C:g} FLOPs): see tables/law_free.md"
    assert contradicted(table(runs), "FLOPs") == []


def test_rivals_far_from_x_leave_it_untested():
    runs = rivals()
    far = runs[runs["T"] >= 16]
    (row,) = table(far).to_dict("records")
    assert row["verdict"] == "x* not measured"
    assert row["law_f"] < row["predicted"]


def test_rivals_within_noise_are_as_good_as_the_best_and_seeds_are_averaged():
    runs = rivals()
    (exact,) = table(runs, scattered(1e-6)).to_dict("records")
    (noisy,) = table(runs, scattered(0.05)).to_dict("records")
    assert exact["as_good"] == 1 < noisy["as_good"]
    (seeds,) = table(pd.concat([runs] * 4), scattered(0.05)).to_dict("records")
    assert seeds["rivals"] == noisy["rivals"]
    assert seeds["noise"] == pytest.approx(noisy["noise"] / 2)


def test_the_test_s_standard_error_counts_where_the_law_misfits():
    (row,) = table(rivals().assign(avg_se=0.1), scattered(0.5)).to_dict("records")
    assert row["noise"] == pytest.approx(0.1 * np.sqrt(2))


def test_groups_have_one_n_and_the_design_s_budgets():
    runs = pd.concat([rivals(1.0), rivals(2.0), rivals(3.0).iloc[:2]])
    found = table(runs)
    assert list(found.n) == [1.0, 2.0]
    sweep = SweepConfig.model_construct(designs={"iso": IsoflopDesign.model_construct(budgets=[2 * C], tolerance=0.1)})
    assert table(runs, sweep=sweep).empty
    assert list(table(runs, sweep=sweep).columns) == columns(FACTORS)
