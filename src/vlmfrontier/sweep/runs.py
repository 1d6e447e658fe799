"""The run table: the union of the designs, every run once."""

from dataclasses import dataclass

import numpy as np

from vlmfrontier.cost.model import cost_model
from vlmfrontier.errors import UserError
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.designs import Point, design_points
from vlmfrontier.sweep.keys import run_key


@dataclass(frozen=True)
class Run:
    """One finetuning and its evaluation."""

    key: str
    """Name of the run and of its folder."""
    sweeps: tuple[str, ...]
    """Designs that ask for it, in the order of the configuration; the first one is its sweep in `runs.csv`."""
    language: str
    """Language model, by its name in the configuration."""
    N: float
    """Parameters of the language model without the input embedding."""
    T: int
    """Frames per video."""
    V: int
    """Visual tokens per frame."""
    n: int
    """Finetuning examples."""
    seed: int
    """Seed of subset, order and new weights."""
    c: float
    """Inference cost per video, in the unit of the study's cost (FLOPs for Eq. 1)."""


def plan_runs(study: Study) -> list[Run]:
    """Return the runs of a study, in the order in which its designs first ask for them; none for a study with a table.

    Raises `UserError` if two different runs would have the same key.
    """
    if not study.trained:
        return []
    sweeps: dict[Point, list[str]] = {}
    for name in study.sweep.designs:
        for point in dict.fromkeys(design_points(study, name)):
            sweeps.setdefault(point, []).append(name)
    points = list(sweeps)
    N = np.array([study.models.language[point.language].N for point in points], float)
    cost = cost_model(study).cost({"N": N, "T": np.array([p.T for p in points]), "V": np.array([p.V for p in points])})
    keys = [run_key(size, p.T, p.V, p.n, p.seed) for size, p in zip(N, points, strict=True)]
    _refuse_collisions(study, keys, points)
    return [
        Run(key, tuple(sweeps[p]), p.language, float(size), p.T, p.V, p.n, p.seed, float(c))
        for key, p, size, c in zip(keys, points, N, cost, strict=True)
    ]


def find_run(study: Study, key: str) -> Run:
    """Return the run called `key`. Raises `UserError` if the study has none."""
    runs = {run.key: run for run in plan_runs(study)}
    if key not in runs:
        raise UserError(f"study {study.study}: no run {key!r}; plan.csv lists its runs")
    return runs[key]


def _refuse_collisions(study: Study, keys: list[str], points: list[Point]) -> None:
    seen: dict[str, Point] = {}
    for key, point in zip(keys, points, strict=True):
        other = seen.setdefault(key, point)
        if other != point:
            raise UserError(
                f"study {study.study}: sweep: two runs are called {key}: {_describe(other)} and {_describe(point)}; "
                "sizes and examples must differ within their first three digits"
            )


def _describe(point: Point) -> str:
    return f"(N: {point.language}, n: {point.n})"
