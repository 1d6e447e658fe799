"""The descents of one fit: from given starts, thinned out in stages, to distinct minima; polished, or confirmed."""

from dataclasses import dataclass

import numpy as np

from vlmfrontier.laws.problem import Problem, confirm, descents
from vlmfrontier.laws.starts import few_random_starts, fill_coefficients

_DAMPING = 1e-2
NEAR = 1e-8  # for starts that are next to their minimum
TOLERANCE = 1e-12  # relative decrease of the objective per step below which a fit stops
LAST = 300  # iterations that end a search; most fits have converged by then
POLISH = 1000  # iterations for the best of a fit, repeated: practically "to convergence"
_POLISHED = 3  # finalists that are polished
_AGAIN = 4  # most repeats of the polish
_DONE = 1e-9  # relative gain of a polish that ends them
_DRAWN, _FOLLOWED = 12, 3  # random starts that confirm an easy fit: drawn, and followed up
FELT = 1e-6  # share of f that a term must have somewhere for a fit to count as easy
_DISTINCT = 1e-5  # relative difference of objectives that tells finalists apart
SAME = 1e-6
"""Relative difference of objectives below which two finalists count as the same minimum."""
Stages = tuple[tuple[int, int], ...]
"""Iterations of each stage, and how many survive it."""


@dataclass(frozen=True)
class Finalists:
    """Where descents of one fit converged: distinct minima, best first, and how many of how many reached the best."""

    internal: np.ndarray
    objective: np.ndarray
    hits: int
    descents: int
    polished: bool = False
    """Whether the best one is at its end, which no longer descent lowers."""


def filled(problem: Problem, row: int, internal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return these starts (B, P) with the best coefficients for their exponents, and how good they are (B,)."""
    ranking = fill_coefficients(
        internal, problem.features, problem.log_target[row], problem.weight[row], problem.layout
    )
    return internal, ranking


def thinned(problem: Problem, row: int, internal: np.ndarray, stages: Stages, last: int = LAST) -> Finalists:
    """Return what is left of these starts after `stages` and `last` more iterations."""
    damping, options = np.full(len(internal), _DAMPING), problem.options_of(row)
    for iterations, survivors in (*stages, (last, len(internal))):
        objective = descents(
            internal, damping, problem.features, problem.log_target[row], problem.weight[row],
            problem.layout, options, iterations, TOLERANCE,
        )  # fmt: skip
        keep = np.argsort(objective, kind="stable")[:survivors]
        internal, damping, objective = internal[keep], damping[keep], objective[keep]
    hits = int(np.sum(objective <= objective[0] * (1 + SAME)))
    distinct = np.append(True, np.diff(objective) > _DISTINCT * objective[:-1])
    return Finalists(internal[distinct], objective[distinct], hits, len(objective))


def merged(one: Finalists, other: Finalists) -> Finalists:
    """Return both fits' finalists as one."""
    internal, objective = np.vstack([one.internal, other.internal]), np.concatenate([one.objective, other.objective])
    order = np.argsort(objective, kind="stable")
    internal, objective = internal[order], objective[order]
    distinct = np.append(True, np.diff(objective) > _DISTINCT * objective[:-1])
    hits = sum(each.hits for each in (one, other) if each.objective[0] <= objective[0] * (1 + SAME))
    return Finalists(internal[distinct], objective[distinct], hits, one.descents + other.descents)


def polished(problem: Problem, row: int, finalists: Finalists) -> Finalists:
    """Return the best of one fit after longer descents.

    Least-squares coefficients bring vanished terms back for another try. Valleys here are long and flat, and fresh
    damping helps along them, so the last descent is repeated while it gains.
    """
    if finalists.polished:
        return finalists
    few = finalists.internal[:_POLISHED]
    revived, _ = filled(problem, row, few.copy())
    best = thinned(problem, row, np.vstack([few, revived]), ((POLISH, 1),), 0)
    for _ in range(_AGAIN):
        before, best = best, thinned(problem, row, best.internal.copy(), (), POLISH)
        if before.objective[0] - best.objective[0] <= _DONE * best.objective[0]:
            break
    return best


def confirmed(problem: Problem, row: int, known: np.ndarray) -> Finalists | None:
    """Return where one fit of an easy batch ends from the best of `known` (B, P); None if that is in doubt: a random
    start ends elsewhere, a bound holds an exponent, or a term has vanished."""
    drawn, promise = filled(problem, row, few_random_starts(problem, row, _DRAWN))
    tried = np.vstack([known, drawn[np.argsort(promise, kind="stable")[:_FOLLOWED]]])
    objective, best, least_share = confirm(
        tried, len(known), _DAMPING, problem.features, problem.log_target[row], problem.weight[row],
        problem.layout, problem.options_of(row), LAST, TOLERANCE, SAME,
    )  # fmt: skip
    agree = (np.abs(objective[len(known) :] - objective[best]) <= SAME * objective[best]).all()
    if not agree or least_share < FELT or at_bound(problem, row, tried[best]):
        return None
    here, followed = slice(best, best + 1), 1 + _FOLLOWED
    return Finalists(tried[here], objective[here], followed, followed, polished=True)


def at_bound(problem: Problem, row: int, internal: np.ndarray) -> bool:
    """Return whether the box holds an entry of kernel parameters (P,), other than one that has no choice."""
    options = problem.options_of(row)
    ends = (internal <= options.lower) | (internal >= options.upper)
    return bool((ends & (options.lower < options.upper)).any())
