"""Suggested runs answer the question that decides."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vlmfrontier.command.frontier import rows_of, suggested_before
from vlmfrontier.cost.flops import PaperCost
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.next_runs import RIVAL, candidates_of, suggest
from vlmfrontier.frontier.pool import Members, Target, as_in_the_paper
from vlmfrontier.frontier.space import RunRange, grid_space
from vlmfrontier.study.load import load_study
from vlmfrontier.sweep.runs import plan_runs

ROOT = Path(__file__).parents[3]

SPACE = grid_space({"T": np.arange(1, 9), "V": np.arange(1, 6) ** 2, "N": [4.0]}, PaperCost(M=5, W=4))
BUDGETS, EXAMPLES = np.array([100.0, 1000.0]), np.array([200.0, 400.0])
RUNS = pd.DataFrame({"T": [1.0, 8], "V": [4.0, 4], "N": [4.0, 4], "n": [200.0, 200]})


def target(spread):
    """Models that agree on T and differ on V by `spread`."""
    rng = np.random.default_rng(0)
    exponents = 0.5 + spread * rng.standard_normal((30, 1))
    A = 20 / SPACE.factors["T"] ** 0.5 + 20 / SPACE.factors["V"] ** exponents
    return Target(
        "avg", SPACE, as_in_the_paper(Members(A, np.full_like(A, 5), np.full(30, 0.4), 200.0)), RunRange({}, (1, 2))
    )


def test_candidates_are_rivals_that_have_not_been_run():
    known = target(0.1)
    candidates = candidates_of(known, RUNS, BUDGETS, EXAMPLES)
    errors = {n: np.median(known.ensemble.pool.errors(np.arange(len(SPACE)), n), axis=0) for n in EXAMPLES}
    for index, n in zip(candidates.index, candidates.examples, strict=True):
        affordable = errors[n][: index + 1]
        assert errors[n][index] <= RIVAL * affordable.min() * (1 + 1e-12)
        assert (SPACE.factors["T"][index], SPACE.factors["V"][index], n) not in {(1, 4, 200), (8, 4, 200)}
    np.testing.assert_allclose(candidates.cost, 3 * SPACE.cost[candidates.index] * candidates.examples)


def test_what_was_tested_only_may_still_be_trained():
    known, tested = target(0.1), pd.DataFrame({**SPACE.factors, "n": 200.0, "trained": "T = 8, V = 25"})
    candidates = candidates_of(known, tested, BUDGETS, [200.0])
    assert len(candidates.index) == len(candidates_of(known, RUNS.iloc[:0], BUDGETS, [200.0]).index)
    with pytest.raises(UserError, match="has been run"):
        candidates_of(known, tested.assign(trained=""), BUDGETS, [200.0])


def test_every_run_lowers_the_expected_regret_and_none_comes_twice():
    known = target(0.15)
    table = suggest(known, candidates_of(known, RUNS, BUDGETS, EXAMPLES), BUDGETS, EXAMPLES, noise=0.1, count=4)
    assert len(table.drop_duplicates(["T", "V", "N", "n"])) == 4
    np.testing.assert_array_equal(table.regret_before[1:], table.regret_after[:-1])
    assert table.regret_after.iloc[0] < table.regret_before.iloc[0]
    assert table.regret_after.iloc[-1] < table.regret_after.iloc[0]


def test_noise_makes_a_run_worth_less():
    known = target(0.15)
    candidates = candidates_of(known, RUNS, BUDGETS, EXAMPLES)
    clear, noisy = (suggest(known, candidates, BUDGETS, EXAMPLES, noise, 1).regret_after[0] for noise in (0.001, 0.5))
    assert clear < noisy


def test_nothing_left_to_run_is_said():
    everything = pd.DataFrame({**SPACE.factors, "n": 200.0})
    with pytest.raises(UserError, match="every rival of the frontier has been run"):
        candidates_of(target(0.1), everything, BUDGETS, [200.0])


def test_a_second_round_of_suggestions_adds_to_the_first():
    first = {"N": "m", "T": 4, "V": 9, "n": 500}
    study = load_study([ROOT / "config.yaml"], {"sweep": {"designs": {"next": {"design": "rows", "rows": [first]}}}})
    assert suggested_before(study) == [first]
    assert suggested_before(load_study([ROOT / "config.yaml"])) == []
    table = pd.DataFrame({"N": [83280.0], "T": [3.0], "V": [16.0], "n": [250.0]})
    rows = rows_of(table, study)
    assert rows == [{"N": "m", "T": 3, "V": 16, "n": 250}]
    both = {"sweep": {"designs": {"next": {"design": "rows", "rows": [first, *rows]}}}}
    assert len(plan_runs(load_study([ROOT / "config.yaml"], both))) == len(plan_runs(study)) + 1
