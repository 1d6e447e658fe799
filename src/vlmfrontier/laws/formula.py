"""Formulas of laws, read as lists of terms without `eval`.

A term is a coefficient times powers of factors and of the data size: α·x_N^(−a)·n^(−d). Coefficients and exponents are
names, whose values are fitted; `alpha_N*N^-a_N + gamma*T^-p*V^-q + xi*n^-d + epsilon` is a formula.
"""

import ast
import keyword
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from vlmfrontier.errors import UserError, did_you_mean
from vlmfrontier.tables.expressions import parsed

DATA = "n"
"""The data size's name in terms and formulas."""
CEILING = "C"
"""The name of the largest error that a law with a ceiling can give."""
EXAMPLE = '"alpha_N*N^-a_N + xi*n^-d + epsilon"'
TAKEN = {CEILING, "f", "c", "resample", "objective", "hit_rate"}
"""Names with a meaning of their own beside the parameters of a law, in formulas or in the table of its resamples."""
MOST_TERMS = 30


@dataclass(frozen=True)
class Power:
    """variable^(sign · exponent)."""

    exponent: str
    variable: str
    sign: int


@dataclass(frozen=True)
class Term:
    """coefficient · Π variable^(sign · exponent)."""

    coefficient: str
    powers: tuple[Power, ...] = ()

    @property
    def depends_on_data(self) -> bool:
        """Whether the term changes with n."""
        return any(power.variable == DATA for power in self.powers)


def read_formula(text: str, factors: Sequence[str], has_data: bool, where: str) -> list[Term]:
    """Return the terms of a formula over these factors and, with `has_data`, n; `where` names it in messages.

    `^` is `**`, and division a negative power. What `words.formula` writes can be read: signs like − and ·, and `f =`.
    Raises `UserError` in one line for everything else than a sum of products of powers with names to be fitted.
    """

    def refused(message: str) -> UserError:
        shown = text if len(text) <= 120 else f"{text[:100]}…"
        return UserError(f"{where}: {shown!r}: {message}")

    if not text.strip():
        raise UserError(f"{where}: the formula is empty; write for example {EXAMPLE}")
    reader = _Reader([*factors, *([DATA] if has_data else [])], refused)
    terms = [reader.term(node) for node in reader.summands(reader.body(text))]
    _check_names(terms, reader.variables, refused)
    _check_terms(terms, refused)
    return terms


@dataclass(frozen=True)
class _Reader:
    """What turns the nodes of a formula into terms."""

    variables: list[str]
    refused: Callable[[str], UserError]

    def body(self, text: str) -> ast.expr:
        """Return the parsed text. Raises for what is no Python expression once `^` is `**`."""
        plain = text.translate(str.maketrans({"−": "-", "–": "-", "·": "*", "×": "*"})).strip()
        plain = plain.removeprefix("f =").removeprefix("f=").replace("^", "**")
        words = "".join(sign if sign.isidentifier() or sign.isdigit() else " " for sign in plain).split()
        if reserved := next(filter(keyword.iskeyword, words), None):
            raise self.refused(f"{reserved!r} is a word of Python and cannot name a parameter; write {reserved}_1")
        return parsed(plain, self.refused, EXAMPLE)

    def summands(self, node: ast.expr) -> Iterator[ast.expr]:
        """Yield the summands of a sum."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            yield from self.summands(node.left)
            yield from self.summands(node.right)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd):
            yield from self.summands(node.operand)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
            raise self.subtracted(node)
        else:
            yield node

    def subtracted(self, node: ast.BinOp | ast.UnaryOp) -> UserError:
        """Return the mistake of a minus before a term."""
        what = node.right if isinstance(node, ast.BinOp) else node.operand
        return self.refused(
            f"subtracts {_shown(what)}, and terms are only added: coefficients are fitted ≥ 0; change the sign of an "
            "exponent instead"
        )

    def term(self, node: ast.expr) -> Term:
        """Return one summand as a term."""
        coefficients: list[str] = []
        powers: list[Power] = []
        for factor, sign in self.factors(node, 1):
            found = self.power(factor, sign)
            if isinstance(found, str):
                coefficients.append(found)
            else:
                powers += found
        told = f"the term {_shown(node)}"
        if len(coefficients) != 1:
            raise self.refused(
                f"{told} has two coefficients, {' and '.join(coefficients[:2])}, which act as one; write one"
                if coefficients
                else f"{told} has no coefficient; write a name before it, as in {_shown(node, 'alpha*')}"
            )
        twice = [name for name, count in Counter(power.variable for power in powers).items() if count > 1]
        if twice:
            raise self.refused(f"{told} has two powers of {twice[0]}, which act as one; write one")
        return Term(coefficients[0], tuple(powers))

    def factors(self, node: ast.expr, sign: int) -> Iterator[tuple[ast.expr, int]]:
        """Yield what is multiplied, with −1 for what is divided by."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
            yield from self.factors(node.left, sign)
            yield from self.factors(node.right, -sign if isinstance(node.op, ast.Div) else sign)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd):
            yield from self.factors(node.operand, sign)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            raise self.subtracted(node)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            raise self.refused(f"has the sum {_shown(node)} inside a product; multiply it out, a term for each summand")
        else:
            yield node, sign

    def power(self, node: ast.expr, sign: int) -> str | list[Power]:
        """Return a coefficient, or the powers that one thing in a product stands for."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            exponent, inner = self.exponent(node.right)
            return [Power(exponent, name, sign * inner * own) for name, own in self.bases(node.left)]
        if isinstance(node, ast.Name) and node.id not in self.variables:
            if sign < 0:
                raise self.refused(f"divides by {node.id!r}, which is no power of {self.known()}; multiply by it")
            return node.id
        if isinstance(node, ast.Name):
            raise self.refused(f"has {node.id} without an exponent; write a name to be fitted, such as {node.id}^-p")
        if _is_number(node):
            raise self.refused(f"has the number {ast.unparse(node)}; write a name, whose value is fitted")
        raise self.refused(f"may not contain {_shown(node)}; write a sum of products of powers, such as {EXAMPLE}")

    def bases(self, node: ast.expr) -> Iterator[tuple[str, int]]:
        """Yield the variables of a base, T of `T^-p`, T and V of `(T*V)^-p`, with −1 for one that is divided by."""
        for inside, sign in self.factors(node, 1):
            if isinstance(inside, ast.Name) and inside.id in self.variables:
                yield inside.id, sign
            elif isinstance(inside, ast.Name) and inside.id == DATA:
                raise self.refused("has n, and the table has no data column; name one under table.data")
            elif isinstance(inside, ast.Name):
                near = did_you_mean(inside.id, self.variables)
                hint = f"; {near}" if near.startswith("did you mean") else ""
                raise self.refused(f"there is no factor {inside.id!r}; powers are of {self.known()}{hint}")
            else:
                raise self.refused(f"has a power of {_shown(inside)}; powers are of {self.known()}")

    def exponent(self, node: ast.expr) -> tuple[str, int]:
        """Return the name of an exponent and its sign."""
        sign = 1
        while isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign, node = (-sign if isinstance(node.op, ast.USub) else sign), node.operand
        if isinstance(node, ast.Name):
            return node.id, sign
        if _is_number(node):
            raise self.refused(
                f"has the number {ast.unparse(node)} as an exponent; write a name, whose value is fitted"
            )
        raise self.refused(f"has the exponent {_shown(node)}; write one name, with - before it or without")

    def known(self) -> str:
        return ", ".join(self.variables)


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)


def _shown(node: ast.expr, before: str = "") -> str:
    piece = before + ast.unparse(node).replace(" ** ", "^").replace("**", "^").replace(" * ", "*")
    return repr(piece if len(piece) <= 60 else f"{piece[:50]}…")


def _check_names(terms: Sequence[Term], variables: Sequence[str], refused: Callable[[str], UserError]) -> None:
    """Raise if a name stands for two things."""
    coefficients = Counter(term.coefficient for term in terms)
    exponents = [power.exponent for term in terms for power in term.powers]
    for name in [*coefficients, *exponents]:
        if name in (*variables, DATA):
            raise refused(f"uses {name}, which is {'the data size' if name == DATA else 'a factor'}, as a parameter")
        if name in TAKEN:
            raise refused(f"uses the name {name}, which has a meaning of its own; take another one")
    both = [name for name in coefficients if name in exponents]
    if both:
        raise refused(f"uses {both[0]} as a coefficient and as an exponent; take two names")
    twice = [name for name, count in coefficients.items() if count > 1]
    if twice:
        raise refused(f"uses the coefficient {twice[0]} in two terms; give each term one of its own")


def _check_terms(terms: Sequence[Term], refused: Callable[[str], UserError]) -> None:
    """Raise for terms that no data could tell apart, and for more than one power of n."""
    if len(terms) > MOST_TERMS:
        raise refused(f"has {len(terms)} terms; write at most {MOST_TERMS}")
    if not any(term.powers for term in terms):
        raise refused(f"depends on nothing; write a sum of products of powers, such as {EXAMPLE}")
    for one, other in combinations(terms, 2):
        if set(one.powers) == set(other.powers):
            raise refused(f"has two terms that act as one, of {one.coefficient} and {other.coefficient}; write one")
    of_data = {(power.exponent, power.sign) for term in terms for power in term.powers if power.variable == DATA}
    if len({exponent for exponent, _ in of_data}) > 1:
        names = " and ".join(sorted({exponent for exponent, _ in of_data}))
        raise refused(f"has n with several exponents, {names}; a law has one power of n: use one name in all terms")
    if any(sign > 0 for _, sign in of_data):
        raise refused("has a positive power of n; write n^-d, whose d is fitted")
