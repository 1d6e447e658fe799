"""The choice of a form: interactions found where they are, not where they are not; weights; tables."""

import numpy as np
import pandas as pd
import pytest

from vlmfrontier.laws.ablations import bagging_table, fitting_table
from vlmfrontier.laws.metrics import metrics
from vlmfrontier.laws.report import write_table
from vlmfrontier.laws.selection import Evidence, choose, chosen_form, compare_forms
from vlmfrontier.laws.stage import fit_target
from vlmfrontier.laws.synthetic import ADDITIVE, STRONG, paper_sweep
from vlmfrontier.laws.table import from_arrays
from vlmfrontier.laws.validation import cross_validated, folds
from vlmfrontier.study.laws import LawsConfig


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


def evidence(cv: float, extrapolation: float | None) -> Evidence:
    """Return predictions whose log errors alternate with these sizes about an error of 30."""
    off = 30 * np.exp(np.resize([1.0, -1.0, 1.1, -0.9], 40) * cv)
    beyond = None if extrapolation is None else 30 * np.exp(np.resize([1.0, -0.9], 20) * extrapolation)
    return Evidence(off, off, off, beyond)


@pytest.mark.parametrize(
    ("rich", "chosen"),
    [
        (evidence(0.01, 0.01), "add"),  # better at both
        (evidence(0.01, 0.09), "mult"),  # better left out, worse beyond the split
        (evidence(0.03, 0.01), "mult"),  # no better left out
        (evidence(0.01, None), "add"),  # not judged on the split
    ],
)
def test_a_richer_form_must_win_left_out_and_not_lose_beyond_the_split(rich, chosen):
    table = from_arrays({"T": np.arange(1, 41)}, {"e": np.full(40, 30.0)}, split=np.arange(40) < 20)
    assert choose(table, "e", {"mult": evidence(0.03, 0.03), "add": rich})[0] == chosen


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
    found = fit_target(sweep, "avg", config, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "add.bag.csv", "add.json", "add.txt", "add.wild.csv", "forms.csv", "mult.bag.csv", "mult.json", "mult.txt",
        "predictions.csv", "weights.json",
    ]  # fmt: skip
    predictions = pd.read_csv(tmp_path / "predictions.csv")
    for row in found.rows.itertuples():
        judged = predictions[(predictions.form == row.form) & (predictions.setup == row.setup)]
        assert ((judged.predicted - judged.measured) ** 2).mean() == pytest.approx(row.mse, rel=1e-6)  # ten digits kept
    assert chosen_form(tmp_path) == found.chosen


def test_ablations_and_their_files(tmp_path, sweep, quick):
    config = quick.model_copy(update={"forms": ["mult"], "starts": 20})
    fitting, bagging = fitting_table(sweep, "avg", config, scipy_starts=1), bagging_table(sweep, "avg", config)
    assert set(fitting.ablation) == {"loss", "initial", "positive_exponents", "log_space", "exponent_bound", "backend"}
    assert set(fitting.setup) == {"cv", "extrapolation"}
    assert bagging.resamples.tolist() == [1, 50, 100, 100] * 2
    write_table(fitting, tmp_path / "fitting")
    assert len(pd.read_csv(tmp_path / "fitting.csv")) == len(fitting)
    assert (tmp_path / "fitting.md").read_text().splitlines()[0].startswith("| target")
    assert r"\begin{tabular}" in (tmp_path / "fitting.tex").read_text()
