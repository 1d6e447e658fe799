"""The search for the best of many starts: random exponents, least-squares coefficients, halving, exchange, jumps.

1. Every fit of a batch draws its own random exponents; coefficients follow by non-negative least squares, whose loss
   ranks the starts before a single iteration is spent.
2. Halving: the best go on for a few Levenberg–Marquardt iterations, the best of those for more, the last to the end.
3. Rounds: fits of a batch are resamples of the same data, so the optimum of one is a fine start for another. Each tries
   the optima of all, crossings with them, and jumps away from its own. This finds narrow basins that hardly any random
   start reaches; single fits get reweighted copies of their data for company.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vlmfrontier.laws.problem import Problem, descents
from vlmfrontier.laws.starts import crossings, fill_coefficients, jumps, random_starts

_DAMPING = 1e-2
_NEAR = 1e-8  # for starts that are next to their minimum
_TOLERANCE = 1e-12  # relative decrease of the objective per step below which a fit stops
_LAST = 300  # iterations that end a search; most fits have converged by then
_POLISH = 1000  # iterations for the best of a fit, repeated: practically "to convergence"
_POLISHED = 3  # finalists that are polished
_AGAIN = 4  # most repeats of the polish
_DONE = 1e-9  # relative gain of a polish that ends them
_SOURCES = 3  # finalists that jumps start from
_DISTINCT = 1e-5  # relative difference of objectives that tells finalists apart
SAME = 1e-6
"""Relative difference of objectives below which two finalists count as the same minimum."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Stages = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Schedule:
    """How a search spends its time. Stages are (iterations, survivors)."""

    screened: int | None
    """Starts that survive the ranking by least squares; None keeps all."""
    halving: _Stages
    """Stages for a fit's own starts."""
    rounds: int
    """How often optima are exchanged."""
    pool: int
    """Most optima that go round."""
    crossings: int
    """Crossings with them, per fit and round."""
    tried: int
    """How many of optima and crossings, the most promising on its data, a fit follows up."""
    jumps: int
    """Jumps from its own finalists, per fit and round."""
    exchange: _Stages
    """Stages for those and the jumps."""
    helpers: int
    """Fits a batch is filled up to with reweighted copies."""


SCHEDULES = {
    "fast": Schedule(
        screened=16, halving=((20, 4),), rounds=1, pool=60, crossings=30, tried=10, jumps=10,
        exchange=((6, 5), (15, 1)), helpers=6,
    ),
    "wide": Schedule(
        screened=160, halving=((6, 60), (30, 12)), rounds=4, pool=200, crossings=100, tried=24, jumps=28,
        exchange=((6, 10), (20, 2)), helpers=12,
    ),
    "exhaustive": Schedule(
        screened=None, halving=(), rounds=6, pool=400, crossings=200, tried=40, jumps=60,
        exchange=((10, 20), (20, 5)), helpers=24,
    ),
}  # fmt: skip
SCHEDULES["paper"] = SCHEDULES["wide"]  # what else it means is said in the configuration
"""The presets."""


@dataclass(frozen=True)
class Solution:
    """The best θ (R, P) of every fit in fit units, its objective, and the share of its finalists that reached it."""

    theta: np.ndarray
    objective: np.ndarray
    hit_rate: np.ndarray
    starts: int


@dataclass(frozen=True)
class _Finalists:
    """Where descents of one fit converged: distinct minima, best first, and how many of how many reached the best."""

    internal: np.ndarray
    objective: np.ndarray
    hits: int
    descents: int


def solve(problem: Problem, warm: np.ndarray | None = None, threads: int | None = None) -> Solution:
    """Return the best fit of every row of `problem`, after `problem.config`'s starts, preset and seed.

    `warm` are θ (B, P) in fit units that every row also tries. `threads` changes the time, never the result.
    """
    schedule = SCHEDULES[problem.config.preset]
    if problem.config.initial == "zero":
        finalists = in_threads(lambda row: _from_zero(problem, row), range(problem.fits), threads)
    else:
        helped = _with_helpers(problem, schedule)
        finalists = in_threads(lambda row: _search(helped, row, schedule), range(helped.fits), threads)
        finalists = _exchange(helped, finalists, schedule, warm, threads)[: problem.fits]
    ends = in_threads(lambda row: _polished(problem, row, finalists[row]), range(problem.fits), threads)
    return Solution(
        theta=problem.to_theta(np.stack([each.internal[0] for each in ends])),
        objective=np.array([each.objective[0] for each in ends]),
        hit_rate=np.array([each.hits / each.descents for each in finalists]),
        starts=1 if problem.config.initial == "zero" else problem.config.starts,
    )


def improve(problem: Problem, theta: np.ndarray) -> tuple[np.ndarray, float]:
    """Return θ (P,) and objective of the best descent from the given θ (B, P) of the first row, without a search."""
    best = _polished(problem, 0, _thinned(problem, 0, problem.from_theta(np.atleast_2d(theta)), ()))
    return problem.to_theta(best.internal[0]), float(best.objective[0])


def descend(problem: Problem, weight: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, float]:
    """Return θ (P,) and objective of one descent from the best of θ (B, P), with other weights of the points, (m,)."""
    internal = problem.from_theta(np.atleast_2d(theta))
    objective = descents(
        internal, np.full(len(internal), _NEAR), problem.features, problem.log_target[0], weight,
        problem.layout, problem.options_of(0, weight), _LAST, _TOLERANCE,
    )  # fmt: skip
    best = int(np.argmin(objective))
    return problem.to_theta(internal[best]), float(objective[best])


def in_threads(work: Callable[[_Item], _Result], items: Iterable[_Item], threads: int | None = None) -> list[_Result]:
    """Return `work` of every item, in order; kernels release the interpreter's lock, so threads run in parallel."""
    threads = threads or len(os.sched_getaffinity(0))
    if threads == 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def _with_helpers(problem: Problem, schedule: Schedule) -> Problem:
    """Return the problem with randomly reweighted copies of its first row appended, if it has too few rows to exchange.

    A single fit then profits from exchange as a bag does: reweighting data is another way to leave a poor basin.
    """
    missing = schedule.helpers - problem.fits
    if missing <= 0:
        return problem
    rng = np.random.default_rng([problem.config.seed, 1])
    copies = problem.weight[0] * rng.exponential(size=(missing, problem.weight.shape[1]))
    targets = np.broadcast_to(problem.log_target[0], copies.shape)
    return problem.with_weights(np.vstack([problem.weight, copies]), np.vstack([problem.log_target, targets]))


def _search(problem: Problem, row: int, schedule: Schedule) -> _Finalists:
    """Return the finalists of one fit, from its own random starts."""
    internal, ranking = _filled(problem, row, random_starts(problem, row))
    keep = np.argsort(ranking, kind="stable")[: schedule.screened]
    return _thinned(problem, row, internal[keep], schedule.halving)


def _from_zero(problem: Problem, row: int) -> _Finalists:
    """Return the one fit that starts with every coefficient 1 (in fit units) and every exponent 0."""
    theta = np.where(problem.form.is_coefficient, 1.0, 0.0)[None]
    if problem.form.fits_ceiling:
        theta[:, -1] = np.exp(problem.options_of(row).upper[-1])
    return _thinned(problem, row, problem.from_theta(theta), (), _POLISH)


def _exchange(
    problem: Problem, finalists: list[_Finalists], schedule: Schedule, warm: np.ndarray | None, threads: int | None
) -> list[_Finalists]:
    """Return the finalists after `schedule.rounds` rounds of trying each other's optima, crossings and jumps."""
    for turn in range(schedule.rounds):
        stride = -(-len(finalists) // schedule.pool)
        pool = np.stack([each.internal[0] for each in finalists[::stride]])
        if warm is not None:
            pool = np.vstack([pool, problem.from_theta(np.atleast_2d(warm))])
        finalists = in_threads(
            lambda item, pool=pool, turn=turn: _try(problem, *item, pool, schedule, turn), enumerate(finalists), threads
        )
    return finalists


def _try(problem: Problem, row: int, own: _Finalists, pool: np.ndarray, schedule: Schedule, turn: int) -> _Finalists:
    """Return one fit's finalists after one round; where all of them have agreed in the first, it is not asked again."""
    if turn > 0 and own.hits == own.descents:
        return own
    rng = np.random.default_rng([problem.config.seed, 7, turn, row])
    crossed, promise = _filled(problem, row, crossings(own.internal[0], pool, schedule.crossings, rng))
    crossed = crossed[np.argsort(promise, kind="stable")[: schedule.tried]]
    jumped, _ = _filled(problem, row, jumps(problem, row, own.internal[:_SOURCES], schedule.jumps, rng))
    return _merged(own, _thinned(problem, row, np.vstack([crossed, jumped]), schedule.exchange))


def _filled(problem: Problem, row: int, internal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return these starts (B, P) with the best coefficients for their exponents, and how good they are (B,)."""
    ranking = fill_coefficients(
        internal, problem.features, problem.log_target[row], problem.weight[row], problem.layout
    )
    return internal, ranking


def _thinned(problem: Problem, row: int, internal: np.ndarray, stages: _Stages, last: int = _LAST) -> _Finalists:
    """Return what is left of these starts after `stages` and `last` more iterations."""
    damping, options = np.full(len(internal), _DAMPING), problem.options_of(row)
    for iterations, survivors in (*stages, (last, len(internal))):
        objective = descents(
            internal, damping, problem.features, problem.log_target[row], problem.weight[row],
            problem.layout, options, iterations, _TOLERANCE,
        )  # fmt: skip
        keep = np.argsort(objective, kind="stable")[:survivors]
        internal, damping, objective = internal[keep], damping[keep], objective[keep]
    hits = int(np.sum(objective <= objective[0] * (1 + SAME)))
    distinct = np.append(True, np.diff(objective) > _DISTINCT * objective[:-1])
    return _Finalists(internal[distinct], objective[distinct], hits, len(objective))


def _merged(one: _Finalists, other: _Finalists) -> _Finalists:
    """Return both fits' finalists as one."""
    internal, objective = np.vstack([one.internal, other.internal]), np.concatenate([one.objective, other.objective])
    order = np.argsort(objective, kind="stable")
    internal, objective = internal[order], objective[order]
    distinct = np.append(True, np.diff(objective) > _DISTINCT * objective[:-1])
    hits = sum(each.hits for each in (one, other) if each.objective[0] <= objective[0] * (1 + SAME))
    return _Finalists(internal[distinct], objective[distinct], hits, one.descents + other.descents)


def _polished(problem: Problem, row: int, finalists: _Finalists) -> _Finalists:
    """Return the best of one fit after longer descents.

    Least-squares coefficients bring vanished terms back for another try. Valleys here are long and flat, and fresh
    damping helps along them, so the last descent is repeated while it gains.
    """
    few = finalists.internal[:_POLISHED]
    revived, _ = _filled(problem, row, few.copy())
    best = _thinned(problem, row, np.vstack([few, revived]), ((_POLISH, 1),), 0)
    for _ in range(_AGAIN):
        before, best = best, _thinned(problem, row, best.internal.copy(), (), _POLISH)
        if before.objective[0] - best.objective[0] <= _DONE * best.objective[0]:
            break
    return best
