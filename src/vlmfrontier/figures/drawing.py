"""What drawing a figure gives, and what several figures need of a study's results."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from vlmfrontier.figures.labels import Labels
from vlmfrontier.frontier.load import Results
from vlmfrontier.frontier.space import equal_cost_budgets, equal_cost_rows


class NothingToShow(Exception):  # noqa: N818 — not an error: a study may have nothing of a kind
    """A study has nothing of what a figure shows, for the reason given."""


@dataclass(frozen=True)
class Drawing:
    """A figure and the numbers that it shows, for the CSV beside it."""

    figure: Figure
    data: pd.DataFrame


def labels_of(results: Results, target: str) -> Labels:
    """Return what the axes of a target's figures are called."""
    return Labels.of(results.study, target, "FLOPs" if results.cost is None else results.cost.unit)


def other_targets(results: Results, target: str) -> list[str]:
    """Return the targets of a study besides one."""
    return [name for name in results.study.targets() if name != target]


def runs_with_sweeps(results: Results) -> pd.DataFrame:
    """Return the runs with what each is called, its sweep where it belongs to one, and its cost where it is known."""
    table = results.table
    columns: dict[str, object] = {"run": table.names}
    columns |= {"sweep": table.frame["sweep"].to_numpy()} if "sweep" in table.frame else {}
    columns |= {} if results.cost is None else {"c": results.run_costs}
    runs = results.runs.drop(columns="run", errors="ignore")
    return pd.concat([pd.DataFrame(columns, index=runs.index), runs], axis=1)


def budget_groups(results: Results) -> dict[float, pd.DataFrame]:
    """Return the runs of equal cost: those of the isoFLOP designs, or of an own table those that happen to agree."""
    costs = results.run_costs
    budgets, tolerance = equal_cost_budgets(results.study, costs)
    groups = equal_cost_rows(results.table.factors, results.table.data, costs, budgets, tolerance)
    if not groups:
        raise NothingToShow("No budget has runs of three or more configurations at equal cost and equal n.")
    return {budget: results.runs.iloc[rows] for budget, rows in groups.items()}
