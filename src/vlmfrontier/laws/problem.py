"""A batch of fits that share a design: what the kernel needs, and the way between its parameters and θ."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from vlmfrontier.laws.forms import Form
from vlmfrontier.laws.kernel import Layout, Options, Points, descend, evaluate, workspace
from vlmfrontier.laws.matrix import compiled
from vlmfrontier.study.analysis import LawsConfig

_LOG_COEFFICIENT = (-60.0, 300.0)  # e^-60 is nothing; e^300 leaves room for factors left in raw units
_STEP = (4.0, 1.0)  # longest move of a log coefficient (or ceiling), of an exponent, in one iteration
_HIGHEST_CEILING = 10.0  # times the largest measured: where a fitted ceiling ends if nobody says what the largest is
_AGAIN = 5  # most descents, with fresh damping each, of a fit that random starts confirm
_DONE = 1e-9  # relative gain that ends them
_VANISHED = 1e-10  # largest share of f at any point below which a term counts as absent


@dataclass(frozen=True)
class Problem:
    """R fits on one design.

    Logs are centred on their means, which conditions the kernel's systems and makes it blind to units; `to_theta` and
    `from_theta` translate.
    """

    form: Form
    logs: np.ndarray  # (variables, m): log of every factor and of n, in fit units
    log_target: np.ndarray  # (R, m)
    weight: np.ndarray  # (R, m); zero leaves a point out
    config: LawsConfig
    largest: float | None = None  # the largest error that there can be, where a fitted ceiling ends

    @property
    def fits(self) -> int:
        """R."""
        return len(self.weight)

    @cached_property
    def design(self) -> tuple[np.ndarray, np.ndarray | None]:
        """X (m, K) and n (m,) in fit units."""
        columns = np.exp(self.logs)
        factors = len(self.form.factors)
        return columns[:factors].T, columns[-1] if self.form.has_data else None

    @cached_property
    def centre(self) -> np.ndarray:
        """Mean log of every variable."""
        return self.logs.mean(axis=1)

    @cached_property
    def features(self) -> np.ndarray:
        """(1, centred logs): (1 + variables, m)."""
        return np.vstack([np.ones(self.logs.shape[1]), self.logs - self.centre[:, None]])

    @cached_property
    def layout(self) -> Layout:
        """The form's terms as index arrays."""
        return layout(self.form)

    @cached_property
    def options(self) -> Options:
        """Box, step limits and loss; the box of the first row, where the rows of a fitted ceiling differ."""
        logged, bound = self.form.is_logged, self.config.exponent_bound or np.inf
        lower = np.where(logged, _LOG_COEFFICIENT[0], np.where(self._never_negative, 0.0, -bound))
        upper = np.where(logged, _LOG_COEFFICIENT[1], bound)
        if self.form.fits_ceiling:
            highest = self.log_target.max()
            upper[-1] = np.log(self.largest) if self.largest is not None else highest + np.log(_HIGHEST_CEILING)
            lower[-1] = min(self._largest_measured(0), upper[-1])
        return Options(
            lower=lower,
            upper=upper,
            step=np.where(logged, *_STEP),
            delta=self.config.delta if self.config.loss == "huber" else 0.0,
            log_space=self.config.log_space,
        )

    def options_of(self, row: int, weight: np.ndarray | None = None) -> Options:
        """Return the options of one fit, with other weights (m,) if given: a fitted ceiling is no lower than the
        largest error that the fit sees."""
        options = self.options
        if not self.form.fits_ceiling or options.lower[-1] == options.upper[-1]:
            return options
        lower = options.lower.copy()
        lower[-1] = min(self._largest_measured(row, weight), options.upper[-1])
        return options._replace(lower=lower)

    def _largest_measured(self, row: int, weight: np.ndarray | None = None) -> float:
        """Return the log of the largest error among the points of one fit."""
        return float(self.log_target[row, (self.weight[row] if weight is None else weight) > 0].max())

    @property
    def _never_negative(self) -> np.ndarray:
        """Which exponents may not be negative, (P,)."""
        if self.config.positive_exponents == "main":
            return self.form.is_main_exponent
        return np.full(len(self.form.parameter_names), bool(self.config.positive_exponents))

    def to_theta(self, internal: np.ndarray) -> np.ndarray:
        """Return θ (…, P) in fit units; coefficients of terms that are nowhere felt become exactly 0.

        A main term whose exponents are all held at 0 is a constant, and becomes part of ε.
        """
        theta = np.array(internal)
        for position, shift in self._shifts(theta):
            theta[..., position] = np.exp(theta[..., position] - shift)
        for term, share in zip(self.form.terms, self.largest_shares(internal), strict=True):
            theta[..., self.form.index(term.coefficient)][share < _VANISHED] = 0.0
        return self.merged(theta)

    def merged(self, theta: np.ndarray) -> np.ndarray:
        """Return θ (…, P) after adding, in place, terms whose exponents are all held at 0 to the constant term ε."""
        constant = next((self.form.index(term.coefficient) for term in self.form.terms if not term.powers), None)
        for term in self.form.terms if constant is not None else ():
            exponents = [self.form.index(power.exponent) for power in term.powers]
            if exponents and self._never_negative[exponents].all():
                coefficient = theta[..., self.form.index(term.coefficient)]
                flat = (theta[..., exponents] == 0).all(axis=-1)
                theta[..., constant] += np.where(flat, coefficient, 0.0)
                coefficient[flat] = 0.0
        return theta

    def from_theta(self, theta: np.ndarray) -> np.ndarray:
        """Return the kernel's parameters for θ (…, P)."""
        internal = np.array(theta, float)
        smallest = np.exp(_LOG_COEFFICIENT[0])
        for position, shift in self._shifts(internal):
            internal[..., position] = np.log(np.maximum(internal[..., position], smallest)) + shift
        return np.clip(internal, self.options.lower, self.options.upper)

    def with_weights(self, weight: np.ndarray, log_target: np.ndarray | None = None) -> "Problem":
        """Return the same design with other rows of weights (R', m), and of log targets (default: this one's first)."""
        if log_target is None:
            log_target = np.broadcast_to(self.log_target[:1], weight.shape)
        return replace(self, weight=weight, log_target=np.ascontiguousarray(log_target))

    def _shifts(self, exponents: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Return, per entry of θ that is fitted as a log, its index and by how much centring moves the log."""
        centre = dict(zip(self.form.variables, self.centre, strict=True))
        shifts = []
        for term in self.form.terms:
            powers = [p.sign * exponents[..., self.form.index(p.exponent)] * centre[p.variable] for p in term.powers]
            shifts.append((self.form.index(term.coefficient), np.asarray(sum(powers, np.zeros(exponents.shape[:-1])))))
        if self.form.fits_ceiling:
            shifts.append((len(self.form.parameter_names) - 1, np.zeros(exponents.shape[:-1])))
        return shifts

    def largest_shares(self, internal: np.ndarray) -> np.ndarray:
        """Return every term's largest share of the sum of terms over the points, (J, …)."""
        used = self.features[:, (self.weight > 0).any(axis=0)]
        exponent = np.zeros((len(self.form.terms), *internal.shape[:-1], used.shape[1]))
        for term, parameter, variable, sign in zip(*self.layout[:4], strict=True):
            exponent[term] += sign * internal[..., parameter, None] * used[variable]
        values = np.exp(exponent - exponent.max(axis=0))
        return (values / values.sum(axis=0)).max(axis=-1)


def layout(form: Form) -> Layout:
    """Return the form's terms as the kernel reads them; feature 0 is the constant, then factors, then n."""
    variables = {variable: 1 + k for k, variable in enumerate(form.variables)}
    entries = []
    for j, term in enumerate(form.terms):
        entries.append((j, form.index(term.coefficient), 0, 1.0))
        entries += [(j, form.index(p.exponent), variables[p.variable], float(p.sign)) for p in term.powers]
    term, parameter, variable, sign = zip(*entries, strict=True)
    coefficient = [form.index(term.coefficient) for term in form.terms]
    return Layout(
        *(np.array(column, np.int64) for column in (term, parameter, variable)),
        np.array(sign),
        np.array(coefficient, np.int64),
        form.sharpness or 0.0,
        len(form.parameter_names) - 1 if form.fits_ceiling else -1,
        math.inf if form.ceiling is None else math.log(form.ceiling),
    )


@compiled
def pack(features, log_target, weight, log_space):
    """Return the points with a positive weight and their number."""
    points = Points(np.empty_like(features), np.empty_like(log_target), np.empty_like(weight))
    count = 0
    for i in range(weight.size):
        if weight[i] > 0.0:
            points.features[:, count] = features[:, i]
            points.target[count] = log_target[i] if log_space else math.exp(log_target[i])
            points.weight[count] = weight[i]
            count += 1
    return points, count


@compiled
def descents(theta, damping, features, log_target, weight, layout, options, iterations, tolerance):
    """Improve every θ (B, P) in place and keep its `damping` (B,) for a later call; return losses (B,)."""
    points, count = pack(features, log_target, weight, options.log_space)
    work = workspace(layout.coefficient.size, theta.shape[1], weight.size)
    out = np.empty(len(theta))
    for b in range(len(theta)):
        clip(theta[b], options)
        out[b], damping[b] = descend(
            theta[b], damping[b], points, count, layout, options, iterations, tolerance, -1.0, work
        )
    return out


@compiled
def confirm(theta, known, damping, features, log_target, weight, layout, options, iterations, tolerance, same):
    """Descend from the best of the first `known` θ (B, P), then from the others until they are the `same`, relatively.

    Works in place; returns losses (B,), infinite for the other known ones, which are left alone; the position of the
    best known one; and the largest share of its least term at any point.
    """
    points, count = pack(features, log_target, weight, options.log_space)
    work = workspace(layout.coefficient.size, theta.shape[1], weight.size)
    out = np.empty(len(theta))
    for b in range(len(theta)):
        clip(theta[b], options)
        out[b] = evaluate(theta[b], points, count, layout, options, work) if b < known else np.inf
    best = int(np.argmin(out))
    out[:] = np.inf
    for _ in range(_AGAIN):  # fresh damping helps along a flat valley
        before = out[best]
        out[best], _ = descend(theta[best], damping, points, count, layout, options, iterations, tolerance, -1.0, work)
        if before - out[best] <= _DONE * out[best]:
            break
    evaluate(theta[best], points, count, layout, options, work)
    least = 1.0
    for j in range(layout.coefficient.size):
        largest = 0.0
        for i in range(count):
            largest = max(largest, work.share[j, i] / work.value[i])
        least = min(least, largest)
    for b in range(known, len(theta)):
        enough = out[best] * (1.0 + same)
        out[b], _ = descend(theta[b], damping, points, count, layout, options, iterations, tolerance, enough, work)
    return out, best, least


@compiled
def clip(theta, options):
    """Move θ (P,) into its box."""
    for p in range(theta.size):
        theta[p] = min(max(theta[p], options.lower[p]), options.upper[p])
