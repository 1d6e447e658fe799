"""What a form misses: a smooth discrepancy between law and runs, estimated from the residuals of the fit.

A measured error is y = f(x, n)·exp(δ(x, n))·noise (Kennedy & O'Hagan 2001): f is the law, δ a Gaussian process over the
logs of the factors, whose slope in log n may be one too. How large δ is against the noise, how smooth, and whether it
acts along single factors or on pairs of them is not known: the marginal likelihood of the residuals, with the law's own
parameters projected out (REML), weighs a grid of such settings, half of the prior on none. Each model of an ensemble
draws its setting, the noise, and then δ given its own residuals. Where the form holds the draws are next to nothing;
where residuals of neighbouring runs agree with each other they bend the law, and are uncertain where there are no runs.

δ is a sum of sines over a box around the runs (a Hilbert-space approximation: Solin & Särkkä 2020), so that a draw is a
short list of weights which predicts anywhere. Beyond the runs' range of n it stays as at its end, and so it does beyond
a quarter of the runs' span of a factor on either side of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain, combinations

import numpy as np
from numpy.typing import ArrayLike

from vlmfrontier.laws.diagnostics import log_jacobian
from vlmfrontier.laws.fit import LawFit, scaled
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.laws.transfer import GapDraws

BOX, REACH = 2.0, 1.5  # half of the box, and where δ stops changing, in halves of a factor's span
WAVES = 5  # sines along a factor
_LENGTHS = (1.0, 2.0, 4.0)  # how far δ stays alike, in halves of a span
_ALONG = (1.0, 0.5)  # share of the variance along single factors; the rest is that of pairs
_SLOPES = (0.0, 0.5)  # variance of the slope in log n, relative to that of δ
_SIZES = np.array([0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0])  # variance of δ in that of the noise
_NONE = 0.5  # prior probability that there is no discrepancy
_DETERMINED = 1e-6  # relative singular value above which a direction of the parameters counts as fitted
_SMALLEST = 1e-9  # of log errors: rounding


@dataclass(frozen=True)
class Basis:
    """The sines of which δ is made, over logs of factors and of n scaled to −1 … 1 over the runs."""

    centre: np.ndarray
    """Middle of each factor's log, (K,)."""
    half: np.ndarray
    """Half of its span, (K,)."""
    data: tuple[float, float] | None
    """Middle and half span of log n; None without data size."""

    @classmethod
    def over(cls, table: ResultsTable) -> "Basis":
        """Return the basis for the runs of a table."""
        logs = np.log(np.stack(list(table.factors.values())))
        low, high = logs.min(axis=1), logs.max(axis=1)
        if not table.has_data:
            return cls((low + high) / 2, (high - low) / 2, None)
        ends = np.log([table.data.min(), table.data.max()])
        return cls((low + high) / 2, (high - low) / 2, (float(ends.mean()), float(np.ptp(ends) / 2)))

    def features(self, factors: Mapping[str, ArrayLike]) -> np.ndarray:
        """Return the sines, and their products for pairs of factors, at columns of shape (m,): (m, F)."""
        logs = np.log(np.stack([np.asarray(values, float) for values in factors.values()], axis=1))
        place = np.clip((logs - self.centre) / self.half, -REACH, REACH)
        waves = np.arange(1, WAVES + 1) * np.pi / (2 * BOX)
        sines = np.sin((place[:, :, None] + BOX) * waves) / np.sqrt(BOX)
        pairs = [
            (sines[:, a, :, None] * sines[:, b, None, :]).reshape(len(sines), -1)
            for a, b in combinations(range(len(self.centre)), 2)
        ]
        return np.concatenate([sines.reshape(len(sines), -1), *pairs], axis=1)

    def variances(self, length: float, along: float) -> np.ndarray:
        """Return the prior variance of every sine's weight, (F,): the spectrum of a squared-exponential kernel."""
        waves = np.arange(1, WAVES + 1) * np.pi / (2 * BOX)
        spectrum = np.sqrt(2 * np.pi) * length * np.exp(-0.5 * (length * waves) ** 2)
        factors = len(self.centre)
        pairs = factors * (factors - 1) // 2
        if pairs == 0:
            along = 1.0
        product = np.tile(np.outer(spectrum, spectrum).ravel(), pairs) * ((1 - along) / max(pairs, 1))
        return np.concatenate([np.tile(spectrum, factors) * (along / factors), product])

    def progress(self, examples: ArrayLike) -> np.ndarray:
        """Return where log n lies among the runs, −1 … 1; 0 without data size."""
        if self.data is None:
            return np.zeros(np.shape(examples))
        return np.clip((np.log(examples) - self.data[0]) / self.data[1], -1.0, 1.0)


@dataclass(frozen=True)
class Discrepancy:
    """δ of R models: δ(x, n) = Φ(x)·level + u(n)·Φ(x)·slope, with Φ the sines and u the progress in log n."""

    basis: Basis
    level: np.ndarray
    """Weights (R, F)."""
    slope: np.ndarray
    """Weights (R, F)."""
    noise: np.ndarray
    """Standard deviation of a measured log error around each model, (R,)."""
    widening: np.ndarray
    """By what a model's distance from the median is multiplied in an interval, (R,); see `widening`."""
    probability: float
    """Posterior probability that there is a discrepancy at all, the mean over the models' forms."""
    gap: GapDraws | None = None
    """What each model takes off its law for training where it is tested; None: that is all that the law knows of."""

    def missed(self, factors: Mapping[str, ArrayLike]) -> tuple[np.ndarray, np.ndarray]:
        """Return level and slope of δ at columns of shape (m,), each (R, m)."""
        features = self.basis.features(factors)
        return self.level @ features.T, self.slope @ features.T

    def over(self, factors: Mapping[str, ArrayLike]) -> tuple[np.ndarray, np.ndarray]:
        """Return level and slope of δ less the transfer gap at columns of shape (m,), each (R, m)."""
        level, slope = self.missed(factors)
        if self.gap is None:
            return level, slope
        gap_level, gap_slope = self.gap.over(factors)
        return level - gap_level, slope - gap_slope


def concatenated(parts: list[Discrepancy]) -> Discrepancy:
    """Return the models of several forms as one list."""
    sizes = [len(part.noise) for part in parts]
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS)
    probability = float(np.average([part.probability for part in parts], weights=sizes))
    gaps = [part.gap for part in parts]
    gap = gaps[0] and replace(gaps[0], gamma=np.concatenate([gap.gamma for gap in gaps]))
    return Discrepancy(parts[0].basis, *arrays, probability, gap)


_ARRAYS = ("level", "slope", "noise", "widening")


@dataclass(frozen=True)
class _Rows:
    """The rows of a table if the errors of one training share `shared` times the variance of a single test.

    All arrays are rotated and scaled so that what is not explained is independent and of equal size.
    """

    blocks: np.ndarray
    """Number of each row's training, (m,)."""
    shared: float
    features: np.ndarray
    """(m, 2F)."""
    fitted: np.ndarray
    """Orthonormal basis of what the law's parameters can follow to first order, (m, rank)."""
    residual: np.ndarray
    """Of the law, less what its parameters can follow, (m,)."""
    log_likelihood: float
    """What `shared` itself adds to the log marginal likelihood."""

    @classmethod
    def of(
        cls, features: np.ndarray, jacobian: np.ndarray, residual: np.ndarray, blocks: np.ndarray, shared: float
    ) -> "_Rows":
        """Return the rows, given arrays whose first axis is that of the table's rows."""
        jacobian = np.nan_to_num(jacobian)
        left, values, _ = np.linalg.svd(_whitened(jacobian, blocks, shared), full_matrices=False)
        kept = values > _DETERMINED * values[0]
        fitted = left[:, kept]
        own = _projected_out(_whitened(residual, blocks, shared), fitted)
        score = -0.5 * np.sum(np.log1p(shared * np.bincount(blocks))) - np.sum(np.log(values[kept])) if shared else 0.0
        if shared:  # relative to independent rows
            score += np.sum(np.log(np.linalg.svd(jacobian, compute_uv=False)[: kept.sum()]))
        return cls(blocks, shared, _whitened(features, blocks, shared), fitted, own, float(score))

    def whitened(self, values: np.ndarray) -> np.ndarray:
        """Return values of the rows, (…, m), rotated and scaled as these are."""
        return _whitened(values.T, self.blocks, self.shared).T


def _whitened(values: np.ndarray, blocks: np.ndarray, shared: float) -> np.ndarray:
    """Return values (m, …) with the mean of each block shrunk as its variance, 1 + size·shared, asks for."""
    if shared == 0:
        return values
    sizes = np.bincount(blocks)
    sums = np.zeros((len(sizes), *values.shape[1:]))
    np.add.at(sums, blocks, values)
    less = (1 - 1 / np.sqrt(1 + sizes * shared)) / sizes
    return values - (sums * less.reshape(-1, *[1] * (values.ndim - 1)))[blocks]


@dataclass(frozen=True)
class _Setting:
    """One row of the grid: how large δ may be, what it is then made of, and how alike tests of one training are."""

    rows: _Rows
    size: float
    variances: np.ndarray
    """Prior variances of all weights, (2F,), in that of δ."""


def draw(
    table: ResultsTable, law: LawFit, theta: np.ndarray, rng: np.random.Generator, gamma: np.ndarray | None = None
) -> Discrepancy:
    """Return δ and noise of the models θ (R, P) of a law's form, drawn given the rows of `table`.

    `gamma` (R, q) are the draws of the transfer gap that the models were fitted with, if its anchors tell any. `table`
    has no row in which the target is missing. Raises nothing: with few rows the prior speaks.
    """
    found = table.transfer.get(law.target)
    shift = 0.0 if gamma is None else (gamma - found.mean) @ found.Z.T
    basis = Basis.over(table)
    sines = basis.features(table.factors)
    examples = table.data if table.has_data else np.ones(len(table))
    features = np.concatenate([sines, basis.progress(examples)[:, None] * sines], axis=1)
    X, n = scaled(law.form, table.points(), table.units, table.data_unit)
    measured = np.log(table.error(law.target))
    residual = measured - np.log(law.form.predict(law.theta, X, n))
    root = np.sqrt(_row_weights(residual, law.loss))
    scaled_features, jacobian = features * root[:, None], log_jacobian(law.form, law.theta, X, n) * root[:, None]
    blocks = np.unique(table.names_of_trainings, return_inverse=True)[1]
    shares = _SHARED if len(np.unique(blocks)) < len(blocks) and table.trained else _SHARED[:1]
    rows = [_Rows.of(scaled_features, jacobian, residual * root, blocks, shared) for shared in shares]
    settings, weight, squares = _posterior(basis, rows)
    free = _free(rows[0])
    own = (measured - shift - np.log(law.form.predict(theta, X, n))) * root
    weights, noise = np.zeros((len(theta), features.shape[1])), np.zeros(len(theta))
    drawn = rng.choice(len(settings), len(theta), p=weight)
    for which in np.unique(drawn):
        at, setting = np.flatnonzero(drawn == which), settings[which]
        single = np.sqrt(squares[which] / rng.chisquare(free, len(at)))
        if setting.size > 0:
            weights[at] = _weights(setting, setting.rows.whitened(own[at]), single, rng)
        noise[at] = single * np.sqrt(1 + setting.rows.shared)
    level, slope = np.split(weights.astype(np.float32).astype(float), 2, axis=1)  # as the explorer gets them
    alike = sum(share * setting.rows.shared for share, setting in zip(weight, settings, strict=True))
    worth = _independent(rows[0], alike) if len(rows) > 1 else (table.configurations, rows[0].fitted.shape[1])
    wide = np.full(len(theta), widening(*worth))
    none = sum(share for share, setting in zip(weight, settings, strict=True) if setting.size == 0)
    # What anchors leave open of the gap is all there in its draws, and is not to be widened as resamples are.
    gap = gamma if gamma is None else GapDraws(found.columns, found.place, found.mean + (gamma - found.mean) / wide[0])
    return Discrepancy(basis, level, slope, noise, wide, float(1 - none), gap)


_SHARED = (0.0, 0.3, 1.0, 3.0, 10.0)  # variance that the tests of one training share, in that of a single test


def _free(rows: _Rows) -> int:
    return max(len(rows.residual) - rows.fitted.shape[1], 1)


def _independent(rows: _Rows, shared: float) -> tuple[float, float]:
    """Return how many independent rows they are worth, whose trainings share `shared` times the variance of a test, and
    how many of the parameters these pay for: from all rows and all, to trainings and what differs between these."""
    sizes = np.bincount(rows.blocks)
    between = np.zeros((len(sizes), rows.fitted.shape[1]))
    np.add.at(between, rows.blocks, rows.fitted)
    worth, (count, parameters) = float(np.sum(sizes * (1 + shared) / (1 + sizes * shared))), rows.fitted.shape
    of_trainings = float(np.sum(between**2 / sizes[:, None]))
    return worth, of_trainings + (parameters - of_trainings) * (worth - len(sizes)) / max(count - len(sizes), 1)


def _row_weights(residual: np.ndarray, loss: str) -> np.ndarray:
    """Return the weight of every row, (m,): 1, and under Huber's loss less for rows that are outliers for the law.

    It is what Student's t with four degrees of freedom gives a residual (its scale: 1.48 median sizes), so that δ does
    not bend the law towards what its own loss has set aside.
    """
    if loss != "huber":
        return np.ones_like(residual)
    scale = max(1.4826 * float(np.median(np.abs(residual))), _SMALLEST)
    return np.minimum(5 / (4 + (residual / scale) ** 2), 1.0)


def _projected_out(values: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    return values - fitted @ (fitted.T @ values)


def _posterior(basis: Basis, rows: list[_Rows]) -> tuple[list[_Setting], np.ndarray, np.ndarray]:
    """Return the settings, none first, their posterior probabilities, and their sums of squares scaled by the noise."""
    parts = [_scored(basis, each) for each in rows]
    settings, scores, squares = (list(chain.from_iterable(each)) for each in zip(*parts, strict=True))
    score = np.array(scores) - 0.5 * _free(rows[0]) * np.log(squares)
    weight = np.exp(score - score.max())
    return settings, weight / weight.sum(), np.array(squares)


def _scored(basis: Basis, rows: _Rows) -> tuple[list[_Setting], list[float], list[float]]:
    """Return the settings for one way that tests of a training are alike, and the terms of their likelihood."""
    features, residual = rows.features, rows.residual
    least = len(residual) * _SMALLEST**2
    total = residual @ residual + least
    settings = [_Setting(rows, 0.0, np.zeros(features.shape[1]))]
    scores, squares = [np.log(_NONE) + rows.log_likelihood], [total]
    slopes = _SLOPES if basis.data is not None else _SLOPES[:1]
    kinds = [(along, length, slope) for along in _ALONG for length in _LENGTHS for slope in slopes]
    prior = np.log((1 - _NONE) / (len(kinds) * (len(_SIZES) - 1))) + rows.log_likelihood
    rest = _projected_out(features, rows.fitted)
    for along, length, slope in kinds:
        one = basis.variances(length, along)
        variances = np.concatenate([one, slope * one])
        scaled_features = rest * np.sqrt(variances)
        values, vectors = np.linalg.eigh(scaled_features.T @ scaled_features)
        values = np.maximum(values, 1e-12)
        explained = (vectors.T @ (scaled_features.T @ residual)) ** 2 / values
        for size in _SIZES[1:]:
            grown = size * values
            settings.append(_Setting(rows, float(size), variances))
            squares.append(max(total - np.sum(grown / (1 + grown) * explained), least))
            scores.append(prior - 0.5 * np.sum(np.log1p(grown)))
    return settings, scores, squares


def _weights(setting: _Setting, residual: np.ndarray, noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return weights (R, 2F) drawn from the prior and corrected for the residuals (R, m): Matheron's rule."""
    features, spread = setting.rows.features, np.sqrt(setting.variances * setting.size)
    prior = rng.standard_normal((len(residual), len(spread))) * spread * noise[:, None]
    pseudo = prior @ features.T + rng.standard_normal(residual.shape) * noise[:, None]
    loaded = features * spread
    inner = np.eye(len(spread)) + loaded.T @ loaded
    return prior + np.linalg.solve(inner, loaded.T @ (residual - pseudo).T).T * spread


def widening(configurations: float, parameters: float) -> float:
    """Return by what resamples spread too little: √(G / (G − P)), and Student's t for the normal's 90% range.

    Residuals of a fit with P parameters to G configurations are smaller than the noise, and so is what redrawing them
    shows. `_MEASURED` more is what simulated studies lacked.
    """
    free = max(configurations - parameters, 1)
    z = 1.6449
    t = z * (1 + (z**2 + 1) / (4 * free) + (5 * z**4 + 16 * z**2 + 3) / (96 * free**2))
    return float(np.sqrt(configurations / free) * t / z * _MEASURED)


_MEASURED = 1.1
