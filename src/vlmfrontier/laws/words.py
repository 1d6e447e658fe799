"""Laws written out: formulas as text and as TeX, standard errors, the whole of a fit."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from vlmfrontier.laws.diagnostics import BOOTSTRAP, SANDWICH
from vlmfrontier.laws.forms import Form
from vlmfrontier.laws.formula import CEILING, Power
from vlmfrontier.units import format_count

if TYPE_CHECKING:
    from vlmfrontier.laws.fit import LawFit

_GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "xi": "ξ", "epsilon": "ε"}


def formula(form: Form, values: Mapping[str, float] | None = None) -> str:
    """Return the formula, `f = α_N·N^(−a_N) + ε`, with numbers in the place of parameters if `values` are given.

    Terms and powers that have vanished are left out then, coefficients and exponents of 0, and terms with the same
    powers are one. Under a ceiling, g is what the law would be without one.
    """
    return _written(form, values, _TEXT)


def formula_tex(form: Form, values: Mapping[str, float] | None = None) -> str:
    """Return the same as `formula` in TeX, without the signs that begin mathematics."""
    return _written(form, values, _TEX)


class _Style(NamedTuple):
    """How something is written: text or TeX."""

    name: Callable[[str], str]
    variable: Callable[[str], str]
    number: Callable[[float], str]
    minus: str
    power: str
    """A variable and its exponent."""
    product: str
    bent: str
    """g under a ceiling C of sharpness s."""


def _written(form: Form, values: Mapping[str, float] | None, style: _Style) -> str:
    terms = _symbols(form, style) if values is None else _numbers(form, values, style)
    total = " + ".join(terms) or "0"
    if form.sharpness is None:
        return f"f = {total}"
    known = form.ceiling if form.ceiling is not None or values is None else values[CEILING]
    ceiling = CEILING if known is None else style.number(known)
    if form.sharpness == 1:
        return f"f = g/(1 + g/{ceiling}), g = {total}"
    return f"f = {style.bent.format(C=ceiling, s=f'{form.sharpness:g}')}, g = {total}"


def _symbols(form: Form, style: _Style) -> list[str]:
    """Return the terms with the names of their parameters."""
    return [
        style.product.join([style.name(term.coefficient), *(_symbolic(power, style) for power in term.powers)])
        for term in form.terms
    ]


def _symbolic(power: Power, style: _Style) -> str:
    return style.power.format(
        style.variable(power.variable), (style.minus if power.sign < 0 else "") + style.name(power.exponent)
    )


def _numbers(form: Form, values: Mapping[str, float], style: _Style) -> list[str]:
    """Return the terms with numbers; those that would be written with the same powers are added up."""
    coefficients: dict[tuple[str, ...], float] = {}
    for term in form.terms:
        powers = tuple(
            style.power.format(style.variable(power.variable), style.number(power.sign * values[power.exponent]))
            for power in term.powers
            if values[power.exponent] != 0
        )
        if values[term.coefficient] != 0:
            coefficients[powers] = coefficients.get(powers, 0.0) + values[term.coefficient]
    return [style.product.join([style.number(value), *powers]) for powers, value in coefficients.items()]


def _symbol(name: str) -> str:
    """Return `α_N` for `alpha_N`."""
    head, _, tail = name.partition("_")
    return _GREEK.get(head, head) + (f"_{tail}" if tail else "")


def _name_tex(name: str) -> str:
    r"""Return `\alpha_{N}` for `alpha_N`, and a longer word upright."""
    head, _, tail = name.partition("_")
    greek = {letter: word for word, letter in _GREEK.items()}
    word = greek.get(head, head)
    word = rf"\{word}" if word in _GREEK else word if len(word) == 1 else rf"\mathrm{{{word}}}"
    low = tail.replace("_", r"\_")
    low = low if len(tail) < 2 else rf"\mathrm{{{low}}}"
    return f"{word}_{{{low}}}" if tail else word


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


def _number_tex(value: float) -> str:
    digits, _, power = f"{value:.4g}".partition("e")
    return rf"{digits} \cdot 10^{{{int(power)}}}" if power else digits


_TEXT = _Style(_symbol, str, _number, "−", "{0}^({1})", "·", "g/(1 + (g/{C})^{s})^(1/{s})")
_TEX = _Style(
    _name_tex, _name_tex, _number_tex, "-", "{0}^{{{1}}}", r" \, ", r"g / \left(1 + (g/{C})^{{{s}}}\right)^{{1/{s}}}"
)


def formulas_table(laws: Iterable["LawFit"]) -> pd.DataFrame:
    """Return laws as formulas with their numbers: target, form, formula, units, tex."""
    rows = [
        {
            "target": law.target,
            "form": law.form.name,
            "formula": formula(law.form, law.parameters),
            "units": units_in_words(law),
            "tex": formula_tex(law.form, law.parameters),
        }
        for law in laws
    ]
    return pd.DataFrame(rows)


def units_in_words(law: "LawFit") -> str:
    """Return what factors and n are counted in, where that is not one: `N in 1B, n in 1M`."""
    units = [f"{name} in {format_count(unit)}" for name, unit in law.units.items() if unit != 1]
    units += [f"n in {format_count(law.data_unit)}"] if law.data_unit not in (None, 1) else []
    return ", ".join(units)


def law_in_words(law: "LawFit") -> str:
    """Return formula, units, fit, warnings and standard errors of a law, as text."""
    units = [f"{name} in {unit:g}" for name, unit in law.units.items()]
    units += [f"n in {law.data_unit:g}"] if law.data_unit else []
    found = law.diagnostics
    lines = [
        f"{law.form.name} for {law.target}; {', '.join(units)}",
        formula(law.form),
        formula(law.form, law.parameters),
        f"objective {law.objective:.9g}, MSE {law.metrics['mse']:.4g}, E% {law.metrics['e_pct']:.3g}, "
        f"R² {law.metrics['r2']:.4f}, in sample",
        f"{found['starts']} starts; {_reached(found['hit_rate'])}",
        f"condition number {found['condition_number']:.3g}; least certain together: {found['flattest_direction']}",
        *(f"warning: {warning}" for warning in law.warnings),
    ]
    return "\n".join([*lines, "", *_standard_errors(law)])


def _standard_errors(law: "LawFit") -> list[str]:
    """Return a line per parameter with its standard error, below one that says what these are."""
    lines = [f"parameters, and {errors_in_words(law)}"]
    for name, value in law.parameters.items():
        error = law.standard_errors.get(name)
        known = f"± {rounded_error(error)}" if error is not None else f"(no standard error: {missing_error(law, name)})"
        lines.append(f"  {name} = {value:.4g} {known}")
    return lines


def rounded_error(error: float) -> str:
    """Return a standard error with two digits, as a plain number where that is not long: `0.015`, `2000`."""
    return f"{float(f'{error:.2g}'):.0f}" if 100 <= error < 1e6 else f"{error:.2g}"


def errors_in_words(law: "LawFit") -> str:
    """Return what a law's standard errors are."""
    source = str(law.diagnostics.get("standard_errors", ""))
    kinds = {SANDWICH: "by the sandwich formula", BOOTSTRAP: "of the bootstrap: standard deviations over"}
    kind = next((words for name, words in kinds.items() if source.startswith(name)), "")
    return f"standard errors {kind}{source.partition(',')[2]}".rstrip()


def missing_error(law: "LawFit", name: str) -> str:
    """Return why a parameter has no standard error."""
    for key, words in (("at_bound", "at its bound"), ("vanished_terms", "vanished")):
        if name in law.diagnostics.get(key, []):
            return words
    return "not determined"


def _reached(hit_rate: float) -> str:
    if hit_rate == 0:
        return "none of the last descents ended in this minimum, to which fits of resamples led"
    return f"{hit_rate:.0%} of the last descents ended in this minimum"
