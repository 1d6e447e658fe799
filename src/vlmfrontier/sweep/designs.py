"""Each design as the list of runs it asks for, and which of many configurations of equal cost it takes."""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from vlmfrontier.cost.model import CostModel, cost_model
from vlmfrontier.errors import UserError
from vlmfrontier.study.levels import level_problems
from vlmfrontier.study.models import ModelsConfig
from vlmfrontier.study.root import Study
from vlmfrontier.study.sweep import Configuration as Center
from vlmfrontier.study.sweep import GridDesign, IsoflopDesign, LadderDesign, RowsDesign, StarDesign
from vlmfrontier.sweep.points import Point, elastic, heights, ladder_points
from vlmfrontier.tables.delimited import read_delimited
from vlmfrontier.tables.values import problem_of
from vlmfrontier.units import format_number, parse_number

Configuration = tuple[str, int, int, str]
"""Language model by name, T, V, and vision model by name: empty where there is only one."""


def design_points(study: Study, name: str) -> list[Point]:
    """Return the runs that the design called `name` asks for, in its own order, possibly with repetitions.

    Raises `UserError` for a budget that no configuration meets and for a rows file with a mistake.
    """
    models, sweep = study.models, study.sweep
    design = sweep.designs[name]
    seeds = design.seeds or sweep.seeds
    match design:
        case RowsDesign():
            points = list(_row_points(design, seeds, models, study.data.examples))
            return [elastic(study, design, point) for point in points]
        case LadderDesign():
            return ladder_points(study, design, seeds)
        case StarDesign():
            configurations = list(_star(design, sweep.center))
        case GridDesign():
            configurations = list(_grid(design, sweep.center, models.factors))
        case IsoflopDesign():
            where = f"study {study.study}: sweep.designs.{name}.budgets"
            configurations = _isoflop(design, models, cost_model(study), where)
    points = (Point(*x, n, seed) for x in configurations for n in design.n for seed in seeds)
    return [elastic(study, design, point) for point in points]


def factor_columns(models: ModelsConfig, configurations: Sequence[Configuration]) -> dict[str, np.ndarray]:
    """Return the values of every factor, a column each: N and M in parameters."""
    languages, frames, tokens, towers = zip(*configurations, strict=True)
    columns = {
        "N": [models.language[name].N for name in languages],
        "T": frames,
        "V": tokens,
        "M": [models.towers[name].parameters for name in towers],
    }
    return {factor: np.array(columns[factor], float) for factor in models.factors}


def _star(design: StarDesign, center: Center) -> Iterator[Configuration]:
    """Yield the center with one factor at a time replaced by each of its levels."""
    for factor, levels in design.vary.given().items():
        for level in levels:
            x = {"N": center.N, "T": center.T, "V": center.V, "M": center.M or "", factor: level}
            yield x["N"], x["T"], x["V"], x["M"]


def _grid(design: GridDesign, center: Center | None, factors: Sequence[str]) -> Iterator[Configuration]:
    axes = (getattr(design, factor) or [getattr(center, factor)] for factor in factors)
    yield from (x if "M" in factors else (*x, "") for x in product(*axes))


def _isoflop(design: IsoflopDesign, models: ModelsConfig, cost: CostModel, where: str) -> list[Configuration]:
    """Return for each budget the well-spaced choice among the configurations whose cost is within tolerance of it.

    Configurations with more tokens than their vision model has features are none.
    """
    languages, towers = design.space.N or list(models.language), design.space.M or list(models.towers)
    every = product(languages, design.space.T, design.space.V, towers)
    candidates = [x for x in every if x[2] <= models.towers[x[3]].features]
    columns = factor_columns(models, candidates)
    costs = cost.cost(columns)
    points = np.column_stack([heights(levels) for levels in columns.values()])
    chosen = []
    for budget in design.budgets:
        with np.errstate(over="ignore"):  # of budgets that nobody means
            off = np.abs(costs / budget - 1)
        near = np.flatnonzero((off <= design.tolerance) & (imbalance(points) <= design.imbalance))
        if not len(near):
            nearest = costs[np.argmin(np.abs(np.log(costs) - np.log(budget)))]
            raise UserError(
                f"{where} = {format_number(budget)}: no balanced configuration costs that much, the nearest of any "
                f"kind {format_number(nearest)}; move the budget, or raise tolerance or imbalance"
            )
        chosen += [candidates[near[i]] for i in well_spaced(points[near], design.per_budget)]
    return chosen


def _row_points(design: RowsDesign, seeds: list[int], models: ModelsConfig, examples: int | None) -> Iterator[Point]:
    for row in design.rows:
        given = [row.seed] if row.seed is not None else seeds
        yield from (Point(row.N, row.T, row.V, row.M or "", row.n, seed) for seed in given)
    if design.file is not None:
        yield from _file_points(Path(design.file), seeds, models, examples)


def _file_points(path: Path, seeds: list[int], models: ModelsConfig, examples: int | None) -> Iterator[Point]:
    """Yield the runs of a CSV file with a column for every factor, n and, if wanted, seed."""
    table = read_delimited(path)
    needed = [*models.factors, "n"]
    missing = [name for name in needed if name not in table.header]
    if missing:
        raise UserError(f"{path}: no column {missing[0]!r}; it needs the columns {', '.join(needed)}")
    for line, cells in zip(table.lines, table.rows, strict=True):
        row = dict(zip(table.header, cells, strict=True))
        numbers = {factor: _whole(path, line, factor, row[factor]) for factor in ("T", "V", "n")}
        values = {"N": row["N"], **numbers, "M": row.get("M") or None}
        for factor, value in values.items():
            for problem in level_problems(models, examples, (), factor, value):
                raise UserError(f"{path}, line {line}: {factor} = {value}: {problem.message}")
        given = row.get("seed")
        for seed in [_whole(path, line, "seed", given)] if given else seeds:
            yield Point(values["N"], values["T"], values["V"], values["M"] or "", values["n"], seed)


def _whole(path: Path, line: int, column: str, text: str) -> int:
    if problem := problem_of(text):
        raise UserError(f"{path}, line {line}: column {column!r} {problem}")
    number = parse_number(text)
    if number != int(number) or number < (0 if column == "seed" else 1):
        raise UserError(f"{path}, line {line}: {column} = {text} is not a whole positive number")
    return int(number)


def imbalance(points: np.ndarray) -> np.ndarray:
    """Return how lopsided each point (m, K) of heights is: its highest minus its lowest coordinate, shape (m,)."""
    return points.max(axis=1) - points.min(axis=1)


def well_spaced(points: np.ndarray, count: int) -> list[int]:
    """Return the indices of at most `count` rows of `points` (m, K): the most balanced, then greedily the farthest.

    Each next point is the one whose nearest chosen neighbour is farthest away; ties go to the lower index, so that the
    choice is the same everywhere.
    """
    if not len(points):
        return []
    chosen = [int(np.argmin(imbalance(points).round(9)))]
    while len(chosen) < min(count, len(points)):
        distance = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(axis=1).round(9)
        distance[chosen] = -1.0
        chosen.append(int(np.argmax(distance)))
    return chosen
