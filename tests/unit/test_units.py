"""Numbers as people write and read them."""

import math

import pytest

from vlmfrontier.units import (
    format_count,
    format_difference,
    format_error,
    format_flops,
    format_number,
    format_quantity,
    parse_number,
)


@pytest.mark.parametrize(
    ("value", "cost", "count", "flops"),
    [
        (0, "0", "0", "0 FLOPs"),
        (-0.0, "0", "0", "0 FLOPs"),
        (1, "1", "1", "1 FLOPs"),
        (999.6, "1k", "1k", "1 kFLOPs"),
        (83_280, "83.3k", "83.3k", "83.3 kFLOPs"),
        (999_600, "1M", "1M", "1 MFLOPs"),
        (2.8e9, "2.8G", "2.8B", "2.8 GFLOPs"),
        (2.03e12, "2.03T", "2.03T", "2.03 TFLOPs"),
        (1.2e18, "1.2E", "1.2E", "1.2 EFLOPs"),
        (999.9e18, "1Z", "1Z", "1 ZFLOPs"),
        (7.11e21, "7.11Z", "7.11Z", "7.11 ZFLOPs"),
        (3e24, "3Y", "3Y", "3 YFLOPs"),
        (3e27, "3e+27", "3e+27", "3e+27 FLOPs"),
        (0.00123, "0.00123", "0.00123", "0.00123 FLOPs"),
        (math.inf, "inf", "inf", "inf FLOPs"),
    ],
)
def test_costs_counts_and_flops(value, cost, count, flops):
    assert (format_number(value), format_count(value), format_flops(value)) == (cost, count, flops)
    if math.isfinite(value):
        assert parse_number(count) == pytest.approx(value, rel=5e-3)
        assert parse_number(cost) == pytest.approx(value, rel=5e-3)


def test_what_is_not_known_is_no_number():
    assert format_number(math.nan) == format_count(math.nan) == "unknown"
    assert format_quantity(math.nan) == ""


@pytest.mark.parametrize(
    ("value", "written"),
    [(16_273.2, "16,300"), (731, "731"), (99.96, "100"), (23.61, "23.6"), (0.05, "0.05"), (6.8e-6, "< 0.01"), (0, "0")],
)
def test_hours_and_gib(value, written):
    assert format_quantity(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (33.449, "33.45"),
        (1.9999, "2.00"),
        (0.0123456, "0.0123"),
        (0.5, "0.500"),
        (0.012, "0.0120"),
        (1e-12, "0"),
        (0, "0"),
        (-0.0, "0"),
        (123.456, "123.46"),
    ],
)
def test_errors(value, written):
    assert format_error(value) == written


@pytest.mark.parametrize(
    ("value", "beside", "written"),
    [
        (0.79, 33.0, "+0.79"),
        (-0.79, 33.0, "-0.79"),
        (-0.001, 33.0, "+0.00"),  # no minus before nothing
        (0.0, 33.0, "+0.00"),
        (0.00042, 0.0123, "+0.0004"),
        (-0.0042, 0.0123, "-0.0042"),
        (0.1, 0.0, "+0.10"),
    ],
)
def test_differences_have_the_decimals_of_their_error(value, beside, written):
    assert format_difference(value, beside) == written
