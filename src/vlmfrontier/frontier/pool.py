"""Which models speak on the frontier: the pool of all forms, as arrays over the space, and its 90% intervals.

The models are resamples of every form in proportion to its weight out of sample, each with a draw of what its form
misses (`laws.discrepancy`). Their median predicts and chooses; their own optima are the votes `p_best` and `p_near`;
their spread, widened for the few runs that they rest on, is the interval. So the same models answer everything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import NormalDist

import numpy as np

from vlmfrontier.errors import UserError
from vlmfrontier.frontier.space import RunRange, SearchSpace, range_name
from vlmfrontier.laws.bagging import Bag, gap_draws
from vlmfrontier.laws.discrepancy import Basis, Discrepancy, concatenated, draw
from vlmfrontier.laws.fit import LawFit
from vlmfrontier.laws.forms import soft_minimum
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.paths import LawsFolder
from vlmfrontier.records import Weights, again, read_checked
from vlmfrontier.study.analysis import FrontierConfig


@dataclass(frozen=True)
class Members:
    """R models over m configurations, each f(x, n) = A(x) + B(x)·n^(−d); every form of Table 7 can be written so.

    Under a ceiling that sum is g, and f = (g^(−s) + C^(−s))^(−1/s). What the form misses multiplies f by exp(δ), with
    δ(x, n) = level(x) + u(n)·slope(x). No error is above `largest`. n is counted in `data_unit` examples. A table
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
    level: np.ndarray | None = None
    """Shape (R, m); None: the models have no discrepancy."""
    slope: np.ndarray | None = None
    """Shape (R, m)."""
    basis: Basis | None = None
    """Knows u(n)."""
    largest: float = np.inf
    """The largest error that there can be."""

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
        g = self.A[:, configurations] + self.B[:, configurations] * self.decay(np.array([examples]))
        return self.errors_of_sums(g, configurations, examples)

    def progress(self, examples: np.ndarray) -> np.ndarray:
        """Return u(n), (S,): where each number of examples lies among the runs, from −1 to 1."""
        return np.zeros(len(examples)) if self.basis is None else self.basis.progress(examples)

    def errors_of_sums(self, g: np.ndarray, at: np.ndarray | tuple[np.ndarray, ...], examples: float) -> np.ndarray:
        """Return f for sums g of terms, (R, I), at configurations (I,), or (rows, columns) of the models' arrays."""
        f = g if np.isinf(self.ceiling).all() else soft_minimum(g, self.ceiling[:, None], self.sharpness[:, None])
        if self.level is not None:
            at = at if isinstance(at, tuple) else (slice(None), at)
            f = f * np.exp(self.level[at] + self.progress(np.array([examples]))[0] * self.slope[at])
        return np.minimum(f, self.largest)

    def take(self, rows: np.ndarray) -> "Members":
        """Return the models at `rows`, in that order, without discrepancy; a row may come more than once."""
        own = (self.A[rows], self.B[rows], self.d[rows])
        return Members(*own, self.data_unit, self.ceiling[rows], self.sharpness[rows], largest=self.largest)


def stack(parts: Sequence[Members]) -> Members:
    """Return all models of `parts` together; they must share configurations and data unit, and lack discrepancies."""
    if len({part.data_unit for part in parts}) != 1:
        raise ValueError("members to be stacked count n in different units")
    names = ("A", "B", "d", "ceiling", "sharpness")
    return Members(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names},
        data_unit=parts[0].data_unit,
        largest=parts[0].largest,
    )


TAILS = (0.05, 0.95)
"""Quantiles of the models that are the ends of the 90% interval."""
NOISE_SCORES = np.array([NormalDist().inv_cdf((k + 0.5) / 20) for k in range(20)])
"""Standard normal quantiles that stand for the noise of a new run; drawn from no seed, and the same in the explorer."""


@dataclass(frozen=True)
class Ensemble:
    """The models of one target: their median predicts, their votes are `p_best` and `p_near`, their spread is the
    interval."""

    pool: Members
    range_name: str = "90% interval"
    """What the ends of `interval` are: an interval that covers, or the spread of one bag, which covers less."""
    noise: np.ndarray = field(default_factory=lambda: np.zeros(1))
    """Standard deviation of a run's measured log error around f, (R,) by model, or one for all."""
    widening: np.ndarray = field(default_factory=lambda: np.ones(1))
    """By what each model's distance from the median is multiplied in an interval, (R,), or one for all."""

    def interval(self, configurations: np.ndarray, examples: float) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper end of the 90% interval of f at the given indices, each of shape (I,)."""
        return self._ends(configurations, examples, np.zeros(1))

    def run_interval(self, configurations: np.ndarray, examples: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends, each (I,), of the 90% interval of what a new run would measure: f with log-normal noise."""
        low, high = self._ends(configurations, examples, NOISE_SCORES)
        least, greatest = self.interval(configurations, examples)  # next to no noise, and quantiles round otherwise
        return np.minimum(low, least), np.maximum(high, greatest)

    def _ends(self, configurations: np.ndarray, examples: float, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        noise = self.noise[:, None, None] * scores[:, None]
        ends = np.exp(self.ends(np.log(self.pool.errors(configurations, examples)), noise))
        low, high = np.minimum(ends, self.pool.largest)  # rounding in logs may lead above it, too
        return low, high

    def ends(self, values: np.ndarray, noise: np.ndarray | float = 0.0) -> np.ndarray:
        """Return the ends, (2, I), of the 90% interval of what the models say, `values` (R, I): their spread widened,
        with `noise` (R or 1, K, 1) added, which stands for K draws of each."""
        middle = np.median(values, axis=0)
        spread = (values - middle) * self.widening[:, None]
        noisy = (spread[:, None, :] + noise).reshape(-1, spread.shape[1])
        return middle + np.quantile(noisy, TAILS, axis=0)


def pooled(bags: Mapping[str, Members], rows: Mapping[str, np.ndarray], found: Discrepancy, x: Mapping) -> Ensemble:
    """Return the pool of the models at `rows` of every form's bag, each with its discrepancy over x."""
    pool = stack([bags[form].take(which) for form, which in rows.items()])
    level, slope = found.over(x)
    pool = replace(pool, level=level, slope=slope, basis=found.basis)
    return Ensemble(pool, noise=found.noise, widening=found.widening)


def as_in_the_paper(bag: Members) -> Ensemble:
    """Return the paper's way: the median of one bagged form, with nothing but the bag's spread around it."""
    return Ensemble(bag, range_name("paper"))


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
    main: str
    """The form that stands for the study in the paper's mode: the one with most terms."""
    rows: Mapping[str, np.ndarray]
    """Which models of every form's bag are in the pool; forms without weight are not there."""
    discrepancy: Discrepancy | None
    """What these models' forms miss, in the order of `rows`; None: the paper's mode."""
    noise: float = 0.0
    """Standard deviation of a measured log error around the law, in the paper's mode."""
    largest: float = np.inf
    """The largest error that there can be."""

    def ensemble(self, x: Mapping[str, np.ndarray]) -> Ensemble:
        """Return the models over the configurations x, columns of shape (m,) in the units of the table."""
        if self.discrepancy is None:
            bag = replace(members_of(self.bags[self.main], x), largest=self.largest)
            return replace(as_in_the_paper(bag), noise=np.array([self.noise]))
        bags = {form: replace(members_of(self.bags[form], x), largest=self.largest) for form in self.rows}
        return pooled(bags, self.rows, self.discrepancy, {name: x[name] for name in self.bags[self.main].form.factors})


def target_laws(
    table: ResultsTable,
    laws: Mapping[str, LawFit],
    bags: Mapping[str, Bag],
    weights: Mapping[str, float],
    config: FrontierConfig,
    seed: int = 0,
) -> TargetLaws:
    """Return how the laws of one target are pooled: by `weights`, with discrepancies drawn from the table's rows.

    The last of `laws` has most parameters.
    """
    main, target = list(laws)[-1], next(iter(laws.values())).target
    table = table.measured(target)
    largest = table.largest.get(target) or np.inf
    if config.pooling == "paper":
        law = laws[main]
        residual = np.log(table.error(target) / law.predict(table.points()))
        noise = float(np.sqrt(np.sum(residual**2) / max(law.degrees_of_freedom, 1)))
        return TargetLaws(target, bags, main, {main: np.arange(len(bags[main]))}, None, noise, largest)
    rows = shares(bags, weights, config.members)
    drawn = []
    for i, (form, which) in enumerate(rows.items()):
        gamma = gap_draws(table, target, len(bags[form]), seed)
        own = None if gamma is None else gamma[which]
        drawn.append(draw(table, laws[form], bags[form].theta[which], np.random.default_rng([seed, 8, i]), own))
    return TargetLaws(target, bags, main, rows, concatenated(drawn), largest=largest)


def members_of(bag: Bag, x: Mapping[str, np.ndarray]) -> Members:
    """Return a bag's models over the configurations x, columns of shape (m,) in the units of the table."""
    X = np.stack([np.asarray(x[name], float) / bag.units[name] for name in bag.form.factors], axis=1)
    A, B, d = bag.form.split_in_data(bag.theta, X)
    sharpness = np.full(len(d), bag.form.sharpness or 1.0)
    return Members(A, B, d, bag.data_unit or 1.0, bag.form.ceilings(bag.theta), sharpness)


def read_laws(
    folder: LawsFolder, table: ResultsTable, forms: Sequence[str], config: FrontierConfig, seed: int
) -> TargetLaws:
    """Return the fitted laws of a target from its folder; the last of `forms` has most parameters.

    Raises `UserError` if they have not been fitted yet.
    """
    laws = {form: LawFit.load(_existing(folder.law(form))) for form in forms}
    bags = {form: Bag.load(_existing(folder.bag(form)), law) for form, law in laws.items()}
    path = _existing(folder.weights)
    weights = read_checked(path, Weights, again("laws"))
    if missing := set(forms) - set(weights):
        raise UserError(f"{path}: damaged: no weight of {sorted(missing)[0]}; {again('laws')}")
    if abs(sum(weights[form] for form in forms) - 1) > 1e-6:
        raise UserError(f"{path}: damaged: the weights do not sum to 1; {again('laws')}")
    return target_laws(table, laws, bags, weights, config, seed)


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
    counts: Mapping[str, str] = field(default_factory=dict)
    """What the values of factors, and of n, count, as far as somebody has said so."""
    names: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Values of factors that have names: language models by `N`, vision models by `M`."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What factors are called: `LM size N`."""
    meaning: str = ""
    """What the target is, in a few words."""

    @property
    def largest(self) -> float | None:
        """The largest error that there can be: 100 of a task; None for a loss, which has no end."""
        return self.ensemble.pool.largest if np.isfinite(self.ensemble.pool.largest) else None
