"""The search for the best of many starts: random exponents, least-squares coefficients, successive halving, exchange.

1. Every fit of a batch draws its own random exponents; coefficients follow by non-negative least squares, whose loss
   ranks the starts before a single iteration is spent.
2. Halving: the best go on for a few Levenberg–Marquardt iterations, the best of those for more, the last to the end.
3. Exchange: fits of a batch are resamples of the same data, so the optimum of one is a fine start for another. Each
   tries the optima of all, which finds basins that few random starts reach.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vlmfrontier.laws.batch import descents, fill_coefficients, losses
from vlmfrontier.laws.problem import Problem

_DAMPING = 1e-2
_TOLERANCE = 1e-12  # relative decrease of the objective per step below which a fit stops
_LAST = 1000  # iterations; practically "to convergence"
SAME = 1e-6
"""Relative difference of objectives below which two finalists count as the same minimum."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Schedule:
    """How many starts survive. `stages` are (iterations, survivors), before the last run to convergence."""

    screened: int | None
    stages: tuple[tuple[int, int], ...]
    rounds: int
    pool: int
    tried: int
    helpers: int


SCHEDULES = {
    "fast": Schedule(screened=60, stages=((8, 16), (25, 4)), rounds=1, pool=100, tried=12, helpers=8),
    "wide": Schedule(screened=120, stages=((8, 40), (25, 12)), rounds=2, pool=200, tried=24, helpers=24),
    "exhaustive": Schedule(screened=None, stages=(), rounds=2, pool=400, tried=40, helpers=24),
}
"""The presets. `pool` bounds how many optima are exchanged, `tried` how many of them each fit follows up."""


@dataclass(frozen=True)
class Solution:
    """The best θ (R, P) of every fit in fit units, its objective, and the share of its finalists that reached it."""

    theta: np.ndarray
    objective: np.ndarray
    hit_rate: np.ndarray
    starts: int


@dataclass(frozen=True)
class _Finalists:
    """The last starts of one fit: kernel parameters (k, P), best first, and objectives (k,)."""

    internal: np.ndarray
    objective: np.ndarray


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
    best = np.stack([each.internal[0] for each in finalists])
    objective = np.array([each.objective[0] for each in finalists])
    hits = np.array([np.mean(each.objective <= each.objective[0] * (1 + SAME)) for each in finalists])
    return Solution(problem.to_theta(best), objective, hits, problem.config.starts)


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
    internal = random_exponents(problem, row)
    data = (problem.features, problem.log_target[row], problem.weight[row])
    ranking = fill_coefficients(internal, *data, problem.layout)
    keep = np.argsort(ranking, kind="stable")[: schedule.screened]
    internal, damping = internal[keep], np.full(len(keep), _DAMPING)
    for iterations, survivors in schedule.stages:
        objective, _ = descents(internal, damping, *data, problem.layout, problem.options, iterations, _TOLERANCE)
        keep = np.argsort(objective, kind="stable")[:survivors]
        internal, damping = internal[keep], damping[keep]
    return _converged(problem, row, internal, damping)


def random_exponents(problem: Problem, row: int) -> np.ndarray:
    """Return starts (S, P) of one fit: exponents U(−1, 1), or U(0, 1) if they must be positive; coefficients open."""
    rng = np.random.default_rng([problem.config.seed, 0, row])
    is_exponent = ~problem.form.is_coefficient
    internal = np.zeros((problem.config.starts, len(is_exponent)))
    lowest = 0.0 if problem.config.positive_exponents else -1.0
    internal[:, is_exponent] = rng.uniform(lowest, 1.0, (len(internal), is_exponent.sum()))
    return np.clip(internal, problem.options.lower, problem.options.upper)


def _from_zero(problem: Problem, row: int) -> _Finalists:
    """Return the one fit that starts with every coefficient 1 (in fit units) and every exponent 0."""
    theta = np.where(problem.form.is_coefficient, 1.0, 0.0)[None]
    return _converged(problem, row, problem.from_theta(theta), np.full(1, _DAMPING))


def _converged(problem: Problem, row: int, internal: np.ndarray, damping: np.ndarray) -> _Finalists:
    """Return these starts run to convergence, best first."""
    data = (problem.features, problem.log_target[row], problem.weight[row])
    objective, _ = descents(internal, damping, *data, problem.layout, problem.options, _LAST, _TOLERANCE)
    order = np.argsort(objective, kind="stable")
    return _Finalists(internal[order], objective[order])


def _exchange(
    problem: Problem, finalists: list[_Finalists], schedule: Schedule, warm: np.ndarray | None, threads: int | None
) -> list[_Finalists]:
    """Return the finalists after every fit has tried the optima of the others, `schedule.rounds` times."""
    for _ in range(schedule.rounds):
        stride = -(-len(finalists) // schedule.pool)
        pool = np.stack([each.internal[0] for each in finalists[::stride]])
        if warm is not None:
            pool = np.vstack([pool, problem.from_theta(np.atleast_2d(warm))])
        finalists = in_threads(
            lambda item, pool=pool: _try(problem, *item, pool, schedule.tried), enumerate(finalists), threads
        )
    return finalists


def _try(problem: Problem, row: int, own: _Finalists, pool: np.ndarray, tried: int) -> _Finalists:
    """Return one fit's finalists with the `tried` members of `pool` that promise most on its data."""
    data = (problem.features, problem.log_target[row], problem.weight[row])
    promise = losses(pool, *data, problem.layout, problem.options)
    internal = pool[np.argsort(promise, kind="stable")[:tried]]
    damping = np.full(len(internal), _DAMPING)
    objective, _ = descents(internal, damping, *data, problem.layout, problem.options, 10, _TOLERANCE)
    keep = np.argsort(objective, kind="stable")[: max(1, tried // 4)]
    new = _converged(problem, row, internal[keep], damping[keep])
    internal, objective = np.vstack([own.internal, new.internal]), np.concatenate([own.objective, new.objective])
    order = np.argsort(objective, kind="stable")
    return _Finalists(internal[order], objective[order])
