"""Figures of a trained study whose vision models have several sizes: M is a factor like the others."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.made_towers import results, study
from vlmfrontier.cost.model import cost_model
from vlmfrontier.figures.contours import contours_tasks_figure
from vlmfrontier.figures.cost import vision_share_figure
from vlmfrontier.figures.drawing import Labels, draw
from vlmfrontier.figures.surfaces import contour_data, grid_cost
from vlmfrontier.laws.selection import fit_target
from vlmfrontier.sweep.collect import VARIABLES, describe
from vlmfrontier.sweep.runs import plan_runs


@pytest.mark.parametrize("cost", ["paper", "counted"])
def test_contours_have_lines_of_equal_cost_between_the_models(tmp_path: Path, cost: str):
    made = results(tmp_path, study(cost))
    fit_target(made.table, "avg", made.study.laws, made.laws_folder("avg"), threads=1)
    drawing = draw(made, "contours", "avg")
    assert set(zip(drawing.data["first"], drawing.data["second"], strict=True)) >= {("N", "M"), ("T", "M"), ("V", "M")}
    assert np.isfinite(drawing.data.c).all()
    *panels, bar = drawing.figure.axes
    assert len(panels) == 6
    for panel in panels:  # surface, lines of error and of cost, points; a star on lines of cost
        assert len(panel.collections) == 4
        assert any(line.get_marker() == "*" and len(line.get_xdata()) for line in panel.get_lines())
    assert bar.get_ylabel() == "avg: error (0–100)"


def test_six_pairs_of_factors_make_two_rows_a_target():
    runs = pd.DataFrame([{name: getattr(run, name) for name in (*"NTVM", "n")} for run in plan_runs(study())])
    law = {
        target: lambda point, _, k=k: (k * point["N"] ** -0.1 + point["M"] ** -0.1,) for k, target in enumerate("ab", 2)
    }
    data = contour_data(runs, list("NTVM"), law, None, 6)
    labels = Labels.of(describe(study(), runs), "avg")
    figure = contours_tasks_figure(data, runs, labels)
    *panels, bar = figure.axes
    assert bar.get_label() == "<colorbar>"
    assert [panel.get_ylabel() for panel in panels] == [labels.small_name(name) for name in "TVMVMM"] * 2
    assert len({panel.get_position().y0 for panel in panels}) == 4
    assert all(panel.get_xlabel() for panel in panels)


@pytest.mark.parametrize("cost", ["paper", "counted"])
def test_at_the_models_the_cost_is_the_studys_and_between_them_it_lies_between(cost: str):
    model, side = cost_model(study(cost)), 5
    runs = plan_runs(study(cost))
    axes = {name: np.geomspace(*(f(getattr(run, name) for run in runs) for f in (min, max)), side) for name in "NM"}
    grid = dict(zip("NM", (values.ravel() for values in np.meshgrid(*axes.values(), indexing="xy")), strict=True))
    point = {**grid, "T": np.full(side**2, 4.0), "V": np.full(side**2, 16.0)}
    costs = grid_cost(model, point, ("N", "M"), side).reshape(side, side)
    corners = {name: values.reshape(side, side)[::4, ::4].ravel() for name, values in point.items()}
    np.testing.assert_allclose(costs[::4, ::4].ravel(), model.cost(corners))
    assert (np.diff(costs, axis=0) > 0).all()
    assert (np.diff(costs, axis=1) > 0).all()


def test_the_vision_model_s_share_along_a_frontier_without_data_is_drawn():
    shares = pd.DataFrame({"N": 1e9, "T": 8.0, "V": [4.0, 16.0, 64.0], "share": [0.8, 0.6, 0.4]})
    frontier = pd.DataFrame({"c": [1e12, 2e12, 4e12], "n": np.nan, "share": [0.5, 0.6, 0.7]})
    names = {name: variable.axis(name) for name, variable in VARIABLES.items()}
    figure = vision_share_figure(shares, frontier, Labels("avg: error (0–100)", names))
    assert [line.get_label() for line in figure.axes[1].get_lines()][:1] == ["x*"]
