"""Formulas and conditions over column names, read from a configuration and evaluated without `eval`.

Only what `_problem` lets pass can be written: numbers, names, arithmetic, comparisons (also with text), `and`, `or`,
`not` and the functions in `FUNCTIONS`. Everything else, and what is too long, is refused before anything is computed.
All arithmetic is that of 64-bit floats: no number grows without bound, no integer wraps around.
"""

import ast
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from vlmfrontier.errors import UserError, did_you_mean
from vlmfrontier.tables.values import Column, Value, as_number, as_truth, both, compare, either, is_in, opposite

LONGEST = 1000
"""Characters of a text that is read at all."""
_MOST_PARTS, _DEEPEST = 300, 40

_ARITHMETIC = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_SIGNS = {ast.USub: np.negative, ast.UAdd: np.positive}
_COMPARISONS = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_MEMBERSHIP = (ast.In, ast.NotIn)
_OF_ONE = {
    "sqrt": np.sqrt,
    "log": np.log,
    "log2": np.log2,
    "exp": np.exp,
    "abs": np.abs,
    "ceil": np.ceil,
    "floor": np.floor,
}
_OF_SEVERAL = {"min": np.minimum, "max": np.maximum}
FUNCTIONS = (*_OF_ONE, *_OF_SEVERAL)
_EXAMPLE = '"N * (50 + V)" or "sweep == \'star\' and T > 1"'


class SafeExpression:
    """A parsed formula or condition: `SafeExpression("N * (50 + V)", "cost.expression")({"N": …, "V": …})`.

    `where` names the configuration key in messages. Raises `UserError` if the text is not an expression of the
    allowed kind.
    """

    def __init__(self, text: str, where: str):
        self.text = text
        self.where = where
        self._body = parsed(text, self._error, _EXAMPLE)
        if problem := _problem(self._body):
            raise self._error(f"{problem}; write for example {_EXAMPLE}")
        self.names = tuple(dict.fromkeys(_names(self._body)))

    def __call__(self, values: Mapping[str, ArrayLike | Column]) -> np.ndarray:
        """Return the value for the columns in `values`, elementwise: numbers, or for a condition whether it holds.

        Raises `UserError` if a name is not among the columns, the types do not fit, or a number is not finite.
        """
        value = self._computed(values)
        if value.kind == "text":
            raise self._error("is text, neither a number nor a condition")
        if value.kind == "truth" and not np.isnan(value.data).any():
            return value.data.astype(bool)
        return value.data

    def numbers(self, values: Mapping[str, ArrayLike | Column]) -> np.ndarray:
        """Return the numbers that the formula gives for the columns in `values`; a condition is refused."""
        value = self._computed(values)
        if value.kind != "number":
            raise self._error(
                f"gives {value.kind if value.kind == 'text' else 'true or false'}, and a number is needed"
            )
        return value.data

    def holds(self, columns: Mapping[str, ArrayLike | Column], rows: Sequence[object]) -> np.ndarray:
        """Return for which rows the condition holds, (m,); `rows` is what messages call them.

        Raises `UserError` for a formula that is no condition on columns, and for rows whose empty cells leave it open.
        """
        value = self._computed(columns)
        if value.kind != "truth" or value.data.shape != (len(rows),):
            raise self._error("is no condition on columns; write for example \"sweep == 'star'\"")
        open_ = np.flatnonzero(np.isnan(value.data))
        if len(open_):
            raise self._error(self._left_open(columns, int(open_[0]), rows))
        return value.data.astype(bool)

    def check_names(self, known: Iterable[str]) -> None:
        """Raise `UserError` if the expression uses a name that is not in `known`."""
        known = [str(name) for name in known]
        for name in self.names:
            if name in known:
                continue
            if name in FUNCTIONS:
                raise self._error(f"uses {name!r} as a name, and it is a function; write for example {name}(N, 1)")
            listed = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
            raise self._error(f"uses {name!r}; the names are {listed}{_meant(name, known)}")

    def compared_texts(self) -> dict[str, list[str]]:
        """Return the texts that every column is compared with, by the column's name."""
        found: dict[str, list[str]] = {}
        for node in ast.walk(self._body):
            if isinstance(node, ast.Compare):
                inside = [part for side in (node.left, *node.comparators) for part in ast.walk(side)]
                texts = [
                    each.value for each in inside if isinstance(each, ast.Constant) and isinstance(each.value, str)
                ]
                for each in inside:
                    if isinstance(each, ast.Name):
                        found.setdefault(each.id, []).extend(texts)
        return found

    def _left_open(self, columns: Mapping[str, ArrayLike | Column], row: int, rows: Sequence[object]) -> str:
        typed = {name: columns[name] for name in self.names if isinstance(columns[name], Column)}
        empty = [(name, str(column.cells[row])) for name, column in typed.items() if column.missing[row]]
        where = " and ".join(f"{name} is {cell!r}" if cell else f"{name} is empty" for name, cell in empty)
        hint = f"fill the cell, or write what counts there: {empty[0][0]} == {empty[0][1]!r} or …" if empty else ""
        return f"cannot be decided for {rows[row]}, where {where}; {hint}"

    def _error(self, message: str) -> UserError:
        shown = self.text if len(self.text) <= 120 else f"{self.text[:100]}…"
        return UserError(f"{self.where}: {shown!r} {message}")

    def _computed(self, values: Mapping[str, ArrayLike | Column]) -> Value:
        self.check_names(values)
        try:
            with np.errstate(all="ignore"):
                return self._value(self._body, values)
        except (TypeError, ValueError) as error:
            raise self._error(f"cannot be computed: {error}") from None

    def _value(self, node: ast.AST, columns: Mapping[str, ArrayLike | Column]) -> Value:
        """Return the value of a node that `_problem` has let pass."""
        if isinstance(node, ast.Name):
            return Value.of_column(node.id, columns[node.id])
        if isinstance(node, ast.Constant):
            return Value.of_constant(node.value)
        operands = [self._value(child, columns) for child in _operands(node)]
        if isinstance(node, ast.Compare):
            return _compared(node.ops, operands)
        if isinstance(node, ast.BoolOp):
            return reduce(both if isinstance(node.op, ast.And) else either, map(as_truth, operands))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return opposite(as_truth(operands[0]))
        return self._finite(node, operands)

    def _finite(self, node: ast.expr, operands: list[Value]) -> Value:
        """Return numbers computed from numbers. Raises `UserError` where they become infinite or undefined."""
        numbers = [as_number(operand) for operand in operands]
        function = _function_of(node)
        result = reduce(function, numbers) if len(numbers) > 1 else function(numbers[0])
        known = ~np.isnan(sum(numbers[1:], numbers[0]))  # an empty cell makes unknown what is computed from it
        if (known & ~np.isfinite(result)).any():
            piece = ast.unparse(node)
            whole = piece == ast.unparse(self._body)
            raise self._error(f"is not a finite number{'' if whole else f' in {piece!r}'}; correct the formula")
        return Value("number", np.asarray(result, float))


def parsed(text: str, refused: Callable[[str], UserError], example: str) -> ast.expr:
    """Return the body of a formula, which is short and shallow enough to be walked through.

    Raises what `refused` makes of the reason for any other text; messages give the `example`.
    """
    if len(text) > LONGEST:
        raise refused(f"has {len(text)} characters; write at most {LONGEST}")
    try:
        body = ast.parse(" ".join(text.splitlines()).strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise refused(f"is not a formula ({reason}); write for example {example}") from None
    except (MemoryError, RecursionError):
        raise refused("is nested too deeply; write a simpler formula") from None
    parts, layer, depth = 0, [body], 0
    while layer:
        parts, depth = parts + len(layer), depth + 1
        if parts > _MOST_PARTS or depth > _DEEPEST:
            raise refused("has too many parts or levels; write a simpler formula")
        layer = [child for node in layer for child in _operands(node)]
    return body


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Name):
        return [node.id]
    return [name for child in _operands(node) for name in _names(child)]


def _problem(node: ast.AST) -> str:
    """Return what is not allowed under `node`, empty if nothing is."""
    if not _allowed(node):
        return f"may not contain {_shown(node)}"
    if isinstance(node, ast.Call):
        count, name = len(node.args), node.func.id
        if name in _OF_ONE and count != 1:
            return f"calls {name} with {count} values, and it takes one"
        if name in _OF_SEVERAL and count < 2:
            return f"calls {name} with {count} value{'s' if count != 1 else ''}, and it takes two or more"
    if isinstance(node, ast.Compare) and any(isinstance(op, _MEMBERSHIP) for op in node.ops):
        if len(node.ops) > 1 or not isinstance(node.comparators[0], ast.List | ast.Tuple):
            return "must write what `in` looks through as a list, such as T in [1, 2]"
    elif not isinstance(node, ast.Compare):
        texts = [child for child in _operands(node) if isinstance(getattr(child, "value", None), str)]
        if texts:
            return f"uses the text {_shown(texts[0])} where a number or a condition belongs"
    return next(filter(None, map(_problem, _operands(node))), "")


def _allowed(node: ast.AST) -> bool:
    """Return whether this node, its operands aside, may stand in an expression; a list only after `in`."""
    match node:
        case ast.Constant(value=value):
            return isinstance(value, str | bool) or (isinstance(value, int | float) and _is_finite(value))
        case ast.BinOp(op=op):
            return type(op) in _ARITHMETIC
        case ast.UnaryOp(op=op):
            return isinstance(op, ast.Not) or type(op) in _SIGNS
        case ast.Compare(ops=ops):
            return all(type(op) in _COMPARISONS or isinstance(op, _MEMBERSHIP) for op in ops)
        case ast.Call(func=ast.Name(id=name), keywords=[]):
            return name in FUNCTIONS
    return isinstance(node, ast.Name | ast.BoolOp)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _operands(node: ast.AST) -> list[ast.expr]:
    """Return the children of a node that have values of their own; the items of a list after `in` are its operands."""
    operands = {
        ast.BinOp: lambda: [node.left, node.right],
        ast.UnaryOp: lambda: [node.operand],
        ast.BoolOp: lambda: node.values,
        ast.Compare: lambda: [node.left, *_compared_with(node)],
        ast.Call: lambda: node.args,
    }
    return operands.get(type(node), list)()


def _compared_with(node: ast.Compare) -> list[ast.expr]:
    if isinstance(node.ops[0], _MEMBERSHIP) and isinstance(node.comparators[0], ast.List | ast.Tuple):
        return node.comparators[0].elts
    return node.comparators


def _compared(signs: Sequence[ast.cmpop], operands: Sequence[Value]) -> Value:
    """Return a comparison; they chain, `1 < T <= 8`."""
    if isinstance(signs[0], _MEMBERSHIP):
        found = is_in(operands[0], operands[1:])
        return found if isinstance(signs[0], ast.In) else opposite(found)
    links = [compare(_COMPARISONS[type(sign)], *pair) for sign, pair in zip(signs, pairwise(operands), strict=True)]
    return reduce(both, links)


def _function_of(node: ast.expr) -> np.ufunc:
    """Return what computes the value of an operation or a call from those of its operands."""
    if isinstance(node, ast.Call):
        return (_OF_ONE | _OF_SEVERAL)[node.func.id]
    return _ARITHMETIC[type(node.op)] if isinstance(node, ast.BinOp) else _SIGNS[type(node.op)]


def _shown(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return "a number that is too large"
    piece = repr(ast.unparse(node))
    return piece if len(piece) <= 60 else f"{piece[:50]}…"


def _meant(name: str, known: list[str]) -> str:
    hint = did_you_mean(name, known)
    return f"; {hint}" if hint.startswith("did you mean") else ""
