"""The law-free check: what runs of about equal cost and equal n say by themselves, beside what the law says of them.

It confirms or contradicts the law and never replaces it: five rivals show no optimum, and the parabola that one would
lay through isoFLOP runs is biased where they do not lie evenly around it (arXiv 2603.22339).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from vlmfrontier.frontier.caveats import AGREES, CONTRADICTS, SIDE, UNTESTED, best_of
from vlmfrontier.frontier.measured import Measured
from vlmfrontier.frontier.pool import Target, TargetLaws
from vlmfrontier.frontier.search import DISTINCT, affordable, pooled_errors, search
from vlmfrontier.frontier.space import equal_cost_budgets, equal_cost_rows
from vlmfrontier.study.sweep import SweepConfig

FLAT = 0.1
"""A direction in which rivals spread less than this share of the widest is the one that equal cost leaves."""
COLUMNS = ("rivals", "measured", "noise", "as_good", "method", "free_f", "predicted", "run_lo", "run_hi", "law_f")
"""Columns of numbers, beside those of the factors."""


@dataclass(frozen=True)
class _Group:
    """Rivals of equal cost and n, k configurations, and what the law says of each."""

    measured: Measured
    noise: np.ndarray
    """Standard deviation of each measured error, (k,)."""
    predicted: np.ndarray
    run_lo: np.ndarray
    run_hi: np.ndarray

    @property
    def best(self) -> int:
        """The rival with the least measured error."""
        return int(np.argmin(self.measured.error))

    @property
    def as_good(self) -> np.ndarray:
        """Which rivals noise alone could have put behind the best, (k,); one comparison for each of the others."""
        behind = self.measured.error - self.measured.error[self.best]
        spread = np.hypot(self.noise, self.noise[self.best])
        return behind <= best_of(max(len(behind) - 1, 1)) * spread


def law_free_table(target: Target, laws: TargetLaws, runs: pd.DataFrame, sweep: SweepConfig | None) -> pd.DataFrame:
    """Return a row for every n and budget with three measured rivals: the best of them, the law's view of it, x*.

    Columns: target, c, n, `rivals`; the factors of the best rival, its error `measured`, the `noise` of that, and how
    many rivals are `as_good` within noise; `method` (`quadratic` in log factors where the rivals carry one, otherwise
    `best`, the lowest point of their convex hull), its least error `free_f` and factors `free_N`, …; what the law has
    `predicted` for the best rival, and for a new run of it (run_lo, run_hi); x* (`law_N`, …) and its `law_f`;
    `x_agrees`: whether the rival that the law prefers is as good as the best, or x* lies away from these; `f_agrees`:
    whether the best rival measured what the law predicts; and the `verdict`.
    """
    runs = runs[runs[target.name].notna()]
    if "trained" in runs:  # what was trained at other levels says nothing of a run of these
        runs = runs[runs["trained"] == ""]
    sizes: Sequence[float | None] = [None] if target.runs.examples is None else sorted(runs["n"].unique())
    rows = []
    for n in sizes:
        at_n = runs if n is None else runs[runs["n"] == n]
        factors, costs = {name: at_n[name].to_numpy(float) for name in target.space.factors}, at_n["c"].to_numpy(float)
        groups = equal_cost_rows(factors, None, costs, *equal_cost_budgets(sweep, costs))
        rows += [_row(target, laws, at_n.iloc[kept], c, n) for c, kept in groups.items()]
    return pd.DataFrame(rows, columns=columns(list(target.space.factors)))


def columns(factors: Sequence[str]) -> list[str]:
    """Return the columns of `law_free_table`, in order."""
    placed = {"measured": factors, "predicted": [f"free_{k}" for k in factors], "law_f": [f"law_{k}" for k in factors]}
    numbers = [name for column in COLUMNS for name in (*placed.get(column, ()), column)]
    return ["target", "c", "n", *numbers, "x_agrees", "f_agrees", "verdict"]


def _row(target: Target, laws: TargetLaws, runs: pd.DataFrame, c: float, n: float | None) -> dict[str, Any]:
    group = _group(target, laws, runs, n)
    names, measured, best = list(target.space.factors), group.measured, group.best
    method, free_x, free_f = _without_a_law(measured)
    x, law_f = _optimum(target, max(c, measured.cost.max()), n)
    x_agrees, f_agrees = _x_agrees(group, x), _f_agrees(group)
    against = "no" in (x_agrees, f_agrees)
    return {
        "target": target.name,
        "c": c,
        "n": np.nan if n is None else n,
        "rivals": len(measured.error),
        **dict(zip(names, measured.x[best], strict=True)),
        "measured": measured.error[best],
        "noise": group.noise[best],
        "as_good": int(group.as_good.sum()),
        "method": method,
        **{f"free_{name}": value for name, value in zip(names, free_x, strict=True)},
        "free_f": free_f,
        "predicted": group.predicted[best],
        "run_lo": group.run_lo[best],
        "run_hi": group.run_hi[best],
        **{f"law_{name}": value for name, value in zip(names, x, strict=True)},
        "law_f": law_f,
        "x_agrees": x_agrees,
        "f_agrees": f_agrees,
        "verdict": CONTRADICTS if against else AGREES if x_agrees == "yes" else UNTESTED,
    }


def _group(target: Target, laws: TargetLaws, runs: pd.DataFrame, n: float | None) -> _Group:
    """Return the rivals with their noise: the law's scatter, or √2 standard errors of the test where that is less.

    The scatter of a law that misfits is no noise; the test's standard error lacks the noise of the seed, which counts
    for as much again.
    """
    measured = Measured.of(runs, target, n)
    ensemble = laws.ensemble({name: measured.x[:, k] for k, name in enumerate(target.space.factors)})
    every, size = np.arange(len(measured.x)), ensemble.pool.data_unit if n is None else n
    noise = float(np.median(ensemble.noise)) * measured.error
    column = f"{target.name}_se"
    if column in runs and (se := runs[column].median()) > 0:
        noise = np.minimum(noise, np.sqrt(2) * se)
    predicted = np.median(ensemble.pool.errors(every, size), axis=0)
    low, high = ensemble.run_interval(every, size)
    return _Group(measured, noise / np.sqrt(measured.count), predicted, low, high)


def _optimum(target: Target, budget: float, n: float | None) -> tuple[np.ndarray, float]:
    """Return x* (Eq. 4) and its predicted error."""
    pool, space = target.ensemble.pool, target.space
    errors = pooled_errors(pool, np.array([pool.data_unit if n is None else n]))[0]
    chosen = int(search(errors[None], affordable(space.cost, np.array([budget])))[0, 0])
    if chosen < 0:
        return np.full(len(space.factors), np.nan), np.nan
    return np.array(list(space.at(chosen).values())), float(errors[chosen])


def _x_agrees(group: _Group, x: np.ndarray) -> str:
    """Return whether the rival that the law prefers is as good as the best; `not measured` if x* is none of those."""
    if not group.as_good[np.argmin(group.predicted)]:
        return "no"
    good = group.measured.x[group.as_good]
    near = (x < good.max(axis=0) * DISTINCT) & (x > good.min(axis=0) / DISTINCT)
    return "yes" if near.all() else "not measured"


def _f_agrees(group: _Group) -> str:
    """Return whether the best rival measured what the law predicts, the best of many being expected to look better."""
    best, scale = group.best, best_of(2 * len(group.noise)) / SIDE
    f, measured = group.predicted[best], group.measured.error[best]
    end = group.run_lo[best] if measured < f else group.run_hi[best]
    # A floor keeps an exact law from being contradicted by rounding.
    reach = max(scale * abs(np.log(end / f)), 1e-6)
    return "yes" if abs(np.log(measured / f)) <= reach else "no"


def _without_a_law(measured: Measured) -> tuple[str, np.ndarray, float]:
    """Return the method, the factors and the least error: of a quadratic in log factors that has a minimum among the
    rivals, otherwise of the best of them."""
    best = int(np.argmin(measured.error))
    fitted = _quadratic(np.log(measured.x), measured.error)
    return ("best", measured.x[best], float(measured.error[best])) if fitted is None else ("quadratic", *fitted)


def _quadratic(logs: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Return where a quadratic through the rivals has its least error, and that; None without a minimum among them."""
    center = logs.mean(axis=0)
    _, sizes, directions = np.linalg.svd(logs - center, full_matrices=False)
    directions = directions[sizes > FLAT * sizes[0]]
    u = (logs - center) @ directions.T
    d = u.shape[1]
    pairs = [(i, j) for i in range(d) for j in range(i, d)]
    design = np.column_stack([np.ones(len(u)), u, *(u[:, i] * u[:, j] for i, j in pairs)])
    if len(u) <= design.shape[1]:  # through as many points as coefficients it says nothing of their noise
        return None
    coefficients = np.linalg.lstsq(design, error, rcond=None)[0]
    slope, hessian = coefficients[1 : d + 1], np.zeros((d, d))
    for (i, j), value in zip(pairs, coefficients[d + 1 :], strict=True):
        hessian[i, j] += value
        hessian[j, i] += value
    if np.linalg.eigvalsh(hessian).min() <= 0:
        return None
    least = -np.linalg.solve(hessian, slope)
    if (least < u.min(axis=0)).any() or (least > u.max(axis=0)).any():
        return None
    return np.exp(center + least @ directions), float(coefficients[0] + slope @ least / 2)


def in_words(row: Mapping[str, Any]) -> str:
    """Return a row's verdict with its reason: `contradicts: the best rival measured less than the law predicts`."""
    reasons = {
        "the law prefers a rival that measured worse, by more than noise": row["x_agrees"] == "no",
        "the best rival measured something else than the law predicts": row["f_agrees"] == "no",
    }
    said = "; ".join(reason for reason, holds in reasons.items() if holds)
    return f"{row['verdict']}: {said}" if said else str(row["verdict"])
