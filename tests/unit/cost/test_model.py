"""Which cost a study counts with."""

from types import SimpleNamespace

import pytest

from vlmfrontier.cost.model import cost_model, has_cost
from vlmfrontier.errors import UserError
from vlmfrontier.study.analysis import CostConfig


def study(cost, trained=True, factors=("N", "T", "V")):
    vision = SimpleNamespace(parameters=1000, features=64)
    models = SimpleNamespace(towers={"": vision}, largest_tower=vision, several_towers=False)
    return SimpleNamespace(study="mine", trained=trained, cost=cost, factors=lambda: list(factors), models=models)


@pytest.mark.parametrize(
    ("cost", "trained", "expected"),
    [
        (CostConfig(), True, (1000, 64)),
        (CostConfig(W=729), True, (1000, 729)),
        (CostConfig(model="paper"), False, (430e6, 768)),
        (CostConfig(model="paper", M="1B", W=1), False, (1e9, 1)),
    ],
)
def test_constants_of_eq_1_come_from_the_config_the_vision_model_or_the_paper(cost, trained, expected):
    model = cost_model(study(cost, trained))
    constants = (model.M, model.W)
    assert constants == expected


def test_a_table_without_cost_has_no_frontier():
    assert not has_cost(study(None, trained=False))
    with pytest.raises(UserError, match="mine: cost is missing"):
        cost_model(study(CostConfig(), trained=False))


def test_the_cost_may_only_read_factors_of_the_study():
    assert cost_model(study(CostConfig(expression="V * 2"))).factors == ("V",)
    with pytest.raises(UserError, match=r"layers; .* N, T, V"):
        cost_model(study(CostConfig(expression="V * layers")))
    with pytest.raises(UserError, match="needs the factor T"):
        cost_model(study(CostConfig(model="paper"), trained=False, factors=("N",)))


def test_cost_sections_that_contradict_themselves_are_refused():
    with pytest.raises(ValueError, match="give one of model, expression"):
        CostConfig(model="paper", expression="N")
    with pytest.raises(ValueError, match="M must be positive"):
        CostConfig(M=0)


def test_counted_costs_are_for_the_studys_own_models():
    with pytest.raises(UserError, match="needs the study's models"):
        cost_model(study(CostConfig(model="counted"), trained=False))
    with pytest.raises(ValueError, match=r"M and W .*model: paper"):
        CostConfig(model="counted", M=1)
