"""Measured costs: exact where measured, interpolated between, unknown elsewhere."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vlmfrontier.cost.flops import PaperCost
from vlmfrontier.cost.measured import measured_cost, read_measured
from vlmfrontier.cost.model import cost_model
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.space import grid_space
from vlmfrontier.study.analysis import CostConfig
from vlmfrontier.study.load import load_study

EQ_1 = PaperCost(M=5e3, W=16)
AXES = {"N": [1e3, 4e3], "T": [1.0, 4, 16], "V": [1.0, 9, 16]}


def grid(axes=AXES):
    columns = np.meshgrid(*axes.values(), indexing="ij")
    return pd.DataFrame({name: column.ravel() for name, column in zip(axes, columns, strict=True)})


def measured(frame):
    return measured_cost({name: frame[name].to_numpy() for name in AXES}, EQ_1.cost(frame), "s")


def test_between_measured_levels_eq_1_is_recovered_exactly():
    points = grid({"N": [1.5e3, 2e3, 3.7e3], "T": [2, 3.3, 5, 15], "V": [2, 8, 10, 15.5]})
    np.testing.assert_allclose(measured(grid()).cost(points), EQ_1.cost(points), rtol=1e-12)
    np.testing.assert_allclose(measured(grid()).cost(grid()), EQ_1.cost(grid()), rtol=1e-12)


@pytest.mark.parametrize("outside", [{"N": 500.0}, {"T": 17.0}, {"V": 0.5}])
def test_beyond_the_measurements_there_is_no_cost(outside):
    point = {"N": 2e3, "T": 2.0, "V": 4.0}
    assert np.isfinite(measured(grid()).cost(point))
    assert np.isnan(measured(grid()).cost(point | outside))


def test_a_gap_in_the_measurements_is_no_cost_only_where_it_is_needed():
    model = measured(grid().query("not (N == 4e3 and T == 16 and V == 16)"))
    assert np.isnan(model.cost({"N": 4e3, "T": 16, "V": 16}))
    assert np.isnan(model.cost({"N": 2e3, "T": 10, "V": 10}))
    assert model.cost({"N": 2e3, "T": 4, "V": 10}) == pytest.approx(float(EQ_1.cost({"N": 2e3, "T": 4, "V": 10})))
    assert model.cost({"N": 1e3, "T": 10, "V": 10}) == pytest.approx(float(EQ_1.cost({"N": 1e3, "T": 10, "V": 10})))


def test_the_median_of_repeated_measurements_counts():
    model = measured_cost({"T": np.array([1.0, 1, 1, 2])}, np.array([1.0, 9, 2, 4]), "s")
    np.testing.assert_array_equal(model.cost({"T": [1, 1.5, 2]}), [2, 3, 4])


def test_sizes_written_with_three_digits_are_recognised():
    model = measured_cost({"N": np.array([13.9e3, 83.3e3])}, np.array([1.0, 2]), "s")
    assert model.cost({"N": 83_280.0}) == 2
    assert np.isnan(model.cost({"N": 90_000.0}))


def test_the_space_holds_only_what_has_a_cost():
    space = grid_space({"N": [1e3, 4e3, 9e3], "T": np.arange(1, 33), "V": [1, 4, 9, 16, 25]}, measured(grid()))
    assert (space.levels("N").max(), space.levels("T").max(), space.levels("V").max()) == (4e3, 16, 16)
    assert len(space) == 2 * 16 * 4
    with pytest.raises(UserError, match="none of its 1 configurations"):
        grid_space({"N": [9e3], "T": [1], "V": [1]}, measured(grid()))


STUDY = """
study: mine
table: {path: runs.csv, factors: {N: params, T: frames}, targets: {loss: loss}}
cost: {table: {path: latency.csv, column: seconds, factors: {T: frames}}, unit: s}
"""


def test_a_study_reads_its_table_beside_its_configuration(tmp_path):
    (tmp_path / "mine.yaml").write_text(STUDY)
    (tmp_path / "latency.csv").write_text("frames,seconds\n1,0.5\n3,1.5\n")
    model = cost_model(load_study([tmp_path / "mine.yaml"]))
    assert model.unit == "s"
    np.testing.assert_allclose(model.cost({"N": 1.0, "T": [1, 2, 3]}), [0.5, 1.0, 1.5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frames,s\n1,0.5\n", "has no column 'seconds'; its columns are frames, s"),
        ("T,seconds\n1,0.5\n", "has no column 'frames'"),
        ("frames,seconds\n1,0.5\n2,fast\n", "line 3, column 'seconds' has 'fast', which is not a number"),
        ("frames,seconds\n0,0.5\n", "line 2, column 'frames' has '0'"),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path, text, message):
    path = tmp_path / "latency.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_measured(path, {"T": "frames"}, "seconds", "s")


def test_a_missing_file_and_two_ways_at_once_are_refused():
    with pytest.raises(UserError, match=r"nowhere\.csv: there is no such file"):
        read_measured(Path("nowhere.csv"), {"T": "T"}, "s", "s")
    with pytest.raises(ValueError, match="give one of model, table"):
        CostConfig(model="paper", table={"path": "latency.csv", "column": "s"})
