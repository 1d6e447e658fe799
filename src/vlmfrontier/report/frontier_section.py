"""The frontier, what to deploy, what simpler rules would lose, and how x* moves with the data."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from vlmfrontier.frontier.answers import compared
from vlmfrontier.frontier.elasticity import UNDETERMINED
from vlmfrontier.frontier.space import INSIDE
from vlmfrontier.report.blocks import Answer, Block, Caution, Heading, Items, Text, table
from vlmfrontier.report.doubts import recommended
from vlmfrontier.report.known import Known
from vlmfrontier.report.words import amount, configuration
from vlmfrontier.units import format_count, format_error, format_number, format_range, format_share

BUDGETS = 6
"""Budgets that the table of the frontier shows, of all that were searched."""
SIZES = 3
"""Data sizes that it shows."""


def recommendation(known: Known) -> Iterator[Block]:
    """Yield what to deploy, the rivals, and what more budget or data would buy."""
    yield Heading("What to deploy")
    if not known.has_frontier:
        yield Caution("There is no frontier, and so nothing to recommend yet.")
        return
    found = known.answer
    yield Answer(recommended(known))
    items = [
        f"next best: {configuration(other.x)}: {compared(other, found)}, at {format_number(other.cost)} {found.unit}"
        for other in found.alternatives
    ]
    more = {"twice the budget": found.double_budget, f"twice the {_data_word(known)}": found.double_examples}
    items += [
        f"{name}: {configuration(other.x)}: {compared(other, found)}"
        for name, other in more.items()
        if other is not None
    ]
    items += [
        f"nearest run: {_run_name(run, found.target)}, measured {format_error(run[found.target])}"
        for run in found.nearest
    ]
    yield Items(tuple(items))
    for warning in found.warnings:
        yield Caution(warning)
    examples = "" if found.examples is None else f" --examples {format_count(found.examples)}"
    yield Text(
        f"Other questions: `explorer.html` beside this page, or `python scripts/query.py --study {known.study.study} "
        f"--budget {format_number(found.budget)}{examples}`."
    )


def _run_name(run: dict, target: str) -> str:
    x = {name: float(value) for name, value in run.items() if name not in ("run", target)}
    return f"`{run['run']}`" if "run" in run else configuration(x)


def _data_word(known: Known) -> str:
    return known.results.record.data.counts or "data" if known.results.record.data else "data"


def frontier(known: Known) -> Iterator[Block]:
    """Yield the frontier of the main target as a table, and how x* moves with n."""
    yield Heading("The frontier")
    if not known.has_frontier:
        yield Caution("The frontier has not been searched.")
        return
    rows = _shown(known.frontier)
    factors = known.study.factors()
    has_data = known.frontier.n.notna().any()
    found = known.answer
    cells = [
        (
            *((format_count(row["n"]),) if has_data else ()),
            format_number(row["c"]),
            *(amount(name, row[name]) for name in factors),
            format_number(row["cost"]),
            format_error(row["f"], found.largest),
            format_range(row["f_lo"], row["f_hi"], found.largest),
            format_share(row["p_near"]),
            "" if row["extrapolates"] == INSIDE else row["extrapolates"],
        )
        for row in rows.to_dict("records")
    ]
    unit = known.results.space.unit
    heads = (
        *(("n",) if has_data else ()),
        f"budget ({unit})",
        *factors,
        f"cost ({unit})",
        "error",
        found.range_name,
        "agree",
        "extrapolated",
    )
    yield table(
        heads,
        cells,
        f"x* of {known.main}. Agree: share of the models that have nothing better by more than "
        f"{known.results.config.near:.1%} of the error. All {len(known.frontier)} rows: `frontier/{known.main}.csv`.",
    )
    yield from movement(known)


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a few budgets and data sizes, evenly chosen, the first and the last among them."""
    sizes = _spread_out(table.n.unique(), SIZES)
    budgets = _spread_out(np.sort(table.c.unique()), BUDGETS)
    return table[table.n.isin(sizes) & table.c.isin(budgets)] if table.n.notna().any() else table[table.c.isin(budgets)]


def _spread_out(values: np.ndarray, count: int) -> np.ndarray:
    return values[np.unique(np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int))]


def movement(known: Known) -> Iterator[Block]:
    """Yield in which direction each factor of x* moves with n, where that is determined."""
    if known.elasticity is None:
        return
    rows = known.elasticity[known.elasticity.target == known.main]
    bands = {row.factor: f"{row.e_lo:.2g} to {row.e_hi:.2g}" for row in rows.itertuples()}
    moving = {row.factor: row for row in rows.itertuples() if row.direction != UNDETERMINED}
    said = [
        f"{name}* {'rises' if row.direction == 'up' else 'falls'} (elasticity {row.e_median:.2g}, {bands[name]})"
        for name, row in moving.items()
    ]
    still = [f"{name}* ({band})" for name, band in bands.items() if name not in moving]
    sentences = [f"With more data {', '.join(said)}."] if said else []
    sentences += [f"Not determined: {', '.join(still)}; the bands of these elasticities include 0."] if still else []
    yield Text(f"How x* moves with n: {' '.join(sentences)}")


def regret(known: Known) -> Iterator[Block]:
    """Yield what simpler rules lose against the frontier, at the largest number of examples."""
    if known.regret is None or known.regret.empty:
        return
    yield Heading("What simpler rules lose")
    rows, size, data = known.regret, known.regret.n.max(), ""
    if not np.isnan(size):
        data = f" at n = {format_count(size)}"
        itself = f"frontier at n = {format_count(size)}"
        rows = rows[(rows.n == size) & (rows.rule != itself)]
    cells = [_loss(row) for row in rows.sort_values("mean_regret").to_dict("records")]
    yield table(
        ("rule", "mean loss", "90% of the models", "largest", "budgets met"),
        cells,
        f"Points of {known.error_name(known.main)} lost against x*{data}, averaged over the budgets that a rule "
        "can meet.",
    )


def _loss(row: dict) -> tuple[object, ...]:
    """Return a rule's row: its loss, the models' range of it, the largest at one budget, budgets that it can meet."""
    mean, low, high, largest = (
        format_error(row[name]) for name in ("mean_regret", "mean_regret_lo", "mean_regret_hi", "largest_regret")
    )
    return row["rule"], mean, f"{low} to {high}", largest, row["budgets"]
