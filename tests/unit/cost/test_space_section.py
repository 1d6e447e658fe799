"""The axes of the `space` section."""

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from vlmfrontier.errors import UserError
from vlmfrontier.study.space import Space, axis_values


def parse(axis):
    return TypeAdapter(Space).validate_python({"T": axis})["T"]


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        (["1k", 500, 500], [500, 1000]),
        ({"from": 2, "to": 5}, [2, 3, 4, 5]),
        ({"from": 0.1, "to": 0.3, "step": 0.1}, [0.1, 0.2, 0.3]),
        ({"squares": 3}, [1, 4, 9]),
        (["m", "xs"], [14, 83]),
    ],
)
def test_axes_give_their_levels_in_order(axis, values):
    # 0.1 + 2 * 0.1 differs from 0.3 in the last bit
    np.testing.assert_allclose(axis_values(parse(axis), {"xs": 14.0, "m": 83.0}), values, rtol=1e-15)


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ({"from": 5, "to": 1}, "empty"),
        ({"squares": 0}, "greater than or equal to 1"),
        ([], "at least 1"),
        ("all", "list"),
    ],
)
def test_a_wrong_axis_gives_one_error(axis, message):
    with pytest.raises(ValidationError, match=message) as caught:
        parse(axis)
    assert caught.value.error_count() == 1


def test_unknown_names_and_levels_that_cannot_be_are_refused():
    with pytest.raises(UserError, match="'huge' is not a number; names are xs, m"):
        axis_values(parse(["huge"]), {"xs": 14.0, "m": 83.0})
    with pytest.raises(UserError, match="must be positive"):
        axis_values(parse([0, 1]))
