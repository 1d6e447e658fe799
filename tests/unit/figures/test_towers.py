"""Figures of a trained study whose vision models have several sizes: M is a factor like the others."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vlmfrontier.cost import cost_model
from vlmfrontier.figures.contours import contour_data, contours_tasks_figure, grid_cost
from vlmfrontier.figures.draw import draw
from vlmfrontier.figures.labels import Labels
from vlmfrontier.frontier.load import Results
from vlmfrontier.laws.stage import fit_target
from vlmfrontier.study.load import validate, write_study
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.collect import collect
from vlmfrontier.sweep.runs import Run, plan_runs

TOWERS = {
    "coarse": {"hidden_size": 32, "layers": 2, "heads": 2, "intermediate_size": 64},
    "fine": {"hidden_size": 64, "layers": 3},
    "wide": {"hidden_size": 96, "layers": 4},
}
VARY = {"N": ["xxs", "xs", "m"], "T": [2, 4, 8], "V": [4, 16, 36], "M": list(TOWERS)}


def study(cost: str = "paper") -> Study:
    star = {"design": "star", "vary": VARY, "n": [200, 400]}
    return validate(
        {
            "study": "towers",
            "models": {"vision": TOWERS},
            "sweep": {"center": {"N": "m", "T": 4, "V": 16, "M": "fine"}, "designs": {"star": star}},
            "laws": {"forms": ["add"], "starts": 10, "resamples": 5, "split": None},
            "cost": {"model": cost},
            "frontier": {"budgets": {"from": "20M", "to": "200M", "count": 10}, "examples": [200, 400], "members": 20},
        }
    )


def error(run: Run) -> float:
    """Return the error by the law that the runs follow."""
    return (
        20 * (run.N / 1e4) ** -0.3 + 15 * run.T**-0.5 + 20 * run.V**-0.5 + 9 * (run.M / 1e5) ** -0.4 + 30 / run.n**0.3
    )


def results(folder: Path, made: Study) -> Results:
    """Return the results of a study whose runs have followed the law."""
    file = folder / "results" / made.study / "study.json"
    write_study(made, file)
    for run in plan_runs(made):
        own = file.parent / "runs" / run.key
        own.mkdir(parents=True)
        errors = {target: {"error": error(run), "standard_error": 1.0} for target in made.targets()}
        (own / "result.json").write_text(json.dumps({"errors": errors}))
    collect(made, file.parent)[0].to_csv(file.parent / "runs.csv", index=False)
    return Results.open(file)


@pytest.mark.parametrize("cost", ["paper", "counted"])
def test_contours_have_lines_of_equal_cost_between_the_models(tmp_path: Path, cost: str):
    made = results(tmp_path, study(cost))
    fit_target(made.table, "avg", made.study.laws, made.folder / "laws" / "avg", threads=1)
    drawing = draw(made, "contours", "avg")
    assert set(zip(drawing.data["first"], drawing.data["second"], strict=True)) >= {("N", "M"), ("T", "M"), ("V", "M")}
    assert np.isfinite(drawing.data.c).all()
    *panels, bar = drawing.figure.axes
    assert len(panels) == 6
    assert all(len(panel.collections) == 4 for panel in panels)  # surface, lines of error and of cost, points
    assert bar.get_ylabel() == "avg: error (0–100)"


def test_six_pairs_of_factors_make_two_rows_a_target():
    runs = pd.DataFrame([{name: getattr(run, name) for name in (*"NTVM", "n")} for run in plan_runs(study())])
    law = {
        target: lambda point, _, k=k: (k * point["N"] ** -0.1 + point["M"] ** -0.1,) for k, target in enumerate("ab", 2)
    }
    data = contour_data(runs, list("NTVM"), law, None, 6)
    figure = contours_tasks_figure(data, Labels.of(study(), "avg"))
    assert [panel.get_ylabel() for panel in figure.axes] == list("TVMVMM") * 2
    assert len({panel.get_position().y0 for panel in figure.axes}) == 4
    assert all(panel.get_xlabel() for panel in figure.axes)


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
