"""The axes of the `space` section."""

import pytest
from pydantic import TypeAdapter, ValidationError

from vlmfrontier.study.space import SpaceConfig


def parse(axis):
    return TypeAdapter(SpaceConfig).validate_python({"T": axis})["T"]


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        (["1k", 500, 2.5], [1000, 500, 2.5]),
        ({"from": 2, "to": 5}, [2, 3, 4, 5]),
        ({"squares": 3}, [1, 4, 9]),
        (["m", "7.5B"], ["m", 7.5e9]),
    ],
)
def test_axes_are_lists_of_levels(axis, values):
    assert parse(axis) == values


@pytest.mark.parametrize("axis", [{"from": 5, "to": 1}, {"squares": 0}, [], {"squares": 2, "from": 1}, [0, 1], ["-1"]])
def test_axes_without_possible_levels_are_refused(axis):
    with pytest.raises(ValidationError, match=r"at least 1 item|write a list|levels are positive") as caught:
        parse(axis)
    assert caught.value.error_count() == 1
