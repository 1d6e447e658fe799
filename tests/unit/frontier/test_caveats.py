"""What makes an answer less sure is said, and nothing is said where nothing is."""

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from vlmfrontier.cost.flops import PaperCost
from vlmfrontier.frontier import caveats
from vlmfrontier.frontier.answers import Answer, answer
from vlmfrontier.frontier.caveats import no_form_holds
from vlmfrontier.frontier.measured import Measured
from vlmfrontier.frontier.pool import Members, Target, TargetLaws, as_in_the_paper
from vlmfrontier.frontier.space import RunRange, SearchSpace, grid_space
from vlmfrontier.laws.discrepancy import Basis, Discrepancy
from vlmfrontier.laws.table import from_arrays

COST = PaperCost(M=5, W=16)
SPACE = grid_space({"N": [1.0, 4.0, 9.0], "T": np.arange(1, 9), "V": [1, 4, 9]}, COST)
TRUTH = 20 / SPACE.factors["T"] + 20 / SPACE.factors["V"] + 20 / SPACE.factors["N"] ** 0.5
SPREAD = np.linspace(0.97, 1.03, 41)[:, None]
"""41 models, each as far from the truth everywhere: they agree on x*, and their 90% range is ±2.7%."""
MEMBERS = Members(SPREAD * TRUTH, np.full((41, len(SPACE)), 10.0), np.full(41, 0.5), data_unit=100.0, largest=100.0)
NOISE = 0.02
TARGET = Target(
    "avg",
    SPACE,
    replace(as_in_the_paper(MEMBERS), noise=np.array([NOISE])),
    RunRange({"N": (1, 9), "T": (1, 8), "V": (1, 9)}, (100, 400)),
)
BUDGET, N = 1100.0, 100.0


def run(x, error, n=N):
    cost = float(COST.cost({name: np.array([value]) for name, value in x.items()})[0])
    return {**x, "n": n, "c": cost, "avg": error}


OTHER = pd.DataFrame([run({"N": 4.0, "T": 2.0, "V": 4.0}, 30.0, n=200)])
"""A run with another n, which says nothing of this one."""


def asked(*runs, budget=BUDGET, target=TARGET) -> Answer:
    return answer(target, pd.DataFrame(runs) if runs else OTHER, budget, N, near=0.005)


X = asked().choice
"""x* and what is promised of it."""
CHEAP = SPACE.at(3)


def test_nothing_is_said_inside_the_space_and_the_runs():
    inside = replace(X, x={"N": 4.0, "T": 5.0, "V": 4.0})
    assert caveats.of_answer(TARGET, Measured.of(OTHER, TARGET, N), inside, BUDGET, N) == ()


@pytest.mark.parametrize(
    ("errors", "outside"),
    [
        ([X.f], False),
        ([X.run_lo * 1.001], False),
        ([X.run_lo * 0.999], True),
        ([X.run_hi * 1.001], True),
        ([X.run_hi * 1.02, X.f], False),  # one seed of two lies outside, their mean does not
        ([X.run_hi * 1.02, X.run_hi * 1.001], True),
    ],
)
def test_a_measurement_of_x_itself_outside_its_interval_is_said(errors, outside):
    (said,) = [one for one in asked(*(run(X.x, error) for error in errors)).warnings if "itself" in one] or [""]
    assert bool(said) == outside
    if outside:
        assert f"{np.mean(errors):.2f}, outside the {X.run_lo:.2f} to {X.run_hi:.2f}" in said
        assert ("mean of 2 runs" in said) == (len(errors) == 2)


def test_a_measurement_with_another_n_contradicts_nothing():
    assert not any("measured" in one for one in asked(run(X.x, 1.0, n=400)).warnings)


def test_a_better_run_within_the_budget_is_said_with_its_cost():
    law = np.log(X.f / X.f_lo) / NormalDist().inv_cdf(0.95)
    least = X.f * np.exp(-NormalDist().inv_cdf(0.99) * np.hypot(law, NOISE))
    (said,) = [one for one in asked(run(CHEAP, least * 0.999)).warnings if "better than" in one]
    assert said.startswith(f"N = {CHEAP['N']:g}, T = {CHEAP['T']:g}, V = {CHEAP['V']:g} was measured at ")
    assert f"the {X.f:.2f} predicted for the recommendation" in said
    assert not any("better than" in one for one in asked(run(CHEAP, least * 1.001)).warnings)
    beyond = run(SPACE.at(len(SPACE) - 1), least * 0.9)
    assert beyond["c"] > BUDGET
    assert not any("better than" in one for one in asked(beyond).warnings)


def test_the_best_of_many_runs_must_stand_out_further():
    least = asked(run(CHEAP, X.f * 0.94))
    many = [run(SPACE.at(j), X.f * 1.1) for j in range(30) if SPACE.at(j) not in (CHEAP, X.x)]
    crowd = asked(run(CHEAP, X.f * 0.94), *many)
    assert any("better than" in one for one in least.warnings)
    assert not any("better than" in one for one in crowd.warnings)


def test_what_was_measured_stands_beside_what_is_predicted():
    """The best run within the budget is worse, better by luck, better beyond noise, or the recommendation itself."""
    at = f"The best run within the budget with n = {N:g} (N = {CHEAP['N']:g}, T = {CHEAP['T']:g}, V = {CHEAP['V']:g}"
    law = float(np.median(MEMBERS.errors(np.array([3]), N)))
    cases = [
        ([], "No run with n = 100 lies within the budget."),
        ([1.1], f"and measured {1.1 * X.f:.2f}; {X.f:.2f} is predicted for the recommendation"),
        (
            [0.99],
            f"below the {X.f:.2f} predicted for the recommendation, but within noise: the law, fitted to all runs,",
        ),
        ([0.99, 0.98], f"{0.985 * X.f:.2f} (mean of 2 runs); that is below"),
        ([0.8], "by more than noise: consider it instead"),
    ]
    for scales, part in cases:
        found = asked(*(run(CHEAP, scale * X.f) for scale in scales))
        assert found.measured[0] == "The recommendation itself was not measured with n = 100."
        assert part in found.measured[1]
        assert found.measured[1].startswith(at) == bool(scales)
        assert (found.best_measured is None) == (not scales)
    lucky = asked(run(CHEAP, 0.99 * X.f))
    assert lucky.measured[1].endswith(f"predicts {law:.2f} for it.")
    assert lucky.best_measured.predicted == pytest.approx(law)
    itself = asked(run(X.x, X.f), run(CHEAP, 1.2 * X.f))
    assert itself.measured[0].startswith(f"The recommendation itself was measured: {X.f:.2f}; a new run of it should")
    assert itself.measured[1] == "No run with n = 100 within the budget measured better than it."
    assert itself.itself == itself.best_measured


def test_a_model_trained_elsewhere_is_no_run_of_the_recommendation():
    """It is said where it was trained, contradicts no prediction, and stands back behind one trained there."""
    away = {**run(X.x, 0.5 * X.f), "trained": "T = 8, V = 9"}
    found = asked(away)
    by = "(a model trained at T = 8, V = 9)"
    assert (
        found.measured[0] == f"The recommendation itself was measured {by}: {0.5 * X.f:.2f}; it was not trained there."
    )
    assert by in asked(away, {**run(CHEAP, 0.4 * X.f), "trained": "T = 8, V = 9"}).measured[1]
    assert not any("outside the" in said for said in found.warnings)
    there = asked(away, {**run(X.x, X.f), "trained": ""})
    assert (there.itself.trained, there.itself.error) == ("", X.f)
    assert there.best_measured.trained == "T = 8, V = 9"


def test_a_run_outside_the_space_has_no_prediction_of_the_law():
    found = asked(run({"N": 4.0, "T": 1.5, "V": 4.0}, 0.99 * X.f))
    assert found.best_measured.predicted is None
    assert "(N = 4, T = 1.5, V = 4, not in the space)" in found.measured[1]
    assert found.measured[1].endswith("but within noise.")


def test_by_noise_alone_a_better_run_is_rarely_claimed():
    """The law is right and every affordable configuration was run: 1% of the studies at most may be contradicted."""
    rng = np.random.default_rng(0)
    rows = [SPACE.at(j) for j in np.flatnonzero(SPACE.cost <= BUDGET)]
    f = np.array([MEMBERS.errors(np.array([j]), N)[20, 0] for j in np.flatnonzero(SPACE.cost <= BUDGET)])
    table = pd.DataFrame([run(x, 0.0) for x in rows])
    claimed = 0
    for _ in range(200):
        table["avg"] = f * rng.lognormal(0, NOISE, len(f))
        claimed += any(
            "better than" in one for one in caveats.of_answer(TARGET, Measured.of(table, TARGET, N), X, BUDGET, N)
        )
    assert claimed <= 6


@pytest.mark.parametrize(("share", "said"), [(1.0, True), (1.5, True), (0.99, False)])
def test_a_budget_that_affords_everything_is_said(share, said):
    found = asked(budget=share * SPACE.cost[-1])
    assert any("more budget cannot help" in one for one in found.warnings) == said


def test_an_optimum_at_the_edge_names_its_factors_as_the_column_does():
    found = asked(budget=2 * SPACE.cost[-1])
    assert found.edge == ("N", "T", "V")
    said = [one for one in found.warnings if "of the space: nothing" in one]
    assert said[0] == "N = 9 is the largest value of the space: nothing larger was considered."
    assert len(said) == 3
    least = caveats.at_end(SPACE, "T", 1.0)
    assert least == "T = 1 is the smallest value of the space: nothing smaller was considered"


def test_a_factor_with_two_values_is_said():
    factors = {"N": np.array([1e9, 3e9, 8e9]), "T": np.array([8, 16, 8])}
    (said,) = caveats.two_levels(factors)
    assert said.startswith("the runs have two values of T, 8 and 16:")


def test_predictions_never_exceed_the_largest_error_nor_fall_below_the_floor():
    floor = 5.0
    far = replace(MEMBERS, A=MEMBERS.A * 8 + floor)
    ensemble = replace(as_in_the_paper(far), noise=np.array([0.5]))
    found = asked(target=replace(TARGET, ensemble=ensemble), budget=SPACE.cost[2])
    assert found.choice.f == found.choice.f_hi == found.choice.run_hi == 100
    assert found.choice.f_lo >= floor
    assert "The law's own prediction is above 100 and is capped." in found.warnings
    endless = replace(ensemble, pool=replace(far, largest=np.inf))
    loss = asked(target=replace(TARGET, ensemble=endless), budget=SPACE.cost[2])
    assert loss.choice.f > 100
    assert not any("capped" in one for one in loss.warnings)


def test_what_holds_for_every_answer_comes_with_each():
    found = answer(TARGET, OTHER, BUDGET, N, 0.005, caveats=["poor fit: …"])
    assert found.warnings[0] == "poor fit: …"
    assert found.record()["warnings"][0] == "poor fit: …"


def test_a_space_of_one_configuration_has_no_edge():
    alone = SearchSpace({"N": np.ones(1)}, np.ones(1))
    assert alone.at_end({"N": 1.0}) == []


def test_a_discrepancy_that_the_residuals_show_is_said_with_its_size():
    table = from_arrays({"T": np.geomspace(1, 64, 9)}, {"avg": np.arange(10.0, 19)})
    basis = Basis.over(table)
    level = np.zeros((3, basis.features(table.factors).shape[1]))
    level[:, 1] = 0.05
    for probability, said in ((0.95, True), (0.5, False)):
        found = Discrepancy(basis, level, 0 * level, np.full(3, 0.01), np.ones(3), probability)
        sentences = no_form_holds(TargetLaws("avg", {}, "add", {}, found), table)
        assert bool(sentences) == said
    (sentence,) = no_form_holds(TargetLaws("avg", {}, "add", {}, replace(found, probability=0.95)), table)
    size = np.sqrt(np.mean((0.05 * basis.features(table.factors)[:, 1]) ** 2))
    assert (
        f"no form holds for avg: neighbouring runs differ from the laws alike, by {size:.1%} of the error" in sentence
    )
    assert no_form_holds(TargetLaws("avg", {}, "add", {}, None), table) == []


def test_every_caveat_is_a_sentence():
    """Those of an answer, what was measured beside it, and the patterns that the explorer fills in."""
    patterns = caveats.patterns(3)["sentences"]
    found = asked(run(CHEAP, 0.5 * X.f), run(X.x, 2 * X.f), budget=SPACE.cost[-1])
    assert len(found.warnings) > 3
    for said in (*found.warnings, *found.measured, *patterns.values()):
        assert said.endswith(".")
        assert said[0].isupper() or said[0] == "{"
