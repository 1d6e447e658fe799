"""The one-pass search against the naive one, and its rules for ties and empty budgets."""

import numpy as np
import pytest

from vlmfrontier.frontier.pool import Members, stack
from vlmfrontier.frontier.search import affordable, judge, member_choices, near_enough, pooled_errors, search

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
