"""Where descents start: random exponents, crossings of optima, and jumps away from an optimum.

All return kernel parameters whose coefficients are still open: least squares fills them in, the law being linear in
them.
"""

import numpy as np

from vlmfrontier.laws.problem import Problem

_FAR = 3.0  # how far jumps go where exponents are unbounded
_MOST_CHANGED = 3  # exponents a jump draws anew


def random_exponents(problem: Problem, row: int) -> np.ndarray:
    """Return `config.starts` starts (S, P) of one fit: exponents U(−1, 1), or U(0, 1) if they must be positive."""
    rng = np.random.default_rng([problem.config.seed, 0, row])
    at = _exponents(problem)
    internal = np.zeros((problem.config.starts, len(problem.form.parameter_names)))
    lowest = 0.0 if problem.config.positive_exponents else -1.0
    internal[:, at] = rng.uniform(lowest, 1.0, (len(internal), len(at)))
    return np.clip(internal, problem.options.lower, problem.options.upper)


def crossings(best: np.ndarray, pool: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `pool` (B, P) and `count` crossings of `best` (P,) with members of it, every entry from either at random.

    Terms act nearly by themselves, so an exponent that serves one optimum often serves in another's company.
    """
    partner = pool[rng.integers(0, len(pool), count)]
    return np.vstack([pool, np.where(rng.random(partner.shape) < 0.5, partner, best)])


def jumps(problem: Problem, sources: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` copies of random `sources` (B, P) with one to three exponents drawn anew, half of them at a bound.

    The minimum often has a term that acts on the largest or smallest value of a factor only, an exponent at its bound;
    from the ordinary start such a term is found by luck.
    """
    at = _exponents(problem)
    lower, upper = problem.options.lower[at], problem.options.upper[at]
    low = np.maximum(lower, np.minimum(-_FAR, upper))  # a box that lies beyond, such as one held exponent, is kept
    high = np.minimum(upper, np.maximum(_FAR, lower))
    shape = (count, len(at))
    anywhere = rng.uniform(low, high, shape)
    at_bound = np.where(rng.random(shape) < 0.5, low, high)
    drawn = np.where(rng.random(shape) < 0.5, at_bound, anywhere)
    rank = np.argsort(rng.random(shape), axis=1)
    changed = rank < rng.integers(1, _MOST_CHANGED + 1, count)[:, None]
    internal = sources[rng.integers(0, len(sources), count)].copy()
    internal[:, at] = np.where(changed, drawn, internal[:, at])
    return internal


def _exponents(problem: Problem) -> np.ndarray:
    """Return the positions of exponents in θ."""
    return np.flatnonzero(~problem.form.is_coefficient)
