"""Profile likelihoods: how much worse the best fit becomes when one parameter is held elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.laws.engine import confirmed_end, improve, solve
from vlmfrontier.laws.fit import LawFit, problem_for
from vlmfrontier.laws.kernel import Options
from vlmfrontier.laws.problem import Problem
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.progress import Progress
from vlmfrontier.study.analysis import LawsConfig

_ERRORS = 4.0  # standard errors to each side, where the fit has them
_WIDEST, _WIDEST_LOG = 1.0, 3.0  # and never further than this, for exponents and for logs of coefficients
_SAME = 1e-6  # relative difference of objectives below which the law's own minimum is the best
_STARTS = 60  # per held value, beside the law and the fits at the neighbouring values


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
        point = np.log(self.value) if self.form.is_logged[self.index] else self.value
        lower, upper = free.lower.copy(), free.upper.copy()
        lower[self.index] = upper[self.index] = point
        return free._replace(lower=lower, upper=upper)


def profiles(
    table: ResultsTable,
    law: LawFit,
    parameters: Sequence[str],
    config: LawsConfig | None = None,
    points: int = 13,
    threads: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Return the profiles of some parameters: columns parameter, value, objective, relative_objective, delta_chi2, fit.

    At each value within the law's bounds all other parameters are fitted anew. `relative_objective` is the rise over
    the law's own objective, `delta_chi2` the same in units of the residual variance: below 1, the data do not tell the
    value from the fit; below 0, it led to a better fit than the law's own search. `fit` is the law's value.
    Raises `UserError` for an unknown parameter, or a coefficient that has vanished.
    """
    config, table = config or LawsConfig(), table.measured(law.target)
    lighter = config.model_copy(update={"starts": min(config.starts, _STARTS)})
    problem = problem_for(table, law.form.name, law.target, lighter)
    indices, found = {name: _index(law, name) for name in parameters}, []
    for name, index in indices.items():
        if progress is not None:
            progress(name)
        found.append(_searched(problem, law, index, points, threads))
    least = law.diagnostics.get("least_objective", law.objective)  # more where the law shown is off its bounds
    best, lowest = min((each.best for each in found), key=lambda pair: pair[1])
    for each in found:
        if not each.easy or lowest < least * (1 - _SAME):
            each.try_from(best)
    frames = [
        pd.DataFrame({"parameter": name, "value": each.values, "objective": each.objective})
        for name, each in zip(parameters, found, strict=True)
    ]
    frame = pd.concat(frames, ignore_index=True)
    # A law that fits exactly leaves nothing but rounding to count in.
    rise = (frame.objective - least) / max(least, np.finfo(float).eps)
    return frame.assign(
        relative_objective=rise,
        delta_chi2=rise * law.degrees_of_freedom,
        fit=frame.parameter.map(law.parameters),
    )


def _index(law: LawFit, parameter: str) -> int:
    """Return the place of a parameter in θ, if it can be profiled."""
    if parameter not in law.form.parameter_names:
        raise UserError(f"no parameter {parameter!r} in {law.form.name}; it has {', '.join(law.form.parameter_names)}")
    index = law.form.index(parameter)
    if law.form.is_coefficient[index] and law.theta[index] == 0:
        raise UserError(f"{parameter} is 0 in this fit; profile a parameter of a term that is there")
    return index


@dataclass
class _Profile:
    """The fits of one problem with one parameter held at a row of values."""

    index: int
    values: np.ndarray
    held: list[_Held]
    theta: list[np.ndarray]
    objective: list[float]
    easy: bool
    """Whether random starts led to the same minimum at every value."""

    @property
    def best(self) -> tuple[np.ndarray, float]:
        """θ and objective of the best of these fits."""
        place = int(np.argmin(self.objective))
        return self.theta[place], self.objective[place]

    def try_from(self, theta: np.ndarray) -> None:
        """Improve the fits by descents from θ at the value nearest to its own, and on from neighbour to neighbour.

        Along a flat valley a search now and then ends in a poorer basin, which would be a spike.
        """
        start = int(np.argmin(np.abs(self.values - theta[self.index])))
        self._improve(start, theta)
        last = len(self.values) - 1
        for places in (
            range(start + 1, last + 1),
            range(start - 1, -1, -1),
            range(1, last + 1),
            range(last - 1, -1, -1),
        ):
            for place in places:
                self._improve(place, self.theta[place - places.step])

    def _improve(self, place: int, theta: np.ndarray) -> None:
        found, objective = improve(self.held[place], theta)
        if objective < self.objective[place]:
            self.theta[place], self.objective[place] = found, objective


def _searched(problem: Problem, law: LawFit, index: int, points: int, threads: int | None) -> _Profile:
    """Return a profile by descents from the law, and on from neighbour to neighbour; a fit that random starts do not
    confirm is searched for, and then all try each other's."""
    values = _values(problem, law, index, points)
    given = {each.name: getattr(problem, each.name) for each in fields(problem)}
    held = [_Held(**given, index=index, value=float(value)) for value in values]
    start, theta = int(np.argmin(np.abs(values - law.theta[index]))), [law.theta] * len(held)
    objective, easy = [np.inf] * len(held), True
    for places in (range(start, len(held)), range(start - 1, -1, -1)):
        near = law.theta
        for place in places:
            known = np.stack([law.theta, near])
            if (end := confirmed_end(held[place], known)) is None:
                found, easy = solve(held[place], known, threads), False
                end = found.theta[0], float(found.objective[0])
            near, objective[place] = end
            theta[place] = near
    profile = _Profile(index, values, held, theta, objective, easy)
    if not easy:
        profile.try_from(law.theta)
    return profile


def _values(problem: Problem, law: LawFit, index: int, points: int) -> np.ndarray:
    """Return where the parameter is held: around the fit within its box, in logs for a coefficient or a ceiling."""
    logged, options = law.form.is_logged[index], problem.options
    error = 0.0 if law.covariance is None else float(np.sqrt(law.covariance[index, index]))
    widest = _WIDEST_LOG if logged else _WIDEST
    away = min(_ERRORS * error, widest) if error > 0 else widest
    if law.form.is_coefficient[index]:
        return law.theta[index] * np.exp(np.linspace(-away, away, points))
    centre = np.log(law.theta[index]) if logged else law.theta[index]
    below = np.linspace(max(centre - away, options.lower[index]), centre, points // 2 + 1)
    above = np.linspace(centre, min(centre + away, options.upper[index]), points // 2 + 1)
    values = np.unique(np.concatenate([below, above]))
    return np.exp(values) if logged else values
