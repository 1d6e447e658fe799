"""Formulas and conditions over column names, read from a configuration and evaluated without `eval`.

Only what `_NODES` lists can be written: numbers, strings, names, arithmetic, comparisons, `and`/`or`/`not` and the
functions in `_FUNCTIONS`. Attributes, subscripts, calls of anything else are refused before anything is computed.
"""

import ast
import operator
from collections.abc import Iterable, Mapping
from functools import partial, reduce
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from vlmfrontier.errors import UserError

_ARITHMETIC = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: np.logical_not}
_COMPARISONS = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: np.isin,
    ast.NotIn: partial(np.isin, invert=True),
}
_BOOLEAN = {ast.And: np.logical_and, ast.Or: np.logical_or}
_FUNCTIONS = {
    "sqrt": np.sqrt,
    "log": np.log,
    "log2": np.log2,
    "exp": np.exp,
    "abs": np.abs,
    "ceil": np.ceil,
    "floor": np.floor,
    "min": np.minimum,
    "max": np.maximum,
}


class SafeExpression:
    """A parsed formula or condition: `SafeExpression("N * (50 + V)", "cost.expression")({"N": …, "V": …})`.

    `where` names the configuration key in messages. Raises `UserError` if the text is not an expression of the
    allowed kind.
    """

    def __init__(self, text: str, where: str):
        self.text = text
        self.where = where
        try:
            self._body = ast.parse(text.strip(), mode="eval").body
        except SyntaxError as error:
            raise UserError(f"{where}: {text!r} is not a formula ({error.msg}); write for example {_EXAMPLE}") from None
        self.names = tuple(dict.fromkeys(self._names_in(self._body)))

    def __call__(self, values: Mapping[str, ArrayLike]) -> np.ndarray:
        """Return the value of the expression for the columns in `values`, elementwise.

        Raises `UserError` if a name is not among the columns or the types do not fit.
        """
        self.check_names(values)
        try:
            with np.errstate(all="ignore"):
                return np.asarray(self._value(self._body, values))
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.where}: {self.text!r} cannot be computed: {error}") from None

    def check_names(self, known: Iterable[str]) -> None:
        """Raise `UserError` if the expression uses a name that is not in `known`."""
        known = list(known)
        unknown = [name for name in self.names if name not in known]
        if unknown:
            raise UserError(f"{self.where}: {self.text!r} uses {unknown[0]!r}; the names are {', '.join(known)}")

    def _names_in(self, node: ast.AST) -> list[str]:
        """Return the column names under `node`, refusing every kind of node that is not allowed."""
        if not _allowed(node):
            piece = ast.unparse(node)
            raise UserError(f"{self.where}: {piece!r} in {self.text!r} is not allowed; write for example {_EXAMPLE}")
        if isinstance(node, ast.Name):
            return [node.id]
        return [name for child in _operands(node) for name in self._names_in(child)]

    def _value(self, node: ast.AST, columns: Mapping[str, ArrayLike]) -> ArrayLike:
        """Return the value of a node that `_names_in` has let pass."""
        if isinstance(node, ast.Name):
            return np.asarray(columns[node.id])
        if isinstance(node, ast.Constant):
            return node.value
        return _combine(node, [self._value(child, columns) for child in _operands(node)])


def _allowed(node: ast.AST) -> bool:
    """Return whether this node, its operands aside, may stand in an expression."""
    allowed = {
        ast.Name: lambda: True,
        ast.List: lambda: True,
        ast.Tuple: lambda: True,
        ast.BoolOp: lambda: True,
        ast.Constant: lambda: isinstance(node.value, int | float | str),
        ast.BinOp: lambda: type(node.op) in _ARITHMETIC,
        ast.UnaryOp: lambda: type(node.op) in _UNARY,
        ast.Compare: lambda: all(type(op) in _COMPARISONS for op in node.ops),
        ast.Call: lambda: getattr(node.func, "id", None) in _FUNCTIONS and not node.keywords,
    }
    return allowed.get(type(node), lambda: False)()


def _operands(node: ast.AST) -> list[ast.AST]:
    """Return the children of an allowed node that have values of their own."""
    operands = {
        ast.BinOp: lambda: [node.left, node.right],
        ast.UnaryOp: lambda: [node.operand],
        ast.BoolOp: lambda: node.values,
        ast.Compare: lambda: [node.left, *node.comparators],
        ast.Call: lambda: node.args,
        ast.List: lambda: node.elts,
        ast.Tuple: lambda: node.elts,
    }
    return operands.get(type(node), list)()


def _combine(node: ast.AST, values: list[ArrayLike]) -> ArrayLike:
    """Return the value of an allowed node from those of its operands; comparisons chain, `1 < T <= 8`."""
    match node:
        case ast.BinOp():
            return _ARITHMETIC[type(node.op)](*values)
        case ast.UnaryOp():
            return _UNARY[type(node.op)](*values)
        case ast.BoolOp():
            return reduce(_BOOLEAN[type(node.op)], values)
        case ast.Compare():
            links = (_COMPARISONS[type(op)](*pair) for op, pair in zip(node.ops, pairwise(values), strict=True))
            return reduce(np.logical_and, links)
        case ast.Call():
            return _FUNCTIONS[node.func.id](*values)
        case _:
            return values


_EXAMPLE = '"N * (50 + V)" or "sweep == \'star\' and T > 1"'
