"""The run table: the union of the designs, every run once; what each is called, and the order worth having them in."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from vlmfrontier.cost.model import cost_model
from vlmfrontier.errors import UserError, did_you_mean
from vlmfrontier.study.models import ModelsConfig, VisionConfig
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.designs import design_points, factor_columns
from vlmfrontier.sweep.points import Drawn, Point, tests_below
from vlmfrontier.units import format_count, format_number


def run_key(N: float, T: int, V: int, n: int, seed: int, M: float | None = None, draw: Drawn | None = None) -> str:
    """Return the key of a run: N and M (parameters) and n (examples) with three significant digits, the others exactly.

    `N7.5B_T32_V196_M413M_n250k_s0`; without M where the study has one vision model; `T1-32_V16-196` where each batch
    draws T and V from levels of this range.
    """
    vision = "" if M is None else f"_M{format_count(M)}"
    frames, tokens = (T, V) if draw is None else map(_range, draw)
    return f"N{format_count(N)}_T{frames}_V{tokens}{vision}_n{format_number(n)}_s{seed}"


def _range(levels: Sequence[int]) -> str:
    return "-".join(map(str, dict.fromkeys((levels[0], levels[-1]))))


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
    draw: Drawn | None = None
    """Levels that each batch of an elastic finetuning draws T and V from, up to its own; None: all have T and V."""
    tested: tuple[tuple[int, int], ...] = ()
    """(T, V) at which it is tested besides its own."""

    @property
    def levels(self) -> Drawn:
        """Levels of T and V that its finetuning has: its own, or those that it draws from."""
        return self.draw or Drawn((self.T,), (self.V,))


class Test(NamedTuple):
    """A finetuned model at some T and V."""

    run: Run
    T: int
    V: int
    c: float
    """Inference cost per video there."""

    @property
    def own(self) -> bool:
        """Whether these are the T and V of the run: the largest that its finetuning had."""
        return (self.T, self.V) == (self.run.T, self.run.V)


def tests(study: Study, runs: Sequence[Run]) -> list[Test]:
    """Return every point at which the runs are tested, run by run, its own T and V first."""
    points = [(run, T, V) for run in runs for T, V in ((run.T, run.V), *run.tested)]
    columns = factor_columns(study.models, [(run.language, T, V, run.vision) for run, T, V in points])
    cost = cost_model(study).cost(columns) if points else []
    return [Test(*point, float(c)) for point, c in zip(points, cost, strict=True)]


def configurations(study: Study, runs: Iterable[Run]) -> list[tuple[float, ...]]:
    """Return the factors and n of every point at which the runs are tested: of every row of the laws' table."""
    names = [*study.factors(), "n"]
    points = [(run, {"T": T, "V": V}) for run in runs for T, V in ((run.T, run.V), *run.tested)]
    return [tuple(seen.get(name, getattr(run, name)) for name in names) for run, seen in points]


def plan_runs(study: Study) -> list[Run]:
    """Return the runs of a study, in the order in which its designs first ask for them; none for a study with a table.

    Raises `UserError` if two different runs would have the same key.
    """
    if not study.trained:
        return []
    sweeps: dict[Point, list[str]] = {}
    tested: dict[Point, set[tuple[int, int]]] = {}
    for name in study.sweep.designs:
        asked = list(dict.fromkeys(design_points(study, name)))
        for point, more in zip(asked, tests_below(study, name, asked), strict=True):
            sweeps.setdefault(point, []).append(name)
            tested.setdefault(point, set()).update(more)
    points = list(sweeps)
    where = f"study {study.study}: sweep"
    _refuse_fine_grids(study.models.towers, points, where)
    cost = cost_model(study).cost(factor_columns(study.models, [point[:4] for point in points]))
    runs = [
        replace(_run(study.models, p, tuple(sweeps[p]), float(c)), tested=tuple(sorted(tested[p])))
        for p, c in zip(points, cost, strict=True)
    ]
    _refuse_collisions([run.key for run in runs], points, where)
    return runs


def _run(models: ModelsConfig, point: Point, sweeps: tuple[str, ...], cost: float) -> Run:
    size, seen = models.language[point.language].N, float(models.towers[point.vision].parameters)
    key = run_key(size, point.T, point.V, point.n, point.seed, seen if models.several_towers else None, point.draw)
    language, T, V, vision, n, seed, draw = point
    return Run(key, sweeps, language, size, T, V, n, seed, cost, vision, seen, draw)


def find_run(study: Study, key: str) -> Run:
    """Return the run called `key`. Raises `UserError` if the study has none."""
    runs = {run.key: run for run in plan_runs(study)}
    if key not in runs:
        raise UserError(f"study {study.study} plans no run {key!r}; {did_you_mean(key, runs)}")
    return runs[key]


def _refuse_fine_grids(towers: Mapping[str, VisionConfig], points: list[Point], where: str) -> None:
    """Raise `UserError` for a run with more tokens than its own vision model has features."""
    for point in points:
        tower = towers[point.vision]
        if tower.features < point.V:
            raise UserError(
                f"{where}: V = {point.V} with M = {point.vision}, whose frames have "
                f"{tower.features} features; write less, or take the run out"
            )


def _refuse_collisions(keys: list[str], points: list[Point], where: str) -> None:
    seen: dict[str, Point] = {}
    for key, point in zip(keys, points, strict=True):
        other = seen.setdefault(key, point)
        if other != point:
            if other._replace(draw=None) == point._replace(draw=None):
                raise UserError(
                    f"{where}: two runs are called {key} and draw other levels of T and V between the same ends: "
                    f"{_drawn(other)} and {_drawn(point)}; give both designs the same draw, or other ends"
                )
            raise UserError(
                f"{where}: two runs are called {key}: {_describe(other)} and {_describe(point)}; "
                "sizes and examples must differ within their first three digits"
            )


def _drawn(point: Point) -> str:
    return f"T of {list(point.draw.T)}, V of {list(point.draw.V)}"


def _describe(point: Point) -> str:
    vision = f", M: {point.vision}" if point.vision else ""
    return f"(N: {point.language}{vision}, n: {point.n})"


TELLING = 0.3
"""Length, of 1, that the new part of a run's columns has if it tells something that the runs before it do not."""
LEAST = 1e-6
"""The same where nothing but rounding is left."""


def run_order(runs: Sequence[Run], factors: Sequence[str], hours: Mapping[str, float]) -> list[str]:
    """Return the keys of `runs` in the order in which they are worth having; `hours` are those that each takes.

    First, by rising hours, runs that vary every factor over its range, and with n, until the columns of the richest law
    are independent: a first fit can then be made. Then all others by rising hours.
    """

    def takes(row: int) -> tuple[float, int, str]:
        own = hours[runs[row].key]
        return math.inf if math.isnan(own) else own, runs[row].seed, runs[row].key

    cheapest = sorted(range(len(runs)), key=takes)
    chosen = set(_telling(design_columns(runs, factors), cheapest))
    order = [*(row for row in cheapest if row in chosen), *(row for row in cheapest if row not in chosen)]
    return [runs[row].key for row in order]


def design_columns(runs: Sequence[Run], factors: Sequence[str]) -> np.ndarray:
    """Return a row per run with what a law needs: its level, of every factor and of n on a scale from -1 to 1 in the
    logarithm, the squares, and the products with n. Rows have length 1; what no run varies is left out.

    A power law of each factor with an offset takes three levels of it, an exponent that changes with n products.
    """
    names = [*factors, "n"]
    levels = np.array([[np.log(getattr(run, name)) for name in names] for run in runs], float).reshape(-1, len(names))
    low, high = (levels.min(0), levels.max(0)) if len(runs) else (np.zeros(len(names)), np.zeros(len(names)))
    varied = high > low
    scaled = 2 * (levels[:, varied] - low[varied]) / (high - low)[varied] - 1
    with_n = scaled[:, :-1] * scaled[:, -1:] if varied[-1] else scaled[:, :0]
    columns = np.hstack([np.ones((len(runs), 1)), scaled, scaled**2, with_n])
    return columns / np.linalg.norm(columns, axis=1, keepdims=True)


def _telling(columns: np.ndarray, cheapest: Sequence[int]) -> list[int]:
    """Return rows that are independent, of as many columns as can be, each the cheapest that tells enough."""
    found: list[int] = []
    basis = np.zeros((0, columns.shape[1]))
    enough = TELLING
    while enough > LEAST and len(found) < columns.shape[1]:
        left = columns - columns @ basis.T @ basis
        new = np.linalg.norm(left, axis=1)
        row = next((row for row in cheapest if new[row] > enough), None)
        if row is None:
            enough /= 2
            continue
        found.append(row)
        basis = np.vstack([basis, left[row] / new[row]])
    return found
