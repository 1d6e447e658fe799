"""How a configuration names forms of laws, and their ceilings: names that are there, formulas, suffixes."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import BeforeValidator, Discriminator, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from vlmfrontier.errors import UserError, did_you_mean
from vlmfrontier.units import parse_number

FORM_NAMES = ("mult", "add", "add-tokens", "add-interact-s", "add-interact")
"""The forms there are without a formula, from the fewest terms to the most: those of the paper's Table 2, and one in
which visual tokens dilute. A new form is added to `vlmfrontier.laws.forms` and named here."""
CEILINGS = {"-soft-ceiling": 1.0, "-ceiling": 4.0}
"""The suffix of a form's name that gives it a ceiling, and the sharpness s of that."""
SHIPPED = tuple(f"{name}{suffix}" for suffix in ("", *CEILINGS) for name in FORM_NAMES)
_RANK = {name: (FORM_NAMES.index(name), 0) for name in FORM_NAMES}
_RANK |= {f"{name}{suffix}": (at, 1 + i) for i, suffix in enumerate(CEILINGS) for name, (at, _) in _RANK.items()}

Ceiling = Literal["chance", "control", "fitted"]


def _ceiling(value: Any) -> Any:
    """Return a word or a number, which a command line gives as text."""
    if isinstance(value, str) and value in get_args(Ceiling):
        return value
    wrong = ValueError("expected a number above 0, chance, control or fitted")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise wrong
    try:
        number = parse_number(value)
    except (UserError, OverflowError):
        raise wrong from None
    if not 0 < number < np.inf:
        raise wrong
    return number


OneCeiling = Annotated[float | Ceiling, BeforeValidator(_ceiling)]
Ceilings = Annotated[
    Annotated[OneCeiling, Tag("one")] | Annotated[dict[str, OneCeiling], Tag("by target")],
    Discriminator(lambda ceiling: "by target" if isinstance(ceiling, dict) else "one"),
]
"""One for all targets, or a map by target."""


def without_ceiling(form: str) -> tuple[str, float | None]:
    """Return a form's name without the suffix of its ceiling, and the ceiling's sharpness; None where it has none."""
    suffix = next((suffix for suffix in CEILINGS if form.endswith(suffix)), "")
    return form.removesuffix(suffix), CEILINGS.get(suffix)


def by_size(forms: Iterable[str]) -> list[str]:
    """Return shipped forms from fewest terms to most, and as they are where a formula is among them: `laws.settled`
    has put these in their order."""
    forms = list(forms)
    return sorted(forms, key=lambda name: _RANK[name]) if set(forms) <= set(_RANK) else forms


def formula_of(form: str, formulas: Mapping[str, str]) -> str | None:
    """Return the formula of a form by its name, with or without the suffix of a ceiling; None of a shipped one."""
    return formulas.get(form, formulas.get(without_ceiling(form)[0]))


_NAMED = [{"enum": list(SHIPPED)}, {"type": "string", "pattern": "-ceiling$"}]
_BY_FORMULA = {"type": "object", "additionalProperties": {"type": "string"}}
FormNames = Annotated[list[str], WithJsonSchema({"type": "array", "items": {"anyOf": [*_NAMED, _BY_FORMULA]}})]
"""Names of forms; a configuration may give formulas in their place, which become names and `laws.formulas`."""


def names_and_formulas(entries: list[Any], formulas: dict[str, Any]) -> Iterator[Any]:
    """Yield the names of the entries of `laws.forms`, and add the formulas that stand in place to `formulas`."""
    before = set(formulas)
    for entry in entries:
        if not isinstance(entry, Mapping):
            yield entry
            continue
        if not entry:
            raise _refused({}, 'an entry without a name; write {mine: "…"}')
        for name, text in entry.items():
            if not isinstance(text, str):
                raise _refused(text, f'{name} needs a formula as text; for example "alpha_N*N^-a_N + epsilon"')
            if name in formulas:
                key = "laws.formulas" if name in before else "laws.forms"
                raise _refused(text, f"{name} has another formula in {key}; give every form one name")
            formulas[name] = text
            yield name


def _refused(value: Any, message: str) -> PydanticCustomError:
    return PydanticCustomError("problems", "forms", {"problems": [(("laws", "forms"), value, message)]})


def form_problems(
    forms: Sequence[str] | None, formulas: Mapping[str, str], ceiling: bool
) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    """Yield key path, value and what is wrong: names that nobody knows, cannot be used, or are not used."""
    at, seen = ("laws", "forms"), {}
    for name in formulas:
        if problem := _name_problem(name, seen):
            yield (*at, name), formulas[name], problem
    if forms is None:
        return
    if not forms or len(set(forms)) < len(forms):
        yield at, forms, "name at least one form, and each one once; for example [add, add-interact]"
    for name in forms:
        if name not in SHIPPED and formula_of(name, formulas) is None:
            near = did_you_mean(name, [*FORM_NAMES, *formulas])
            yield at, name, f'there is no such form; {near}; one of your own needs a formula, {{{name}: "…"}}'
    used = {name for form in forms for name in (form, without_ceiling(form)[0])}
    for name in formulas:
        if name not in used:
            yield ("laws", "formulas", name), None, "is not among laws.forms; name it there, or take it out"
    if not ceiling and (ended := [name for name in forms if without_ceiling(name)[1]]):
        yield at, ended[0], "has a ceiling, and laws.ceiling is null; write laws.ceiling: fitted, or leave it out"


def _name_problem(name: str, seen: dict[str, str]) -> str:
    """Return why a form by formula cannot have a name, which becomes that of its files; `seen` keeps those before."""
    if name.casefold() in SHIPPED:
        return "is the name of a form that is there without a formula; take another name"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}", name):
        return "cannot name a form: use letters, digits, '-' and '_', beginning with a letter or digit, at most 60"
    if name.casefold() in ("weights", "forms", "predictions", "profile"):
        return "is the name of another file in laws/; take another name"
    if (other := seen.setdefault(name.casefold(), name)) != name:
        return f"and {other} would be one file where upper and lower case are alike; take another name"
    return ""
