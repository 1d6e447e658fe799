"""Two configurations against each other: read from a command line, and compared by the models of fitted laws."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from vlmfrontier.errors import UserError, did_you_mean
from vlmfrontier.frontier.pool import Ensemble
from vlmfrontier.frontier.space import RunRange, SearchSpace
from vlmfrontier.units import format_configuration, format_count, is_number, parse_number

Configuration = dict[str, float]


def parse_rivals(
    texts: Sequence[str], center: Mapping[str, float], names: Mapping[str, Mapping[str, float]]
) -> list[Configuration]:
    """Return the configurations that `V=49`, or `N=1e9,T=8,V=49`, mean: what is left out is as in `center`.

    `names` are the models by name, for N and M. Raises `UserError` for what is no factor, no number, and for rivals
    that are equal or fewer than two.
    """
    found = [_configuration(text, center, names) for text in texts]
    if len(found) < 2:
        raise UserError("--rivals: name two configurations or more, for example --rivals V=49 V=196")
    for (i, one), (j, other) in combinations(enumerate(found), 2):
        if one == other:
            raise UserError(
                f"--rivals: {texts[i]!r} and {texts[j]!r} are the same configuration, {format_configuration(one)}"
            )
    return found


def _configuration(text: str, center: Mapping[str, float], names: Mapping[str, Mapping[str, float]]) -> Configuration:
    """Return one configuration, its factors in the order of `center`."""
    given: Configuration = {}
    for part in text.split(","):
        factor, _, value = (piece.strip() for piece in part.partition("="))
        if factor == "n" and factor not in center:
            raise UserError(f"--rivals: {text!r}: all rivals have the same n; give it with --examples")
        if factor not in center:
            raise UserError(f"--rivals: {text!r}: there is no factor {factor!r}; {did_you_mean(factor, list(center))}")
        if factor in given:
            raise UserError(f"--rivals: {text!r} gives {factor} twice")
        known = names.get(factor, {})
        if value not in known and not is_number(value):
            example = next(iter(known), format_count(center[factor]))
            raise UserError(
                f"--rivals: {text!r}: {value!r} is no value of {factor}; write for example {factor}={example}"
            )
        given[factor] = known[value] if value in known else parse_number(value)
        if given[factor] <= 0:
            raise UserError(f"--rivals: {text!r}: {factor} must be positive")
    return {factor: given.get(factor, level) for factor, level in center.items()}


def check_rivals(
    rivals: Sequence[Configuration], space: SearchSpace | None, runs: RunRange, examples: float | None = None
) -> list[str]:
    """Return a sentence for each rival outside the runs, in a factor or in n.

    Raises `UserError` for one outside the study's space.
    """
    notes = []
    for rival in rivals:
        for factor, value in rival.items() if space is not None else ():
            low, high = space.levels(factor)[[0, -1]]
            if not low <= value <= high:
                ends = f"{format_count(low)} to {format_count(high)}"
                raise UserError(
                    f"--rivals: {factor} = {format_count(value)} is outside the study's space, {ends}; "
                    "choose one inside, or widen `space`"
                )
        if outside := runs.outside(rival, examples):
            notes.append(f"{format_configuration(rival)} lies outside the runs in {', '.join(outside)}: extrapolated")
    return notes


def differing(one: Configuration, other: Configuration) -> tuple[str, str]:
    """Return two configurations by what they differ in: `V = 49`, `V = 196`."""
    names = [name for name in one if one[name] != other[name]]
    return format_configuration({name: one[name] for name in names}), format_configuration(
        {name: other[name] for name in names}
    )


def shared(rivals: Sequence[Configuration], examples: float | None) -> str:
    """Return what all rivals have in common: `at N = 1B, n = 400`; nothing where that is nothing."""
    same = {name: value for name, value in rivals[0].items() if all(rival[name] == value for rival in rivals)}
    if examples is not None:
        same["n"] = examples
    return f"at {format_configuration(same)}" if same else ""


@dataclass(frozen=True)
class Comparison:
    """What the models say of two rivals."""

    first: Configuration
    second: Configuration
    difference: float
    """Error of the second less that of the first in points: the median of the pool's models."""
    lo: float
    hi: float
    """Ends of its 90% interval: the models' spread, widened as that of an error is."""
    first_better: float
    """Share of the pool's models by which the first has the smaller error."""
    fits: int
    """How many models the pool has."""

    @property
    def detected(self) -> int:
        """The sign of the difference where its interval excludes 0, else 0."""
        return int(self.lo > 0) - int(self.hi < 0)

    def record(self) -> dict[str, Any]:
        """Return the comparison as plain data."""
        return asdict(self)


def compare(rivals: Sequence[Configuration], ensemble: Ensemble, examples: float | None) -> list[Comparison]:
    """Return every pair of rivals compared; `ensemble` is over the rivals, in their order."""
    n = ensemble.pool.data_unit if examples is None else examples
    found = []
    for i, j in combinations(range(len(rivals)), 2):
        errors = ensemble.pool.errors(np.array([i, j]), n)
        each = errors[:, 1] - errors[:, 0]
        middle, share = float(np.median(each)), float(np.mean(each > 0) + np.mean(each == 0) / 2)
        low, high = ensemble.ends(each[:, None])[:, 0]
        found.append(Comparison(rivals[i], rivals[j], middle, float(low), float(high), share, len(each)))
    return found


def columns(rivals: Sequence[Configuration]) -> dict[str, np.ndarray]:
    """Return the rivals as columns by factor."""
    return {name: np.array([rival[name] for rival in rivals]) for name in rivals[0]}
