"""The one-pass search against the naive one, and its rules for ties and empty budgets."""

import numpy as np
import pytest

from vlmfrontier.frontier.pool import Members, members_of, stack
from vlmfrontier.frontier.search import affordable, judge, member_choices, near_enough, pooled_errors, search
from vlmfrontier.laws.bagging import Bag
from vlmfrontier.laws.forms import form_for

RNG = np.random.default_rng(0)
COST = np.sort(RNG.uniform(1, 100, 60))
MEMBERS = Members(RNG.uniform(10, 30, (13, 60)), RNG.uniform(0, 9, (13, 60)), RNG.uniform(0.1, 0.6, 13), data_unit=1e3)
EXAMPLES = np.array([200.0, 1e3, 5e3])
BUDGETS = np.array([0.5, 3.0, 20.0, 90.0, 100.0])  # nothing is affordable for the first
COUNTS = affordable(COST, BUDGETS)


def naive(errors, budget):
    """The best of the affordable configurations by looking at each of them; −1 if there is none."""
    feasible = np.flatnonzero(budget >= COST)
    return feasible[np.argmin(errors[feasible])] if len(feasible) else -1


def all_errors(examples):
    return MEMBERS.A + MEMBERS.B * (examples / 1e3) ** -MEMBERS.d[:, None]


@pytest.mark.parametrize("count", [1, 2, 12, 13])
def test_pooled_errors_are_medians_over_the_models(count):
    some = MEMBERS.take(np.arange(count))
    expected = [np.median(all_errors(n)[:count], axis=0) for n in EXAMPLES]
    np.testing.assert_allclose(pooled_errors(some, EXAMPLES), expected, rtol=1e-14)  # n^-d may differ in the last bit


def test_search_equals_the_naive_search_for_every_budget_and_data_size():
    errors = pooled_errors(MEMBERS, EXAMPLES)
    expected = [[naive(row, budget) for budget in BUDGETS] for row in errors]
    np.testing.assert_array_equal(search(errors, COUNTS), expected)


def test_every_model_finds_its_own_optimum():
    choices = member_choices(MEMBERS, EXAMPLES, COUNTS)
    for s, n in enumerate(EXAMPLES):
        expected = [[naive(row, budget) for budget in BUDGETS] for row in all_errors(n)]
        np.testing.assert_array_equal(choices[:, s], expected)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_judge_gives_every_models_optimum_and_its_errors_there_and_at_the_choice(examples):
    counts = COUNTS[1:]
    chosen = search(pooled_errors(MEMBERS, np.array([examples])), counts)[0]
    optimum, own, least = judge(MEMBERS, examples, counts, chosen)
    errors = all_errors(examples)
    for c, count in enumerate(counts):
        np.testing.assert_array_equal(optimum[:, c], errors[:, :count].argmin(axis=1))
        np.testing.assert_allclose(own[:, c], errors[:, chosen[c]], rtol=1e-14)  # n^-d may differ in the last bit
        np.testing.assert_allclose(least[:, c], errors[:, :count].min(axis=1), rtol=1e-14)


def test_budgets_must_ascend():
    with pytest.raises(ValueError, match="ascend"):
        affordable(COST, np.array([2.0, 1.0]))


def test_ties_go_to_the_cheaper_configuration_even_through_rounding():
    errors = np.array([[3.0, 0.1 + 0.2, 0.3, 0.3 * (1 - 1e-12), 0.2]])
    np.testing.assert_array_equal(search(errors, np.array([1, 2, 3, 4, 5])), [[0, 1, 1, 1, 4]])


def test_stacked_members_must_count_data_in_the_same_unit():
    assert len(stack([MEMBERS, MEMBERS.take(np.array([0, 0]))])) == 15
    with pytest.raises(ValueError, match="different units"):
        stack([MEMBERS, Members(MEMBERS.A, MEMBERS.B, MEMBERS.d, data_unit=1.0)])


RIVALS = np.array([1.0, 2.0, 5.0, 6.0, 7.0, 8.0])  # their costs: all but two cost at least half of the dearest
ERRORS = np.array([90.0, 70.0, 12.0, 8.0, 11.0, 30.0])  # the best of these is 8, the middling one 11.5


@pytest.mark.parametrize(("floor", "expected"), [(0, 0.005), (60, 0.005), (2000, 0.1 * 3.5 / 2008)])
def test_near_is_a_share_of_the_error_or_of_what_a_middling_choice_loses_whichever_is_less(floor, expected):
    np.testing.assert_allclose(near_enough(RIVALS, floor + ERRORS, np.array([6]), 0.005), [expected])
    np.testing.assert_allclose(near_enough(RIVALS, floor + ERRORS, np.array([6]), 0.001), [expected / 5])


def test_near_compares_with_all_affordable_configurations_where_few_use_the_budget():
    # With 2 units of cost two configurations, 90 and 70; with 1 nothing is at stake, and only the best is near.
    np.testing.assert_allclose(near_enough(RIVALS, 9e4 + ERRORS, np.array([1, 2]), 0.1), [0, 2 * 10 / 90070])


def test_members_under_a_ceiling_end_there_and_others_do_not():
    ceiling = np.where(np.arange(13) % 3 == 0, 25.0, np.inf)
    bent = Members(MEMBERS.A, MEMBERS.B, MEMBERS.d, 1e3, ceiling, np.full(13, 4.0))
    g = all_errors(200.0)
    expected = np.where(np.isinf(ceiling)[:, None], g, (g**-4 + 25.0**-4) ** -0.25)
    np.testing.assert_allclose(bent.errors(np.arange(60), 200.0), expected, rtol=1e-13)
    np.testing.assert_allclose(pooled_errors(bent, np.array([200.0]))[0], np.median(expected, axis=0), rtol=1e-13)
    both = stack([bent.take(np.array([0, 3])), MEMBERS])
    np.testing.assert_allclose(both.errors(np.arange(60), 200.0), np.vstack([expected[[0, 3]], g]), rtol=1e-13)
    optimum, _, least = judge(bent, 200.0, COUNTS[1:], np.zeros(4, int))
    for c, count in enumerate(COUNTS[1:]):
        np.testing.assert_array_equal(optimum[:, c], expected[:, :count].argmin(axis=1))
        np.testing.assert_allclose(least[:, c], expected[:, :count].min(axis=1), rtol=1e-13)


def test_members_of_a_bag_under_a_ceiling_predict_as_it_does():
    form = form_for("add-ceiling", ("N", "T"), True)
    theta = np.array([[30.0, 0.5, 40.0, 0.8, 5.0, 0.3, 8.0, 60.0], [3.0, 0.5, 4.0, 0.8, 5.0, 0.3, 8.0, 90.0]])
    bag = Bag(form, {"N": 2.0, "T": 1.0}, 1e3, theta, np.zeros(2), np.zeros(2))
    x = {"N": np.array([1.0, 8.0]), "T": np.array([1.0, 64.0])}
    predicted = bag.members({**x, "n": np.full(2, 500.0)})
    np.testing.assert_allclose(members_of(bag, x).errors(np.arange(2), 500.0), predicted, rtol=1e-13)
    assert predicted[0, 0] < 60 < form.split_in_data(theta, [[0.5, 1.0]])[0][0, 0]
