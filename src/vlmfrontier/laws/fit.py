"""A fitted law: one form, one target, the best θ of many starts, with everything a reader needs to judge it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from vlmfrontier.errors import UserError
from vlmfrontier.laws import diagnostics, engine
from vlmfrontier.laws.checks import above_ceiling, ceiling_of, point_weights, refuse_hopeless, table_warnings
from vlmfrontier.laws.engine import Solution, improve
from vlmfrontier.laws.forms import Form, form_for
from vlmfrontier.laws.formula import DATA
from vlmfrontier.laws.problem import Problem
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.laws.words import law_in_words
from vlmfrontier.records import Law, again, read_checked
from vlmfrontier.study.analysis import LawsConfig

_SAME = 1e-9
"""Relative difference of objectives below which two minima are one."""


@dataclass(frozen=True)
class LawFit:
    """The law of one target. θ is in fit units (N/unit, n/unit); `predict` takes the units of the table."""

    form: Form
    target: str
    units: dict[str, float]
    data_unit: float | None
    loss: str
    theta: np.ndarray
    objective: float
    metrics: dict[str, float]
    covariance: np.ndarray | None = None
    """Sandwich covariance of (log coefficients, exponents), (P, P), directions without information left out."""
    degrees_of_freedom: int = 1
    standard_errors: dict[str, float | None] = field(default_factory=dict)
    """By parameter: the spread of its bag, or by the sandwich formula where there is none, as `diagnostics` says under
    `standard_errors`. None at a bound, of a vanished term, and where the data do not determine it."""
    correlations: dict[str, float] = field(default_factory=dict)
    diagnostics: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def parameters(self) -> dict[str, float]:
        """θ by name."""
        return dict(zip(self.form.parameter_names, map(float, self.theta), strict=True))

    def predict(self, points: Mapping[str, ArrayLike]) -> np.ndarray:
        """Return f (m,) at `points`: columns by factor name and `n`, a DataFrame or dict, in units of the table."""
        return self.form.predict(self.theta, *scaled(self.form, points, self.units, self.data_unit))

    def interval(self, points: Mapping[str, ArrayLike], level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper ends (m,) of the law's confidence interval for f: delta method, Student's t.

        It supposes that the form is right: in simulation nominal 90% then covered 88 to 95%, and less where it was not.
        The frontier's interval pools forms and resamples instead.
        """
        from scipy.stats import t  # noqa: PLC0415 — half a second to import, and few need it

        if self.covariance is None:
            raise UserError(f"the law of {self.target} has no covariance; use the interval of its bag")
        X, n = scaled(self.form, points, self.units, self.data_unit)
        slope = diagnostics.log_jacobian(self.form, self.theta, X, n)
        spread = np.sqrt(np.einsum("mp,pq,mq->m", slope, self.covariance, slope))
        width = t.ppf(0.5 + level / 2, self.degrees_of_freedom) * spread
        predicted = self.form.predict(self.theta, X, n)
        return predicted * np.exp(-width), predicted * np.exp(width)

    def save(self, path: Path) -> None:
        """Write the law as JSON."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self._record(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> "LawFit":
        """Return the law of a JSON that `save` wrote. Raises `UserError` if it is none."""
        record = read_checked(Path(path), Law, again("laws"))
        try:
            factors, has_data = list(record["factors"]), record["data_unit"] is not None
            form = form_for(record["form"], factors, has_data, record.get("formula"))
            if (ceiling := record.get("ceiling")) and ceiling["known"]:
                form = replace(form, ceiling=ceiling["value"])
            theta = np.array([record["parameters"][name] for name in form.parameter_names])
        except (ValueError, KeyError, UserError) as error:
            raise UserError(f"{path}: damaged: not a fitted law ({error!r}); {again('laws')}") from None
        covariance = record.pop("covariance")
        same = ("target", "data_unit", "loss", "objective", "metrics", "standard_errors", "correlations", "diagnostics")
        return cls(
            form=form,
            theta=theta,
            units={name: factor["unit"] for name, factor in record["factors"].items()},
            covariance=None if covariance is None else np.array(covariance),
            degrees_of_freedom=record["degrees_of_freedom"],
            warnings=record["warnings"],
            **{key: record[key] for key in same},
        )

    def _record(self) -> dict[str, Any]:
        return {
            "form": self.form.name,
            **({"formula": self.form.text} if self.form.text else {}),
            "target": self.target,
            "factors": {name: {"unit": self.units[name]} for name in self.form.factors},
            "data_unit": self.data_unit,
            "loss": self.loss,
            "objective": self.objective,
            "parameters": self.parameters,
            "ceiling": self._ceiling(),
            "metrics": self.metrics,
            "standard_errors": self.standard_errors,
            "correlations": self.correlations,
            "diagnostics": self.diagnostics,
            "warnings": self.warnings,
            "degrees_of_freedom": self.degrees_of_freedom,
            "covariance": None if self.covariance is None else self.covariance.tolist(),
        }

    def _ceiling(self) -> dict[str, Any] | None:
        if self.form.sharpness is None:
            return None
        value = float(self.form.ceilings(self.theta)[0])
        return {"value": value, "s": self.form.sharpness, "known": not self.form.fits_ceiling}


def fit(
    table: ResultsTable,
    form: str = "add-interact",
    target: str = "avg",
    config: LawsConfig | None = None,
    threads: int | None = None,
) -> LawFit:
    """Return the law of `form` for `target`: the best of `config.starts` starts, with diagnostics and warnings.

    Raises `UserError` if the table cannot carry the form.
    """
    config, table = config or LawsConfig(), table.measured(target)
    problem = problem_for(table, form, target, config)
    return law_at(table, target, problem, solve(problem, threads=threads))


def improved(table: ResultsTable, law: LawFit, starts: np.ndarray, config: LawsConfig | None = None) -> LawFit:
    """Return the law after descents from `starts` θ (B, P) too, those of a bag's members: `law` if none ends lower.

    Resamples leave poor basins in many ways, so that their fits together find minima that one search misses. A law
    found so has a `hit_rate` of 0: none of its own starts came there.
    """
    config, table = config or LawsConfig(), table.measured(law.target)
    problem = problem_for(table, law.form.name, law.target, config)
    theta, objective = improve(problem, starts)
    if objective > law.objective * (1 - _SAME):
        return law
    found = Solution(theta[None], np.array([objective]), np.zeros(1), law.diagnostics["starts"])
    return law_at(table, law.target, problem, found)


def law_at(table: ResultsTable, target: str, problem: Problem, solution: Solution) -> LawFit:
    """Return the law of the first row of `problem` at its solution, with diagnostics and warnings."""
    config, theta, error = problem.config, solution.theta[0], table.error(target)
    X, n = scaled(problem.form, table.points(), table.units, table.data_unit)
    found = diagnostics.diagnose(problem, theta, solution, table.training)
    return LawFit(
        form=problem.form,
        target=target,
        units=table.units,
        data_unit=table.data_unit,
        loss=config.loss,
        theta=theta,
        objective=float(solution.objective[0]),
        metrics=metrics(problem.form.predict(theta, X, n), error, config.percentage),
        covariance=found.covariance,
        degrees_of_freedom=found.degrees_of_freedom,
        standard_errors=found.standard_errors,
        correlations=found.correlations,
        diagnostics=found.record,
        warnings=[*table_warnings(table), *above_ceiling(table, problem.form, target), *found.warnings],
    )


def write_words(table: ResultsTable, law: LawFit, path: Path, config: LawsConfig) -> None:
    """Write a law of the table in words, with lmfit's report below, which takes longer than most fits."""
    problem = problem_for(table.measured(law.target), law.form.name, law.target, config)
    report = diagnostics.polish(problem, law.theta, law.diagnostics)
    path.write_text(f"{law_in_words(law)}\n\n{report}\n")


def problem_for(table: ResultsTable, form: str, target: str, config: LawsConfig) -> Problem:
    """Return the single fit of all rows of `table`, in which the target has been measured.

    Raises `UserError` if the table cannot carry the form.
    """
    shape = form_for(form, list(table.factors), table.has_data, config.formula_of(form))
    if shape.sharpness is not None:
        shape = replace(shape, ceiling=ceiling_of(config, table, target))
    refuse_hopeless(table, shape, target)
    X, n = scaled(shape, table.points(), table.units, table.data_unit)
    columns = [*X.T, n] if shape.has_data else list(X.T)
    target_log, weight = np.log(table.error(target)), point_weights(table, target, config)
    return Problem(shape, np.log(columns), target_log[None], weight[None], config, table.largest.get(target))


def scaled(
    form: Form, points: Mapping[str, ArrayLike], units: Mapping[str, float], data_unit: float | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return X (m, K) and n (m,) in fit units from columns in the units of the table.

    Raises `UserError` if a column is missing or not positive.
    """
    columns = {}
    for name in form.variables:
        if name not in points:
            raise UserError(
                f"a prediction needs a column {name!r}; the law's variables are {', '.join(form.variables)}"
            )
        columns[name] = np.atleast_1d(np.asarray(points[name], float)) / (data_unit if name == DATA else units[name])
        if not (columns[name] > 0).all():
            raise UserError(f"a prediction needs positive {name}, and one is {columns[name].min():g}")
    arrays = dict(zip(columns, np.broadcast_arrays(*columns.values()), strict=True))
    return np.stack([arrays[name] for name in form.factors], axis=1), arrays.get(DATA)


def solve(problem: Problem, warm=None, threads: int | None = None) -> Solution:
    """Return the best fit of every row of `problem` by its configured backend; see `engine.solve`."""
    if problem.config.backend == "scipy":
        from vlmfrontier.laws import reference  # noqa: PLC0415 — scipy.optimize is heavy, and nobody else needs it

        return reference.solve(problem)
    return engine.solve(problem, warm, threads)


def metrics(
    predicted: np.ndarray, measured: np.ndarray, percentage: Literal["error", "score"] = "error"
) -> dict[str, float]:
    """Return `mse` (squared units of the target), `e_pct` and `r2` of predictions (m,).

    `e_pct` is the mean of 100·|f̂ − f| / f, with f the error or the score 100 − error. `r2` is 1 − SS_res/SS_tot about
    the mean of `measured`, and so may be negative out of sample.
    """
    difference = predicted - measured
    denominator = measured if percentage == "error" else 100.0 - measured
    total = np.sum((measured - measured.mean()) ** 2)
    return {
        "mse": float(np.mean(difference**2)),
        "e_pct": float(100.0 * np.mean(np.abs(difference / denominator))),
        "r2": float(1.0 - np.sum(difference**2) / total) if total > 0 else float("nan"),
    }
