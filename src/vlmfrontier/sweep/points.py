"""What a design asks for: runs as points, what each draws T and V from, where it is tested; ladders with anchors."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from vlmfrontier.laws.transfer import bend
from vlmfrontier.study.levels import levels_of
from vlmfrontier.study.models import ModelsConfig
from vlmfrontier.study.root import Study
from vlmfrontier.study.space import VideoLevels
from vlmfrontier.study.sweep import NEXT, Design, LadderDesign


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


def elastic(study: Study, design: Design, point: Point) -> Point:
    """Return a run with the levels that it draws T and V from, if its design or the study says so."""
    draw = _draw_of(study, design)
    return point if draw is None else point._replace(draw=drawn(draw, point.T, point.V))


def _draw_of(study: Study, design: Design | None) -> VideoLevels | None:
    """Return what the runs of a design draw T and V from; None: nothing."""
    draw = study.finetune.draw if design is None or design.draw is None else design.draw
    return None if draw == "none" else draw


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
    if isinstance(design, LadderDesign) and design.also is None:
        return VideoLevels(T=design.T, V=design.V)
    return resolved(study, study.evaluate.also if design.also is None else design.also)


def resolved(study: Study, also: VideoLevels | str | None) -> VideoLevels | None:
    """Return the levels that `also` means in a study; `all` are not those of suggested runs, which would have every
    run tested anew."""
    if also != "all":
        return None if also == "none" else also
    named: dict[str, set[int]] = {"T": set(), "V": set()}
    for path, factor, level in levels_of(study.sweep):
        if factor in named and path[:3] != ("sweep", "designs", NEXT):
            named[factor].add(level)
    return VideoLevels(**{factor: sorted(levels) for factor, levels in named.items()})


def next_levels(study: Study) -> VideoLevels | None:
    """Return where runs that are suggested are tested besides: as the design `next` says, else at the levels of the
    ladders, else as all runs are."""
    designs = study.sweep.designs
    if NEXT in designs:
        return test_levels(study, NEXT)
    ladders = [test_levels(study, name) for name, design in designs.items() if isinstance(design, LadderDesign)]
    ladders = [levels for levels in ladders if levels]
    if not ladders:
        return resolved(study, study.evaluate.also)
    every = {f: sorted({level for each in ladders for level in getattr(each, f) or ()}) for f in "TV"}
    return VideoLevels(**{f: levels or None for f, levels in every.items()})


def next_draw(study: Study) -> VideoLevels | None:
    """Return what runs that are suggested draw T and V from; None: nothing."""
    return _draw_of(study, study.sweep.designs.get(NEXT))


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


def ladder_points(study: Study, design: LadderDesign, seeds: list[int]) -> list[Point]:
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
        trained = [elastic(study, design, point) for point in trained]
    return trained + anchors(design, trained, models)


_UNSURE, _WITH_SIZE, _NOISE = 0.1, 0.03, 0.03
"""Of the transfer gap, in logs of the error, before any run: how far it may be from nothing for each of its columns,
how far that may change from the smallest to the largest N or n, and the noise of one comparison."""
_BEND, _BEND_WITH = 0.05, 0.025
"""The first two of how far it may be from log-linear in the middle of T, or of V."""


def anchors(design: LadderDesign, trained: Sequence[Point], models: ModelsConfig) -> list[Point]:
    """Return `design.anchors` configurations of the first seed that tell most of the transfer gap.

    A candidate has the models and n of a training and levels of T and V below its own.
    """
    candidates = [
        point._replace(T=T, V=V, draw=None)
        for point in trained
        for T, V in product(sorted(design.T), sorted(design.V))
        if point.seed == trained[0].seed and V <= point.V and (T, V) != (point.T, point.V)
    ]
    if not candidates:
        return []
    below = [(max(design.T) / point.T, max(design.V) / point.V) for point in candidates]
    sizes = [(models.language[point.language].N, point.n) for point in candidates]
    drawn = trained[0].draw is not None
    return [candidates[i] for i in most_telling(np.array(below), np.array(sizes), drawn, design.anchors)]


def most_telling(below: np.ndarray, sizes: np.ndarray, drawn: bool, count: int) -> list[int]:
    """Return which `count` candidates, given (m, 2) T_train / T and V_train / V and (m, 2) N and n, to train as well.

    One after another, that is taken which most lowers the variance of the transfer gap summed over all of them: a gap
    that is log-linear in both ratios but for a bend between the ends, has a constant where T and V are `drawn`, and may
    change with N and n.
    """
    ratios = np.log(below)
    far = ratios / np.maximum(ratios.max(axis=0), 1e-9)
    gap, bends = np.column_stack([np.full(len(below), float(drawn)), ratios]), bend(far)
    place = [2 * heights(size) - 1 for size in sizes.T]
    own, change = np.hstack([_UNSURE * gap, _BEND * bends]), np.hstack([_WITH_SIZE * gap, _BEND_WITH * bends])
    columns = np.hstack([own, *(change * where[:, None] for where in place)])
    chosen: list[int] = []
    covariance, all_squares = np.eye(columns.shape[1]), columns.T @ columns
    for _ in range(min(count, len(columns))):
        with_each = columns @ covariance
        variance = _NOISE**2 + np.sum(with_each * columns, axis=1)
        gain = np.sum((with_each @ all_squares) * with_each, axis=1) / variance
        gain[chosen] = -1.0
        chosen.append(int(np.argmax(gain)))
        known = with_each[chosen[-1]]
        covariance = covariance - np.outer(known, known) / variance[chosen[-1]]
    return chosen


def heights(levels: np.ndarray) -> np.ndarray:
    """Return where each value lies between the lowest (0) and the highest (1), in logs; 0.5 if all are equal."""
    logs = np.log(np.asarray(levels, float))
    span = logs.max() - logs.min()
    return np.full(logs.shape, 0.5) if span == 0 else (logs - logs.min()) / span
