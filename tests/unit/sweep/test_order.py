"""The order of runs: what a first law needs comes early and cheap, whatever the study."""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vlmfrontier.cluster.site import Site
from vlmfrontier.study.evaluation import UNKNOWN_QUESTIONS
from vlmfrontier.study.load import load_study
from vlmfrontier.sweep.evaluations import answering_hours, asked
from vlmfrontier.sweep.resources import plan_trainings
from vlmfrontier.sweep.runs import Run, design_columns, plan_runs, run_order
from vlmfrontier.sweep.trainings import finetuning

ROOT = Path(__file__).parents[3]


def planned(file: str) -> tuple[list[Run], list[str], dict[str, float]]:
    study, site = load_study([ROOT / file]), Site()
    runs = plan_runs(study)
    placed = plan_trainings(study, runs, site)
    asks = asked(study, None, UNKNOWN_QUESTIONS)
    hours = {
        run.key: placed[run.key].gpu_hours + answering_hours(finetuning(study, run), site.gpu[0], asks) for run in runs
    }
    return runs, study.factors(), hours


def fitted_after(
    runs: Sequence[Run], factors: Sequence[str], hours: Mapping[str, float], order: Sequence[str]
) -> float:
    """Return the share of all hours after which the runs done, in this order, vary all that the sweep varies."""
    at = {run.key: row for row, run in enumerate(runs)}
    columns = design_columns(runs, factors)
    rank = np.linalg.matrix_rank(columns, tol=1e-3)
    total, used, rows = sum(hours.values()), 0.0, []
    for key in order:
        rows.append(columns[at[key]])
        used += hours[key]
        if len(rows) >= rank and np.linalg.matrix_rank(np.array(rows), tol=1e-3) == rank:
            return used / total
    return 1.0


@pytest.mark.parametrize(
    ("study", "share"),
    [("config.yaml", 0.1), ("workflow/studies/paper.yaml", 0.1), ("workflow/studies/example-qwen.yaml", 0.2)],
)
def test_after_a_tenth_of_the_hours_every_factor_is_varied_and_laws_can_be_fitted(study: str, share: float):
    runs, factors, hours = planned(study)
    order = run_order(runs, factors, hours)
    assert sorted(order) == sorted(hours)
    spent, known = 0.0, {run.key: run for run in runs}
    for done, key in enumerate(order):  # noqa: B007 — used below
        spent += hours[key]
        if spent > share * sum(hours.values()):
            break
    for factor in [*factors, "n"]:
        assert len({getattr(known[key], factor) for key in order[:done]}) >= 3, factor
    assert fitted_after(runs, factors, hours, order) < share
    in_plan_order = fitted_after(runs, factors, hours, [run.key for run in runs])
    assert fitted_after(runs, factors, hours, order) < in_plan_order / 2


def grid(**levels: list[float]) -> list[Run]:
    one = Run("", (), "m", 1.0, 1, 1, 1, 0, 1.0)
    points = [dict(zip(levels, point, strict=True)) for point in itertools.product(*levels.values())]
    return [replace(one, key=str(index), **point) for index, point in enumerate(points)]


def test_the_order_does_not_depend_on_the_order_of_the_designs():
    runs, factors, hours = planned("config.yaml")
    mixed = random.Random(0).sample(runs, len(runs))
    assert run_order(mixed, factors, hours) == run_order(runs, factors, hours)


@pytest.mark.parametrize(
    "levels",
    [
        {"N": [1e9]},
        {"N": [1e9, 2e9]},
        {"n": [100, 200, 400]},
        {"N": [1e9, 2e9], "seed": [0, 1, 2]},
        {"T": list(range(1, 40))},
    ],
)
def test_sweeps_of_every_shape_are_ordered(levels: dict[str, list]):
    runs = grid(**levels)
    hours = {run.key: float(run.N * run.T * run.n) for run in runs}
    assert sorted(run_order(runs, ["N", "T", "V"], hours)) == sorted(hours)
    assert run_order([], ["N"], {}) == []


def test_hours_that_nobody_knows_come_last():
    runs = grid(N=[1e9, 2e9, 4e9], T=[1, 2, 4])
    hours = {run.key: float("nan") if run.key == "0" else 1.0 for run in runs}
    assert run_order(runs, ["N", "T"], hours)[-1] == "0"


def test_the_dearest_level_is_reached_by_its_cheapest_run():
    runs = grid(N=[1e9, 3e9, 9e9], n=[100, 300, 900])
    hours = {run.key: run.N * run.n for run in runs}
    first = run_order(runs, ["N"], hours)[:6]
    known = {run.key: run for run in runs}
    assert {known[key].N for key in first} == {1e9, 3e9, 9e9}
    assert (9e9, 900) not in {(known[key].N, known[key].n) for key in first[:4]}
