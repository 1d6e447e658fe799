"""One checkpoint, many budgets: which T and V a trained model should be given, and what retraining it there would gain.

A model that was tested at many T and V needs no law to say which are best within a budget: its tests do. The transfer
gap, where anchors tell it (`laws.transfer`), says how much less the error of a model trained at these levels would be;
the law, which T and V a model of the same size and n should be trained at instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from vlmfrontier.errors import UserError, did_you_mean
from vlmfrontier.frontier.differences import NORMAL_90
from vlmfrontier.frontier.pool import TAILS, Target
from vlmfrontier.frontier.search import affordable, search
from vlmfrontier.frontier.space import INSIDE
from vlmfrontier.laws.noise import JointNoise
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.laws.transfer import Transfer
from vlmfrontier.units import format_configuration, format_count

DRAWS = 4000
"""Draws of the transfer gap, of which a gain's interval is made."""
FEW = 6
"""Budgets that are answered for by default, evenly in their logarithm, where the study has more."""


@dataclass(frozen=True)
class Checkpoint:
    """One trained model and its tests, in order of cost."""

    run: str
    """The run's key; of an own table the line of its first test."""
    held: dict[str, float]
    """The factors that no test changes: N, and M where there is one."""
    examples: float | None
    """n."""
    trained: dict[str, float]
    """At which levels it was trained; the largest, if it drew them."""
    elastic: bool
    """Whether it drew them batch by batch."""
    levels: dict[str, np.ndarray]
    """The levels of each test, (k,)."""
    cost: np.ndarray
    """c(x), (k,)."""
    error: np.ndarray
    """Measured error, (k,)."""
    se: np.ndarray
    """Its standard error by the test, (k,); NaN where it is not known."""
    gain: np.ndarray
    """By how much less the error of a model trained at these levels would be: the middle and the ends of the 90%
    interval, (3, k); NaN where no anchor tells it."""
    apart: np.ndarray
    """Standard error of the difference of two tests, (k, k)."""

    @property
    def many(self) -> bool:
        """Whether it was tested at several levels."""
        return len(self.error) > 1

    def at(self, row: int) -> dict[str, float]:
        """Return the levels of a test."""
        return {name: float(values[row]) for name, values in self.levels.items()}

    def best(self, budget: float) -> list[int]:
        """Return the tests that cost at most `budget`, the least error first, the cheaper one of equals."""
        rows = np.flatnonzero(self.cost <= budget * (1 + 1e-9))
        return rows[np.argsort(self.error[rows], kind="stable")].tolist()

    def alike(self, first: int, second: int) -> bool:
        """Return whether the noise of the test alone may have put two tests so far apart."""
        return bool(abs(self.error[second] - self.error[first]) <= NORMAL_90 * self.apart[first, second])

    @property
    def says(self) -> str:
        """What it is: `N = 83.3k, n = 400, trained at T = 16, V = 36`."""
        what = dict(self.held) if self.examples is None else {**self.held, "n": self.examples}
        how = "with levels drawn up to" if self.elastic else "at"
        return f"{format_configuration(what)}, trained {how} {format_configuration(self.trained)}".removeprefix(", ")


def checkpoints(
    table: ResultsTable, target: str, costs: np.ndarray, seed: int, noise: JointNoise | None = None
) -> list[Checkpoint]:
    """Return every trained model of a table, in the table's order, with its tests whose cost (m,) is known.

    `noise` is that of tests on common videos; without it tests count as if each had its own, which is an upper bound of
    how far noise puts them apart.
    """
    known = ~np.isnan(table.error(target))
    gap = table.measured(target).transfer.get(target)
    table, costs = table.rows(known), costs[known]
    error, se = table.error(target), table.se.get(target)
    gain = _gains(table, error, gap, seed)
    names, tests = np.array(table.names_of_trainings), table.names
    found = []
    for name in dict.fromkeys(names):
        rows = np.flatnonzero((names == name) & np.isfinite(costs))
        if not len(rows):
            continue
        rows = rows[np.argsort(costs[rows], kind="stable")]
        first, of_test = rows[0], np.full(len(rows), np.nan) if se is None else se[rows]
        found.append(
            Checkpoint(
                run=name if "run" in table.frame else f"line {table.frame.index[rows].min()}",
                held={factor: float(v[first]) for factor, v in table.factors.items() if factor not in table.trained},
                examples=float(table.data[first]) if table.has_data else None,
                trained={factor: float(levels[first]) for factor, levels in table.trained.items()},
                elastic=table.elastic is not None and bool(table.elastic[first]),
                levels={factor: table.factors[factor][rows] for factor in table.trained},
                cost=costs[rows],
                error=error[rows],
                se=of_test,
                gain=gain[:, rows],
                apart=_apart(of_test, [tests[row] for row in rows], noise),
            )
        )
    return found


def _apart(se: np.ndarray, names: Sequence[str], noise: JointNoise | None) -> np.ndarray:
    """Return the standard errors of the differences of tests, (k, k): of their common videos where those are known."""
    apart = np.hypot(se[:, None], se)
    if noise is not None:
        place = {name: position for position, name in enumerate(noise.runs)}
        known = [i for i, name in enumerate(names) if name in place]
        at = [place[names[i]] for i in known]
        apart[np.ix_(known, known)] = noise.errors_of_differences()[np.ix_(at, at)]
    return apart


def _gains(table: ResultsTable, error: np.ndarray, gap: Transfer | None, seed: int) -> np.ndarray:
    """Return middle and ends of what training there would take off each error, (3, m)."""
    if gap is None or not gap.anchors:
        return np.full((3, len(error)), np.nan)
    Z = gap.columns.of(table.points(), table.trained, table.elastic)
    of_draws = error * -np.expm1(-gap.draws(DRAWS, seed) @ Z.T)
    return np.stack([error * -np.expm1(-Z @ gap.mean), *np.quantile(of_draws, TAILS, axis=0)])


def of_run(found: Sequence[Checkpoint], run: str) -> Checkpoint:
    """Return the model of a run that was tested at several levels. Raises `UserError` saying why there is none."""
    known = {one.run: one for one in found}
    if run not in known:
        raise UserError(f"there is no run {run!r}; {did_you_mean(run, known)}")
    one = known[run]
    if not one.many:
        where = format_configuration(one.at(0)) if one.levels else "the levels that it was trained at"
        raise UserError(
            f"run {run} was tested at {where} only; to test it at more set evaluate.also (all, or lists of T and V) "
            "and run `snakemake` again, which trains nothing anew"
        )
    return one


def few(budgets: np.ndarray) -> np.ndarray:
    """Return a few of the study's budgets: all, where it has few."""
    if len(budgets) <= FEW:
        return budgets
    return np.geomspace(budgets[0], budgets[-1], FEW)


def checkpoint_table(target: Target, found: Sequence[Checkpoint], budgets: np.ndarray) -> pd.DataFrame:
    """Return a row for every model that was tested at several levels and every budget that affords one of its tests.

    Columns: target, run, the factors that no test changes, n, c; the levels of the best test within the budget (`T`,
    `V`), its `cost`, `error` and `se`; the next best (`second_T`, `second_V`, `second_error`) and whether it is `alike`
    within the noise of the test; what training there would `gain`, with its 90% interval (gain_lo, gain_hi), 0 where it
    was trained there and NaN where no anchor tells it; and the levels (`law_T`, `law_V`) that a model of the same size
    and n is best trained at for the budget, by the law, with f, f_lo, f_hi and what of them lies `beyond` the runs.
    """
    rows: list[dict[str, Any]] = []
    for one in found:
        if not one.many:
            continue
        for budget, law in zip(budgets, retrained(target, one, budgets), strict=True):
            if order := one.best(budget):
                rows.append({"target": target.name, **_row(one, float(budget), order), **law})
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["target", "run", "c", "cost", "error"])


def _row(one: Checkpoint, budget: float, order: Sequence[int]) -> dict[str, Any]:
    best, second = order[0], order[1] if len(order) > 1 else None
    next_best = one.at(second) if second is not None else dict.fromkeys(one.levels, np.nan)
    return {
        "run": one.run,
        **one.held,
        "n": np.nan if one.examples is None else one.examples,
        "c": budget,
        **one.at(best),
        "cost": one.cost[best],
        "error": one.error[best],
        "se": one.se[best],
        **{f"second_{name}": level for name, level in next_best.items()},
        "second_error": np.nan if second is None else one.error[second],
        "alike": second is not None and one.alike(best, second),
        **dict(zip(("gain", "gain_lo", "gain_hi"), one.gain[:, best], strict=True)),
    }


def retrained(target: Target, one: Checkpoint, budgets: np.ndarray) -> list[dict[str, Any]]:
    """Return for each ascending budget the levels that a model of the same size and n is best trained at (Eq. 4 with N
    and n held), with its predicted error, and which of these levels lie outside the runs (`beyond`); NaN where the
    space has none that the budget affords."""
    space, pool = target.space, target.ensemble.pool
    columns = [f"law_{name}" for name in one.levels]
    held = [np.isclose(space.factors[name], value, rtol=1e-9) for name, value in one.held.items()]
    kept = np.flatnonzero(np.all(held, axis=0) if held else np.ones(len(space), bool))
    n = pool.data_unit if one.examples is None else one.examples
    nothing = {**dict.fromkeys([*columns, "f", "f_lo", "f_hi"], np.nan), "beyond": INSIDE}
    if not len(kept):
        return [nothing] * len(budgets)
    errors = np.median(pool.errors(kept, n), axis=0)
    places = search(errors[None], affordable(space.cost[kept], budgets))[0]
    chosen = kept[places]
    low, high = target.ensemble.interval(chosen, n)
    rows = []
    for i, place in enumerate(places):
        levels = {f"law_{name}": space.factors[name][chosen[i]] for name in one.levels}
        beyond = " ".join(target.runs.outside(space.at(chosen[i]), one.examples)) or INSIDE
        found = {**levels, "f": errors[place], "f_lo": low[i], "f_hi": high[i], "beyond": beyond}
        rows.append(found if place >= 0 else nothing)
    return rows


def sizes(found: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Return one model of every size (N, M) that was tested at several levels, that with the largest n and most tests,
    the smallest size first."""
    best: dict[tuple[float, ...], Checkpoint] = {}
    for one in found:
        key = tuple(one.held.values())
        rank = (one.examples or 0.0, len(one.error))
        if one.many and (key not in best or rank > (best[key].examples or 0.0, len(best[key].error))):
            best[key] = one
    return [best[key] for key in sorted(best)]


def called(one: Checkpoint) -> str:
    """Return a short title of a model: `N = 83.3k, n = 400`."""
    n = "" if one.examples is None else f"n = {format_count(one.examples)}"
    return ", ".join(part for part in (format_configuration(one.held), n) if part)
