"""Exact search for x*(c; n) = argmin f(x, n) over c(x) ≤ c (Eq. 4), and the frontier as a table of budgets and n.

The configurations are sorted by cost once. The affordable ones of a budget are then a prefix of the list, and the best
of every prefix is a running minimum: one walk along the list answers all budgets of a data size and a model. Nothing is
approximated; the naive search over budgets × configurations gives the same choices. A configuration replaces a cheaper
one only if its error is smaller by more than rounding (`TIE`), so ties go to the cheaper configuration.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numba import njit, prange

from vlmfrontier.frontier.pool import TAILS, Members, Target
from vlmfrontier.frontier.space import INSIDE, SearchSpace, check_budgets

TIE = 1e-9
"""Relative difference of errors that counts as none: rounding in sums of the same powers stays below it."""


def affordable(cost: np.ndarray, budgets: np.ndarray) -> np.ndarray:
    """Return how many of the configurations, sorted by cost, have c(x) ≤ c (Eq. 4) for each ascending budget, (C,)."""
    if (np.diff(budgets) < 0).any():
        raise ValueError("budgets must ascend")
    return np.searchsorted(cost, np.asarray(budgets, float), side="right")


def pooled_errors(members: Members, examples: np.ndarray) -> np.ndarray:
    """Return the median over the models of f(x, n), shape (S, m): predictions are pooled, never parameters."""
    decay = np.ascontiguousarray(members.decay(examples).T)
    return _medians(*_parts(members, transposed=True), decay, members.progress(examples), *_ends(members))


def search(errors: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the index of the best affordable configuration (Eq. 4), shape (S, C); −1 where nothing is affordable.

    `errors` has shape (S, m) in order of cost, `counts` (C,) comes from `affordable`.
    """
    return _prefix_bests(np.ascontiguousarray(errors), counts)


def member_choices(members: Members, examples: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return every model's own x*(c; n) (Eq. 4) as indices of shape (R, S, C); −1 where nothing is affordable."""
    parts = _parts(members, transposed=False)
    return _member_choices(*parts, members.decay(examples), members.progress(examples), *_ends(members), counts)


def judge(members: Members, examples: float, counts: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return what the models say of the choices `chosen` (C,) at one number of examples, as three arrays (R, C):

    each model's own optimum (Eq. 4) as an index, its error at the choice, and its error at its optimum. Every budget
    must afford something.
    """
    optimum = member_choices(members, np.array([examples]), counts)[:, 0]
    rows = np.arange(len(members))[:, None]
    least = members.A[rows, optimum] + members.B[rows, optimum] * members.decay(np.array([examples]))
    return optimum, members.errors(chosen, examples), members.errors_of_sums(least, (rows, optimum), examples)


def _parts(members: Members, transposed: bool) -> tuple[np.ndarray, ...]:
    """Return A, B, level and slope, (R, m) or (m, R); the last two are empty where there is no discrepancy."""
    none = np.zeros((0, 0))
    parts = (members.A, members.B, *((none, none) if members.level is None else (members.level, members.slope)))
    return tuple(np.ascontiguousarray(part.T if transposed else part) for part in parts)


def _ends(members: Members) -> tuple[np.ndarray, np.ndarray, float]:
    return members.ceiling, members.sharpness, float(members.largest)


@njit(cache=True)
def _finished(g: float, ceiling: float, sharpness: float, delta: float, largest: float) -> float:
    """Return f for a sum of terms, as `Members.errors_of_sums` does."""
    if ceiling < np.inf:
        low = min(g, ceiling)
        ratio = low / max(g, ceiling)
        if sharpness == 4.0:
            ratio *= ratio
            g = low / math.sqrt(math.sqrt(1.0 + ratio * ratio))
        else:
            g = low * (1.0 + ratio**sharpness) ** (-1.0 / sharpness)
    if delta != 0.0:
        g *= math.exp(delta)
    return min(g, largest)


@njit(cache=True)
def _select(values: np.ndarray, rank: int) -> float:
    """Return the value of the given rank (quickselect); reorders `values` so that smaller ones come first."""
    low, high = 0, values.size - 1
    while low < high:
        pivot, i, j = values[(low + high) >> 1], low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            break
    return values[rank]


@njit(cache=True)
def _median(values: np.ndarray) -> float:
    half = values.size // 2
    upper = _select(values, half)
    if values.size % 2 == 1:
        return upper
    return 0.5 * (values[:half].max() + upper)


@njit(parallel=True, cache=True)
def _medians(A, B, level, slope, decay, progress, ceiling, sharpness, largest):
    """Return medians (S, m) for A, B, level and slope of shape (m, R), decay (S, R), progress (S,), ceilings (R,)."""
    medians = np.empty((decay.shape[0], A.shape[0]))
    bent = level.size > 0
    for m in prange(A.shape[0]):
        values = np.empty(A.shape[1])
        for s in range(decay.shape[0]):
            for r in range(values.size):
                g = A[m, r] + B[m, r] * decay[s, r]
                delta = level[m, r] + progress[s] * slope[m, r] if bent else 0.0
                values[r] = _finished(g, ceiling[r], sharpness[r], delta, largest)
            medians[s, m] = _median(values)
    return medians


@njit(cache=True)
def _prefix_best(errors: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the index of the least of the first `counts[c]` errors, for ascending counts."""
    best = np.full(counts.size, -1, np.int64)
    index, m = -1, 0
    for c in range(counts.size):
        while m < counts[c]:
            if index < 0 or errors[m] < errors[index] * (1 - TIE):
                index = m
            m += 1
        best[c] = index
    return best


@njit(cache=True)
def _prefix_bests(errors: np.ndarray, counts: np.ndarray) -> np.ndarray:
    best = np.empty((errors.shape[0], counts.size), np.int64)
    for s in range(errors.shape[0]):
        best[s] = _prefix_best(errors[s], counts)
    return best


@njit(parallel=True, cache=True)
def _member_choices(A, B, level, slope, decay, progress, ceiling, sharpness, largest, counts):
    """Return choices (R, S, C) for A, B, level and slope of shape (R, m), the rest as in `_medians`."""
    choices = np.empty((A.shape[0], decay.shape[1], counts.size), np.int32)
    bent = level.size > 0
    for r in prange(A.shape[0]):
        errors = np.empty(A.shape[1])
        for s in range(decay.shape[1]):
            for m in range(errors.size):
                g = A[r, m] + B[r, m] * decay[r, s]
                delta = level[r, m] + progress[s] * slope[r, m] if bent else 0.0
                errors[m] = _finished(g, ceiling[r], sharpness[r], delta, largest)
            choices[r, s] = _prefix_best(errors, counts)
    return choices


DISTINCT = 1.25
"""A runner-up differs from the choice by at least this ratio in some factor: one frame more is no alternative."""
REGRET_QUANTILE = 0.9
"""`regret_p90` is not exceeded by this share of the models."""

STAKES = 20.0
"""For `p_near` the error counts as at most this many times what is at stake: 0.5% of it is 10% of the stake."""
LEAST_RIVALS = 3
"""Fewer configurations have no middling one."""


def near_enough(cost: np.ndarray, errors: np.ndarray, counts: np.ndarray, near: float) -> np.ndarray:
    """Return for each budget the fraction of the error, (C,), by which a choice may be worse and still be near.

    It is `near` of the error, or of `STAKES` times what is at stake, whichever is less: so a loss far above 0 has
    choices that are near and others, too. At stake is how much worse than the best a middling choice is, the median of
    the configurations that cost at least half of the dearest affordable one (of all affordable ones where these are
    fewer than three). `errors` (m,) are in order of cost, `counts` (C,) from `affordable`.
    """
    first = np.searchsorted(cost, cost[counts - 1] / 2)
    first[counts - first < LEAST_RIVALS] = 0
    middling = np.array([np.median(errors[low:high]) for low, high in zip(first, counts, strict=True)])
    best = np.minimum.accumulate(errors)[counts - 1]
    return near * np.minimum(1.0, STAKES * (middling / best - 1))


def frontier_table(target: Target, budgets: np.ndarray, examples: np.ndarray | None, near: float) -> pd.DataFrame:
    """Return x*(c; n) (Eq. 4) with its uncertainty, a row per n and budget.

    Columns: budget c, n (NaN for a table without data size), the factors of x*, its cost, the pooled median f, the 90%
    interval f_lo, f_hi of f at x*, that of what a new run would measure (run_lo, run_hi), the share of models whose own
    optimum is x* (p_best) or better by at most the fraction of the error (p_near) that `near_enough` gives (near), the
    error points lost at x* against a model's own optimum that 90% of the models stay below (regret_p90), the 90% range
    of each factor over the models' own optima (N_lo, N_hi, …), what is extrapolated, which factors stand at an end of
    the space (edge), and the runner-up with its factors, cost and f. Raises `UserError` if a budget affords nothing.
    """
    check_budgets(target.space, budgets)
    sizes = [None] if examples is None else [float(size) for size in examples]
    return pd.concat([_frontier_at(target, budgets, size, near) for size in sizes], ignore_index=True)


def _frontier_at(target: Target, budgets: np.ndarray, size: float | None, near: float) -> pd.DataFrame:
    """Return the rows of the frontier for one number of examples."""
    space, ensemble = target.space, target.ensemble
    n = ensemble.pool.data_unit if size is None else size  # B = 0 without data size: any n gives the same
    counts = affordable(space.cost, budgets)
    errors = pooled_errors(ensemble.pool, np.array([n]))[0]
    chosen = search(errors[None], counts)[0]
    rows = pd.DataFrame({"c": budgets, "n": np.nan if size is None else size, **_configurations(space, chosen)})
    optimum, own, least = judge(ensemble.pool, n, counts, chosen)
    ends = [*ensemble.interval(chosen, n), *ensemble.run_interval(chosen, n)]
    enough = near_enough(space.cost, errors, counts, near)
    rows = rows.assign(
        **dict(zip(("f", "f_lo", "f_hi", "run_lo", "run_hi"), (errors[chosen], *ends), strict=True)),
        p_best=(optimum == chosen).mean(axis=0),
        p_near=(own <= least * (1 + enough)).mean(axis=0),
        near=enough,
        regret_p90=np.quantile(own - least, REGRET_QUANTILE, axis=0),
        **_ranges(space, optimum),
    )
    rows["extrapolates"] = [" ".join(target.runs.outside(x, size)) or INSIDE for x in map(space.at, chosen)]
    rows["edge"] = [" ".join(space.at_end(x)) or INSIDE for x in map(space.at, chosen)]
    second = np.array([runner_up(space, errors, *cell) for cell in zip(counts, chosen, strict=True)])
    return rows.join(_second(space, errors, second))


def runner_up(space: SearchSpace, errors: np.ndarray, count: int, taken: int | Sequence[int]) -> int:
    """Return the best (Eq. 4) of the first `count` configurations that differ from those taken by a quarter somewhere.

    `errors` has shape (m,); −1 if there is no such configuration.
    """
    distinct = np.ones(count, bool)
    for index in np.atleast_1d(taken):
        ratios = [values[:count] / values[index] for values in space.factors.values()]
        distinct &= np.any([(ratio >= DISTINCT) | (ratio <= 1 / DISTINCT) for ratio in ratios], axis=0)
    candidates = np.flatnonzero(distinct)
    return int(candidates[np.argmin(errors[candidates])]) if len(candidates) else -1


def _configurations(space: SearchSpace, indices: np.ndarray) -> dict[str, np.ndarray]:
    return {**{name: values[indices] for name, values in space.factors.items()}, "cost": space.cost[indices]}


def _ranges(space: SearchSpace, optimum: np.ndarray) -> dict[str, np.ndarray]:
    """Return the 90% range of every factor over the models' own optima (R, C), as feasible values."""
    columns = {}
    for name, values in space.factors.items():
        low, high = np.quantile(values[optimum], TAILS, axis=0, method="inverted_cdf")
        columns |= {f"{name}_lo": low, f"{name}_hi": high}
    return columns


def _second(space: SearchSpace, errors: np.ndarray, second: np.ndarray) -> pd.DataFrame:
    """Return the columns of the runner-up, NaN where there is none."""
    columns = {f"second_{name}": values for name, values in _configurations(space, second).items()}
    frame = pd.DataFrame({**columns, "second_f": errors[second]})
    frame.loc[second < 0] = np.nan
    return frame
