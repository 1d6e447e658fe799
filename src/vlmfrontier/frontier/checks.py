"""The three checks that a reproduction of the paper must show, as one table.

1. Along one factor alone, at several data sizes, error follows a power law.
2. A law fitted on the star runs predicts the isoFLOP runs that it has not seen.
3. At one budget, x*(c; n) for several n: in which direction it moves, and how many models say so.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.frontier.elasticity import UNDETERMINED
from vlmfrontier.frontier.search import affordable, member_choices, pooled_errors, search
from vlmfrontier.frontier.space import center_rows, check_budgets
from vlmfrontier.frontier.target import Target
from vlmfrontier.laws.fit import fit
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.study.analysis import LawsConfig

POWER_LAW_R2 = 0.9
"""Along one factor, a law that explains less of the variance is no power law recovered."""
EXTRAPOLATION_R2 = 0.85
"""A law that explains less of the variance of unseen runs does not predict them."""
TOO_FEW = "too few runs"
"""The verdict on a line that no law can be fitted to."""
AGREEMENT = 0.95
"""A direction is given where this share of the models moves that way, in the pool and in the pairs bootstrap alike."""

Row = dict[str, Any]


def power_law_check(table: ResultsTable, target: str, config: LawsConfig) -> list[Row]:
    """Return rows for check 1: per factor varied alone, R², E% and exponent of a law of that factor (and n) only."""
    rows = []
    for factor in table.factors:
        kept = center_rows(table.factors, factor)
        if kept is None:
            continue
        line = table.rows(kept)
        line = replace(line, factors={factor: line.factors[factor]}, units={factor: table.units[factor]})
        form = "add-interact" if table.has_data else "add"
        common = {"check": "power law along one factor", "target": target, "factor": factor}
        try:
            law = fit(line, form=form, target=target, config=config)
        except UserError:  # a line of few runs, which the law of the whole study can do without
            rows.append({**common, "quantity": "runs", "value": len(line), "verdict": TOO_FEW})
            continue
        common["verdict"] = "power law" if law.metrics["r2"] >= POWER_LAW_R2 else "no power law"
        rows += [
            {**common, "quantity": "runs", "value": len(line)},
            {**common, "quantity": "r2", "value": law.metrics["r2"]},
            {**common, "quantity": "e_pct", "value": law.metrics["e_pct"]},
        ]
    return rows


def extrapolation_check(forms: pd.DataFrame, target: str) -> list[Row]:
    """Return rows for check 2 from `tables/forms.csv`: how every form predicts the runs it was not fitted to."""
    rows = []
    for row in forms[(forms.target == target) & (forms.setup == "extrapolation")].to_dict("records"):
        verdict = "predicts" if row["r2"] >= EXTRAPOLATION_R2 else "does not predict"
        common = {"check": "extrapolation to unseen runs", "target": target, "form": row["form"], "verdict": verdict}
        rows += [{**common, "quantity": name, "value": row[name]} for name in ("mse", "e_pct", "r2")]
    return rows


def shift_check(target: Target, budget: float, examples: Sequence[float]) -> list[Row]:
    """Return rows for check 3: x*(c; n) (Eq. 4) per n at one budget, and how each factor moves from first to last n.

    `share_up` and `share_down` are the shares of the pool's models whose own optimum moves that way.
    """
    check_budgets(target.space, [budget])
    sizes = np.asarray(examples, float)
    counts = affordable(target.space.cost, np.array([budget]))
    chosen = search(pooled_errors(target.spread.pool, sizes), counts)[:, 0]
    ends = sizes[[0, -1]]
    pool, pairs = (member_choices(group, ends, counts)[:, :, 0] for group in (target.spread.pool, target.spread.pairs))
    rows = []
    for factor, values in target.space.factors.items():
        verdict = _direction(values[pool], values[pairs])
        common = {"check": "x* against n", "target": target.name, "factor": factor, "c": budget, "verdict": verdict}
        rows += [{**common, "n": n, "quantity": "x*", "value": values[x]} for n, x in zip(sizes, chosen, strict=True)]
        rises, falls = _shares(values[pool])
        rows += [
            {**common, "quantity": "share_up", "value": rises},
            {**common, "quantity": "share_down", "value": falls},
        ]
    return rows


def checks_table(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the rows of all checks as one table, a row per number."""
    columns = ["check", "target", "form", "factor", "c", "n", "quantity", "value", "verdict"]
    return pd.DataFrame(list(rows), columns=columns)


def _shares(values: np.ndarray) -> tuple[float, float]:
    """Return which share of the models (R, 2) rises and which falls."""
    return float(np.mean(values[:, 1] > values[:, 0])), float(np.mean(values[:, 1] < values[:, 0]))


def _direction(*groups: np.ndarray) -> str:
    """Return the direction on which every group of models agrees."""
    shares = np.array([_shares(group) for group in groups]).min(axis=0)
    for share, name in zip(shares, ("up", "down"), strict=True):
        if share >= AGREEMENT:
            return name
    return UNDETERMINED
