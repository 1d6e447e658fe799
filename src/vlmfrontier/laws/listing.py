"""Which forms a study fits: those it names, or those that its factors, its targets and its runs suggest."""

from collections.abc import Sequence

from vlmfrontier.laws.forms import Form, form_for
from vlmfrontier.laws.formula import Term
from vlmfrontier.study.analysis import LawsConfig


def default_forms(factors: Sequence[str], has_data: bool, ceiling: bool, paper: bool = False) -> list[str]:
    """Return the forms of a study that names none; `ceiling`: some target has a largest error, and may have a ceiling.

    The one place that says so.
    """
    interacting = ["add-interact-s", "add-interact"] if has_data else []
    names = ["mult", "add", *interacting]
    if not paper and has_data and {"T", "V"} <= set(factors):
        names.append("add-tokens")
    if ceiling:
        names += ["add-ceiling", *(["add-interact-s-ceiling"] if has_data else [])]
    return names


def settled(
    config: LawsConfig, factors: Sequence[str], has_data: bool, ceiling: bool, configurations: int | None = None
) -> tuple[LawsConfig, list[str]]:
    """Return the settings with every form named, from fewest parameters to most, and notes on those left out.

    Without `forms`, they are `default_forms` and the formulas, but for those with too many parameters for so many
    distinct configurations. Of two forms with the same terms the first stands, with a note if the other was asked for.
    Raises `UserError` if a form cannot be.
    """
    chosen = config.forms is None
    defaults = default_forms(factors, has_data, ceiling and config.ceiling is not None, config.preset == "paper")
    names = [*defaults, *config.formulas] if chosen else config.forms
    forms = [form_for(name, factors, has_data, config.formula_of(name)) for name in names]
    kept, notes = _distinct(forms, silent=defaults if chosen else [])
    kept.sort(key=lambda form: form.size)
    if chosen and configurations is not None:
        carried = [form for form in kept if form.text or form.needed <= configurations] or kept[:1]
        notes += [
            f"{form.name} is left out of laws.forms: with {len(form.parameter_names)} parameters it needs at least "
            f"{form.needed} distinct configurations, and there are {configurations}"
            for form in kept
            if form not in carried
        ]
        kept = carried
    return config.model_copy(update={"forms": [form.name for form in kept]}), notes


def _distinct(forms: Sequence[Form], silent: Sequence[str]) -> tuple[list[Form], list[str]]:
    """Return the first of all forms that are one law, and notes on the others but for those in `silent`."""
    kept: dict[tuple, Form] = {}
    notes = []
    for form in forms:
        same = kept.setdefault((form.sharpness, _shape(form.terms)), form)
        if same is not form and form.name not in silent:
            notes.append(f"{form.name} is left out of laws.forms: it is the same law as {same.name} here")
    return list(kept.values()), notes


def _shape(terms: Sequence[Term]) -> tuple:
    """Return the terms with their parameters numbered, equal for forms that differ in the names only."""
    numbers: dict[str, int] = {}
    ordered = sorted(
        ([(p.variable, p.sign, p.exponent) for p in sorted(term.powers, key=lambda p: p.variable)] for term in terms),
        key=lambda powers: [(variable, sign) for variable, sign, _ in powers],
    )
    return tuple(
        tuple((variable, sign, numbers.setdefault(name, len(numbers))) for variable, sign, name in powers)
        for powers in ordered
    )
