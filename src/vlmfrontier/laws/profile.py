"""Profile likelihoods: how much worse the best fit becomes when one parameter is held elsewhere."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.laws.engine import solve
from vlmfrontier.laws.fit import LawFit, problem_for
from vlmfrontier.laws.kernel import Options
from vlmfrontier.laws.problem import Problem
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.study.laws import LawsConfig

_ERRORS = 4.0  # standard errors to each side, where the fit has them
_WIDEST, _WIDEST_LOG = 1.0, 3.0  # and never further than this, for exponents and for logs of coefficients


@dataclass(frozen=True)
class _Held(Problem):
    """A problem with one parameter of θ held: its box is a point.

    Logs are not centred, so that θ's coefficients are the kernel's own.
    """

    index: int = 0
    value: float = 0.0

    @cached_property
    def centre(self) -> np.ndarray:
        """Zero."""
        return np.zeros(len(self.logs))

    @cached_property
    def options(self) -> Options:
        """The problem's options with the point."""
        free = super().options
        point = np.log(self.value) if self.form.is_coefficient[self.index] else self.value
        lower, upper = free.lower.copy(), free.upper.copy()
        lower[self.index] = upper[self.index] = point
        return free._replace(lower=lower, upper=upper)


def profile(
    table: ResultsTable,
    law: LawFit,
    parameter: str,
    config: LawsConfig | None = None,
    points: int = 21,
    threads: int | None = None,
) -> pd.DataFrame:
    """Return the profile of one parameter: columns `value`, `objective`, `relative_objective`, `delta_chi2`.

    At each value all other parameters are fitted anew. `relative_objective` is the rise over the law's own objective,
    `delta_chi2` the same in units of the residual variance: below 1, the data do not tell the value from the fit.
    Raises `UserError` for an unknown parameter, or a coefficient that has vanished.
    """
    config = config or LawsConfig()
    if parameter not in law.form.parameter_names:
        raise UserError(f"no parameter {parameter!r} in {law.form.name}; it has {', '.join(law.form.parameter_names)}")
    problem, index = problem_for(table, law.form.name, law.target, config), law.form.index(parameter)
    if law.form.is_coefficient[index] and law.theta[index] == 0:
        raise UserError(f"{parameter} is 0 in this fit; profile a parameter of a term that is there")
    values = _values(law, index, points)
    objective = np.array([_best(problem, law, index, value, threads) for value in values])
    rise = objective / law.objective - 1
    frame = pd.DataFrame({"value": values, "objective": objective, "relative_objective": rise})
    return frame.assign(delta_chi2=rise * law.degrees_of_freedom)


def _values(law: LawFit, index: int, points: int) -> np.ndarray:
    """Return where the parameter is held: around the fit, in logs for a coefficient."""
    is_coefficient = law.form.is_coefficient[index]
    error = 0.0 if law.covariance is None else float(np.sqrt(law.covariance[index, index]))
    widest = _WIDEST_LOG if is_coefficient else _WIDEST
    away = min(_ERRORS * error, widest) if error > 0 else widest
    steps = np.linspace(-away, away, points)
    return law.theta[index] * np.exp(steps) if is_coefficient else law.theta[index] + steps


def _best(problem: Problem, law: LawFit, index: int, value: float, threads: int | None) -> float:
    """Return the best objective with one parameter held."""
    held = _Held(
        problem.form, problem.logs, problem.log_target, problem.weight, problem.config, index=index, value=float(value)
    )
    return float(solve(held, law.theta[None], threads).objective[0])
