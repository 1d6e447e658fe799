"""The run table: the union of the designs, every run once."""

from dataclasses import dataclass

from vlmfrontier.cost.model import cost_model
from vlmfrontier.errors import UserError, did_you_mean
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.designs import Point, design_points, factor_columns
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
    vision: str = ""
    """Vision model, by its name in the configuration; empty where there is only one."""
    M: float = 0.0
    """Parameters of the vision model, without pooling head."""


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
    _refuse_fine_grids(study, points)
    cost = cost_model(study).cost(factor_columns(study, [point[:4] for point in points]))
    runs = [_run(study, p, tuple(sweeps[p]), float(c)) for p, c in zip(points, cost, strict=True)]
    _refuse_collisions(study, [run.key for run in runs], points)
    return runs


def _run(study: Study, point: Point, sweeps: tuple[str, ...], cost: float) -> Run:
    size, seen = study.models.language[point.language].N, float(study.models.towers[point.vision].parameters)
    key = run_key(size, point.T, point.V, point.n, point.seed, seen if study.models.several_towers else None)
    language, T, V, vision, n, seed = point
    return Run(key, sweeps, language, size, T, V, n, seed, cost, vision, seen)


def find_run(study: Study, key: str) -> Run:
    """Return the run called `key`. Raises `UserError` if the study has none."""
    runs = {run.key: run for run in plan_runs(study)}
    if key not in runs:
        raise UserError(f"study {study.study} plans no run {key!r}; {did_you_mean(key, runs)}")
    return runs[key]


def _refuse_fine_grids(study: Study, points: list[Point]) -> None:
    """Raise `UserError` for a run with more tokens than its own vision model has features."""
    for point in points:
        tower = study.models.towers[point.vision]
        if tower.features < point.V:
            raise UserError(
                f"study {study.study}: sweep: V = {point.V} with M = {point.vision}, whose frames have "
                f"{tower.features} features; write less, or take the run out"
            )


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
    vision = f", M: {point.vision}" if point.vision else ""
    return f"(N: {point.language}{vision}, n: {point.n})"
