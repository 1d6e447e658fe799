"""What to deploy, the frontier that says so, what simpler rules lose against it, and what to run next."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from vlmfrontier.frontier.elasticity import UNDETERMINED
from vlmfrontier.frontier.sentences import compared, configuration, format_near, question
from vlmfrontier.frontier.space import INSIDE
from vlmfrontier.report.blocks import Block, Caution, Heading, Items, Lines, Text, table
from vlmfrontier.report.laws_section import law_free
from vlmfrontier.report.study_report import StudyReport
from vlmfrontier.units import (
    format_configuration,
    format_count,
    format_error,
    format_number,
    format_range,
    format_share,
)

BUDGETS = 6
"""Budgets that the table of the frontier shows, of all that were searched."""
SIZES = 3
"""Data sizes that it shows."""


def recommendation(report: StudyReport) -> Iterator[Block]:
    """Yield what comes close to the recommendation, and what more budget or data would buy."""
    yield Heading("What else to deploy")
    if not report.has_frontier:
        yield Caution("There is no frontier, so nothing can be recommended yet.")
        return
    found = report.answer
    yield Text(f"Beside the recommendation, {configuration(found.choice.x, found)}, for the same question:")
    items = [
        f"next best: {format_configuration(other.x)}: {compared(other, found)}, "
        f"at {format_number(other.cost)} {found.unit}"
        for other in found.alternatives
    ]
    more = {"twice the budget": found.double_budget, f"twice the {_data_word(report)}": found.double_examples}
    items += [
        f"{name}: {format_configuration(other.x)}: {compared(other, found)}"
        for name, other in more.items()
        if other is not None
    ]
    items += [
        f"nearest run: {_run_name(run, found.target)}, measured {format_error(run[found.target])}"
        for run in found.nearest
    ]
    yield Items(tuple(items))


def _run_name(run: dict, target: str) -> str:
    x = {name: float(value) for name, value in run.items() if name not in ("run", target)}
    return f"`{run['run']}`" if "run" in run else format_configuration(x)


def _data_word(report: StudyReport) -> str:
    return report.results.record.data.counts or "data" if report.results.record.data else "data"


def frontier(report: StudyReport) -> Iterator[Block]:
    """Yield the frontier of the main target as a table, and how x* moves with n."""
    yield Heading("The frontier")
    if not report.has_frontier:
        yield Caution("The frontier has not been searched.")
        return
    rows = _shown(report.frontier)
    factors = report.study.factors()
    has_data = report.frontier.n.notna().any()
    found = report.answer
    cells = [
        (
            *((format_count(row["n"]),) if has_data else ()),
            format_number(row["c"]),
            *(format_count(row[name]) for name in factors),
            format_number(row["cost"]),
            format_error(row["f"], found.largest),
            format_range(row["f_lo"], row["f_hi"], found.largest),
            format_range(row["run_lo"], row["run_hi"], found.largest),
            format_share(row["p_near"]),
            *("" if row[name] == INSIDE else row[name] for name in ("extrapolates", "edge")),
        )
        for row in rows.to_dict("records")
    ]
    unit = report.results.space.unit
    heads = (
        *(("n",) if has_data else ()),
        f"budget ({unit})",
        *factors,
        f"cost ({unit})",
        "error",
        f"{found.range_name} of the law",
        "a new run",
        "agree",
        "extrapolated",
        "edge",
    )
    yield table(
        heads,
        cells,
        f"x* of {report.main}. A new run: 90% interval of what it would measure. Agree: share of the fits for which it "
        f"is within {_near(report.frontier, report.results.config.near)} of their best. Edge: at an end of the space. "
        f"All {len(report.frontier)} rows: `frontier/{report.main}.csv`.",
    )
    yield from movement(report)
    yield from growth(report)
    yield from law_free(report)


def _near(frontier: pd.DataFrame, most: float) -> str:
    """Return which fractions of the error are near enough: `0.5%`, or `0.11–0.2%` where less is at stake."""
    fractions = frontier.near if "near" in frontier else pd.Series([most])
    low, high = format_near(fractions.min()), format_near(fractions.max())
    return high if low == high else f"{low.rstrip('%')}–{high}"


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a few budgets and data sizes, evenly chosen, the first and the last among them."""
    sizes = _spread_out(table.n.unique(), SIZES)
    budgets = _spread_out(np.sort(table.c.unique()), BUDGETS)
    return table[table.n.isin(sizes) & table.c.isin(budgets)] if table.n.notna().any() else table[table.c.isin(budgets)]


def _spread_out(values: np.ndarray, count: int) -> np.ndarray:
    return values[np.unique(np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int))]


def movement(report: StudyReport) -> Iterator[Block]:
    """Yield in which direction each factor of x* moves with n, where that is determined."""
    if report.elasticity is None:
        return
    rows = report.elasticity[report.elasticity.target == report.main]
    bands = {row.factor: f"{row.e_lo:.2g} to {row.e_hi:.2g}" for row in rows.itertuples()}
    moving = {row.factor: row for row in rows.itertuples() if row.direction != UNDETERMINED}
    said = [
        f"{name}* {'rises' if row.direction == 'up' else 'falls'} (elasticity {row.e_median:.2g}, {bands[name]})"
        for name, row in moving.items()
    ]
    still = [f"{name}* ({band})" for name, band in bands.items() if name not in moving]
    sentences = [f"With more data {', '.join(said)}."] if said else []
    sentences += (
        [f"No trend with n found: {', '.join(still)}; the bands of these elasticities include 0."] if still else []
    )
    yield Text(f"How x* moves with n: {' '.join(sentences)}")


def growth(report: StudyReport) -> Iterator[Block]:
    """Yield the exponent of each factor of x* in the budget, at the largest n, where it is determined."""
    if report.exponents is None:
        return
    rows = report.exponents[report.exponents.target == report.main].dropna(subset="exponent")
    if report.results.table.has_data:
        rows = rows[rows.n == rows.n.max()]
    if rows.empty:
        return
    said = [
        f"{row.factor}* ∝ c^{row.exponent:.2f} ({row.exponent_lo:.2f} to {row.exponent_hi:.2f})"
        for row in rows.itertuples()
    ]
    at = f" and n = {format_count(rows.n.max())}" if rows.n.notna().any() else ""
    ends = f"{format_number(rows.c_lo.min())} to {format_number(rows.c_hi.max())} {report.results.space.unit}"
    yield Text(f"How x* grows with the budget, with 90% intervals: {', '.join(said)}; for budgets of {ends}{at}.")


def regret(report: StudyReport) -> Iterator[Block]:
    """Yield what simpler rules lose against the frontier, at the largest number of examples."""
    if report.regret is None or report.regret.empty:
        return
    yield Heading("What simpler rules lose")
    rows, size, data = report.regret, report.regret.n.max(), ""
    if not np.isnan(size):
        data = f" at n = {format_count(size)}"
        itself = f"frontier at n = {format_count(size)}"
        rows = rows[(rows.n == size) & (rows.rule != itself)]
    cells = [_loss(row) for row in rows.sort_values("mean_regret").to_dict("records")]
    yield table(
        ("rule", "mean loss", "90% of the fits", "largest", "budgets met"),
        cells,
        f"Points of {report.error_name(report.main)} lost against x*{data}, averaged over the budgets where "
        "the rule has an affordable configuration.",
    )


def _loss(row: dict) -> tuple[object, ...]:
    """Return a rule's row: its loss, the models' range of it, the largest at one budget, budgets that it can meet."""
    mean, low, high, largest = (
        format_error(row[name]) for name in ("mean_regret", "mean_regret_lo", "mean_regret_hi", "largest_regret")
    )
    return row["rule"], mean, f"{low} to {high}", largest, row["budgets"]


def next_steps(report: StudyReport) -> Iterator[Block]:
    """Yield what to do next: runs to do again, runs that would make the frontier surer, and the command for each."""
    yield Heading("What to run next")
    steps = [*_missing(report), *_surer(report)]
    yield from steps or [Text("Nothing stands out: the fits agree along the whole frontier, within the runs.")]


def _missing(report: StudyReport) -> Iterator[Block]:
    """Yield what has to be run or fitted before anything can be said of new runs."""
    if report.failed or report.undone:
        missing = len(report.failed) + len(report.undone)
        yield Text(f"First the {missing} runs without a result: `snakemake` trains only what is missing.")
    if not report.has_laws:
        yield Text("Which new runs would help is only known once the laws are fitted.")
    elif not report.has_frontier:
        yield Text("Which new runs would help is only known once there is a frontier.")


def _surer(report: StudyReport) -> Iterator[Block]:
    """Yield where the frontier is least sure, and the runs that would help most for what they cost."""
    if not report.has_frontier:
        return
    hints = (*_wider(report), *_contested(report))
    if hints:
        yield Items(hints)
    if not report.results.table.has_data:
        return
    if report.next_runs is None:
        yield Text("Which new runs would make the frontier surest, and whether any is worth it:")
        yield Lines((f"vlmfrontier next --study {report.results.study_json}",))
        return
    yield from _suggested(report)


def _wider(report: StudyReport) -> Iterator[str]:
    """Yield for every factor in which the recommendation leaves the runs how far they would have to reach."""
    for name in report.results.range.outside(report.answer.choice.x, report.answer.examples):
        value = report.answer.examples if name == "n" else report.answer.choice.x[name]
        yield f"The recommendation has {name} = {format_count(value)}, where nothing was run: add that level."


def _contested(report: StudyReport) -> Iterator[str]:
    """Yield the place on the frontier where the models agree least, with the two rivals there."""
    row = report.frontier.iloc[int(report.frontier.p_near.argmin())].to_dict()
    if row["p_near"] == 1 or pd.isna(row["second_f"]):
        return
    examples = None if pd.isna(row["n"]) else row["n"]
    first, second = ({name: row[prefix + name] for name in report.study.factors()} for prefix in ("", "second_"))
    pair = f"to run both {format_configuration(first)} and {format_configuration(second)}"
    yield (
        f"With {question(row['c'], report.results.space.unit, examples)} the fits agree least "
        f"({format_share(row['p_near'])}): {pair} is most informative there."
    )


def _suggested(report: StudyReport) -> Iterator[Block]:
    rows, factors = report.next_runs, report.study.factors()
    if rows.empty:
        yield Text("Every configuration near the frontier has been run at every n; only a wider `space` has new ones.")
        return
    levels = "points" in rows
    cells = [
        (
            *(format_count(row[name]) for name in (*factors, "n")),
            format_number(row["training_cost"]),
            *((format_count(row["points"]), format_number(row["testing_cost"])) if levels else ()),
            f"{row['regret_before']:.3g} → {row['regret_after']:.3g}",
        )
        for row in rows.to_dict("records")
    ]
    yield table(
        (
            *(*factors, "n", f"training cost ({report.results.space.unit})"),
            *(("points tested", "their cost") if levels else ()),
            "expected regret",
        ),
        cells,
        "The runs that reduce the frontier's expected regret, in points of error, most for what they cost. Where it is "
        "far below the noise of a run, none is worth training.",
    )
    if report.study.sweep is not None:
        yield Text("To train them, with the study's own configuration in the place of config.yaml:")
        yield Lines(
            (
                "snakemake next_runs",
                f"snakemake --configfile config.yaml {report.results.next_runs_yaml}",
            )
        )
