"""Suggested runs answer the question that decides."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vlmfrontier.command.frontier import next_design, rows_of
from vlmfrontier.cost.flops import PaperCost
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.candidates import RIVAL, Candidates, Treatment, candidates_of
from vlmfrontier.frontier.next_runs import suggest
from vlmfrontier.frontier.pool import Members, Target, as_in_the_paper
from vlmfrontier.frontier.space import RunRange, grid_space
from vlmfrontier.laws.transfer import Columns, GapDraws, Place
from vlmfrontier.study.load import load_study
from vlmfrontier.study.space import VideoLevels
from vlmfrontier.sweep.runs import plan_runs

NO = np.zeros(1, bool)
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
    assert next_design(study, []) == {"next": {"design": "rows", "rows": [first]}}
    assert next_design(load_study([ROOT / "config.yaml"]), []) == {}
    table = pd.DataFrame({"N": [83280.0], "T": [3.0], "V": [16.0], "n": [250.0]})
    rows = rows_of(table, study)
    assert rows == [{"N": "m", "T": 3, "V": 16, "n": 250}]
    both = {"sweep": {"designs": next_design(study, rows)}}
    assert both["sweep"]["designs"]["next"]["rows"] == [first, *rows]
    assert len(plan_runs(load_study([ROOT / "config.yaml"], both))) == len(plan_runs(study)) + 1


LEVELS = VideoLevels(T=[1, 2, 4], V=[4, 16])


def test_a_training_is_a_candidate_for_the_rivals_that_it_is_tested_at():
    known = target(0.15)
    alone = candidates_of(known, RUNS, BUDGETS[:1] * [1, 1.5], EXAMPLES)
    rival = SPACE.at(alone.index[-1])
    few = Treatment(VideoLevels(T=[rival["T"], 8], V=[rival["V"], 25]), questions=10, epochs=2)
    more = candidates_of(known, RUNS, BUDGETS[:1] * [1, 1.5], EXAMPLES, few)
    # (8, 25) costs more than any budget; a model of it would be tested at a rival.
    top = int(np.flatnonzero((SPACE.factors["T"] == 8) & (SPACE.factors["V"] == 25))[0])
    assert top in more.index
    assert top not in alone.index
    k = list(more.index).index(top)
    assert more.tests[k][0] == top
    assert {(SPACE.at(i)["T"], SPACE.at(i)["V"]) for i in more.tests[k]} == set(
        product([rival["T"], 8], [rival["V"], 25])
    )
    assert more.testing[k] == 10 * SPACE.cost[more.tests[k]].sum()
    assert more.cost[k] == 2 * 3 * SPACE.cost[top] * more.examples[k]


def test_a_training_with_more_points_tells_more_and_costs_more():
    known = target(0.15)
    one, many = (candidates_of(known, RUNS, BUDGETS, [200.0], Treatment(also, 0)) for also in (None, LEVELS))
    k = list(many.index).index(int(np.flatnonzero((SPACE.factors["T"] == 4) & (SPACE.factors["V"] == 16))[0]))
    only = Candidates(many.index[[k]], many.examples[[k]], many.cost[[k]], [many.tests[k]], np.array([5.0]), None)
    single = Candidates(many.index[[k]], many.examples[[k]], many.cost[[k]])
    (row,), (alone,) = (
        suggest(known, each, BUDGETS, EXAMPLES, 0.1, 1).to_dict("records")
        for each in (replace(only, elastic=NO), single)
    )
    assert (row["points"], row["testing_cost"]) == (6, 5.0)
    assert "points" not in alone
    assert row["regret_after"] < alone["regret_after"]
    assert len(one.index) <= len(many.index)


def test_tests_elsewhere_tell_as_much_as_the_gap_is_known():
    known = target(0.15)
    many = candidates_of(known, RUNS, BUDGETS, [200.0], Treatment(LEVELS))
    k = list(many.index).index(int(np.flatnonzero((SPACE.factors["T"] == 4) & (SPACE.factors["V"] == 16))[0]))
    only = Candidates(many.index[[k]], many.examples[[k]], np.ones(1), [many.tests[k]], np.ones(1), NO)
    columns = Columns(("T", "V"), (), False, True, {})
    none = GapDraws(columns, Place({"T": 8.0, "V": 25.0}, False), np.zeros((30, 2)))
    nothing_lost, unknown = (suggest(known, only, BUDGETS, EXAMPLES, 0.05, 1, gap=gap) for gap in (none, None))
    assert nothing_lost.regret_after[0] < unknown.regret_after[0]


def test_an_elastic_run_that_is_done_is_not_suggested_again():
    testing = Treatment(draw=VideoLevels(T=[1, 2], V=[4]))
    runs = pd.DataFrame({**SPACE.factors, "n": 200.0, "trained": "levels up to its own", "elastic": True})
    runs = runs.assign(T_train=runs["T"], V_train=runs["V"])
    left = candidates_of(target(0.1), runs, BUDGETS, [200.0], testing)
    assert set(SPACE.factors["T"][left.index]) == {1}  # which draw nothing
    assert not left.elastic.any()


@pytest.mark.parametrize(("also", "said"), [(None, {"T": [1, 2], "V": [4, 9]}), ("none", None)])
def test_suggestions_of_a_ladder_are_tested_at_its_levels_and_nothing_else_changes(also, said):
    ladder = {"design": "ladder", "N": ["xs"], "T": [1, 2], "V": [4, 9], "n": [200], "anchors": 1, "also": also}
    designs = {"star": None, "isoflop": None, "repeats": None, "ladder": ladder}
    change = {"sweep": {"center": None, "designs": designs}, "laws": {"split": None}}
    study = load_study([ROOT / "config.yaml"], change)
    design = next_design(study, [{"N": "xs", "T": 4, "V": 16, "n": 200}])["next"]
    assert design.get("also") == said
    change["sweep"]["designs"] = designs | {"next": design}
    more = load_study([ROOT / "config.yaml"], change)
    before, after = ({run.key: run.tested for run in plan_runs(each)} for each in (study, more))
    (new,) = after.keys() - before.keys()
    assert after[new] == (((1, 4), (1, 9), (2, 4), (2, 9)) if said else ())
    assert {key: after[key] for key in before} == before
    assert next_design(more, [])["next"] == design  # a second round keeps what the first said


def test_all_levels_are_not_those_of_suggestions():
    change = {"evaluate": {"also": "all"}}
    study = load_study([ROOT / "config.yaml"], change)
    rows = {"design": "rows", "rows": [{"N": "m", "T": 3, "V": 9, "n": 200}]}
    more = load_study([ROOT / "config.yaml"], {**change, "sweep": {"designs": {"next": rows}}})
    before, after = ({run.key: run.tested for run in plan_runs(each)} for each in (study, more))
    assert {key: after[key] for key in before} == before
