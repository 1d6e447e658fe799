"""Tables made of laws and frontier: the checks of a reproduction, what simpler rules lose, the vision model's share.

The checks are three. Along one factor alone, at several data sizes, error follows a power law. A law fitted on the star
runs predicts the isoFLOP runs that it has not seen. At one budget, x*(c; n) for several n moves in a direction, or not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from vlmfrontier.cost.flops import CountedCost, PaperCost
from vlmfrontier.cost.model import has_vision_share
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.elasticity import direction
from vlmfrontier.frontier.pool import TAILS, Target
from vlmfrontier.frontier.search import affordable, member_choices, pooled_errors, search
from vlmfrontier.frontier.space import SearchSpace, center_rows, check_budgets
from vlmfrontier.laws.fit import fit
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.study.analysis import LawsConfig
from vlmfrontier.study.root import Study

POWER_LAW_R2 = 0.9
"""Along one factor, a law that explains less of the variance is no power law recovered."""
TOO_FEW = "too few runs"
"""The verdict on a line that no law can be fitted to."""

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


def extrapolation_check(forms: pd.DataFrame, target: str, poor: float) -> list[Row]:
    """Return rows for check 2 from `tables/forms.csv`: how every form predicts the runs it was not fitted to, and that
    it does not where R² is below `poor` (`laws.poor_fit`)."""
    rows = []
    for row in forms[(forms.target == target) & (forms.setup == "extrapolation")].to_dict("records"):
        verdict = "predicts" if row["r2"] >= poor else "does not predict"
        common = {"check": "extrapolation to unseen runs", "target": target, "form": row["form"], "verdict": verdict}
        rows += [{**common, "quantity": name, "value": row[name]} for name in ("mse", "e_pct", "r2")]
    return rows


def shift_check(target: Target, budget: float, examples: Sequence[float]) -> list[Row]:
    """Return rows for check 3: x*(c; n) (Eq. 4) per n at one budget, and how each factor moves from first to last n.

    The verdict is that of the 90% band, widened as every interval is, of how far the factor moves, in logs, in the
    models' own optima. `share_up` and `share_down` are the shares of the models in which it rises and falls.
    """
    check_budgets(target.space, [budget])
    sizes = np.asarray(examples, float)
    counts = affordable(target.space.cost, np.array([budget]))
    chosen = search(pooled_errors(target.ensemble.pool, sizes), counts)[:, 0]
    ends = sizes[[0, -1]]
    own = member_choices(target.ensemble.pool, ends, counts)[:, :, 0]
    rows = []
    for factor, values in target.space.factors.items():
        moves = np.log(values[own[:, 1]] / values[own[:, 0]])
        verdict = direction(*target.ensemble.ends(moves[:, None])[:, 0])
        common = {"check": "x* against n", "target": target.name, "factor": factor, "c": budget, "verdict": verdict}
        rows += [{**common, "n": n, "quantity": "x*", "value": values[x]} for n, x in zip(sizes, chosen, strict=True)]
        rises, falls = _shares(values[own])
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


def vision_share_table(
    model: PaperCost | CountedCost, N: Sequence[float], T: float, V: Sequence[float], M: float | None = None
) -> pd.DataFrame:
    """Return the vision model's share of c(x) for every pair of N and V at T frames, a row each; M is that of one of
    several vision models, whose grids that are too fine for it have no row.

    Under Eq. 1 the share is M·W / (M·W + N·V), whatever T; `more` is M·W / (N·V), by how much seeing raises the cost of
    the language model alone (the paper's Appendix A.3).
    """
    frame = pd.DataFrame([(size, T, tokens) for size in N for tokens in V], columns=["N", "T", "V"], dtype=float)
    if M is not None:
        frame = frame.assign(M=M)
    share = np.asarray(model.vision_share(frame), float)
    return frame.assign(share=share, more=share / (1 - share)).dropna(ignore_index=True)


LEAST_BUDGETS, LEAST_SPAN = 10, 2.0
"""No exponent is read off fewer budgets, nor off budgets that span less than this ratio."""
BUDGETS_OF_EXPONENT = 100


def exponents_table(target: Target, costs: np.ndarray, examples: np.ndarray | None) -> pd.DataFrame:
    """Return the exponent a of x* ∝ c^a for every factor, a row per n and factor: the slope of log x* on log c (Eq. 4).

    Every model has its own, over budgets that lie evenly in log c between the least and the greatest of `costs`, those
    of the runs, as far as no factor of its x* stands at an end of the space, where the space and not the law
    decides. Columns: n, factor, the median `exponent` over the models; its 90% interval, which reaches over that of the
    same models without what their forms miss: a slope is what that is least sure of; the budgets' ends c_lo, c_hi; and
    `inside`, the share of the models that have an exponent. NaN where less than half of them do.
    """
    span = np.array([max(costs.min(), target.space.cost[0]), costs.max()])
    budgets = np.geomspace(*span, BUDGETS_OF_EXPONENT)
    counts = affordable(target.space.cost, budgets * (1 + 1e-9))  # the least may be rounded to below the cheapest cost
    rows = []
    for size in [None] if examples is None else examples:
        n = np.array([target.ensemble.pool.data_unit if size is None else float(size)])
        pool = target.ensemble.pool
        slopes, plain = (
            _slopes(target.space, member_choices(models, n, counts)[:, 0], budgets)
            for models in (pool, replace(pool, level=None, slope=None))
        )
        inside = np.isfinite(slopes[:, 0])
        for k, factor in enumerate(target.space.factors):
            found = dict.fromkeys(("exponent", "exponent_lo", "exponent_hi"), np.nan)
            if inside.mean() >= 0.5:
                ends = [np.nanquantile(of[:, k], TAILS) for of in (slopes, plain) if np.isfinite(of[:, k]).any()]
                low, high = np.min(ends, axis=0)[0], np.max(ends, axis=0)[1]
                found = {"exponent": np.nanmedian(slopes[:, k]), "exponent_lo": low, "exponent_hi": high}
            of = {"n": np.nan if size is None else float(size), "factor": factor, **found}
            rows.append(of | {"c_lo": span[0], "c_hi": span[1], "inside": inside.mean()})
    return pd.DataFrame(rows)


def _slopes(space: SearchSpace, chosen: np.ndarray, budgets: np.ndarray) -> np.ndarray:
    """Return for each model the slope of log x* on log c by factor, (R, K), from its choices (R, C)."""
    logs = np.log(np.stack([values[chosen] for values in space.factors.values()]))
    ends = np.array([np.log(values[[0, -1]]) for values in map(space.levels, space.factors)])[:, :, None, None]
    inside = ((logs > ends[:, 0]) & (logs < ends[:, 1])).all(axis=0)
    c = np.log(budgets)
    slopes = np.full((len(chosen), len(logs)), np.nan)
    for r, kept in enumerate(map(_longest, inside)):
        if len(kept) >= LEAST_BUDGETS and np.ptp(c[kept]) >= np.log(LEAST_SPAN):
            centred = c[kept] - c[kept].mean()
            slopes[r] = logs[:, r, kept] @ centred / (centred @ centred)
    return slopes


def _longest(inside: np.ndarray) -> np.ndarray:
    """Return the places of the longest unbroken row of budgets (C,) that are `inside`: to pick single ones near an end
    would favour those whose x* happens to be small."""
    breaks = np.flatnonzero(~np.concatenate([[False], inside, [False]]))
    longest = int(np.argmax(np.diff(breaks)))
    return np.arange(breaks[longest], breaks[longest + 1] - 1)


def vision_shares(
    study: Study, model: PaperCost | CountedCost, space: SearchSpace, center: Mapping[str, float]
) -> pd.DataFrame:
    """Return the vision model's share over the language models and token grids of the space.

    Raises `UserError` if the study's cost is not made of a vision and a language part.
    """
    if not has_vision_share(study):
        raise UserError("the vision model's share is known for cost.model paper and counted only")
    return vision_share_table(model, space.levels("N"), center["T"], space.levels("V"), center.get("M"))


Rule = Callable[[float], int]
"""Gives the index of the configuration that a rule takes at a budget; −1 where it can afford nothing."""

LLAVA_TOKENS = 196
"""Visual tokens per frame of LLaVA-Video's default, which scales frames down until the budget is met."""


def regret_table(
    target: Target, budgets: np.ndarray, examples: np.ndarray | None, rules: Mapping[str, Rule]
) -> pd.DataFrame:
    """Return the points of error that each rule loses against x*(c; n) (Eq. 4), a row per n, rule and budget.

    Columns: n, rule, c, the factors of the rule's configuration, its pooled error f, the loss `regret` by the pooled
    median, and `regret_lo`, `regret_hi`, 90% of the models' differences. Budgets that a rule cannot meet are left out.
    """
    parts = []
    for size in [None] if examples is None else examples:
        n = target.ensemble.pool.data_unit if size is None else float(size)
        errors = pooled_errors(target.ensemble.pool, np.array([n]))[0]
        best = search(errors[None], affordable(target.space.cost, budgets))[0]
        for name, rule in rules.items():
            taken = np.array([rule(budget) for budget in budgets])
            part = _losses(target, n, errors, best[taken >= 0], taken[taken >= 0])
            parts.append(part.assign(n=np.nan if size is None else size, rule=name, c=budgets[taken >= 0]))
    table = pd.concat(parts, ignore_index=True)
    return table[["n", "rule", "c", *target.space.factors, "f", "regret", "regret_lo", "regret_hi"]]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return per n and rule the mean and the largest regret over budgets, and how many budgets the rule could meet."""
    groups = table.groupby(["n", "rule"], dropna=False, sort=False)
    return groups.agg(
        mean_regret=("regret", "mean"),
        mean_regret_lo=("regret_lo", "mean"),
        mean_regret_hi=("regret_hi", "mean"),
        largest_regret=("regret", "max"),
        budgets=("c", "size"),
    ).reset_index()


def scaling_rules(space: SearchSpace, center: Mapping[str, float]) -> dict[str, Rule]:
    """Return the rules that scale one factor as far as the budget goes and leave the others at the center."""
    return {f"scale {factor} alone": _scale(space, factor, center) for factor in space.factors}


def llava_rule(space: SearchSpace, center: Mapping[str, float]) -> dict[str, Rule]:
    """Return LLaVA-Video's default: the largest LM, 196 tokens per frame or as near as there is, frames scaled down.

    Other factors, such as the vision model's size, stay at the center. Empty for a space without N, T and V.
    """
    if not {"N", "T", "V"} <= set(space.factors):
        return {}
    tokens = space.levels("V")
    nearest = tokens[np.argmin(np.abs(np.log(tokens / LLAVA_TOKENS)))]
    name = f"largest LM, V = {nearest:g}, fewer frames"
    return {name: _scale(space, "T", {**center, "N": space.levels("N")[-1], "V": nearest})}


def frontier_rule(space: SearchSpace, errors: np.ndarray) -> Rule:
    """Return the rule that follows another frontier: x* (Eq. 4) by `errors` of shape (m,)."""

    def rule(budget: float) -> int:
        return int(search(errors[None], affordable(space.cost, np.array([budget])))[0, 0])

    return rule


def _scale(space: SearchSpace, factor: str, held: Mapping[str, float]) -> Rule:
    """Return the rule that takes the largest affordable level of `factor`, the others at levels nearest to `held`."""
    fits = np.ones(len(space), bool)
    for name, value in held.items():
        if name != factor:
            levels = space.levels(name)
            fits &= space.factors[name] == levels[np.argmin(np.abs(np.log(levels / value)))]

    def rule(budget: float) -> int:
        candidates = np.flatnonzero(fits & (space.cost <= budget))
        return int(candidates[np.argmax(space.factors[factor][candidates])]) if len(candidates) else -1

    return rule


def _losses(target: Target, n: float, errors: np.ndarray, best: np.ndarray, taken: np.ndarray) -> pd.DataFrame:
    difference = target.ensemble.pool.errors(taken, n) - target.ensemble.pool.errors(best, n)
    low, high = np.quantile(difference, TAILS, axis=0) if len(taken) else (np.empty(0), np.empty(0))
    columns = {name: values[taken] for name, values in target.space.factors.items()}
    regret = errors[taken] - errors[best]
    return pd.DataFrame({**columns, "f": errors[taken], "regret": regret, "regret_lo": low, "regret_hi": high})
