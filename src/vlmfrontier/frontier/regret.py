"""What it costs to follow a simpler rule than the frontier, at the same budget and number of examples."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from vlmfrontier.frontier.pool import TAILS
from vlmfrontier.frontier.search import affordable, pooled_errors, search
from vlmfrontier.frontier.space import SearchSpace
from vlmfrontier.frontier.target import Target

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
        n = target.spread.pool.data_unit if size is None else float(size)
        errors = pooled_errors(target.spread.pool, np.array([n]))[0]
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
    difference = target.spread.pool.errors(taken, n) - target.spread.pool.errors(best, n)
    low, high = np.quantile(difference, TAILS, axis=0) if len(taken) else (np.empty(0), np.empty(0))
    columns = {name: values[taken] for name, values in target.space.factors.items()}
    regret = errors[taken] - errors[best]
    return pd.DataFrame({**columns, "f": errors[taken], "regret": regret, "regret_lo": low, "regret_hi": high})
