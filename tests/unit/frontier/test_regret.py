"""The price of simpler rules."""

import numpy as np
import pytest

from vlmfrontier.cost.flops import PaperCost
from vlmfrontier.frontier.pool import Members, Target, as_in_the_paper
from vlmfrontier.frontier.search import pooled_errors
from vlmfrontier.frontier.space import RunRange, grid_space
from vlmfrontier.frontier.tables import frontier_rule, llava_rule, regret_table, scaling_rules, summary

SPACE = grid_space({"N": [1.0, 4.0], "T": np.arange(1, 11), "V": [1, 4, 9, 16]}, PaperCost(M=5, W=16))
RNG = np.random.default_rng(0)
A = RNG.lognormal(0, 0.2, (30, 3)) @ np.stack([20 / SPACE.factors[name] ** 0.7 for name in "NTV"])
TARGET = Target("avg", SPACE, as_in_the_paper(Members(A, 0 * A, np.zeros(30))), RunRange({}, None))
BUDGETS = np.array([200.0, 400.0, 900.0])


def test_rules_take_what_they_say():
    rules = scaling_rules(SPACE, {"N": 1.1, "T": 2, "V": 4})
    assert SPACE.at(rules["scale T alone"](400.0)) == {"N": 1, "T": 2, "V": 4}
    assert SPACE.at(rules["scale V alone"](400.0)) == {"N": 1, "T": 2, "V": 16}
    assert rules["scale V alone"](200.0) == -1
    (name, rule), *_ = llava_rule(SPACE, {"N": 1, "T": 2, "V": 4}).items()
    assert name == "largest LM, V = 16, fewer frames"
    assert SPACE.at(rule(900.0)) == {"N": 4, "T": 3, "V": 16}


def test_a_rule_that_scales_frames_keeps_the_vision_model():
    axes = {"N": [1.0, 4.0], "T": np.arange(1, 11), "V": [1, 4], "M": [1.0, 5.0, 9.0]}
    space = grid_space(axes, PaperCost(M=5, W=16))
    (rule,) = llava_rule(space, {"N": 1, "T": 2, "V": 4, "M": 5.0}).values()
    assert space.at(rule(900.0)) == {"N": 4, "T": 4, "V": 4, "M": 5}


def test_no_rule_beats_the_frontier_and_following_it_costs_nothing():
    errors = pooled_errors(TARGET.ensemble.pool, np.array([1.0]))[0]
    rules = {**scaling_rules(SPACE, {"N": 4, "T": 2, "V": 4}), "itself": frontier_rule(SPACE, errors)}
    table = regret_table(TARGET, BUDGETS, None, rules)
    assert (table.regret >= 0).all()
    assert (table[table.rule == "itself"][["regret", "regret_lo", "regret_hi"]] == 0).all(axis=None)
    assert table[table.rule == "scale V alone"].regret.max() > 0
    assert (table.regret_lo <= table.regret_hi).all()


def test_the_summary_averages_over_the_budgets_a_rule_can_meet():
    table = regret_table(TARGET, BUDGETS, None, scaling_rules(SPACE, {"N": 1, "T": 2, "V": 4}))
    rows = summary(table).set_index("rule")
    assert rows.budgets["scale V alone"] == 2
    assert rows.mean_regret["scale N alone"] == pytest.approx(table[table.rule == "scale N alone"].regret.mean())
