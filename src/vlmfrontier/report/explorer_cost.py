"""What the explorer's page is given of the cost, so that it prices configurations between the levels of the space."""

import ast
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from vlmfrontier.cost.flops import CountedCost, PaperCost
from vlmfrontier.cost.measured import SAME, MeasuredCost
from vlmfrontier.cost.model import CostModel, ExpressionCost

_POINTS = ((1.0, 1.0), (2.0, 1.0), (1.0, 2.0), (1.0, 4.0))
_POWERS = ({}, {"T": 1}, {"T": 1, "V": 1}, {"T": 2, "V": 2})
"""A counted cost of one pair of models is a sum of these, by frames and tokens; four points give its parts."""
_SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**"}


def cost_rule(cost: CostModel, factors: Sequence[str]) -> dict[str, Any] | None:
    """Return how c(x) is computed, as plain data of one of three kinds; None where only the space's levels have a cost.

    `terms`: sums of powers of the factors, one for each size of the models that it knows. `grid`: measured values
    between which it is linear. `formula`: an expression as nested lists, the operation first.
    """
    if isinstance(cost, PaperCost):
        sizes = list(cost.towers.items()) or [(cost.M, cost.W)]
        rows = [
            {
                "at": [M] if cost.towers else [],
                "terms": [[2 * M * W, {"T": 1}], [2.0, {"N": 1, "T": 1, "V": 1}]],
                "most": {"V": W} if cost.towers else {},
            }
            for M, W in sizes
        ]
        return _terms(["M"] if cost.towers else [], rows, factors)
    if isinstance(cost, CountedCost):
        names = list(cost.models)
        rows = [_counted(cost, dict(zip(names, at, strict=True))) for at in product(*cost.models.values())]
        return _terms(names, rows, factors)
    if isinstance(cost, MeasuredCost):
        known = tuple(slice(len(levels)) for levels in cost.levels.values())
        return {
            "kind": "grid",
            "factors": [factors.index(name) for name in cost.levels],
            "levels": [levels.tolist() for levels in cost.levels.values()],
            "grid": [None if np.isnan(value) else float(value) for value in cost.grid[known].ravel()],
            "same": SAME,
        }
    body = (
        _nested(ast.parse(cost.text.strip(), mode="eval").body, factors) if isinstance(cost, ExpressionCost) else None
    )
    return None if body is None else {"kind": "formula", "body": body}


def _terms(models: Sequence[str], rows: Sequence[Mapping[str, Any]], factors: Sequence[str]) -> dict[str, Any]:
    """Return rows of terms with places of factors instead of their names."""
    place = {name: str(k) for k, name in enumerate(factors)}
    placed = [
        {
            "at": row["at"],
            "terms": [[part, {place[name]: power for name, power in powers.items()}] for part, powers in row["terms"]],
            "most": {place[name]: value for name, value in row["most"].items()},
        }
        for row in rows
    ]
    return {"kind": "terms", "models": [int(place[name]) for name in models], "rows": placed}


def _counted(cost: CountedCost, sizes: Mapping[str, float]) -> dict[str, Any]:
    """Return the terms of a counted cost for one language model and one vision model."""
    T, V = np.array(_POINTS).T
    columns = {"T": T, "V": V} | {name: np.full(len(T), size) for name, size in sizes.items()}
    powers = np.array([T ** power.get("T", 0) * V ** power.get("V", 0) for power in _POWERS]).T
    encoder = cost.encoders[sizes["M"]] if "M" in sizes else None
    return {
        "at": list(sizes.values()),
        "terms": [
            list(term) for term in zip(np.linalg.solve(powers, cost.cost(columns)).tolist(), _POWERS, strict=True)
        ],
        "most": {} if encoder is None else {"V": float(encoder.features)},
    }


def _nested(node: ast.expr, factors: Sequence[str]) -> Any:
    """Return an expression as nested lists; None if it has more than arithmetic and functions of numbers."""
    if isinstance(node, ast.Name):
        return ["x", factors.index(node.id)] if node.id in factors else None
    if isinstance(node, ast.Constant):
        return float(node.value) if type(node.value) in (int, float) else None
    if isinstance(node, ast.BinOp):
        parts = [_SIGNS.get(type(node.op)), _nested(node.left, factors), _nested(node.right, factors)]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        parts = ["-" if isinstance(node.op, ast.USub) else "+", 0.0, _nested(node.operand, factors)]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        parts = [node.func.id, *(_nested(argument, factors) for argument in node.args)]
    else:
        return None
    return None if None in parts else parts
