"""Where descents start: random exponents, crossings and jumps, whose coefficients least squares fills in.

The law is linear in its coefficients, below a ceiling through its sum of terms g: starts need exponents, and a ceiling.
"""

import math

import numpy as np

from vlmfrontier.laws.kernel import exponentials, law_at, loss, term_exponents, workspace
from vlmfrontier.laws.matrix import compiled
from vlmfrontier.laws.problem import Problem, pack

_SWEEPS = 150  # of coordinate descent: enough to rank starts, which is all they are for
_SMALLEST_SHARE = 1e-3  # relative size a term keeps where least squares drops it; at 0 it could never come back
_LEAST_PASSED = 0.01  # share of log g's slope that a target at or above the ceiling is taken to have


@compiled
def unbend(theta, points, count, layout, goal, weight):
    """Write what log g should be where log f is the target, and its weight: its error comes through as a share of it.

    The share is 1 − (y/C)^s. At or above the ceiling no g would do: such a target gets a g far above C, and hardly any
    weight.
    """
    s = layout.sharpness
    log_ceiling = theta[layout.ceiling] if layout.ceiling >= 0 else layout.log_ceiling
    for i in range(count):
        passed = max(1.0 - math.exp(s * min(0.0, points.target[i] - log_ceiling)), _LEAST_PASSED)
        goal[i] = points.target[i] - math.log(passed) / s
        weight[i] = points.weight[i] * passed * passed


@compiled
def gram(theta, features, goal, weight, count, layout, work, matrix, right, scale):
    """Write normal equations of g, linear in its coefficients, for relative residuals Σ c_j φ_j / e^goal − 1."""
    terms = layout.coefficient.size
    term_exponents(theta, features, layout, work.exponent, count)
    for j in range(terms):
        row, share = work.exponent[j], work.share[j]
        top = -np.inf
        for i in range(count):
            row[i] -= goal[i]
            top = max(top, row[i])
        scale[j] = top
        for i in range(count):
            row[i] -= top
        exponentials(row, share, work.bits, count)
        total = 0.0
        for i in range(count):
            total += weight[i] * share[i]
            row[i] = weight[i] * share[i]
        right[j] = total
        for k in range(j + 1):
            other, product = work.share[k], 0.0
            for i in range(count):
                product += row[i] * other[i]
            matrix[j, k] = product
            matrix[k, j] = product


@compiled
def non_negative(matrix, right, solution):
    """Write the non-negative least-squares solution of `matrix`·c = `right`; return cᵀMc − 2cᵀr."""
    terms = right.size
    solution[:] = 0.0
    for _ in range(_SWEEPS):
        for j in range(terms):
            rest = right[j]
            for k in range(terms):
                rest -= matrix[j, k] * solution[k]
            solution[j] = max(0.0, solution[j] + rest / matrix[j, j])
    value = 0.0
    for j in range(terms):
        value -= 2.0 * right[j] * solution[j]
        for k in range(terms):
            value += solution[j] * matrix[j, k] * solution[k]
    return value


@compiled
def fill_coefficients(theta, features, log_target, weight, layout):
    """Write into every θ (B, P) the best log coefficients for its exponents; return losses of relative residuals.

    The law is linear in its coefficients, so only exponents need random starts, and the loss already ranks them. With a
    ceiling that each θ brings, g is linear, and what ranks is the loss of log f.
    """
    points, count = pack(features, log_target, weight, True)
    work = workspace(layout.coefficient.size, theta.shape[1], weight.size)
    terms, has_ceiling = layout.coefficient.size, layout.sharpness > 0.0
    matrix, right, scale, solution = np.empty((terms, terms)), np.empty(terms), np.empty(terms), np.empty(terms)
    goal, weighed = points.target.copy(), points.weight.copy()
    total, out = np.sum(weight), np.empty(len(theta))
    for b in range(len(theta)):
        for j in range(terms):
            theta[b, layout.coefficient[j]] = 0.0
        if has_ceiling:
            unbend(theta[b], points, count, layout, goal, weighed)
        gram(theta[b], points.features, goal, weighed, count, layout, work, matrix, right, scale)
        out[b] = 0.5 * (non_negative(matrix, right, solution) + total)
        for j in range(terms):
            theta[b, layout.coefficient[j]] = math.log(max(solution[j], _SMALLEST_SHARE)) - scale[j]
        if has_ceiling:
            law = law_at(theta[b], points, count, layout, work)
            for i in range(count):
                work.residual[i] = math.log(law[i]) - points.target[i]
            out[b] = loss(work.residual, points.weight, count, 0.0)
    return out


_FAR = 3.0  # how far jumps go where exponents are unbounded
_MOST_CHANGED = 3  # exponents a jump draws anew
_NEW_CEILING = 0.5  # share of jumps that draw the ceiling anew


def random_starts(problem: Problem, row: int) -> np.ndarray:
    """Return `config.starts` starts (S, P) of one fit: exponents U(−1, 1), or U(0, 1) where they may not be negative; a
    fitted ceiling evenly in its log.
    """
    return _drawn(problem, row, problem.config.starts, 0)


def few_random_starts(problem: Problem, row: int, count: int) -> np.ndarray:
    """Return `count` other starts (S, P) of one fit, drawn in the same way."""
    return _drawn(problem, row, count, 9)


def _drawn(problem: Problem, row: int, count: int, stream: int) -> np.ndarray:
    rng, options = np.random.default_rng([problem.config.seed, stream, row]), problem.options_of(row)
    at = np.flatnonzero(problem.form.is_exponent)
    internal = np.zeros((count, len(problem.form.parameter_names)))
    lowest = np.where(options.lower[at] >= 0, 0.0, -1.0)
    internal[:, at] = rng.uniform(lowest, 1.0, (len(internal), len(at)))
    if problem.form.fits_ceiling:
        internal[:, -1] = rng.uniform(options.lower[-1], options.upper[-1], len(internal))
    return np.clip(internal, options.lower, options.upper)


def crossings(best: np.ndarray, pool: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `pool` (B, P) and `count` crossings of `best` (P,) with members of it, every entry from either at random.

    Terms act nearly by themselves, so an exponent that serves one optimum often serves in another's company.
    """
    partner = pool[rng.integers(0, len(pool), count)]
    return np.vstack([pool, np.where(rng.random(partner.shape) < 0.5, partner, best)])


def jumps(problem: Problem, row: int, sources: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` copies of random `sources` (B, P) with one to three exponents drawn anew, half of them at a bound;
    half of them with a new ceiling, where it is fitted.

    The minimum often has a term that acts on the largest or smallest value of a factor only, an exponent at its bound;
    from the ordinary start such a term is found by luck.
    """
    at, options = np.flatnonzero(problem.form.is_exponent), problem.options_of(row)
    lower, upper = options.lower[at], options.upper[at]
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
    if problem.form.fits_ceiling:
        moved = rng.random(count) < _NEW_CEILING
        internal[:, -1] = np.where(moved, rng.uniform(options.lower[-1], options.upper[-1], count), internal[:, -1])
    return internal
