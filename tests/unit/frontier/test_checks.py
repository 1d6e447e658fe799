"""The three checks on laws that are known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vlmfrontier.cost.flops import PaperCost
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.pool import Ensemble, Members, Target, as_in_the_paper
from vlmfrontier.frontier.space import RunRange, grid_space
from vlmfrontier.frontier.tables import checks_table, extrapolation_check, power_law_check, shift_check
from vlmfrontier.laws.table import from_arrays
from vlmfrontier.study.analysis import LawsConfig

FEW = LawsConfig(starts=40, resamples=10, preset="fast")


def line(error):
    """Return a table of one factor T at three data sizes, with a second factor that stays."""
    T, n = (grid.ravel() for grid in np.meshgrid([1.0, 2, 4, 8, 16], [100.0, 200, 400]))
    return from_arrays({"T": T, "V": np.full(15, 4.0)}, {"avg": error(T, n)}, data=n, data_unit=100.0)


def test_a_power_law_along_a_factor_is_recovered():
    rows = power_law_check(line(lambda T, n: 20 * T**-0.7 + 10 * (n / 100) ** -0.5 + 20), "avg", FEW)
    values = {row["quantity"]: row["value"] for row in rows}
    assert {row["factor"] for row in rows} == {"T"}
    assert {row["verdict"] for row in rows} == {"power law"}
    assert values["runs"] == 15
    assert values["r2"] > 0.999


def test_a_line_of_few_runs_is_told_and_stops_nothing():
    T, n = (grid.ravel() for grid in np.meshgrid([1.0, 2, 4], [100.0, 200]))
    few = from_arrays({"T": T, "V": np.full(6, 4.0)}, {"avg": 20 / T + 10 / n}, data=n, data_unit=100.0)
    (row,) = power_law_check(few, "avg", FEW)
    assert (row["factor"], row["quantity"], row["value"], row["verdict"]) == ("T", "runs", 6, "too few runs")


def test_noise_is_no_power_law():
    rng = np.random.default_rng(0)
    rows = power_law_check(line(lambda T, n: 40 + rng.uniform(0, 10, T.shape)), "avg", FEW)
    assert {row["verdict"] for row in rows} == {"no power law"}


def test_extrapolation_is_read_from_the_table_of_forms():
    forms = pd.DataFrame(
        {
            "target": ["avg", "avg", "avg", "order"],
            "form": ["add", "mult", "add", "add"],
            "setup": ["extrapolation", "extrapolation", "cv", "extrapolation"],
            "mse": [1.0, 9.0, 0.5, 2.0],
            "e_pct": [2.0, 8.0, 1.0, 3.0],
            "r2": [0.9, 0.4, 0.95, 0.99],
        }
    )
    rows = pd.DataFrame(extrapolation_check(forms, "avg", 0.8))
    verdicts = rows.drop_duplicates("form").set_index("form").verdict
    assert dict(verdicts) == {"add": "predicts", "mult": "does not predict"}
    assert list(rows[rows.form == "add"].value) == [1.0, 2.0, 0.9]
    assert {row["verdict"] for row in extrapolation_check(forms, "avg", poor=0.95)} == {"does not predict"}


def known_shift():
    """Return a target with f = 1/V + n^(-1/2)/T: V* rises with n and T* falls."""
    space = grid_space({"T": np.arange(1, 100), "V": np.arange(1, 15) ** 2, "N": [1.0]}, PaperCost(M=0.001, W=1))
    A, B = np.tile(1 / space.factors["V"], (10, 1)), np.tile(1 / space.factors["T"], (10, 1))
    return Target("avg", space, as_in_the_paper(Members(A, B, np.full(10, 0.5))), RunRange({}, (1, 9)))


def test_the_direction_of_a_known_shift_is_found():
    table = checks_table(shift_check(known_shift(), 1000.0, [1.0, 3.0, 9.0])).set_index(["factor", "quantity"])
    assert (table.loc["V"].verdict == "up").all()
    assert (table.loc["T"].verdict == "down").all()
    assert (table.loc["N"].verdict == "not determined").all()
    assert table.loc[("V", "share_up"), "value"].item() == 1
    assert table.loc[("V", "x*"), "value"].is_monotonic_increasing


def test_the_direction_at_one_budget_is_that_of_the_widened_band():
    known = known_shift()
    pool = known.ensemble.pool
    weaker = replace(pool, d=np.linspace(0.4, 2.0, len(pool)))  # V* rises in all, but little in some
    verdicts = []
    for widening in (1.0, 3.0):
        ensemble = Ensemble(weaker, widening=np.full(len(pool), widening))
        table = checks_table(shift_check(replace(known, ensemble=ensemble), 1000.0, [1.0, 9.0]))
        rows = table[table.factor == "V"].set_index("quantity")
        assert rows.value["share_up"] == 1
        verdicts.append(rows.verdict["share_up"])
    assert verdicts == ["up", "not determined"]


def test_a_budget_that_affords_nothing_is_refused():
    with pytest.raises(UserError, match="below the cheapest"):
        shift_check(known_shift(), 1.0, [1.0, 2.0])
