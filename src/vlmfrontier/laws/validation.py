"""How a form predicts rows it has not seen: cross-validation, and extrapolation over the split of the table."""

import numpy as np

from vlmfrontier.errors import UserError
from vlmfrontier.laws.bagging import bag
from vlmfrontier.laws.engine import descend, in_threads
from vlmfrontier.laws.fit import fit, problem_for, solve
from vlmfrontier.laws.problem import Problem
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.study.analysis import LawsConfig

_SEARCHED = 1_000_000  # configurations times rows; of more, configurations are left out without a search
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
    _, each = np.unique(table.configuration, return_inverse=True)
    if (each.max() + 1) * len(each) > _SEARCHED and config.backend == "numba":
        return _descended(problem_for(table, form, target, config), each, warm, threads)
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
    which, position = np.unique(table.configuration, return_inverse=True)
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


def _descended(problem: Problem, fold: np.ndarray, warm: np.ndarray, threads: int | None) -> np.ndarray:
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
