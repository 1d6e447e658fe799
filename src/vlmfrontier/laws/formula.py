"""A form written out, as text and as TeX, from the same terms that are fitted."""

import re
from collections.abc import Mapping

from vlmfrontier.laws.forms import Form, Term

_GREEK = {"alpha": "α", "beta": "β", "xi": "ξ", "epsilon": "ε"}


def text(form: Form, values: Mapping[str, float] | None = None) -> str:
    """Return the formula, `f = α_N·N^(−a_N) + ε`, with numbers in the place of parameters if `values` are given."""
    return "f = " + " + ".join(_term_text(term, values) for term in form.terms)


def tex(form: Form) -> str:
    r"""Return the formula in TeX, `f = \alpha_{N} N^{-a_{N}} + \epsilon`."""
    return "f = " + " + ".join(_term_tex(term) for term in form.terms)


def _term_text(term: Term, values: Mapping[str, float] | None) -> str:
    if values is None:
        powers = [f"{power.variable}^({_sign(power.sign)}{_symbol(power.exponent)})" for power in term.powers]
        return "·".join([_symbol(term.coefficient), *powers])
    powers = [f"{power.variable}^({_number(power.sign * values[power.exponent])})" for power in term.powers]
    return "·".join([_number(values[term.coefficient]), *powers])


def _term_tex(term: Term) -> str:
    powers = [
        f"{_tex_name(power.variable)}^{{{_sign(power.sign, '-')}{_tex_name(power.exponent)}}}" for power in term.powers
    ]
    return " ".join([_tex_name(term.coefficient), *powers])


def _sign(sign: int, minus: str = "−") -> str:
    return minus if sign < 0 else ""


def _symbol(name: str) -> str:
    """Return `α_N` for `alpha_N`."""
    head, _, tail = name.partition("_")
    return _GREEK.get(head, head) + (f"_{tail}" if tail else "")


def _tex_name(name: str) -> str:
    r"""Return `\alpha_{N}` for `alpha_N`."""
    head, _, tail = name.partition("_")
    head = f"\\{head}" if head in _GREEK else head if len(head) == 1 else f"\\mathit{{{head}}}"
    tail = re.sub("_", r"\\_", tail)
    return head + (f"_{{{tail}}}" if tail else "")


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")
