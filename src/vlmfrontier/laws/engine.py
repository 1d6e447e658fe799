"""The search for the best of many starts: random exponents, least-squares coefficients, halving, exchange, jumps.

1. Every fit of a batch draws its own random exponents; coefficients follow by non-negative least squares, whose loss
   ranks the starts before a single iteration is spent.
2. Halving: the best go on for a few Levenberg–Marquardt iterations, the best of those for more, the last to the end.
3. Rounds: fits of a batch are resamples of the same data, so the optimum of one is a fine start for another. Each tries
   the optima of all, crossings with them, and jumps away from its own. This finds narrow basins that hardly any random
   start reaches; single fits get reweighted copies of their data for company.

A batch is easy if all descents of each of its first fits lead to one minimum, inside the box and with every term felt.
Its other fits descend from the optima of these, and a few random starts of their own must lead to the same minimum; a
fit in which they do not is searched as above.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vlmfrontier.laws.descent import (
    FELT,
    LAST,
    NEAR,
    POLISH,
    SAME,
    TOLERANCE,
    Finalists,
    Stages,
    at_bound,
    confirmed,
    filled,
    merged,
    polished,
    thinned,
)
from vlmfrontier.laws.problem import Problem, descents
from vlmfrontier.laws.starts import crossings, jumps, random_starts

_IMPROVING = ((20, 100),)  # how the starts of `improve` are thinned out, which may be the members of a large bag
_SOURCES = 3  # finalists that jumps start from
_CHUNKS = 8  # pieces of work that each thread gets, so that none waits long for the last
_PILOTS = 5  # fits of a batch that are searched in any case

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Schedule:
    """How a search spends its time. Stages are (iterations, survivors)."""

    screened: int | None
    """Starts that survive the ranking by least squares; None keeps all."""
    halving: Stages
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
    exchange: Stages
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


def solve(problem: Problem, warm: np.ndarray | None = None, threads: int | None = None) -> Solution:
    """Return the best fit of every row of `problem`, after `problem.config`'s starts, preset and seed.

    `warm` are θ (B, P) in fit units that every row also tries. `threads` changes the time, never the result.
    """
    if problem.config.initial == "zero":
        finalists = in_threads(lambda row: _from_zero(problem, row), range(problem.fits), threads)
    elif not _may_be_easy(problem) or not (pilots := _piloted(problem, warm, threads)):
        finalists = _searched(problem, warm, threads)
    else:
        finalists = _confirmed(problem, pilots, warm, threads)
    ends = in_threads(lambda row: polished(problem, row, finalists[row]), range(problem.fits), threads)
    return Solution(
        theta=problem.to_theta(np.stack([each.internal[0] for each in ends])),
        objective=np.array([each.objective[0] for each in ends]),
        hit_rate=np.array([each.hits / each.descents for each in finalists]),
        starts=1 if problem.config.initial == "zero" else problem.config.starts,
    )


def _searched(problem: Problem, warm: np.ndarray | None, threads: int | None) -> list[Finalists]:
    """Return the finalists of every fit after the whole search."""
    schedule = SCHEDULES[problem.config.preset]
    helped = _with_helpers(problem, schedule)
    finalists = in_threads(lambda row: _search(helped, row, schedule), range(helped.fits), threads)
    return _exchange(helped, finalists, schedule, warm, threads)[: problem.fits]


def _may_be_easy(problem: Problem) -> bool:
    """Return whether a batch is large enough for pilots to pay, and its preset allows for it."""
    return problem.fits >= 2 * _PILOTS and problem.config.preset != "exhaustive"


def _piloted(problem: Problem, warm: np.ndarray | None, threads: int | None) -> list[Finalists]:
    """Return the finalists of the first fits of an easy batch, and none of another.

    Where an exponent is at its bound or a term has vanished, other resamples may have minima with other such.
    """
    schedule = SCHEDULES[problem.config.preset]
    alone = in_threads(lambda row: _search(problem, row, schedule), range(_PILOTS), threads)
    if not all(each.hits == each.descents for each in alone):
        return []
    together = _exchange(problem, alone, schedule, warm, threads)
    lower = [
        after.objective[0] < before.objective[0] * (1 - SAME) for before, after in zip(alone, together, strict=True)
    ]
    ends = np.stack([each.internal[0] for each in together])
    felt = problem.largest_shares(ends) > FELT
    held = any(at_bound(problem, row, end) for row, end in enumerate(ends))
    return [] if any(lower) or held or not felt.all() else together


def _confirmed(
    problem: Problem, pilots: list[Finalists], warm: np.ndarray | None, threads: int | None
) -> list[Finalists]:
    """Return the finalists of every fit of an easy batch: by a descent which random starts confirm, or by a search."""
    known = np.stack([each.internal[0] for each in pilots])
    known = known if warm is None else np.vstack([problem.from_theta(np.atleast_2d(warm)), known])
    rest = range(len(pilots), problem.fits)
    found = [*pilots, *in_threads(lambda row: confirmed(problem, row, known), rest, threads)]
    doubtful = [row for row, each in enumerate(found) if each is None]
    if doubtful:
        again = problem.with_weights(problem.weight[doubtful], problem.log_target[doubtful])
        searched = _searched(again, problem.to_theta(known), threads)
        for row, each in zip(doubtful, searched, strict=True):
            found[row] = each
    return found


def improve(problem: Problem, theta: np.ndarray) -> tuple[np.ndarray, float]:
    """Return θ (P,) and objective of the best descent from the given θ (B, P) of the first row, without a search."""
    best = polished(problem, 0, thinned(problem, 0, problem.from_theta(np.atleast_2d(theta)), _IMPROVING))
    return problem.to_theta(best.internal[0]), float(best.objective[0])


def confirmed_end(problem: Problem, theta: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Return θ (P,) and objective of the descent from the best of θ (B, P), if the first row is easy from there."""
    end = confirmed(problem, 0, problem.from_theta(np.atleast_2d(theta)))
    return None if end is None else (problem.to_theta(end.internal[0]), float(end.objective[0]))


def descend(problem: Problem, weight: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, float]:
    """Return θ (P,) and objective of one descent from the best of θ (B, P), with other weights of the points, (m,)."""
    internal = problem.from_theta(np.atleast_2d(theta))
    objective = descents(
        internal, np.full(len(internal), NEAR), problem.features, problem.log_target[0], weight,
        problem.layout, problem.options_of(0, weight), LAST, TOLERANCE,
    )  # fmt: skip
    best = int(np.argmin(objective))
    return problem.to_theta(internal[best]), float(objective[best])


def in_threads(work: Callable[[_Item], _Result], items: Iterable[_Item], threads: int | None = None) -> list[_Result]:
    """Return `work` of every item, in order; kernels release the interpreter's lock, so threads run in parallel."""
    threads, items = threads or len(os.sched_getaffinity(0)), list(items)
    if threads == 1:
        return [work(item) for item in items]
    size = max(1, len(items) // (_CHUNKS * threads))  # handing over one short piece of work takes as long as the work
    chunks = [items[start : start + size] for start in range(0, len(items), size)]
    with ThreadPoolExecutor(threads) as pool:
        return [result for chunk in pool.map(lambda chunk: [work(item) for item in chunk], chunks) for result in chunk]


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


def _search(problem: Problem, row: int, schedule: Schedule) -> Finalists:
    """Return the finalists of one fit, from its own random starts."""
    internal, ranking = filled(problem, row, random_starts(problem, row))
    keep = np.argsort(ranking, kind="stable")[: schedule.screened]
    return thinned(problem, row, internal[keep], schedule.halving)


def _from_zero(problem: Problem, row: int) -> Finalists:
    """Return the one fit that starts with every coefficient 1 (in fit units) and every exponent 0."""
    theta = np.where(problem.form.is_coefficient, 1.0, 0.0)[None]
    if problem.form.fits_ceiling:
        theta[:, -1] = np.exp(problem.options_of(row).upper[-1])
    return thinned(problem, row, problem.from_theta(theta), (), POLISH)


def _exchange(
    problem: Problem, finalists: list[Finalists], schedule: Schedule, warm: np.ndarray | None, threads: int | None
) -> list[Finalists]:
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


def _try(problem: Problem, row: int, own: Finalists, pool: np.ndarray, schedule: Schedule, turn: int) -> Finalists:
    """Return one fit's finalists after one round; where all of them have agreed in the first, it is not asked again."""
    if turn > 0 and own.hits == own.descents:
        return own
    rng = np.random.default_rng([problem.config.seed, 7, turn, row])
    crossed, promise = filled(problem, row, crossings(own.internal[0], pool, schedule.crossings, rng))
    crossed = crossed[np.argsort(promise, kind="stable")[: schedule.tried]]
    jumped, _ = filled(problem, row, jumps(problem, row, own.internal[:_SOURCES], schedule.jumps, rng))
    return merged(own, thinned(problem, row, np.vstack([crossed, jumped]), schedule.exchange))
