"""What a table can carry: refusals before a form is fitted, and named warnings that go into the law's file."""

from collections.abc import Sequence

import numpy as np

from vlmfrontier.errors import UserError
from vlmfrontier.laws.forms import FORMS, Form, form_for
from vlmfrontier.laws.formula import DATA
from vlmfrontier.laws.listing import settled
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.records import again
from vlmfrontier.study.analysis import LawsConfig
from vlmfrontier.study.forms import without_ceiling
from vlmfrontier.tables.columns import same_factors
from vlmfrontier.units import format_count

_SHOWN = 5


def check_study(table: ResultsTable, config: LawsConfig) -> None:
    """Raise `UserError` if no law can be fitted to some target, as far as the table tells before any fit."""
    config, _ = settle(table, config)
    for target in table.targets:
        measured = table.measured(target)
        for form in config.forms:
            shape = form_for(form, list(table.factors), table.has_data, config.formula_of(form))
            refuse_hopeless(measured, shape, target)
        point_weights(measured, target, config)
        refuse_low_ceiling(measured, target, config)


def settle(table: ResultsTable, config: LawsConfig, target: str | None = None) -> tuple[LawsConfig, list[str]]:
    """Return the settings with every form named that is fitted to the table, and notes on forms left out.

    One list for all targets, or that of one `target`: what the target with the fewest rows can carry.
    """
    targets = list(table.targets) if target is None else [target]
    configurations = min(table.measured(name).configurations for name in targets)
    ceiling = any(table.largest.get(name) is not None for name in targets)
    return settled(config, list(table.factors), table.has_data, ceiling, configurations)


def ceiling_of(config: LawsConfig, table: ResultsTable, target: str) -> float | None:
    """Return the ceiling of a target where the study says it; None: it is fitted.

    Raises `UserError` if `runs.json` does not have what the configuration refers to.
    """
    said = config.ceiling_for(target)
    if not isinstance(said, str):
        return said
    if said == "fitted":
        return None
    if said not in table.ceilings.get(target, {}):
        raise UserError(
            f"{table.name}: laws.ceiling is {said} for {target!r}, which these runs do not have; "
            f"{again('collect')}, or write a number, or fitted"
        )
    return table.ceilings[target][said]


def refuse_low_ceiling(table: ResultsTable, target: str, config: LawsConfig) -> None:
    """Raise `UserError` if the ceiling that the study says is below the mean of what was measured.

    A law ends below its ceiling: single rows above it are noise, but the mean of all is none.
    """
    ceiling = ceiling_of(config, table, target) if any(without_ceiling(name)[1] for name in config.forms) else None
    mean = table.error(target).mean()
    if ceiling is not None and ceiling <= mean:
        raise UserError(
            f"{table.name}: laws.ceiling of {target!r} is {ceiling:g}, below the measured mean {mean:.4g}; "
            "write a larger number, or fitted"
        )


def above_ceiling(table: ResultsTable, form: Form, target: str) -> list[str]:
    """Return a warning if rows were measured further above a known ceiling than noise explains."""
    if form.ceiling is None:
        return []
    error, se = table.error(target), table.se[target]
    far = error > form.ceiling + (0.02 * form.ceiling if se is None else 2 * se)
    if not far.any():
        return []
    return [
        f"above_ceiling: {far.sum()} of {len(far)} rows of {target} were measured above its ceiling "
        f"{form.ceiling:.4g}, up to {error.max():.4g}; no law of this form reaches them"
    ]


def point_weights(table: ResultsTable, target: str, config: LawsConfig) -> np.ndarray:
    """Return the weight of every row, with mean 1: equal, or the inverse variance of the (log) error; rows of one
    training, which share what is special about it, count together as `within_trainings` says."""
    shared = within_trainings(table)
    if config.weights == "none":
        return shared / shared.mean()
    se = table.se[target]
    if se is None or not (se > 0).all():
        raise UserError(
            f"{table.name}: laws.weights is `se`, and {target!r} lacks a positive standard error in some rows; "
            "set laws.weights to none"
        )
    relative = se / table.error(target) if config.log_space else se
    weight = relative**-2.0 * shared
    return weight / weight.mean()


SHARED = 0.5
"""Share of the variance of a tested model's error around the law that its training has in common to all of its tests:
before any data, half."""


def within_trainings(table: ResultsTable) -> np.ndarray:
    """Return 1 / (1 + (k − 1)·`SHARED`) for every row, (m,), with k tests of its training; 1 where each has one."""
    if not table.trained:
        return np.ones(len(table))
    each = np.unique(np.stack([table.training, table.configuration]), axis=1)[0]
    trainings, tests = np.unique(each, return_counts=True)
    return 1 / (1 + (tests[np.searchsorted(trainings, table.training)] - 1) * SHARED)


def refuse_hopeless(table: ResultsTable, form: Form, target: str) -> None:
    """Raise `UserError` if no fit of `form` can mean anything: too few rows, a factor or target that never varies."""
    error = table.error(target)
    if not (error > 0).all():
        row = table.frame.index[np.argmin(error)]
        raise UserError(
            f"{table.name}: line {row}, column {target!r}: an error of {error.min():g} has no logarithm; "
            "leave such rows out, or this target"
        )
    if np.ptp(error) <= 1e-12 * error.max():
        raise UserError(
            f"{table.name}: target {target!r} is {error[0]:g} in every row; there is nothing to fit, "
            "take it out of the targets"
        )
    for name, values in table.points().items():
        if np.ptp(values) == 0:
            what = "data size n" if name == DATA else f"factor {name!r}"
            raise UserError(
                f"{table.name}: {what} is {values[0]:g} in every row, so its effect cannot be fitted; leave it out"
            )
    if table.configurations < form.needed:
        raise UserError(_too_few(table, form, target))


FARTHEST, FARTHEST_ERRORS = 1e7, 1e4
"""How many times the smallest value of a factor, or of a target, the largest may be without a question."""


def table_warnings(table: ResultsTable) -> list[str]:
    """Return what a reader must know about the table: how it was read, what it lacks, duplicates, factors with too few
    levels for an exponent."""
    found = (_missing, _duplicates, _far_apart, _few_levels, _zeros, _tested_elsewhere)
    return [*table.notes, *(warning for warnings in found for warning in warnings(table))]


def _tested_elsewhere(table: ResultsTable) -> list[str]:
    """Return how the transfer gap was taken off, or that nobody knows it."""
    said = []
    for target, gap in table.transfer.items():
        rows = f"{table.elsewhere.sum()} of {len(table)} rows are tests at levels that the model was not trained at"
        if gap.anchors:
            said.append(f"transfer: {rows}; {target} is fitted less the gap that {gap.anchors} anchors tell")
        else:
            said.append(f"transfer: {rows}, and no configuration was trained as well: the law is one of tested models")
    return said


def _too_few(table: ResultsTable, form: Form, target: str) -> str:
    """Return the message for a form with too many parameters, naming the forms that would do."""
    rows = f" with a value of {target}" if table.missing.get(target) else ""
    message = (
        f"{table.name}: {table.configurations} distinct configurations in {len(table)} rows{rows}, and form "
        f"{form.name} with {len(form.parameter_names)} parameters needs at least {form.needed}"
    )
    smaller = [name for name in FORMS if _needed(name, table) <= table.configurations]
    hint = (
        f"fit {_listed(smaller)} only (laws.forms)" if smaller else "no form fits so few; measure more configurations"
    )
    return f"{message}; {hint}"


def _needed(name: str, table: ResultsTable) -> int:
    """Return how many configurations the form needs on this table; more than there are where it cannot be."""
    try:
        return form_for(name, list(table.factors), table.has_data).needed
    except UserError:
        return table.configurations + 1


def _duplicates(table: ResultsTable) -> list[str]:
    """Return a warning about rows with the same configuration, unless a seed column explains them."""
    if table.has_seeds or table.configurations == len(table):
        return []
    groups: dict[int, list[int]] = {}
    for line, which in zip(table.frame.index, table.configuration, strict=True):
        groups.setdefault(which, []).append(line)
    return [
        f"duplicates: {told}; they are kept as repeats of one configuration (name a seed column under table.seed if "
        "they are, take them out with table.exclude if not)"
        for told in same_factors(groups.values())
    ]


def _far_apart(table: ResultsTable) -> list[str]:
    """Return a warning per factor and target whose values lie so far apart that one may be mistyped."""
    errors = {target: table.error(target) for target in table.targets}
    columns = [(name, values, FARTHEST) for name, values in table.points().items()]
    columns += [(name, values[~np.isnan(values)], FARTHEST_ERRORS) for name, values in errors.items()]
    return [
        f"range: {name} reaches from {values.min():g} to {values.max():g}; is one of them in another unit, or mistyped?"
        for name, values, farthest in columns
        if values.max(initial=0) > farthest * values.min(initial=np.inf)
    ]


def _few_levels(table: ResultsTable) -> list[str]:
    """Return a warning per factor with two values only: a coefficient and an exponent fit any two points."""
    return [
        f"two_levels: {name} has only the values {_listed([format_count(v) for v in np.unique(values)])}; its exponent "
        "cannot be identified, and predictions between or beyond them are guesses"
        for name, values in table.points().items()
        if len(np.unique(values)) == 2
    ]


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _missing(table: ResultsTable) -> list[str]:
    """Return a warning for every target that some rows lack."""
    warnings = []
    for target, lines in table.missing.items():
        if lines:
            known = int((~np.isnan(table.error(target))).sum())
            which = f"line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines[:_SHOWN]))}"
            which += f" (and {len(lines) - _SHOWN} more)" if len(lines) > _SHOWN else ""
            warnings.append(f"missing: {target} has no value in {which}; its laws are fitted to the other {known} rows")
    return warnings


def _zeros(table: ResultsTable) -> list[str]:
    return [
        f"zero_errors: {target} has no error in lines {', '.join(map(str, lines[:_SHOWN]))}"
        f"{' …' if len(lines) > _SHOWN else ''}; fitted as half a wrong answer, its law says little about small errors"
        for target, lines in table.zeros.items()
        if lines
    ]
