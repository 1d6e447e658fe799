"""The transfer gap: what a model loses by being tested at other levels than it was trained at.

log y(tested at x) = log y(trained at x) + Z·γ. Z has log(T_train/T) and log(V_train/V); for each a bend, a parabola
that is 0 at the largest and the smallest level, since no gap need be log-linear; for models whose T and V were drawn
batch by batch columns of their own and a constant; and all of these times the place of n and of the other factors among
the runs. γ is estimated from anchors, configurations that were trained as well as tested: a linear regression with a
normal prior around no gap, its noise integrated over a grid.

Laws are fitted to errors of models trained at one place, the largest levels of the study: of most rows nothing is
taken off, and anchors are given the gap that they were spared. What the frontier predicts is a model trained where it
is deployed: every model of the ensemble takes its own draw of the gap off its law, so that each interval knows how well
the gap is known. Without anchors nothing is taken off, and errors are those of tested models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from vlmfrontier.laws.formula import DATA

_GAP, _WITH = 0.08, 0.015
"""Standard deviation of the prior, in logs of the error: of the gap for each factor of e, and of how far that changes
from the middle of n, or of another factor, to its end."""
_CONSTANT = 0.5
"""The same of the constant, in that of a factor of e."""
_BEND, _BEND_WITH = 0.025, 0.0125
"""The same of a bend at its highest. Anchors at the smallest levels do not see it: it then is in the interval whole."""
_FLAT = 1e-6
_NOISES = np.geomspace(1e-3, 0.3, 26)
"""Standard deviations of one comparison that are tried; the prior on their log is normal around the next numbers."""
_NOISE, _NOISE_SPREAD = 0.015, 0.7


def bend(place: np.ndarray) -> np.ndarray:
    """Return how far a gap is from log-linear between the largest level, at 0, and the smallest, at 1: at most 1."""
    return 4 * place * (1 - place)


class Kind(NamedTuple):
    """A column of Z before it is multiplied by the place of n or of another factor."""

    name: str
    factor: str | None
    """Whose ratio of trained and tested levels it is; None: the constant."""
    beyond: bool = False
    """Whether it is that of tests at more than the model was trained at."""
    elastic: bool = False
    """Whether it is that of models that drew their levels."""
    span: float | None = None
    """Of a bend, the log ratio of the largest trained and the smallest tested level, where it ends."""

    def of(self, ratio: np.ndarray) -> np.ndarray:
        """Return the column of log ratios of trained and tested levels, (m,), before it is multiplied."""
        if self.factor is None:
            return np.ones(len(ratio))
        below = np.maximum(-ratio if self.beyond else ratio, 0.0)
        if self.span is None:
            return below
        return bend(np.minimum(below / self.span, 1.0))

    @property
    def prior(self) -> tuple[float, float]:
        """Prior standard deviation of its γ, and of how far that changes with n or another factor."""
        if self.span is not None:
            return _BEND, _BEND_WITH
        size = _CONSTANT if self.factor is None else 1.0
        return _GAP * size, _WITH * size


@dataclass(frozen=True)
class Columns:
    """How levels become columns of Z, fixed by the runs."""

    trained: tuple[str, ...]
    """Factors that are tested at other levels than trained at."""
    beyond: tuple[str, ...]
    """Those of them that some row is tested at more of than it was trained at."""
    elastic: bool
    """Whether some models drew their levels."""
    fixed: bool
    """Whether some models tested elsewhere did not."""
    scales: Mapping[str, tuple[float, float]]
    """Middle and half span of the log of n and of the other factors, where they vary."""
    spans: Mapping[str, float] = field(default_factory=dict)
    """Log ratio of the largest and the smallest level of those factors of `trained` that have levels in between."""

    @property
    def kinds(self) -> list[Kind]:
        """What the first columns are; those of each scale are the same again, times its place."""
        own = [Kind(f"{name}_train / {name}", name) for name in self.trained]
        own += [Kind(f"{name} / {name}_train", name, beyond=True) for name in self.beyond]
        own += [Kind(f"bend of {name}_train / {name}", name, span=span) for name, span in self.spans.items()]
        drawn = [Kind("elastic", None, elastic=True)]
        drawn += [kind._replace(name=f"elastic: {kind.name}", elastic=True) for kind in own]
        return own * self.fixed + drawn * self.elastic

    @property
    def names(self) -> list[str]:
        """What each column is."""
        kinds = [kind.name for kind in self.kinds]
        return kinds + [f"{kind} × {name}" for name in self.scales for kind in kinds]

    def part(self, scale: str | None) -> slice:
        """Return which columns are those times the place of n or of a factor; None: the first ones."""
        size = len(self.kinds)
        at = 0 if scale is None else size * (1 + list(self.scales).index(scale))
        return slice(at, at + size)

    def of(
        self, points: Mapping[str, np.ndarray], trained: Mapping[str, np.ndarray], elastic: np.ndarray | None
    ) -> np.ndarray:
        """Return Z (m, q) of tests at `points` of models trained at `trained`, all columns of shape (m,)."""
        ratios = {name: np.log(trained[name] / points[name]) for name in self.trained}
        size = len(next(iter(points.values())))
        drawn = np.zeros(size) if elastic is None else np.asarray(elastic, float)
        kinds = []
        for kind in self.kinds:
            ratio = np.zeros(size) if kind.factor is None else ratios[kind.factor]
            kinds.append(kind.of(ratio) * (drawn if kind.elastic else 1 - drawn))
        place = [np.clip((np.log(points[name]) - middle) / half, -1, 1) for name, (middle, half) in self.scales.items()]
        return np.stack(kinds + [column * where for where in place for column in kinds], axis=1)

    @property
    def prior(self) -> np.ndarray:
        """Prior standard deviation of every γ, (q,)."""
        own, change = np.array([kind.prior for kind in self.kinds]).T
        return np.concatenate([own, *[change] * len(self.scales)])


@dataclass(frozen=True)
class Transfer:
    """γ of one target as its anchors tell it: a mixture over the noise, each part normal."""

    columns: Columns
    place: "Place"
    """Where the models of the laws were trained."""
    Z: np.ndarray
    """Of every row of the table less those that it would have if its model had been trained at `place`, (m, q)."""
    anchors: int
    """Configurations that were trained as well as tested."""
    unchecked: tuple[str, ...]
    """Factors of which no anchor lies between the smallest level and that of the training, though there are levels."""
    share: np.ndarray
    """Weight of each part, (S,)."""
    means: np.ndarray
    """(S, q)."""
    roots: np.ndarray
    """Square roots of the covariances, (S, q, q)."""

    @property
    def mean(self) -> np.ndarray:
        """γ's posterior mean, (q,)."""
        return self.share @ self.means

    def draws(self, count: int, seed: int) -> np.ndarray:
        """Return `count` draws of γ, (count, q), the same for the same seed."""
        rng = np.random.default_rng([seed, 9])
        part = rng.choice(len(self.share), count, p=self.share)
        return self.means[part] + np.einsum(
            "rij,rj->ri", self.roots[part], rng.standard_normal((count, len(self.mean)))
        )

    def rows(self, keep: np.ndarray) -> "Transfer":
        """Return it for these rows only; what the anchors said stays."""
        return replace(self, Z=self.Z[keep])


@dataclass(frozen=True)
class Place:
    """Levels that the models of the laws were trained at, whatever they are tested at."""

    levels: Mapping[str, float]
    elastic: bool
    """Whether they drew their levels, up to these."""

    def Z(self, columns: Columns, points: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return Z of tests at `points`, columns of shape (m,): (m, q). Beyond these levels there is no gap."""
        size = len(next(iter(points.values())))
        trained = {name: np.maximum(np.full(size, level), points[name]) for name, level in self.levels.items()}
        return columns.of(points, trained, np.full(size, self.elastic))


@dataclass(frozen=True)
class GapDraws:
    """The gap between tested at x and trained there, of R models each with its own γ, as level and slope in u(n)."""

    columns: Columns
    place: Place
    gamma: np.ndarray
    """(R, q)."""

    @property
    def kinds(self) -> list[tuple[Kind, int]]:
        """Kinds of columns that are not 0 for models trained at `place`, and their position."""
        return [
            (kind, position)
            for position, kind in enumerate(self.columns.kinds)
            if kind.elastic == self.place.elastic and not kind.beyond
        ]

    def over(self, factors: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the gap in logs at columns of shape (m,): level and slope, each (R, m)."""
        columns, size = self.columns, len(next(iter(factors.values())))
        at_middle = {DATA: np.full(size, np.exp(columns.scales[DATA][0]))} if DATA in columns.scales else {}
        Z = self.place.Z(columns, {**factors, **at_middle})
        if DATA not in columns.scales:
            return self.gamma @ Z.T, np.zeros((len(self.gamma), size))
        return self.gamma @ Z.T, self.gamma[:, columns.part(DATA)] @ Z[:, columns.part(None)].T


def estimate(
    points: Mapping[str, np.ndarray],
    trained: Mapping[str, np.ndarray],
    elastic: np.ndarray | None,
    log_error: np.ndarray,
    point: np.ndarray,
    away: np.ndarray,
) -> Transfer:
    """Return γ given the log errors (m,) of tests at `points` of models trained at `trained`, and whether `elastic`.

    `point` numbers the x and n of each test; `away` are rows whose model was not trained there. Without a point that
    has both kinds γ is the prior.
    """
    columns, place = _columns(points, trained, elastic, away), _place(trained, elastic, away)
    Z = columns.of(points, trained, elastic)
    both = np.intersect1d(point[away], point[~away])
    there = {number: log_error[~away & (point == number)].mean() for number in both}
    rows = np.flatnonzero(away & np.isin(point, both))
    gap = np.array([log_error[row] - there[point[row]] for row in rows])
    share, means, roots = _posterior(Z[rows], gap, columns.prior**2)
    unchecked = tuple(name for name in columns.spans if not _between(columns, name, points, trained, rows).any())
    return Transfer(columns, place, Z - place.Z(columns, points), len(both), unchecked, share, means, roots)


def _between(
    columns: Columns,
    name: str,
    points: Mapping[str, np.ndarray],
    trained: Mapping[str, np.ndarray],
    rows: np.ndarray,
) -> np.ndarray:
    """Return which of `rows` are tested where the bend of a factor is not 0."""
    kind = Kind(name, name, span=columns.spans[name])
    return kind.of(np.log(trained[name][rows] / points[name][rows])) > _FLAT


def _columns(
    points: Mapping[str, np.ndarray], trained: Mapping[str, np.ndarray], elastic: np.ndarray | None, away: np.ndarray
) -> Columns:
    """Return the columns that the rows of a table need."""
    scales = {}
    for name, values in points.items():
        low, high = np.log(values.min()), np.log(values.max())
        if name not in trained and high > low:
            scales[name] = (float(low + high) / 2, float(high - low) / 2)
    drawn = np.zeros(len(away), bool) if elastic is None else elastic
    beyond = tuple(name for name, levels in trained.items() if (points[name] > levels).any())
    spans = {}
    for name, levels in trained.items():
        tested = np.unique(points[name][points[name] <= levels.max()])
        if len(tested) > 2:
            spans[name] = float(np.log(levels.max() / tested[0]))
    return Columns(tuple(trained), beyond, bool(drawn.any()), bool((away & ~drawn).any()), scales, spans)


def _place(trained: Mapping[str, np.ndarray], elastic: np.ndarray | None, away: np.ndarray) -> Place:
    """Return where most models that are tested elsewhere, the rows `away`, were trained: at the largest levels."""
    drawn = elastic is not None and bool(np.mean(elastic[away]) > 0.5)
    return Place({name: float(levels.max()) for name, levels in trained.items()}, drawn)


def _posterior(X: np.ndarray, gap: np.ndarray, prior: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return γ's posterior for each noise that is tried, given gaps (k,) at X (k, q) and prior variances (q,): its
    weight, its mean and the square root of its covariance."""
    means, roots, scores = [], [], []
    for noise in _NOISES:
        covariance = np.linalg.inv(np.diag(1 / prior) + X.T @ X / noise**2)
        marginal = (X * prior) @ X.T + noise**2 * np.eye(len(X))
        means.append(covariance @ (X.T @ gap) / noise**2)
        roots.append(np.linalg.cholesky((covariance + covariance.T) / 2))
        fit = gap @ np.linalg.solve(marginal, gap) + np.linalg.slogdet(marginal)[1] if len(X) else 0.0
        scores.append(-0.5 * fit - 0.5 * (np.log(noise / _NOISE) / _NOISE_SPREAD) ** 2)
    share = np.exp(np.array(scores) - max(scores))
    return share / share.sum(), np.array(means), np.array(roots)
