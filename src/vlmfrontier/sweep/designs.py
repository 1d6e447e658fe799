"""Each design as the list of runs it asks for, and which of many configurations of equal cost it takes."""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vlmfrontier.cost.model import CostModel, cost_model
from vlmfrontier.errors import UserError
from vlmfrontier.study.consistency import level_problems, levels_of
from vlmfrontier.study.models import ModelsConfig
from vlmfrontier.study.root import Study
from vlmfrontier.study.space import VideoLevels
from vlmfrontier.study.sweep import Configuration as Center
from vlmfrontier.study.sweep import Design, GridDesign, IsoflopDesign, LadderDesign, RowsDesign, StarDesign
from vlmfrontier.tables.delimited import read_delimited
from vlmfrontier.tables.values import problem_of
from vlmfrontier.units import format_number, parse_number


class Drawn(NamedTuple):
    """Levels that the batches of an elastic finetuning draw T and V from, rising; the last are the run's own."""

    T: tuple[int, ...]
    V: tuple[int, ...]


class Point(NamedTuple):
    """A run asked for by a design: models by name, frames, tokens per frame, examples, seed."""

    language: str
    T: int
    V: int
    vision: str
    n: int
    seed: int
    draw: Drawn | None = None
    """What T and V are drawn from; None: each batch has T and V."""


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
            return [_elastic(study, design, point) for point in points]
        case LadderDesign():
            return _ladder(study, design, seeds)
        case StarDesign():
            configurations = list(_star(design, sweep.center))
        case GridDesign():
            configurations = list(_grid(design, sweep.center, models.factors))
        case IsoflopDesign():
            where = f"study {study.study}: sweep.designs.{name}.budgets"
            configurations = _isoflop(design, models, cost_model(study), where)
    points = (Point(*x, n, seed) for x in configurations for n in design.n for seed in seeds)
    return [_elastic(study, design, point) for point in points]


def _elastic(study: Study, design: Design, point: Point) -> Point:
    """Return a run with the levels that it draws T and V from, if its design or the study says so."""
    draw = study.finetune.draw if design.draw is None else design.draw
    return point if draw is None or draw == "none" else point._replace(draw=drawn(draw, point.T, point.V))


def drawn(levels: VideoLevels, T: int, V: int) -> Drawn | None:
    """Return what a run of T and V draws from, given levels no higher than its own; None if that is nothing but them.

    Its own T and V are always among them.
    """
    own = [
        sorted({level for level in given or () if level < most} | {most})
        for given, most in ((levels.T, T), (levels.V, V))
    ]
    return Drawn(tuple(own[0]), tuple(own[1])) if any(len(each) > 1 for each in own) else None


def test_levels(study: Study, name: str) -> VideoLevels | None:
    """Return where the runs of the design called `name` are tested besides their own T and V; None: nowhere."""
    design = study.sweep.designs[name]
    also = study.evaluate.also if design.also is None else design.also
    if isinstance(design, LadderDesign) and design.also is None:
        return VideoLevels(T=design.T, V=design.V)
    if also != "all":
        return None if also == "none" else also
    named: dict[str, set[int]] = {"T": set(), "V": set()}
    for _, factor, level in levels_of(study.sweep):
        if factor in named:
            named[factor].add(level)
    return VideoLevels(**{factor: sorted(levels) for factor, levels in named.items()})


def tests_below(study: Study, name: str, points: Sequence[Point]) -> list[list[tuple[int, int]]]:
    """Return the (T, V) at which each run of a design is tested besides its own, neither above its own.

    The anchors of a ladder, which are there for their own T and V, are tested there only.
    """
    design, levels = study.sweep.designs[name], test_levels(study, name)
    if levels is None:
        return [[] for _ in points]
    found = []
    for point in points:
        frames = [T for T in levels.T or [point.T] if T <= point.T]
        tokens = [V for V in levels.V or [point.V] if V <= point.V]
        anchor = isinstance(design, LadderDesign) and design.also is None and _is_anchor(design, point, study.models)
        found.append([] if anchor else [x for x in product(frames, tokens) if x != (point.T, point.V)])
    return found


def _is_anchor(design: LadderDesign, point: Point, models: ModelsConfig) -> bool:
    return point.draw is None and _top(design, models, point.vision) != (point.T, point.V)


def _top(design: LadderDesign, models: ModelsConfig, tower: str) -> tuple[int, int]:
    """Return the T and V that the trainings of a ladder with this vision model have."""
    return max(design.T), max(V for V in design.V if models.towers[tower].features >= V or min(design.V) == V)


def _ladder(study: Study, design: LadderDesign, seeds: list[int]) -> list[Point]:
    """Return trainings at the largest T and V, of every N, M and n, then the anchors, trained where they are tested."""
    models = study.models
    languages, towers = design.N or list(models.language), design.M or list(models.towers)
    trained = [
        Point(language, *_top(design, models, tower), tower, n, seed)
        for language, tower, n, seed in product(languages, towers, design.n, seeds)
    ]
    if design.elastic and design.draw is None:
        levels = VideoLevels(T=design.T, V=design.V)
        trained = [point._replace(draw=drawn(levels, point.T, point.V)) for point in trained]
    else:
        trained = [_elastic(study, design, point) for point in trained]
    return trained + anchors(design, trained, models)


_UNSURE, _WITH_SIZE, _NOISE = 0.1, 0.03, 0.03
"""Of the price of testing elsewhere, in logs of the error, before any run: how far it may be from nothing for each of
its columns, how far that may change from the smallest to the largest N or n, and the noise of one comparison."""


def anchors(design: LadderDesign, trained: Sequence[Point], models: ModelsConfig) -> list[Point]:
    """Return `design.anchors` configurations of the first seed that tell most of the price of testing elsewhere.

    A candidate has the models and n of a training and levels of T and V below its own. One after another, that is taken
    which most lowers the variance of the price summed over all candidates, given a price that is log-linear in
    T_train / T and V_train / V, has a constant where T and V are drawn, and may change with N and n.
    """
    candidates = [
        point._replace(T=T, V=V, draw=None)
        for point in trained
        for T, V in product(sorted(design.T), sorted(design.V))
        if point.seed == trained[0].seed and V <= point.V and (point.draw or (T, V) != (point.T, point.V))
    ]
    if not candidates:
        return []
    elastic = float(trained[0].draw is not None)
    below = [(elastic, np.log(max(design.T) / point.T), np.log(max(design.V) / point.V)) for point in candidates]
    sizes = [heights([models.language[point.language].N for point in candidates]), heights([p.n for p in candidates])]
    price = np.array(below)
    columns = np.hstack([_UNSURE * price, *(_WITH_SIZE * price * (2 * size - 1)[:, None] for size in sizes)])
    chosen: list[int] = []
    covariance, all_squares = np.eye(columns.shape[1]), columns.T @ columns
    for _ in range(min(design.anchors, len(candidates))):
        with_each = columns @ covariance
        variance = _NOISE**2 + np.sum(with_each * columns, axis=1)
        gain = np.sum((with_each @ all_squares) * with_each, axis=1) / variance
        gain[chosen] = -1.0
        chosen.append(int(np.argmax(gain)))
        known = with_each[chosen[-1]]
        covariance = covariance - np.outer(known, known) / variance[chosen[-1]]
    return [candidates[i] for i in chosen]


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
        off = np.abs(costs / budget - 1)
        near = np.flatnonzero((off <= design.tolerance) & (imbalance(points) <= design.imbalance))
        if not len(near):
            nearest = costs[np.argmin(np.abs(np.log(costs / budget)))]
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


def heights(levels: np.ndarray) -> np.ndarray:
    """Return where each value lies between the lowest (0) and the highest (1), in logs; 0.5 if all are equal."""
    logs = np.log(np.asarray(levels, float))
    span = logs.max() - logs.min()
    return np.full(logs.shape, 0.5) if span == 0 else (logs - logs.min()) / span


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
