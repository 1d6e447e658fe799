"""The paper's own protocol through scipy: L-BFGS-B from U(0, 30) coefficients and U(−1, 1) exponents; slow.

`numeric` gradients of natural parameters are the paper's way; `analytic` ones, in log coefficients, are ten times
faster and end lower. The kernel is tested to be no worse than either.
"""

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from scipy.optimize import minimize

from vlmfrontier.laws.descent import SAME
from vlmfrontier.laws.engine import Solution
from vlmfrontier.laws.forms import Form
from vlmfrontier.laws.problem import Problem

Gradient = Literal["numeric", "analytic"]
_LARGEST_COEFFICIENT = 30.0
_SMALLEST = 1e-300  # has a logarithm
_HOPELESS = 1e10  # in the place of an infinite or undefined loss


def solve(problem: Problem, gradient: Gradient = "numeric") -> Solution:
    """Return the best of `problem.config.starts` starts for every row of `problem`.

    The hit rate is the share of all starts that reach the best minimum found.
    """
    ends = [list(descents(problem, row, gradient)) for row in range(problem.fits)]
    objective = np.array([[value for _, value in row] for row in ends])
    best = objective.argmin(axis=1)
    theta = np.stack([row[which][0] for row, which in zip(ends, best, strict=True)])
    lowest = objective.min(axis=1)
    hit_rate = np.mean(objective <= lowest[:, None] * (1 + SAME), axis=1)
    return Solution(problem.merged(theta), lowest, hit_rate, objective.shape[1])


def descents(problem: Problem, row: int, gradient: Gradient) -> Iterator[tuple[np.ndarray, float]]:
    """Yield where each start of one fit ends: θ (P,) in fit units, and its objective."""
    run = _numeric if gradient == "numeric" else _analytic
    for start in starts(problem, row):
        yield run(problem, row, start)


def starts(problem: Problem, row: int) -> np.ndarray:
    """Return the paper's random starts of one fit, (S, P) in fit units."""
    rng = np.random.default_rng([problem.config.seed, 5, row])
    is_coefficient, shape = problem.form.is_coefficient, (problem.config.starts, len(problem.form.parameter_names))
    options = problem.options_of(row)
    lowest = np.where(options.lower >= 0, 0.0, -1.0)
    found = np.where(is_coefficient, rng.uniform(0, _LARGEST_COEFFICIENT, shape), rng.uniform(lowest, 1, shape))
    if problem.form.fits_ceiling:
        found[:, -1] = np.exp(rng.uniform(options.lower[-1], options.upper[-1], len(found)))
    return found


def log_predictor(problem: Problem, row: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return log f at one fit's points as a function of θ (P,) in fit units, as lean as numpy allows."""
    features = np.vstack([np.ones(problem.logs.shape[1]), problem.logs])[:, problem.weight[row] > 0]
    selector, is_logged, form = _selector(problem), problem.form.is_logged, problem.form

    def log_f(theta: np.ndarray) -> np.ndarray:
        internal = np.where(is_logged, np.log(np.maximum(theta, _SMALLEST)), theta)
        exponent = np.tensordot(selector, internal, (1, 0)) @ features
        top = exponent.max(axis=0)
        log_g = np.log(np.exp(exponent - top).sum(axis=0)) + top
        return log_g if form.sharpness is None else _bent(form, log_g, internal)[0]

    return log_f


def _bent(form: Form, log_g: np.ndarray, internal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log f of log g below the ceiling, and the share of g in it."""
    log_ceiling = internal[-1] if form.fits_ceiling else np.log(form.ceiling)
    log_f = -np.logaddexp(-form.sharpness * log_g, -form.sharpness * log_ceiling) / form.sharpness
    return log_f, np.exp(form.sharpness * (log_f - log_g))


def _numeric(problem: Problem, row: int, start: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the end of L-BFGS-B on natural parameters, gradients by finite differences."""
    used = problem.weight[row] > 0
    weight, target, options = problem.weight[row, used], problem.log_target[row, used], problem.options
    log_f = log_predictor(problem, row)

    def objective(theta: np.ndarray) -> float:
        predicted = log_f(theta)
        residual = predicted - target if options.log_space else np.exp(predicted) - np.exp(target)
        value = _loss(residual, weight, options.delta)
        return value if np.isfinite(value) else _HOPELESS

    end = minimize(objective, start, method="L-BFGS-B", bounds=_box(problem, row, logs=False))
    return end.x, float(end.fun)


def _analytic(problem: Problem, row: int, start: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the end of L-BFGS-B on (log coefficients, exponents) with the log-sum-exp's own gradient."""
    used = problem.weight[row] > 0
    weight, target = problem.weight[row, used], problem.log_target[row, used]
    features, selector, options = problem.features[:, used], _selector(problem), problem.options_of(row)

    def objective(internal: np.ndarray) -> tuple[float, np.ndarray]:
        exponent = np.tensordot(selector, internal, (1, 0)) @ features
        top = exponent.max(axis=0)
        terms = np.exp(exponent - top)
        total = terms.sum(axis=0)
        shares, log_value = terms / total, np.log(total) + top
        passed = np.ones_like(log_value)
        if problem.form.sharpness is not None:
            log_value, passed = _bent(problem.form, log_value, internal)
        value = np.exp(log_value)
        residual = log_value - target if options.log_space else value - np.exp(target)
        slope = weight * (residual if options.delta <= 0 else np.clip(residual, -options.delta, options.delta))
        slope = slope if options.log_space else slope * value
        gradient = np.einsum("jpq,jq->p", selector, (shares * slope * passed) @ features.T)
        if problem.form.fits_ceiling:
            gradient[-1] = np.sum(slope * (1 - passed))
        return _loss(residual, weight, options.delta), gradient

    box = _box(problem, row, logs=True)
    end = minimize(objective, problem.from_theta(start), jac=True, method="L-BFGS-B", bounds=box)
    return problem.to_theta(end.x), float(end.fun)


def _loss(residual: np.ndarray, weight: np.ndarray, delta: float) -> float:
    """Return Σ w·ρ(r), as the kernel does."""
    if delta <= 0:
        return float(0.5 * np.sum(weight * residual**2))
    size = np.abs(residual)
    inner = np.minimum(size, delta)
    return float(np.sum(weight * inner * (size - 0.5 * inner)))


def _box(problem: Problem, row: int, logs: bool) -> list[tuple[float, float]]:
    """Return scipy's bounds: the problem's own for exponents, and in logs for all; else coefficients are ≥ 0."""
    options, form = problem.options_of(row), problem.form
    box = list(zip(options.lower, options.upper, strict=True))
    if logs:
        return box
    box = [(0.0, np.inf) if coefficient else ends for coefficient, ends in zip(form.is_coefficient, box, strict=True)]
    return [*box[:-1], tuple(np.exp(box[-1]))] if form.fits_ceiling else box


def _selector(problem: Problem) -> np.ndarray:
    """Return the form as a tensor (J, P, Q): log term_j = Σ_pq selector · θ_p · feature_q."""
    shape = (len(problem.form.terms), len(problem.form.parameter_names), len(problem.features))
    selector = np.zeros(shape)
    for term, parameter, variable, sign in zip(*problem.layout[:4], strict=True):
        selector[term, parameter, variable] += sign
    return selector
