"""Bags: a form fitted to many resamples of a table; their predictions, not their parameters, are aggregated.

And how a form predicts rows it has not seen: cross-validation, and extrapolation over the split of the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vlmfrontier.errors import UserError
from vlmfrontier.laws import diagnostics
from vlmfrontier.laws.engine import descend, in_threads
from vlmfrontier.laws.fit import LawFit, fit, metrics, problem_for, scaled, solve
from vlmfrontier.laws.forms import Form
from vlmfrontier.laws.problem import Problem
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.records import again, read_frame
from vlmfrontier.study.analysis import LawsConfig

_BAG_SEED = 2  # what a bag's random numbers start at, beside the seed of the laws


@dataclass(frozen=True)
class Bag:
    """R fits of one form. θ (R, P) is in fit units; `predict` takes the units of the table."""

    form: Form
    units: dict[str, float]
    data_unit: float | None
    theta: np.ndarray
    objective: np.ndarray
    hit_rate: np.ndarray
    aggregate: Literal["median", "mean"] = "median"
    out_of_bag: dict[str, float] | None = None
    """Metrics of each row predicted by the members that did not see it; None after `load`."""

    def __len__(self) -> int:
        return len(self.theta)

    def members(self, points: Mapping[str, ArrayLike]) -> np.ndarray:
        """Return every member's f at `points`, (R, m)."""
        return self.form.predict(self.theta, *scaled(self.form, points, self.units, self.data_unit))

    def predict(self, points: Mapping[str, ArrayLike]) -> np.ndarray:
        """Return the median (or mean) of the members' f, (m,)."""
        return getattr(np, self.aggregate)(self.members(points), axis=0)

    def interval(self, points: Mapping[str, ArrayLike], level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Return the central `level` range of the members' f, two arrays (m,).

        This is the bag's spread: nominal 90% covered 81% in simulation, because every member believes in the form.
        """
        low, high = np.quantile(self.members(points), [0.5 - level / 2, 0.5 + level / 2], axis=0)
        return low, high

    def errors_of(self, law: LawFit) -> LawFit:
        """Return the law with the standard errors and correlations of this bag, unless it has one member only.

        None where the law is at a bound, and of a vanished term, as for the law by itself.
        """
        if len(self) < 2:
            return law
        found, spread = law.diagnostics, self.theta.std(axis=0, ddof=1)
        free = diagnostics.free_parameters(law.form, found["vanished_terms"], found["at_bound"])
        return replace(
            law,
            standard_errors=diagnostics.named_errors(law.form, free, spread),
            correlations=diagnostics.named_correlations(law.form, free, np.atleast_2d(np.cov(self.theta.T))),
            diagnostics=found | {"standard_errors": f"{diagnostics.BOOTSTRAP}, {len(self)} resamples"},
        )

    def save(self, path: Path) -> None:
        """Write one row per resample: parameters, objective, hit rate."""
        frame = pd.DataFrame(self.theta, columns=list(self.form.parameter_names))
        frame.insert(0, "resample", np.arange(len(self)))
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        frame.assign(objective=self.objective, hit_rate=self.hit_rate).to_csv(path, index=False)

    @classmethod
    def load(cls, path: Path, law: LawFit) -> "Bag":
        """Return the bag of a CSV that `save` wrote; form and units are those of its law."""
        names = list(law.form.parameter_names)
        frame = read_frame(Path(path), again("laws"), ["resample", *names, "objective", "hit_rate"])
        if list(frame["resample"]) != list(range(len(frame))):
            raise UserError(f"{path}: damaged: its resamples are not numbered 0 to {len(frame) - 1}; {again('laws')}")
        return cls(
            law.form,
            law.units,
            law.data_unit,
            frame[names].to_numpy(float),
            frame["objective"].to_numpy(),
            frame["hit_rate"].to_numpy(),
        )


def bag(
    table: ResultsTable,
    law: LawFit | str,
    target: str = "avg",
    config: LawsConfig | None = None,
    threads: int | None = None,
) -> Bag:
    """Return `config.resamples` fits of a law (or of a form by name, which is fitted first).

    Each redraws trainings with replacement, seeds and tests of one training together: the pairs bootstrap. Where the
    transfer gap has been taken off the errors, each takes off its own draw of it.
    """
    config, table = config or LawsConfig(), table.measured(target)
    law = fit(table, law, target, config, threads) if isinstance(law, str) else law
    problem = problem_for(table, law.form.name, target, config)
    weight = problem.weight * times_drawn(table, problem.config)
    gamma, log_target = gap_draws(table, target, len(weight), config.seed), None
    if gamma is not None:
        gap = table.transfer[target]
        log_target = problem.log_target - (gamma - gap.mean) @ gap.Z.T
    resampled = problem.with_weights(weight, log_target)
    solution = solve(resampled, warm=law.theta[None], threads=threads)
    return Bag(
        form=law.form,
        units=table.units,
        data_unit=table.data_unit,
        theta=solution.theta,
        objective=solution.objective,
        hit_rate=solution.hit_rate,
        aggregate=config.aggregate,
        out_of_bag=_out_of_bag(resampled, solution.theta, table.error(target)),
    )


def gap_draws(table: ResultsTable, target: str, count: int, seed: int) -> np.ndarray | None:
    """Return the draw of the transfer gap of each of `count` resamples, (count, q); None where no anchor tells it."""
    gap = table.transfer.get(target)
    return gap.draws(count, seed) if gap is not None and gap.anchors else None


def times_drawn(table: ResultsTable, config: LawsConfig) -> np.ndarray:
    """Return how often each row is in each resample of a pairs bag, (R, m): 0 where the member has not seen it.

    Where models are tested at many levels trainings are few, and a resample without all those of a size could not tell
    its effect: each training then has an exponential weight of mean 1 (the Bayesian bootstrap; Rubin 1981).
    """
    rng, count = np.random.default_rng([config.seed, _BAG_SEED]), table.trainings
    if table.trained:
        times = rng.exponential(1.0, (config.resamples, count))
        times *= count / times.sum(axis=1, keepdims=True)
    else:
        drawn = rng.integers(0, count, (config.resamples, count))
        times = np.stack([np.bincount(row, minlength=count) for row in drawn]).astype(float)
    _, position = np.unique(table.training, return_inverse=True)
    return times[:, position]


def _out_of_bag(problem: Problem, theta: np.ndarray, error: np.ndarray) -> dict[str, float] | None:
    """Return metrics of each row against the median of the members whose resample left it out; None if none did."""
    if (problem.weight > 0).all():
        return None
    predicted = problem.form.predict(theta, *problem.design)
    unseen = problem.weight == 0
    judged = unseen.any(axis=0)
    median = np.array([np.median(predicted[unseen[:, i], i]) for i in np.flatnonzero(judged)])
    return metrics(median, error[judged], problem.config.percentage)


_SEARCHED = 20_000  # configurations times rows; of more, configurations are left out without a search
_LEFT_OUT_STARTS = 60  # a fit without one configuration starts beside the fit with all, and needs few of its own


def cross_validated(
    table: ResultsTable,
    form: str,
    target: str,
    config: LawsConfig,
    warm: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """Return f̂ of every row, (m,), from the fit that left its fold out. Seeds of one configuration share a fold."""
    return _left_out(table, form, target, config, folds(table, config), warm, threads)


def leave_one_out(
    table: ResultsTable, form: str, target: str, config: LawsConfig, warm: np.ndarray, threads: int | None = None
) -> np.ndarray:
    """Return f̂ of every row, (m,), from the fit without its configuration; `warm` is θ of the fit of all.

    Of many configurations one hardly moves the fit: each is then left out by a descent from the fit of all, without a
    search, so that time grows with the square of the rows and memory with the rows.
    """
    _, each = np.unique(table.training, return_inverse=True)
    if (each.max() + 1) * len(each) > _SEARCHED and config.backend == "numba":
        return descended(problem_for(table, form, target, config), each, warm, threads)
    lighter = config.model_copy(update={"preset": "fast", "starts": min(config.starts, _LEFT_OUT_STARTS)})
    return _left_out(table, form, target, lighter, each, warm, threads)


def extrapolated(
    table: ResultsTable, form: str, target: str, config: LawsConfig, threads: int | None = None
) -> np.ndarray | None:
    """Return f̂ of the rows outside the split by the bag of those inside; None if they are too few.

    Raises `UserError` if the table has no split.
    """
    if table.split is None:
        raise UserError(f"{table.name}: no split is configured (table.split or laws.split)")
    inside, outside = table.rows(table.split), table.rows(~table.split)
    try:
        law = fit(inside, form, target, config, threads)
    except UserError:  # what `inside` lacks is no mistake of the user's: the whole table has been accepted
        return None
    return bag(inside, law, target, config, threads=threads).predict(outside.points())


def folds(table: ResultsTable, config: LawsConfig) -> np.ndarray:
    """Return the fold of every row, (m,): configurations dealt at random to `config.folds` folds of like size."""
    which, position = np.unique(table.training, return_inverse=True)
    dealt = np.arange(len(which)) % min(config.folds, len(which))
    np.random.default_rng([config.seed, 4]).shuffle(dealt)
    return dealt[position]


def _left_out(
    table: ResultsTable,
    form: str,
    target: str,
    config: LawsConfig,
    fold: np.ndarray,
    warm: np.ndarray | None,
    threads: int | None,
) -> np.ndarray:
    """Return f̂ of every row from the fit without its fold; all folds are one batch."""
    problem = problem_for(table, form, target, config)
    seen = fold[None, :] != np.arange(fold.max() + 1)[:, None]
    solution = solve(problem.with_weights(problem.weight * seen), warm, threads)
    predicted = problem.form.predict(solution.theta, *problem.design)
    return predicted[fold, np.arange(len(fold))]


def descended(problem: Problem, fold: np.ndarray, warm: np.ndarray, threads: int | None) -> np.ndarray:
    """Return f̂ of every row from a descent without its fold, one fold at a time."""
    X, n = problem.design
    order = np.argsort(fold, kind="stable")
    rows = np.split(order, np.flatnonzero(np.diff(fold[order])) + 1)

    def left_out(out: np.ndarray) -> np.ndarray:
        weight = problem.weight[0].copy()
        weight[out] = 0.0
        theta, _ = descend(problem, weight, warm)
        return problem.form.predict(theta, X[out], None if n is None else n[out])

    predicted = np.empty(len(fold))
    for out, values in zip(rows, in_threads(left_out, rows, threads), strict=True):
        predicted[out] = values
    return predicted
