"""The forms of a law f(x, n): each is a list of terms, and everything else follows from it, the formula in words too.

A term is a coefficient times powers of factors and of the data size: α·x_N^(−a)·n^(−d). Because coefficients are
non-negative, log f is the log-sum-exp of terms that are affine in θ = (log coefficients, exponents); the fitting kernel
knows no more than that. To add a form, write its terms as a function like `additive` and list it in `FORMS`; or give
a formula in the configuration, which `formula.read_formula` makes terms of.

Errors end at what guessing gives. A form with a ceiling C bends the sum of terms g towards it: the soft minimum
f = (g^(−s) + C^(−s))^(−1/s), which is g far below C. Each of `FORMS` has two such variants, `-ceiling` (s = 4) and
`-soft-ceiling` (s = 1, which bends earlier).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from vlmfrontier.errors import UserError
from vlmfrontier.laws.formula import CEILING, DATA, Power, Term, read_formula
from vlmfrontier.study.forms import FORM_NAMES, without_ceiling

_DATA_POWER = Power("d", DATA, -1)
_FLOOR = Term("epsilon")


def _main(factor: str) -> Term:
    """α_k x_k^(−a_k)."""
    return Term(f"alpha_{factor}", (Power(f"a_{factor}", factor, -1),))


def _interaction(factor: str) -> Term:
    """β_k x_k^(b_k) n^(−d)."""
    return Term(f"beta_{factor}", (Power(f"b_{factor}", factor, +1), _DATA_POWER))


def _data(has_data: bool) -> list[Term]:
    """ξ n^(−d), if there is an n."""
    return [Term("xi", (_DATA_POWER,))] if has_data else []


def multiplicative(factors: Sequence[str], has_data: bool) -> list[Term]:
    """α Π x_k^(−a_k) · n^(−d) + ε."""
    powers = tuple(Power(f"a_{factor}", factor, -1) for factor in factors)
    return [Term("alpha", powers + ((_DATA_POWER,) if has_data else ())), _FLOOR]


def additive(factors: Sequence[str], has_data: bool) -> list[Term]:
    """Σ α_k x_k^(−a_k) + ξ n^(−d) + ε."""
    return [*map(_main, factors), *_data(has_data), _FLOOR]


def diluted(factors: Sequence[str], has_data: bool) -> list[Term]:
    """Σ α_k x_k^(−a_k) + γ T^(g_T) V^(g_V) n^(−d) + ξ n^(−d) + ε: visual tokens in all dilute, the less the more data.

    The exponents of the product may be negative: what frames and tokens gain together.
    """
    together = Term("gamma", (Power("g_T", "T", +1), Power("g_V", "V", +1), *([_DATA_POWER] if has_data else [])))
    return [*map(_main, factors), together, *_data(has_data), _FLOOR]


def interacting_simple(factors: Sequence[str], has_data: bool) -> list[Term]:
    """Σ α_k x_k^(−a_k) + Σ β_k x_k^(b_k) n^(−d) + ε."""
    return [*map(_main, factors), *(map(_interaction, factors) if has_data else ()), _FLOOR]


def interacting(factors: Sequence[str], has_data: bool) -> list[Term]:
    """Σ α_k x_k^(−a_k) + Σ β_k x_k^(b_k) n^(−d) + ξ n^(−d) + ε."""
    return [*interacting_simple(factors, has_data)[:-1], *_data(has_data), _FLOOR]


FORMS: dict[str, Callable[[Sequence[str], bool], list[Term]]] = dict(
    zip(FORM_NAMES, (multiplicative, additive, diluted, interacting_simple, interacting), strict=True)
)
"""Every form that needs no formula by its name."""

_NEED_DATA = ("add-interact-s", "add-interact")
_NEEDED_FACTORS = {"add-tokens": ("T", "V")}


@dataclass(frozen=True)
class Form:
    """A form for given factors. θ has one entry per name in `parameter_names`: coefficients and exponents, not logs."""

    name: str
    factors: tuple[str, ...]
    has_data: bool
    terms: tuple[Term, ...]
    sharpness: float | None = None
    """s of the ceiling; None: there is none."""
    ceiling: float | None = None
    """C where it is known, in the units of the target; None with a sharpness: C is fitted."""
    text: str | None = None
    """The formula that it was read from."""

    @cached_property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of θ's entries, in the order in which the terms mention them; the data exponent d, ε and a fitted
        ceiling C come last."""
        names = dict.fromkeys(name for term in self.terms for name in (term.coefficient, *_exponents(term)))
        last = [name for name in ("xi", "d", "epsilon") if name in names]
        return (*(name for name in names if name not in last), *last, *([CEILING] if self.fits_ceiling else []))

    @property
    def fits_ceiling(self) -> bool:
        """Whether C is a parameter, the last of θ."""
        return self.sharpness is not None and self.ceiling is None

    @cached_property
    def is_coefficient(self) -> np.ndarray:
        """Which entries of θ are coefficients of terms (≥ 0). Shape (P,)."""
        coefficients = {term.coefficient for term in self.terms}
        return np.array([name in coefficients for name in self.parameter_names])

    @cached_property
    def is_logged(self) -> np.ndarray:
        """Which entries of θ the kernel fits as logs: coefficients, and the ceiling. Shape (P,)."""
        return self.is_coefficient | (np.array(self.parameter_names) == CEILING)

    @cached_property
    def is_exponent(self) -> np.ndarray:
        """Which entries of θ are exponents. Shape (P,)."""
        return ~self.is_logged

    @cached_property
    def is_main_exponent(self) -> np.ndarray:
        """Which entries of θ are exponents of main terms, x^(−a), or of the data, n^(−d). Shape (P,).

        The exponent of an interaction, x^b, is none: where it is positive, a larger x needs more data.
        """
        main = {power.exponent for term in self.terms for power in term.powers if power.sign < 0}
        return np.array([name in main for name in self.parameter_names])

    @cached_property
    def data_exponent(self) -> str | None:
        """The name of the one exponent that n has in every term; None of a law without n."""
        return next((p.exponent for term in self.terms for p in term.powers if p.variable == DATA), None)

    @property
    def needed(self) -> int:
        """The fewest distinct configurations that the form can be fitted to."""
        return len(self.parameter_names) + 2

    @property
    def size(self) -> tuple[int, int]:
        """Parameters and terms: of two forms the one with less is simpler."""
        return len(self.parameter_names), len(self.terms)

    @property
    def variables(self) -> tuple[str, ...]:
        """Factors, then n if there is one: the columns of the design."""
        return (*self.factors, DATA) if self.has_data else self.factors

    def index(self, parameter: str) -> int:
        """Return the position of `parameter` in θ."""
        return self.parameter_names.index(parameter)

    def term_values(self, theta: ArrayLike, X: ArrayLike, n: ArrayLike | None = None) -> np.ndarray:
        """Return each term at each point: θ (R, P), X (m, K), n (m,), all in fit units → (J, R, m)."""
        return np.stack([self._term(term, theta, self._logs(X, n)) for term in self.terms])

    def predict(self, theta: ArrayLike, X: ArrayLike, n: ArrayLike | None = None) -> np.ndarray:
        """Return f: θ (P,) or (R, P), X (m, K), n (m,), all in fit units → (m,) or (R, m)."""
        theta = np.asarray(theta, float)
        total = self.term_values(np.atleast_2d(theta), X, n).sum(axis=0)
        total = self.link(total, self.ceilings(theta)[:, None])
        return total[0] if theta.ndim == 1 else total

    def link(self, g: ArrayLike, C: ArrayLike) -> np.ndarray:
        """Return f for the sum of terms g below the ceiling C, which broadcast: g itself in a form without one."""
        return np.asarray(g) if self.sharpness is None else soft_minimum(g, C, self.sharpness)

    def ceilings(self, theta: ArrayLike) -> np.ndarray:
        """Return the ceiling C (R,) of θ (R, P), in the units of the target; infinite in a form without one."""
        theta = np.atleast_2d(np.asarray(theta, float))
        if self.fits_ceiling:
            return theta[:, -1]
        return np.full(len(theta), np.inf if self.ceiling is None else self.ceiling)

    def split_in_data(self, theta: ArrayLike, X: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return A (R, m), B (R, m) and d (R,) with g = A + B·n^(−d), for θ (R, P) and X (m, K) in fit units.

        g is the sum of the terms: f, or in a form with a ceiling what `link` makes f of. Every form depends on n
        through one n^(−d) only, which lets a frontier try many n at the price of one.
        Without a data column B and d are 0.
        """
        theta = np.atleast_2d(np.asarray(theta, float))
        logs = self._logs(X, np.ones(len(X)))
        parts = {False: np.zeros((len(theta), len(X))), True: np.zeros((len(theta), len(X)))}
        for term in self.terms:
            parts[term.depends_on_data] += self._term(term, theta, logs)
        d = np.zeros(len(theta)) if self.data_exponent is None else theta[:, self.index(self.data_exponent)]
        return parts[False], parts[True], d

    def _logs(self, X: ArrayLike, n: ArrayLike | None) -> dict[str, np.ndarray]:
        """Return log of every variable; the columns of X are the factors in order."""
        columns = np.log(np.asarray(X, float).reshape(-1, len(self.factors)))
        logs = dict(zip(self.factors, columns.T, strict=True))
        if self.has_data:
            if n is None:
                raise UserError(f"form {self.name} has a term in the data size; give n for every row")
            logs[DATA] = np.log(np.asarray(n, float))
        return logs

    def _term(self, term: Term, theta: np.ndarray, logs: dict[str, np.ndarray]) -> np.ndarray:
        """Return one term's values, (R, m). Sums in logs, so that no power overflows before its coefficient acts."""
        with np.errstate(divide="ignore", over="ignore"):  # a vanished coefficient has log −∞, and the term is 0
            log_value = np.log(theta[:, self.index(term.coefficient)])[:, None]
            for power in term.powers:
                log_value = (
                    log_value + power.sign * theta[:, self.index(power.exponent)][:, None] * logs[power.variable]
                )
            return np.broadcast_to(np.exp(log_value), (len(theta), len(next(iter(logs.values())))))


def soft_minimum(g: ArrayLike, C: ArrayLike, s: ArrayLike) -> np.ndarray:
    """Return (g^(−s) + C^(−s))^(−1/s) of arrays that broadcast: g where C is infinite."""
    low = np.minimum(g, C)
    return low * (1 + (low / np.maximum(g, C)) ** s) ** (-1 / s)  # of a ratio of at most 1 no power overflows


def form_for(name: str, factors: Sequence[str], has_data: bool, text: str | None = None) -> Form:
    """Return the form `name` for these factors, with or without a data column; a suffix of `CEILINGS` adds a ceiling.

    `text` is its formula, if it has one. Raises `UserError` for an unknown form, a formula that cannot be read, and a
    form that needs a factor or the data column that is missing.
    """
    base, sharpness = without_ceiling(name)
    if text is not None:
        terms = read_formula(text, factors, has_data, f"laws.forms.{name}")
        return Form(name, tuple(factors), has_data, tuple(terms), sharpness, text=text)
    if base not in FORMS:
        raise UserError(f"laws.forms: there is no form {name!r}; the forms are {', '.join(FORMS)}")
    if base in _NEED_DATA and not has_data:
        raise UserError(
            f"laws.forms: {name} says how factors interact with the data size, and the table has no data column; "
            "name one under table.data, or fit [mult, add]"
        )
    if missing := [factor for factor in _NEEDED_FACTORS.get(base, ()) if factor not in factors]:
        raise UserError(
            f"laws.forms: {name} has a term in {' and '.join(_NEEDED_FACTORS[base])}, and there is no factor "
            f"{missing[0]}; take it out, or write a formula of your own with {', '.join(factors)}"
        )
    return Form(name, tuple(factors), has_data, tuple(FORMS[base](factors, has_data)), sharpness)


def _exponents(term: Term) -> list[str]:
    return [power.exponent for power in term.powers]
