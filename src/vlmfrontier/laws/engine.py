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
    """How starts are thinned out. Stages are (iterations, survivors); the last survivors run to convergence."""

    screened: int | None
    """Starts that survive the ranking by least squares; None keeps all."""
    halving: tuple[tuple[int, int], ...]
    """Stages for a fit's own starts."""
    rounds: int
    """How often optima are exchanged."""
    pool: int
    """Most optima that go round."""
    tried: int
    """How many of them, the most promising on its data, each fit follows up."""
    offspring: int
    """Crossings of a fit's best with the optima that go round."""
    exchange: tuple[tuple[int, int], ...]
    """Stages for those."""
    helpers: int
    """Fits a batch is filled up to with reweighted copies, for something to exchange."""


SCHEDULES = {
    "fast": Schedule(60, ((6, 16), (20, 3)), 1, 60, 8, 50, ((6, 2),), 8),
    "wide": Schedule(120, ((6, 40), (15, 12), (40, 3)), 2, 200, 16, 150, ((6, 5), (20, 2)), 12),
    "exhaustive": Schedule(None, (), 2, 400, 40, 400, ((10, 10),), 24),
}
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
    return _thinned(problem, row, internal[keep], schedule.halving)


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
    return _thinned(problem, row, problem.from_theta(theta), ())


def _thinned(problem: Problem, row: int, internal: np.ndarray, stages: tuple[tuple[int, int], ...]) -> _Finalists:
    """Return what is left of these starts after `stages`, run to convergence, best first."""
    damping = np.full(len(internal), _DAMPING)
    for iterations, survivors in (*stages, (_LAST, len(internal))):
        objective, _ = descents(
            internal,
            damping,
            problem.features,
            problem.log_target[row],
            problem.weight[row],
            problem.layout,
            problem.options,
            iterations,
            _TOLERANCE,
        )
        keep = np.argsort(objective, kind="stable")[:survivors]
        internal, damping, objective = internal[keep], damping[keep], objective[keep]
    return _Finalists(internal, objective)


def _exchange(
    problem: Problem, finalists: list[_Finalists], schedule: Schedule, warm: np.ndarray | None, threads: int | None
) -> list[_Finalists]:
    """Return the finalists after every fit has tried the optima of the others, `schedule.rounds` times."""
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
    """Return one fit's finalists with those offspring of its best and of `pool` that promise most on its data."""
    data = (problem.features, problem.log_target[row], problem.weight[row])
    young = _offspring(problem, own.internal[0], pool, schedule.offspring, [problem.config.seed, 7, turn, row])
    promise = fill_coefficients(young, *data, problem.layout)
    new = _thinned(problem, row, young[np.argsort(promise, kind="stable")[: schedule.tried]], schedule.exchange)
    internal, objective = np.vstack([own.internal, new.internal]), np.concatenate([own.objective, new.objective])
    order = np.argsort(objective, kind="stable")
    internal, objective = internal[order], objective[order]
    if JS:
        young = _jumps(problem, internal[0])
        fill_coefficients(young, *data, problem.layout)
        new = _thinned(problem, row, young, JS)
        internal, objective = np.vstack([internal, new.internal]), np.concatenate([objective, new.objective])
        order = np.argsort(objective, kind="stable")
    return _Finalists(internal[order], objective[order])


def _offspring(problem: Problem, best: np.ndarray, pool: np.ndarray, count: int, seed: list[int]) -> np.ndarray:
    """Return `pool`, `count` crossings of `best` with random members of it, and `best` with one exponent moved far."""
    rng = np.random.default_rng(seed)
    partner = pool[rng.integers(0, len(pool), count)]
    crossed = np.where(rng.random(partner.shape) < 0.5, partner, best)
    return np.vstack([pool, crossed])


JUMPS = (-1.0, -1 / 3, 1 / 3, 1.0)


def _jumps(problem, best):
    at = np.flatnonzero(~problem.form.is_coefficient)
    out = np.repeat(best[None], len(at) * len(JUMPS), 0)
    hi = min(problem.options.upper[at[0]], 3.0)
    for i, k in enumerate(at):
        out[i * len(JUMPS) : (i + 1) * len(JUMPS), k] = np.clip(
            hi * np.array(JUMPS), problem.options.lower[k], problem.options.upper[k]
        )
    return out


JS = ((6, 6), (15, 2))
