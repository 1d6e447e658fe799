"""Which models speak on the frontier: as arrays over the space, the pool of all forms, and the spreads of the interval.

The recipe is the one that simulation chose: resamples of every form in proportion to its cross-validation weight give
the prediction, the choice and its probabilities; the interval is the envelope of three 90% ranges, of the pairs
bootstrap and of the wild bootstrap of the main form, and of the pool.

The main form stands in the envelope for what cross-validation cannot see among the sums of powers that it contains.
Where the data reject all of these, as they do when the truth is a product, its far extrapolations say nothing, and the
interval is the pool's range.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import NormalDist
from typing import Literal

import numpy as np

from vlmfrontier.errors import UserError
from vlmfrontier.frontier.space import RunRange, SearchSpace, range_name
from vlmfrontier.laws.bagging import Bag
from vlmfrontier.laws.fit import LawFit
from vlmfrontier.laws.selection import read_forms
from vlmfrontier.paths import LawsFolder
from vlmfrontier.records import Weights, again, read_checked, read_frame
from vlmfrontier.study.analysis import FrontierConfig


@dataclass(frozen=True)
class Members:
    """R models over m configurations, each f(x, n) = A(x) + B(x)·n^(−d); every form of Table 7 can be written so.

    Under a ceiling that sum is g, and f = (g^(−s) + C^(−s))^(−1/s). n is counted in `data_unit` examples. A table
    without data size has B = 0 and d = 0.
    """

    A: np.ndarray
    """Shape (R, m): the part of the error that more data does not change."""
    B: np.ndarray
    """Shape (R, m): the part that data reduces, at n = `data_unit`."""
    d: np.ndarray
    """Shape (R,): the data exponent of each model."""
    data_unit: float = 1.0
    """Examples in one unit of n."""
    ceiling: np.ndarray = None
    """Shape (R,): C of each model, infinite where it has none; by default of all."""
    sharpness: np.ndarray = None
    """Shape (R,): s of each model's ceiling."""

    def __post_init__(self) -> None:
        for name, default in (("ceiling", np.inf), ("sharpness", 1.0)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.full(len(self.d), default))

    def __len__(self) -> int:
        return len(self.d)

    def decay(self, examples: np.ndarray) -> np.ndarray:
        """Return n^(−d) for every model and number of examples, shape (R, S)."""
        return (np.asarray(examples, float)[None, :] / self.data_unit) ** -self.d[:, None]

    def errors(self, configurations: np.ndarray, examples: float) -> np.ndarray:
        """Return f for the configurations at the given indices (I,) and one number of examples, shape (R, I)."""
        return self.bent(self.A[:, configurations] + self.B[:, configurations] * self.decay(np.array([examples])))

    def bent(self, g: np.ndarray) -> np.ndarray:
        """Return f for sums g of terms, (R, …): below the ceiling where a model has one."""
        if np.isinf(self.ceiling).all():
            return g
        shape = (len(self), *[1] * (g.ndim - 1))
        ceiling, s = self.ceiling.reshape(shape), self.sharpness.reshape(shape)
        low = np.minimum(g, ceiling)
        return low * (1 + (low / np.maximum(g, ceiling)) ** s) ** (-1 / s)

    def take(self, rows: np.ndarray) -> "Members":
        """Return the models at `rows`, in that order; a row may come more than once."""
        own = (self.A[rows], self.B[rows], self.d[rows])
        return Members(*own, self.data_unit, self.ceiling[rows], self.sharpness[rows])


def stack(parts: Sequence[Members]) -> Members:
    """Return all models of `parts` together; they must share configurations and data unit."""
    if len({part.data_unit for part in parts}) != 1:
        raise ValueError("members to be stacked count n in different units")
    names = ("A", "B", "d", "ceiling", "sharpness")
    return Members(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names},
        data_unit=parts[0].data_unit,
    )


TAILS = (0.05, 0.95)
"""Quantiles of one spread; their envelope is the 90% interval."""
REJECTED = 0.01
"""Forms whose weights together stay below this are rejected by the data: in simulation, those that cannot be true have
less than 0.002, those that can at least 0.9."""
NOISE_SCORES = np.array([NormalDist().inv_cdf((k + 0.5) / 20) for k in range(20)])
"""Standard normal quantiles that stand for the noise of a new run; drawn from no seed, and the same in the explorer."""
PRODUCT = "mult"
"""The form that is no sum of powers, and is contained in none of the others."""


@dataclass(frozen=True)
class Ensemble:
    """The models of one target: who predicts, and whose ranges make the interval."""

    pool: Members
    """The models whose median is the prediction, and whose votes are `p_best` and `p_near`."""
    ranges: tuple[Members, ...]
    """Groups of models; an interval reaches from the least to the greatest end of their 90% ranges."""
    pairs: Members
    """The pairs bootstrap of the main form: the paper's bag."""
    range_name: str = "90% interval"
    """What the ends of `interval` are: an interval that covers, or the spread of one bag, which covers less."""
    noise: np.ndarray = field(default_factory=lambda: np.zeros(1))
    """Standard deviation of a run's measured error around f, relative to f, (R,) by model; models beyond take it anew
    from the first."""

    def interval(self, configurations: np.ndarray, examples: float) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper end of the 90% interval of f at the given indices, each of shape (I,)."""
        ends = [np.quantile(group.errors(configurations, examples), TAILS, axis=0) for group in self.ranges]
        return np.min([low for low, _ in ends], axis=0), np.max([high for _, high in ends], axis=0)

    def run_interval(self, configurations: np.ndarray, examples: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends, each (I,), of the 90% interval of what a new run would measure: f with log-normal noise."""
        ends = [self._run_ends(group, configurations, examples) for group in self.ranges]
        return np.min([low for low, _ in ends], axis=0), np.max([high for _, high in ends], axis=0)

    def _run_ends(self, group: Members, configurations: np.ndarray, examples: float) -> np.ndarray:
        noise = np.exp(np.resize(self.noise, len(group))[:, None] * NOISE_SCORES)  # (R, K)
        measured = group.errors(configurations, examples)[:, None, :] * noise[:, :, None]
        return np.quantile(measured.reshape(-1, measured.shape[-1]), TAILS, axis=0)


def pooled(bags: Mapping[str, Members], wild: Members, weights: Mapping[str, float], main: str, count: int) -> Ensemble:
    """Return the pool of `count` models, forms in proportion to `weights`, with the envelope of three spreads.

    `bags` holds every form's pairs bootstrap; `wild` and `bags[main]` are those of the main form. The pool's range is
    the interval where the main form and those it contains are rejected.
    """
    pool = stack([bags[form].take(rows) for form, rows in shares(bags, weights, count).items()])
    return Ensemble(pool, (pool,) if rejected(main, weights) else (bags[main], wild, pool), bags[main])


def rejected(main: str, weights: Mapping[str, float]) -> bool:
    """Return whether cross-validation leaves no weight to the main form and those it contains."""
    contained = [weights[form] for form in weights if (form == PRODUCT) == (main == PRODUCT)]
    return sum(contained) < REJECTED * sum(weights.values())


def as_in_the_paper(bag: Members) -> Ensemble:
    """Return the paper's way: the median of one bagged form, with nothing but the bag's spread around it."""
    return Ensemble(bag, (bag,), bag, range_name("paper"))


def shares(bags: Mapping[str, Members], weights: Mapping[str, float], count: int) -> dict[str, np.ndarray]:
    """Return which rows of every form's bag enter a pool of `count` models, by largest remainder.

    A form that is due more models than its bag holds enters with some of them twice.
    """
    forms = list(bags)
    due = count * np.array([weights[form] for form in forms]) / sum(weights[form] for form in forms)
    whole = np.floor(due + 1e-9).astype(int)
    for form in np.argsort(whole - due, kind="stable")[: count - whole.sum()]:
        whole[form] += 1
    return {form: np.arange(n) % len(bags[form]) for form, n in zip(forms, whole, strict=True) if n > 0}


@dataclass(frozen=True)
class TargetLaws:
    """Every bag of one target, and how they are pooled."""

    name: str
    """The target."""
    bags: Mapping[str, Bag]
    """The pairs bootstrap of every form."""
    wild: Bag
    """The wild bootstrap of the main form."""
    weights: Mapping[str, float]
    """Cross-validation weights of the forms."""
    main: str
    """The form that stands for the study by itself: the one with most terms."""
    pooling: Literal["pool", "paper"] = "pool"
    """Who predicts: all forms by weight, or the paper's bag of the main form."""
    count: int = 200
    """Models in the pool."""
    noise: np.ndarray = field(default_factory=lambda: np.zeros(1))
    """Relative standard deviation of a measured error around the law."""

    def ensemble(self, x: Mapping[str, np.ndarray]) -> Ensemble:
        """Return the models over the configurations x, columns of shape (m,) in the units of the table."""
        if self.pooling == "paper":
            found = as_in_the_paper(members_of(self.bags[self.main], x))
        else:
            bags = {form: members_of(bag, x) for form, bag in self.bags.items()}
            found = pooled(bags, members_of(self.wild, x), self.weights, self.main, self.count)
        return replace(found, noise=self.noise)


def members_of(bag: Bag, x: Mapping[str, np.ndarray]) -> Members:
    """Return a bag's models over the configurations x, columns of shape (m,) in the units of the table."""
    X = np.stack([np.asarray(x[name], float) / bag.units[name] for name in bag.form.factors], axis=1)
    A, B, d = bag.form.split_in_data(bag.theta, X)
    sharpness = np.full(len(d), bag.form.sharpness or 1.0)
    return Members(A, B, d, bag.data_unit or 1.0, bag.form.ceilings(bag.theta), sharpness)


def read_laws(folder: LawsFolder, target: str, forms: Sequence[str], config: FrontierConfig) -> TargetLaws:
    """Return the fitted laws of a target from its folder; the last of `forms` has most parameters.

    Raises `UserError` if they have not been fitted yet.
    """
    main = forms[-1]
    bags = {form: _bag(folder.bag(form), folder.law(form)) for form in forms}
    path = _existing(folder.weights)
    weights = read_checked(path, Weights, again("laws"))
    if missing := set(forms) - set(weights):
        raise UserError(f"{path}: damaged: no weight of {sorted(missing)[0]}; {again('laws')}")
    if abs(sum(weights[form] for form in forms) - 1) > 1e-6:
        raise UserError(f"{path}: damaged: the weights do not sum to 1; {again('laws')}")
    wild = _bag(folder.wild(main), folder.law(main))
    noise = residual_noise(folder)
    return TargetLaws(target, bags, wild, weights, main, config.pooling, config.members, noise)


def residual_noise(folder: LawsFolder) -> np.ndarray:
    """Return the relative standard deviation, (1,), of measured errors around the chosen law, by degrees of freedom."""
    forms = read_forms(folder.forms)
    chosen = str(forms.form[forms.chosen].iloc[0])
    rows = read_frame(folder.predictions, again("laws"), ["measured", "predicted"], ["form", "setup"])
    rows = rows[(rows.form == chosen) & (rows.setup == "train")]
    residuals = np.log(rows.measured / rows.predicted)
    free = max(LawFit.load(_existing(folder.law(chosen))).degrees_of_freedom, 1)
    return np.array([np.sqrt(np.sum(residuals**2) / free)])


def _bag(path: Path, law: Path) -> Bag:
    return Bag.load(_existing(path), _existing(law))


def _existing(path: Path) -> Path:
    if not path.exists():
        raise UserError(f"{path}: no such file; fit the laws first, with `snakemake laws`")
    return path


@dataclass(frozen=True)
class Target:
    """One target of a study."""

    name: str
    """Its column in the table of runs."""
    space: SearchSpace
    """The configurations that could be deployed."""
    ensemble: Ensemble
    """The models of this target over that space."""
    runs: RunRange
    """What the runs cover."""
    largest: float | None = None
    """The largest error that there can be: 100 of a task; None for a loss, which has no end."""
    counts: Mapping[str, str] = field(default_factory=dict)
    """What the values of factors, and of n, count, as far as somebody has said so."""

    def capped(self, errors: np.ndarray) -> np.ndarray:
        """Return predicted errors, none above the largest that there can be."""
        return errors if self.largest is None else np.minimum(errors, self.largest)
