"""What finetuning costs."""

import numpy as np

from vlmfrontier.cost.training import training_cost


def test_a_training_costs_three_times_its_inference():
    np.testing.assert_array_equal(training_cost([2.0, 5.0], 10, epochs=2), [120, 300])
