"""The choice of a form: interactions found where they are, not where they are not; weights; tables."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from benchmarks.synthetic import ADDITIVE, STRONG, paper_sweep
from vlmfrontier.errors import UserError
from vlmfrontier.laws import bagging
from vlmfrontier.laws.ablations import bagging_table, fitting_table
from vlmfrontier.laws.bagging import cross_validated, folds
from vlmfrontier.laws.fit import LawFit, fit, metrics, write_words
from vlmfrontier.laws.forms import form_for
from vlmfrontier.laws.selection import (
    Evidence,
    choose,
    compare_forms,
    fit_target,
    log_scores,
    pseudo_bma,
    read_forms,
)
from vlmfrontier.laws.table import from_arrays
from vlmfrontier.paths import LawsFolder
from vlmfrontier.study.analysis import LawsConfig
from vlmfrontier.tables.writing import write_forms_table


@pytest.mark.parametrize("truth", [STRONG, ADDITIVE])
def test_an_interaction_is_chosen_exactly_where_there_is_one(truth, quick):
    found = compare_forms(paper_sweep(truth, 0.01, seed=50), "avg", quick)
    assert found.chosen.startswith("add-interact") == (truth is STRONG)
    assert found.rows[found.rows.chosen].form.unique().tolist() == [found.chosen]
    assert sum(found.weights.values()) == pytest.approx(1)
    if truth is STRONG:
        assert found.weights["add-interact"] + found.weights["add-interact-s"] > 0.99
    assert not found.warnings


def test_every_form_is_judged_in_every_setup(sweep, quick):
    rows = compare_forms(sweep, "avg", quick.model_copy(update={"forms": ["mult", "add"]})).rows
    assert list(rows.columns) == ["target", "form", "setup", "mse", "e_pct", "r2", "chosen"]
    assert sorted(set(zip(rows.form, rows.setup, strict=True))) == [
        (form, setup) for form in ("add", "mult") for setup in ("cv", "extrapolation", "loco", "train")
    ]
    by_setup = rows[rows.form == "add"].set_index("setup").mse
    assert by_setup["train"] < by_setup["cv"]


FORMS = {name: form_for(name, ["N", "T", "V"], True) for name in ("mult", "add", "add-interact-s", "add-interact")}


def scores(*means, spread=1.0):
    """Return log scores of the forms, from simplest on, over 60 configurations: differences have this spread."""
    noise = np.random.default_rng(1).standard_normal((len(means), 60))
    noise -= noise.mean(axis=1, keepdims=True)
    return {name: mean + spread * each for name, mean, each in zip(FORMS, means, noise, strict=False)}


@pytest.mark.parametrize(
    ("means", "chosen"),
    [
        ((0.0, 1.0), "add"),
        ((1.0, 0.0), "mult"),
        ((0.0, 0.1), "mult"),  # 6 behind, with a standard error of about 11
        ((0.0, 0.3), "add"),  # 18 behind
        ((0.0, 0.7, 0.75, 0.8), "add"),
        ((0.0, 0.0, 0.75, 0.8), "add-interact-s"),
        ((0.0, 0.0, 0.0, 0.8), "add-interact"),
        ((0.0,), "mult"),
    ],
)
def test_the_simplest_form_within_a_standard_error_of_the_best_is_chosen(means, chosen):
    found = scores(*means)
    form, reason = choose(found, FORMS)
    assert form == chosen == choose(dict(reversed(found.items())), FORMS)[0]
    assert ("within one standard error" in reason) == (len(means) > 1)


def test_a_score_is_the_likelihood_of_students_t():
    error = np.array([0.01, -0.02, 0.015, -0.005, 0.3])
    table = from_arrays({"T": np.arange(1.0, 6)}, {"e": np.full(5, 30.0)})
    off = 30 * np.exp(error)
    found = log_scores(table, "e", {"mult": Evidence(off, off, off, None)})["mult"]
    _, _, scale = scipy.stats.t.fit(error, f0=4, floc=0)
    best = scipy.stats.t.logpdf(error, 4, 0, scale) - scipy.stats.t.logpdf(0, 4, 0, 1)
    np.testing.assert_allclose(found, best, atol=0.01)  # its search for the scale ends early


def test_rows_outside_the_split_count_half_as_predicted_from_it():
    T, split = np.arange(1.0, 41), np.arange(40) < 20
    table = from_arrays({"T": T}, {"e": np.full(40, 30.0)}, split=split)
    good, poor = 30 * np.exp(np.resize([0.01, -0.01], 40)), 30 * np.exp(np.resize([0.2, -0.2], 20))
    evidence = {"mult": Evidence(good, good, good, poor), "add": Evidence(good, good, good, good[20:])}
    found = log_scores(table, "e", evidence)
    np.testing.assert_allclose(found["mult"][:20], found["add"][:20])
    np.testing.assert_allclose(found["add"][20:] - found["mult"][20:], np.log(20) / 2, rtol=1e-3)
    assert choose(found, FORMS)[0] == "add"


def predictions(*errors: float) -> Evidence:
    """Return left-out predictions that are off an error of 30 by these log errors, over and over."""
    off = 30 * np.exp(np.resize(errors, 40))
    return Evidence(off, off, off, None)


def exploded(evidence: Evidence, size: float) -> Evidence:
    """Return predictions of which those of one fold, four rows, are off by `size` in logs."""
    spoilt = evidence.cv * np.exp(np.where(np.arange(40) < 4, size, 0.0))
    return Evidence(evidence.train, spoilt, spoilt, None)


GOOD, POOR, EXACT = predictions(0.01, -0.01, 0.011), predictions(0.03, -0.03, 0.033), predictions(0.0)


@pytest.mark.parametrize(
    ("simple", "rich", "chosen"),
    [
        (POOR, GOOD, "add"),
        (GOOD, POOR, "mult"),
        (GOOD, GOOD, "mult"),  # a tie
        (exploded(GOOD, 3.0), POOR, "add"),  # its errors' standard error is as large as their mean
        (exploded(GOOD, 3.0), GOOD, "add"),
        (GOOD, exploded(GOOD, 3.0), "mult"),
        (exploded(GOOD, 400.0), POOR, "add"),
        (exploded(GOOD, np.inf), POOR, "add"),  # overflowed
        (exploded(GOOD, np.nan), POOR, "add"),
        (EXACT, EXACT, "mult"),  # an error of 0 has no logarithm
        (EXACT, POOR, "mult"),
        (POOR, EXACT, "add"),
        (predictions(1e-14), EXACT, "mult"),  # rounding is no evidence
    ],
)
def test_one_exploded_fold_does_not_win_by_its_uncertainty(simple, rich, chosen):
    table = from_arrays({"T": np.arange(1, 41)}, {"e": np.full(40, 30.0)})
    found = log_scores(table, "e", {"mult": simple, "add": rich})
    assert sum(pseudo_bma(found, 0).values()) == pytest.approx(1)
    assert choose(found, FORMS)[0] == chosen


def test_folds_keep_seeds_of_a_configuration_together_and_have_like_sizes():
    T = np.repeat(np.arange(1.0, 24.0), 2)
    table = from_arrays({"T": T}, {"e": T})
    fold = folds(table, LawsConfig(folds=5))
    assert np.array_equal(fold[0::2], fold[1::2])
    assert set(np.bincount(fold)) == {8, 10}


def test_left_out_rows_are_left_out(sweep, quick):
    """A gross error in one row must not move the prediction of that row."""
    spoilt = paper_sweep(seed=3)
    spoilt.targets["avg"][70] *= 2
    clean, seen = (cross_validated(table, "add", "avg", quick)[70] for table in (sweep, spoilt))
    assert seen == pytest.approx(clean, rel=1e-6)  # the same optimum, from other pools of starts


def test_metrics_are_those_of_the_paper():
    found = metrics(np.array([11.0, 18.0, 33.0]), np.array([10.0, 20.0, 30.0]))
    assert found["mse"] == pytest.approx(14 / 3)
    assert found["e_pct"] == pytest.approx(10)
    assert found["r2"] == pytest.approx(1 - 14 / 200)
    assert metrics(np.array([11.0]), np.array([10.0]), "score")["e_pct"] == pytest.approx(100 / 90)


def test_the_stage_writes_what_the_frontier_reads(tmp_path, sweep, quick):
    config = quick.model_copy(update={"forms": ["mult", "add"]})
    found = fit_target(sweep, "avg", config, LawsFolder(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "add.bag.csv", "add.json", "forms.csv", "mult.bag.csv", "mult.json", "predictions.csv", "weights.json",
    ]  # fmt: skip
    predictions = pd.read_csv(tmp_path / "predictions.csv")
    for row in found.rows.itertuples():
        judged = predictions[(predictions.form == row.form) & (predictions.setup == row.setup)]
        assert ((judged.predicted - judged.measured) ** 2).mean() == pytest.approx(row.mse, rel=1e-6)  # ten digits kept
    assert json.loads((tmp_path / "weights.json").read_text()) == found.weights
    assert read_forms(tmp_path / "forms.csv").query("chosen").form.iloc[0] == found.chosen
    for form in config.forms:
        record, members = json.loads((tmp_path / f"{form}.json").read_text()), pd.read_csv(tmp_path / f"{form}.bag.csv")
        assert record["diagnostics"]["chosen"] == (form == found.chosen)
        assert record["diagnostics"]["standard_errors"] == "bootstrap, 12 resamples"
        told = {name: error for name, error in record["standard_errors"].items() if error is not None}
        assert told
        assert told == pytest.approx({name: members[name].std() for name in told})
        assert {*record["standard_errors"]} - {*told} >= {*record["diagnostics"]["at_bound"]}
        name, other = list(told)[:2]
        assert record["correlations"][f"{name},{other}"] == pytest.approx(members[name].corr(members[other]))
        write_words(sweep, LawFit.load(tmp_path / f"{form}.json"), tmp_path / f"{form}.txt", config)
        assert f"{name} = {record['parameters'][name]:.4g} ± {told[name]:.2g}" in (tmp_path / f"{form}.txt").read_text()


def test_ablations_and_their_files(tmp_path, sweep, quick):
    config = quick.model_copy(update={"forms": ["mult"], "starts": 20})
    fitting, bagging = fitting_table(sweep, "avg", config, scipy_starts=1), bagging_table(sweep, "avg", config)
    assert set(fitting.ablation) == {"loss", "initial", "positive_exponents", "log_space", "exponent_bound", "backend"}
    assert set(fitting.setup) == {"cv", "extrapolation"}
    assert bagging.resamples.tolist() == [1, 50, 100, 100] * 2
    write_forms_table(fitting, tmp_path / "fitting")
    assert len(pd.read_csv(tmp_path / "fitting.csv")) == len(fitting)
    assert (tmp_path / "fitting.md").read_text().splitlines()[0].startswith("| target")
    assert r"\begin{tabular}" in (tmp_path / "fitting.tex").read_text()


def test_many_configurations_are_left_out_without_a_search_and_alike(monkeypatch, quick):
    rng = np.random.default_rng(0)
    T, V = np.exp(rng.uniform(0, 3, (2, 40)))
    error = (20 + 30 * T**-0.5 + 10 * V**-0.8) * rng.lognormal(0, 0.02, 40)
    table = from_arrays({"T": np.append(T, T[0]), "V": np.append(V, V[0])}, {"e": np.append(error, 1.01 * error[0])})
    law = fit(table, "add", "e", quick)
    searched = bagging.leave_one_out(table, "add", "e", quick, law.theta[None])
    monkeypatch.setattr(bagging, "_SEARCHED", 1000)
    descended = bagging.leave_one_out(table, "add", "e", quick, law.theta[None])
    np.testing.assert_allclose(descended, searched, rtol=1e-6)
    assert not np.allclose(descended, law.predict(table.points()), rtol=1e-6)


FORMS_HEAD = "target,form,setup,mse,e_pct,r2,chosen\n"


def test_where_there_is_nothing_to_explain_r2_is_empty_and_the_rest_is_read(tmp_path):
    """A task on which all left-out runs err alike; text in its place is still damage, on the line where it stands."""
    path = tmp_path / "forms.csv"
    path.write_text(f"{FORMS_HEAD}rare,mult,cv,2.0,1.0,0.5,True\nrare,mult,extrapolation,3.0,1.0,,True\n")
    forms = read_forms(path)
    assert forms.r2.isna().tolist() == [False, True]
    assert forms.mse.tolist() == [2.0, 3.0]
    path.write_text(f"{FORMS_HEAD}rare,mult,cv,2.0,1.0,,True\nrare,mult,extrapolation,3.0,1.0,much,True\n")
    with pytest.raises(UserError, match="line 3, column 'r2' has 'much'"):
        read_forms(path)
