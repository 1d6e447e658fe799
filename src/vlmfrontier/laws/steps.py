"""Steps: exponents at the bound of their size, which no power law has, and the law that is shown in their place."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vlmfrontier.laws import diagnostics
from vlmfrontier.laws.engine import Solution
from vlmfrontier.laws.fit import LawFit, law_at, problem_for
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.study.analysis import LawsConfig

_EDGE = 1e-9  # how far inside its box a descent starts
_PRIORS = (1.5, 1.0, 0.7, 0.5)
"""Standard deviations of the prior that draws exponents to 0; the first that frees all from their bounds is taken."""


def off_bounds(table: ResultsTable, law: LawFit, config: LawsConfig) -> LawFit:
    """Return the law with no exponent at the bound of its size: `law` itself if none is.

    Such an exponent is a step at the last value of a factor, and no power law. The law that is shown has, in its place,
    the most likely exponents under a normal prior around 0 and the residuals' own variance; `diagnostics` keeps the
    least objective, and a warning says where error makes a step. Predictions of the frontier do not rest on it.
    """
    ends = [name for name in law.diagnostics["at_bound"] if law.form.is_exponent[law.form.index(name)]]
    steep = {name: law.parameters[name] for name in ends if law.parameters[name] != 0}
    if not steep:
        return law
    from scipy.optimize import least_squares  # noqa: PLC0415 — slow to import, and few laws need it

    table = table.measured(law.target)
    problem = problem_for(table, law.form.name, law.target, config)
    exponents, start = law.form.is_exponent, problem.from_theta(law.theta)
    noise = np.sqrt(2 * law.objective / max(law.degrees_of_freedom, 1))
    # A ceiling whose least and largest value are one is no box for scipy.
    lower, upper = problem.options.lower, np.maximum(problem.options.upper, problem.options.lower + 4 * _EDGE)
    inside = np.clip(start, lower + _EDGE, upper - _EDGE)
    for prior in _PRIORS:

        def residuals(internal: np.ndarray, prior: float = prior) -> np.ndarray:
            misfit = diagnostics.weighted_residual(problem, problem.to_theta(internal))
            return np.concatenate([misfit, noise / prior * internal[exponents]])

        found = least_squares(residuals, inside, bounds=(lower, upper), x_scale="jac")
        theta = problem.to_theta(found.x)
        misfit = diagnostics.weighted_residual(problem, theta)
        solution = Solution(theta[None], np.array([0.5 * misfit @ misfit]), np.zeros(1), law.diagnostics["starts"])
        shown = law_at(table, law.target, problem, solution)
        if not set(shown.diagnostics["at_bound"]) & set(steep):
            break
    kept = {"hit_rate": law.diagnostics["hit_rate"], "least_objective": law.objective, "prior": prior}
    return replace(
        shown,
        diagnostics=shown.diagnostics | kept,
        warnings=[*shown.warnings, *_steps(table, law, steep, shown, prior)],
    )


def _steps(table: ResultsTable, law: LawFit, steep: Mapping[str, float], shown: LawFit, prior: float) -> list[str]:
    """Return a warning for every exponent that was at its bound: where the step is, and what is shown in its place."""
    warnings = []
    powers = {power.exponent: power for term in law.form.terms for power in term.powers}
    for name, value in steep.items():
        power = powers[name]
        levels = np.unique(table.points()[power.variable])
        rising = power.sign * value > 0
        place = f"beyond {power.variable} = {levels[-2]:g}" if rising else f"below {power.variable} = {levels[1]:g}"
        warnings.append(
            f"step: error rises {place} more steeply than a power can say ({name} would end at its bound, {value:g}); "
            f"shown with {name} = {shown.parameters[name]:.3g}, exponents drawn to 0 by a prior of width {prior:g}"
        )
    return warnings
