"""The search space of a study: combinations, order, defaults, and what is refused."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vlmfrontier.cost.flops import PaperCost, paper_cost
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.space import check_frontier, grid_space, search_space
from vlmfrontier.study.analysis import CostConfig, FrontierConfig
from vlmfrontier.study.load import load_study

CONFIG = Path(__file__).parents[3] / "config.yaml"

RUNS = {"N": np.array([10.0, 30.0]), "T": np.array([1.0, 4.0]), "V": np.array([4.0, 9.0])}


def study(space=None, trained=True, budgets=None):
    language = {"xs": SimpleNamespace(N=10.0), "m": SimpleNamespace(N=30.0)}
    tower = SimpleNamespace(parameters=100, features=16)
    models = SimpleNamespace(language=language, towers={"": tower}, largest_tower=tower, several_towers=False)
    cost = CostConfig(model="paper", M=100, W=16)
    return SimpleNamespace(
        study="mine",
        trained=trained,
        space=space,
        models=models if trained else None,
        cost=cost,
        factors=lambda: ["N", "T", "V"],
        frontier=FrontierConfig(budgets=budgets),
    )


def test_the_space_holds_every_combination_in_order_of_cost():
    space = grid_space({"N": [30, 10], "T": [1, 2, 3], "V": [1, 4]}, PaperCost(M=5, W=2))
    assert len(space) == 12
    assert len(set(zip(*space.factors.values(), strict=True))) == 12
    assert (np.diff(space.cost) >= 0).all()
    np.testing.assert_array_equal(space.cost, paper_cost(**space.factors, M=5, W=2))
    assert len(space.within(space.cost[4])) == 5


def test_a_trained_study_may_deploy_its_models_twice_its_frames_and_the_encoders_squares():
    space = search_space(study(), RUNS)
    np.testing.assert_array_equal(space.levels("N"), [10, 30])
    np.testing.assert_array_equal(space.levels("T"), np.arange(1, 9))
    np.testing.assert_array_equal(space.levels("V"), [1, 4, 9, 16])


def test_the_section_replaces_defaults_and_knows_the_language_models():
    space = search_space(study({"N": ["m", 50.0], "T": [2.0]}), RUNS)
    np.testing.assert_array_equal(space.levels("N"), [30, 50])
    np.testing.assert_array_equal(space.levels("T"), [2])
    np.testing.assert_array_equal(space.levels("V"), [1, 4, 9, 16])


def test_an_own_table_may_deploy_its_own_levels():
    space = search_space(study({"V": [1.0]}, trained=False), RUNS)
    assert {name: list(space.levels(name)) for name in RUNS} == {"N": [10, 30], "T": [1, 4], "V": [1]}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"X": [1.0]}, "no factor 'X'; the factors are N, T, V"),
        ({"N": ["huge"]}, "'huge' is not a number, and the models are xs, m"),
        ({"T": []}, "T has no feasible value"),
    ],
)
def test_spaces_that_make_no_sense_are_refused(space, message):
    with pytest.raises(UserError, match=message):
        search_space(study(space), RUNS)


@pytest.mark.parametrize(
    ("space", "message"),
    [({"X": [1]}, "space.X = .*: there is no such factor"), ({"N": ["mm"]}, r"space.N.*'mm': is not a number.*\bm\b")],
)
def test_unknown_names_stop_a_study_before_any_job(space, message):
    with pytest.raises(UserError, match=message):
        load_study([CONFIG], {"space": space})


def test_budgets_that_afford_nothing_stop_a_study_before_any_job():
    check_frontier(study(), RUNS)
    check_frontier(study(budgets=["5k", "9k"]), RUNS)
    message = (
        r"study mine: frontier.budgets: budget 3k FLOPs is below the cheapest configuration \(N = 10, T = 1, V = 1\)"
    )
    for budgets in (["9k", "3k"], {"from": "3k", "to": "9k", "count": 3}):
        with pytest.raises(UserError, match=message):
            check_frontier(study(budgets=budgets), RUNS)
