"""What the data say about θ, and what they do not: conditioning, flat directions, bounds, vanished terms, errors."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmfrontier.laws.engine import Solution
from vlmfrontier.laws.forms import Form
from vlmfrontier.laws.problem import Problem

_WEAK = 1e-8  # singular values below this share of the largest carry no information in the covariance
_ILL_CONDITIONED = 1e8
_NAMED = 0.3  # a parameter belongs to a direction if its component is at least this
_AT_BOUND = 1e-6


@dataclass(frozen=True)
class Diagnosis:
    """What goes into the law's file."""

    record: dict[str, Any]
    warnings: list[str]
    covariance: np.ndarray
    degrees_of_freedom: int


@dataclass(frozen=True)
class Polished:
    """lmfit's view of the best start."""

    standard_errors: dict[str, float | None]
    correlations: dict[str, float]
    report: str


def diagnose(problem: Problem, theta: np.ndarray, solution: Solution) -> Diagnosis:
    """Return conditioning, flat directions, bounds and vanished terms of the fit of the first row of `problem`."""
    form = problem.form
    vanished = [term.coefficient for term in form.terms if theta[form.index(term.coefficient)] == 0]
    at_bound = _at_bound(problem, theta)
    free = _free(form, vanished, at_bound)
    jacobian = _weighted_jacobian(problem, theta)
    scale = np.linalg.norm(jacobian, axis=0)
    _, singular, directions = np.linalg.svd(jacobian[:, free] / scale[free], full_matrices=False)
    condition = float(singular[0] / max(singular[-1], 1e-300))
    flat = [
        _in_words(form, free, direction)
        for s, direction in zip(singular, directions, strict=True)
        if s < _WEAK**0.5 * singular[0]
    ]
    freedom = max(1, int((problem.weight[0] > 0).sum()) - int(free.sum()))
    record = {
        "starts": solution.starts,
        "hit_rate": float(solution.hit_rate[0]),
        "condition_number": condition,
        "singular_values": [float(value) for value in singular],
        "flattest_direction": _in_words(form, free, directions[-1]),
        "flat_directions": flat,
        "at_bound": at_bound,
        "vanished_terms": vanished,
    }
    covariance = _covariance(problem, theta, free, singular, directions, scale, freedom)
    return Diagnosis(record, _warnings(record, problem), covariance, freedom)


def log_jacobian(form: Form, theta: np.ndarray, X: np.ndarray, n: np.ndarray | None) -> np.ndarray:
    """Return ∂ log f / ∂ (log coefficients, exponents) at every point, (m, P)."""
    values = form.term_values(theta[None], X, n)[:, 0]
    shares = values / values.sum(axis=0)
    logs = dict(zip(form.factors, np.log(X).T, strict=True)) | ({"n": np.log(n)} if form.has_data else {})
    jacobian = np.zeros((len(X), len(theta)))
    for term, share in zip(form.terms, shares, strict=True):
        jacobian[:, form.index(term.coefficient)] += share
        for power in term.powers:
            jacobian[:, form.index(power.exponent)] += power.sign * share * logs[power.variable]
    return jacobian


def polish(problem: Problem, theta: np.ndarray) -> Polished:
    """Return lmfit's standard errors, correlations and report, from a least-squares run that starts at θ.

    A parameter at a bound or of a vanished term is held fixed: its error would mean nothing, and is None.
    """
    import lmfit  # noqa: PLC0415 — a second to import

    form, weight = problem.form, np.sqrt(problem.weight[0])
    vanished = [term.coefficient for term in form.terms if theta[form.index(term.coefficient)] == 0]
    free = _free(form, vanished, _at_bound(problem, theta))
    parameters = lmfit.Parameters()
    for name, value, vary, coefficient in zip(form.parameter_names, theta, free, form.is_coefficient, strict=True):
        parameters.add(name, value=value, vary=bool(vary), min=0.0 if coefficient else -np.inf)

    def residual(parameters) -> np.ndarray:
        predicted = form.predict(np.array([parameters[name].value for name in form.parameter_names]), *problem.design)
        difference = (
            np.log(predicted) - problem.log_target[0]
            if problem.options.log_space
            else predicted - np.exp(problem.log_target[0])
        )
        # A wild trial step may overflow: such a residual counts as huge, but stays finite and in its place.
        return np.nan_to_num(weight * _huber_root(difference, problem.options.delta), nan=1e6, posinf=1e6, neginf=-1e6)

    names = form.parameter_names
    result = lmfit.minimize(residual, parameters, method="leastsq", max_nfev=2000)
    errors = {name: _finite(result.params[name].stderr) if result.params[name].vary else None for name in names}
    correlations = {
        f"{a},{b}": float(value)
        for i, a in enumerate(form.parameter_names)
        for b, value in (result.params[a].correl or {}).items()
        if b in form.parameter_names[i + 1 :] and np.isfinite(value)
    }
    return Polished(errors, correlations, lmfit.fit_report(result))


def _at_bound(problem: Problem, theta: np.ndarray) -> list[str]:
    """Return exponents that the box holds."""
    lower, upper = problem.options.lower, problem.options.upper
    near = (theta <= lower + _AT_BOUND) | (theta >= upper - _AT_BOUND)
    return [
        name
        for name, hit, coefficient in zip(problem.form.parameter_names, near, problem.form.is_coefficient, strict=True)
        if hit and not coefficient
    ]


def _free(form: Form, vanished: list[str], at_bound: list[str]) -> np.ndarray:
    """Return which parameters the data can move: not at a bound, and felt in a term that has not vanished."""
    felt = {
        name
        for term in form.terms
        if term.coefficient not in vanished
        for name in (term.coefficient, *(power.exponent for power in term.powers))
    }
    return np.array([name in felt and name not in at_bound for name in form.parameter_names])


def _weighted_jacobian(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """Return the Jacobian of the weighted residuals at the data, (m, P)."""
    form = problem.form
    jacobian = log_jacobian(form, theta, *problem.design)
    if not problem.options.log_space:
        jacobian = jacobian * form.predict(theta, *problem.design)[:, None]
    return jacobian * np.sqrt(problem.weight[0])[:, None]


def _covariance(problem, theta, free, singular, directions, scale, freedom) -> np.ndarray:
    """Return σ²·(JᵀJ)⁺ over all parameters, from the singular values that carry information."""
    strong = singular > _WEAK * singular[0]
    half = (directions[strong] / singular[strong, None]) / scale[free]
    predicted = problem.form.predict(theta, *problem.design)
    difference = np.log(predicted) - problem.log_target[0]
    if not problem.options.log_space:
        difference = predicted - np.exp(problem.log_target[0])
    variance = np.sum(problem.weight[0] * difference**2) / freedom
    covariance = np.zeros((len(free), len(free)))
    covariance[np.ix_(free, free)] = variance * half.T @ half
    return covariance


def _in_words(form: Form, free: np.ndarray, direction: np.ndarray) -> str:
    """Return a direction of parameter space as a sentence: what can move together and leave the fit as it is."""
    names = [name for name, moves in zip(form.parameter_names, free, strict=True) if moves]
    direction = direction * np.sign(direction[np.argmax(np.abs(direction))])
    strong = np.argsort(-np.abs(direction), kind="stable")
    strong = [k for k in strong if abs(direction[k]) >= _NAMED] or [strong[0]]
    return ", ".join(f"{names[k]} {'up' if direction[k] > 0 else 'down'}" for k in strong)


def _warnings(record: dict[str, Any], problem: Problem) -> list[str]:
    """Return the record's alarming entries as named warnings."""
    warnings = []
    if record["condition_number"] > _ILL_CONDITIONED**0.5:
        warnings.append(
            f"not_identified: condition number {record['condition_number']:.1e}; {record['flattest_direction']} "
            "together leave the fit as it is, so read predictions, not parameters"
        )
    if record["at_bound"]:
        warnings.append(
            f"at_bound: {', '.join(record['at_bound'])} at ±{problem.config.exponent_bound:g}: the data ask for a "
            "step, not a power law"
        )
    if record["vanished_terms"]:
        warnings.append(f"vanished: {', '.join(record['vanished_terms'])} = 0; the data show no such term")
    return warnings


def _huber_root(difference: np.ndarray, delta: float) -> np.ndarray:
    """Return residuals whose half squares are Huber's loss; as they are for δ ≤ 0."""
    if delta <= 0:
        return difference
    size = np.abs(difference)
    inner = np.minimum(size, delta)
    return np.sign(difference) * np.sqrt(2.0 * inner * (size - 0.5 * inner))


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None
