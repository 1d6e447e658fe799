"""What the data say about θ, and what they do not: conditioning, flat directions, bounds, vanished terms, errors."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmfrontier.laws.engine import Solution
from vlmfrontier.laws.forms import Form
from vlmfrontier.laws.formula import CEILING
from vlmfrontier.laws.problem import Problem

_WEAK = 1e-8  # singular values below this share of the largest carry no information in the covariance
_ILL_CONDITIONED = 1e8
_NAMED = 0.3  # a parameter belongs to a direction if its component is at least this
_AT_BOUND = 1e-6
_LEAST_FREEDOM = 0.1  # a point that the fit follows whatever it says has no residual to learn from
_UNDETERMINED = 0.01  # a parameter that shares more than this of its square with left-out directions has no error
BOOTSTRAP, SANDWICH = "bootstrap", "sandwich"
"""Where standard errors come from: the spread of a bag, or the sandwich formula where there is none."""


@dataclass(frozen=True)
class Diagnosis:
    """What goes into the law's file."""

    record: dict[str, Any]
    warnings: list[str]
    covariance: np.ndarray
    degrees_of_freedom: int
    standard_errors: dict[str, float | None]
    correlations: dict[str, float]


def diagnose(problem: Problem, theta: np.ndarray, solution: Solution, configuration: np.ndarray) -> Diagnosis:
    """Return conditioning, flat directions, bounds, vanished terms and errors of the fit of `problem`'s first row.

    `configuration` numbers the configuration of every point: its seeds are no independent evidence.
    """
    form = problem.form
    vanished = [term.coefficient for term in form.terms if theta[form.index(term.coefficient)] == 0]
    at_bound = _at_bound(problem, theta, vanished)
    free = free_parameters(form, vanished, at_bound)
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
        "standard_errors": SANDWICH,
    }
    covariance, known = _sandwich(problem, theta, free, configuration)
    errors = np.sqrt(np.diag(covariance)) * np.where(form.is_logged, theta, 1.0)
    return Diagnosis(
        record,
        _warnings(record, problem, theta),
        covariance,
        freedom,
        named_errors(form, known, errors),
        named_correlations(form, known, covariance),
    )


def named_errors(form: Form, known: np.ndarray, errors: np.ndarray) -> dict[str, float | None]:
    """Return standard errors (P,) by parameter, None for those that are not `known` (P,) or not finite."""
    pairs = zip(form.parameter_names, known & np.isfinite(errors) & (errors > 0), errors, strict=True)
    return {name: float(error) if told else None for name, told, error in pairs}


def named_correlations(form: Form, known: np.ndarray, covariance: np.ndarray) -> dict[str, float]:
    """Return the correlations of the parameters that are `known`, as `a,b`."""
    spread, names = np.sqrt(np.diag(covariance)), form.parameter_names
    told = np.flatnonzero(known & np.isfinite(spread) & (spread > 0))
    pairs = [(i, j) for place, i in enumerate(told) for j in told[place + 1 :]]
    return {f"{names[i]},{names[j]}": float(covariance[i, j] / (spread[i] * spread[j])) for i, j in pairs}


def log_jacobian(form: Form, theta: np.ndarray, X: np.ndarray, n: np.ndarray | None) -> np.ndarray:
    """Return ∂ log f / ∂ (log coefficients, exponents, log of a fitted ceiling) at every point, (m, P)."""
    values = form.term_values(theta[None], X, n)[:, 0]
    total, C = values.sum(axis=0), form.ceilings(theta)[0]
    shares = values / total
    logs = dict(zip(form.factors, np.log(X).T, strict=True)) | ({"n": np.log(n)} if form.has_data else {})
    jacobian = np.zeros((len(X), len(theta)))
    for term, share in zip(form.terms, shares, strict=True):
        jacobian[:, form.index(term.coefficient)] += share
        for power in term.powers:
            jacobian[:, form.index(power.exponent)] += power.sign * share * logs[power.variable]
    if form.sharpness is not None:
        passed = (form.link(total, C) / total) ** form.sharpness  # the share of log g's slope in that of log f
        jacobian *= passed[:, None]
        if form.fits_ceiling:
            jacobian[:, -1] = 1 - passed
    return jacobian


def polish(problem: Problem, theta: np.ndarray, record: dict[str, Any]) -> str:
    """Return lmfit's report of a least-squares run that starts at θ, parameters at a bound or of a vanished term held.

    It says nothing of errors: those of lmfit hold for noise of one size under squared residuals only.
    """
    import lmfit  # noqa: PLC0415 — a second to import

    form = problem.form
    free = free_parameters(form, record["vanished_terms"], record["at_bound"])
    parameters = lmfit.Parameters()
    for name, value, vary, logged in zip(form.parameter_names, theta, free, form.is_logged, strict=True):
        parameters.add(name, value=value, vary=bool(vary), min=0.0 if logged else -np.inf)

    def residual(parameters) -> np.ndarray:
        return weighted_residual(problem, np.array([parameters[name].value for name in form.parameter_names]))

    result = lmfit.minimize(residual, parameters, method="leastsq", max_nfev=2000)
    for parameter in result.params.values():
        parameter.stderr, parameter.correl = None, None
    return lmfit.fit_report(result, show_correl=False)


def weighted_residual(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """Return residuals (m,) of the first row of `problem` whose half squares sum to its loss."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        root = np.sqrt(problem.weight[0]) * _huber_root(_residual(problem, theta), problem.options.delta)
    # A wild trial step may overflow: such a residual counts as huge, but stays finite and in its place.
    return np.nan_to_num(root, nan=1e6, posinf=1e6, neginf=-1e6)


def _residual(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """Return log f̂ − log f of the first row of `problem`, or f̂ − f where that is what is fitted."""
    predicted = problem.form.predict(theta, *problem.design)
    if problem.options.log_space:
        return np.log(predicted) - problem.log_target[0]
    return predicted - np.exp(problem.log_target[0])


def _at_bound(problem: Problem, theta: np.ndarray, vanished: list[str]) -> list[str]:
    """Return what the box holds: exponents of terms that are there, and a fitted ceiling."""
    form, lower, upper = problem.form, problem.options.lower, problem.options.upper
    inside = np.where(form.is_coefficient, 0.0, np.where(form.is_logged, np.log(np.maximum(theta, 1e-300)), theta))
    near = ~form.is_coefficient & ((inside <= lower + _AT_BOUND) | (inside >= upper - _AT_BOUND))
    felt = free_parameters(form, vanished, [])
    return [name for name, hit in zip(form.parameter_names, near & felt, strict=True) if hit]


def free_parameters(form: Form, vanished: list[str], at_bound: list[str]) -> np.ndarray:
    """Return which parameters the data can move: not at a bound, and felt in a term that has not vanished."""
    felt = {
        name
        for term in form.terms
        if term.coefficient not in vanished
        for name in (term.coefficient, *(power.exponent for power in term.powers))
    } | {CEILING}
    return np.array([name in felt and name not in at_bound for name in form.parameter_names])


def _weighted_jacobian(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """Return the Jacobian of the weighted residuals at the data, (m, P)."""
    form = problem.form
    jacobian = log_jacobian(form, theta, *problem.design)
    if not problem.options.log_space:
        jacobian = jacobian * form.predict(theta, *problem.design)[:, None]
    return jacobian * np.sqrt(problem.weight[0])[:, None]


def _sandwich(
    problem: Problem, theta: np.ndarray, free: np.ndarray, configuration: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the covariance (P, P) of (log coefficients, exponents, log ceiling), and which of them it knows (P,).

    A⁻¹·B·A⁻¹ (Huber 1967), which holds for noise of any size at any point: A is the curvature of the loss, B the sum of
    squared gradients of configurations, each enlarged for the point's pull on its own prediction. Directions without
    information are left out.
    """
    residual, delta = _residual(problem, theta), problem.options.delta
    jacobian = _weighted_jacobian(problem, theta)[:, free]
    root = np.sqrt(_curvature(residual, delta))
    scale = np.maximum(np.linalg.norm(jacobian * root[:, None], axis=0), 1e-300)
    left, singular, directions = np.linalg.svd(jacobian * root[:, None] / scale, full_matrices=False)
    strong = singular > _WEAK * singular[0]
    half = (directions[strong] / singular[strong, None]) / scale
    pull = np.sum(left[:, strong] ** 2, axis=1)
    slope = (np.clip(residual, -delta, delta) if delta > 0 else residual) / np.maximum(1 - pull, _LEAST_FREEDOM)
    gradients = jacobian * (slope * np.sqrt(problem.weight[0]))[:, None]
    _, position = np.unique(configuration, return_inverse=True)
    together = np.zeros((position.max() + 1, gradients.shape[1]))
    np.add.at(together, position, gradients)
    spread = together @ (half.T @ half)
    covariance, known = np.zeros((len(free), len(free))), free.copy()
    covariance[np.ix_(free, free)] = spread.T @ spread * len(together) / max(1, len(together) - 1)
    known[free] = np.sum(directions[~strong] ** 2, axis=0) < _UNDETERMINED
    return covariance, known


def _curvature(residual: np.ndarray, delta: float) -> np.ndarray:
    """Return the second derivative of the loss at every residual: 1, or Huber's smoothed over residuals like it.

    Huber's is 1 within δ and 0 beyond. Where δ is far below the noise few points lie within, and how the loss curves
    is a matter of how dense residuals are near 0: the step is smoothed by a normal kernel of Silverman's width.
    """
    if delta <= 0:
        return np.ones_like(residual)
    from scipy.special import ndtr  # noqa: PLC0415 — slow to import, and needed for this loss only

    size = np.abs(residual)
    width = max(0.9 * np.median(size) / 0.6745 * len(size) ** -0.2, 1e-3 * delta)
    return np.maximum(ndtr((delta - size) / width) - ndtr((-delta - size) / width), 1e-12)


def _in_words(form: Form, free: np.ndarray, direction: np.ndarray) -> str:
    """Return a direction of parameter space as a sentence: what can move together and leave the fit as it is."""
    names = [name for name, moves in zip(form.parameter_names, free, strict=True) if moves]
    direction = direction * np.sign(direction[np.argmax(np.abs(direction))])
    strong = np.argsort(-np.abs(direction), kind="stable")
    strong = [k for k in strong if abs(direction[k]) >= _NAMED] or [strong[0]]
    return ", ".join(f"{names[k]} {'up' if direction[k] > 0 else 'down'}" for k in strong)


def _warnings(record: dict[str, Any], problem: Problem, theta: np.ndarray) -> list[str]:
    """Return the record's alarming entries as named warnings."""
    warnings = []
    if record["condition_number"] > _ILL_CONDITIONED**0.5:
        warnings.append(
            f"not_identified: condition number {record['condition_number']:.1e}; {record['flattest_direction']} "
            "together leave the fit as it is, so read predictions, not parameters"
        )
    values = {name: theta[problem.form.index(name)] for name in record["at_bound"]}
    if ends := [name for name, value in values.items() if name != CEILING and value != 0]:
        warnings.append(
            f"at_bound: {', '.join(ends)} at ±{problem.config.exponent_bound:g}: exponent at its "
            "bound; do not interpret it"
        )
    if flat := [name for name, value in values.items() if value == 0]:
        warnings.append(
            f"at_bound: {', '.join(flat)} at 0, and may not be negative: the data show no fall of the error there"
        )
    if CEILING in values:
        warnings.append(
            f"at_bound: the ceiling C is {values[CEILING]:.4g}, at the end of its range; do not interpret it"
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
