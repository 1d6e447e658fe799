"""A batch of fits that share a design: what the kernel needs, and where its descents start.

Starts are kernel parameters whose coefficients are still open: least squares fills them in, the law being linear in
them.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from vlmfrontier.laws.forms import Form
from vlmfrontier.laws.kernel import Layout, Options, Points, descend, exponentials, term_exponents, workspace
from vlmfrontier.laws.matrix import compiled
from vlmfrontier.study.analysis import LawsConfig

_LOG_COEFFICIENT = (-60.0, 300.0)  # e^-60 is nothing; e^300 leaves room for factors left in raw units
_STEP = (4.0, 1.0)  # longest move of a log coefficient, of an exponent, in one iteration
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
        """Box, step limits and loss."""
        is_coefficient, bound = self.form.is_coefficient, self.config.exponent_bound or np.inf
        return Options(
            lower=np.where(is_coefficient, _LOG_COEFFICIENT[0], 0.0 if self.config.positive_exponents else -bound),
            upper=np.where(is_coefficient, _LOG_COEFFICIENT[1], bound),
            step=np.where(is_coefficient, *_STEP),
            delta=self.config.delta if self.config.loss == "huber" else 0.0,
            log_space=self.config.log_space,
        )

    def to_theta(self, internal: np.ndarray) -> np.ndarray:
        """Return θ (…, P) in fit units; coefficients of terms that are nowhere felt become exactly 0."""
        theta = np.array(internal)
        for coefficient, shift in self._shifts(theta):
            theta[..., coefficient] = np.exp(theta[..., coefficient] - shift)
        for term, share in zip(self.form.terms, self._largest_shares(internal), strict=True):
            theta[..., self.form.index(term.coefficient)][share < _VANISHED] = 0.0
        return theta

    def from_theta(self, theta: np.ndarray) -> np.ndarray:
        """Return the kernel's parameters for θ (…, P)."""
        internal = np.array(theta, float)
        smallest = np.exp(_LOG_COEFFICIENT[0])
        for coefficient, shift in self._shifts(internal):
            internal[..., coefficient] = np.log(np.maximum(internal[..., coefficient], smallest)) + shift
        return np.clip(internal, self.options.lower, self.options.upper)

    def with_weights(self, weight: np.ndarray, log_target: np.ndarray | None = None) -> "Problem":
        """Return the same design with other rows of weights (R', m), and of log targets (default: this one's first)."""
        if log_target is None:
            log_target = np.broadcast_to(self.log_target[:1], weight.shape)
        return replace(self, weight=weight, log_target=np.ascontiguousarray(log_target))

    def _shifts(self, exponents: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Return, per term, its coefficient's index and by how much centring moves its log."""
        centre = dict(zip(self.form.variables, self.centre, strict=True))
        shifts = []
        for term in self.form.terms:
            powers = [p.sign * exponents[..., self.form.index(p.exponent)] * centre[p.variable] for p in term.powers]
            shifts.append((self.form.index(term.coefficient), np.asarray(sum(powers, np.zeros(exponents.shape[:-1])))))
        return shifts

    def _largest_shares(self, internal: np.ndarray) -> np.ndarray:
        """Return every term's largest share of f over the points, (J, …)."""
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
    )


_SWEEPS = 150  # of coordinate descent: enough to rank starts, which is all they are for
_SMALLEST_SHARE = 1e-3  # relative size a term keeps where least squares drops it; at 0 it could never come back


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
        for p in range(theta.shape[1]):
            theta[b, p] = min(max(theta[b, p], options.lower[p]), options.upper[p])
        out[b], damping[b], _ = descend(
            theta[b], damping[b], points, count, layout, options, iterations, tolerance, work
        )
    return out


@compiled
def gram(theta, points, count, layout, work, matrix, right, scale):
    """Write normal equations of the model, linear in its coefficients, for relative residuals Σ c_j φ_j / y − 1."""
    terms = layout.coefficient.size
    term_exponents(theta, points.features, layout, work.exponent, count)
    for j in range(terms):
        row, share = work.exponent[j], work.share[j]
        top = -np.inf
        for i in range(count):
            row[i] -= points.target[i]
            top = max(top, row[i])
        scale[j] = top
        for i in range(count):
            row[i] -= top
        exponentials(row, share, work.bits, count)
        total = 0.0
        for i in range(count):
            total += points.weight[i] * share[i]
            row[i] = points.weight[i] * share[i]
        right[j] = total
        for k in range(j + 1):
            other, product = work.share[k], 0.0
            for i in range(count):
                product += row[i] * other[i]
            matrix[j, k] = product
            matrix[k, j] = product


@compiled
def non_negative(matrix, right, solution):
    """Write the non-negative least-squares solution of `matrix`·c = `right`; return cᵀMc − 2cᵀr."""
    terms = right.size
    solution[:] = 0.0
    for _ in range(_SWEEPS):
        for j in range(terms):
            rest = right[j]
            for k in range(terms):
                rest -= matrix[j, k] * solution[k]
            solution[j] = max(0.0, solution[j] + rest / matrix[j, j])
    value = 0.0
    for j in range(terms):
        value -= 2.0 * right[j] * solution[j]
        for k in range(terms):
            value += solution[j] * matrix[j, k] * solution[k]
    return value


@compiled
def fill_coefficients(theta, features, log_target, weight, layout):
    """Write into every θ (B, P) the best log coefficients for its exponents; return losses of relative residuals.

    The law is linear in its coefficients, so only exponents need random starts, and the loss already ranks them.
    """
    points, count = pack(features, log_target, weight, True)
    work = workspace(layout.coefficient.size, theta.shape[1], weight.size)
    terms = layout.coefficient.size
    matrix, right, scale, solution = np.empty((terms, terms)), np.empty(terms), np.empty(terms), np.empty(terms)
    total, out = np.sum(weight), np.empty(len(theta))
    for b in range(len(theta)):
        for j in range(terms):
            theta[b, layout.coefficient[j]] = 0.0
        gram(theta[b], points, count, layout, work, matrix, right, scale)
        out[b] = 0.5 * (non_negative(matrix, right, solution) + total)
        for j in range(terms):
            theta[b, layout.coefficient[j]] = math.log(max(solution[j], _SMALLEST_SHARE)) - scale[j]
    return out


_FAR = 3.0  # how far jumps go where exponents are unbounded
_MOST_CHANGED = 3  # exponents a jump draws anew


def random_exponents(problem: Problem, row: int) -> np.ndarray:
    """Return `config.starts` starts (S, P) of one fit: exponents U(−1, 1), or U(0, 1) if they must be positive."""
    rng = np.random.default_rng([problem.config.seed, 0, row])
    at = _exponents(problem)
    internal = np.zeros((problem.config.starts, len(problem.form.parameter_names)))
    lowest = 0.0 if problem.config.positive_exponents else -1.0
    internal[:, at] = rng.uniform(lowest, 1.0, (len(internal), len(at)))
    return np.clip(internal, problem.options.lower, problem.options.upper)


def crossings(best: np.ndarray, pool: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `pool` (B, P) and `count` crossings of `best` (P,) with members of it, every entry from either at random.

    Terms act nearly by themselves, so an exponent that serves one optimum often serves in another's company.
    """
    partner = pool[rng.integers(0, len(pool), count)]
    return np.vstack([pool, np.where(rng.random(partner.shape) < 0.5, partner, best)])


def jumps(problem: Problem, sources: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` copies of random `sources` (B, P) with one to three exponents drawn anew, half of them at a bound.

    The minimum often has a term that acts on the largest or smallest value of a factor only, an exponent at its bound;
    from the ordinary start such a term is found by luck.
    """
    at = _exponents(problem)
    lower, upper = problem.options.lower[at], problem.options.upper[at]
    low = np.maximum(lower, np.minimum(-_FAR, upper))  # a box that lies beyond, such as one held exponent, is kept
    high = np.minimum(upper, np.maximum(_FAR, lower))
    shape = (count, len(at))
    anywhere = rng.uniform(low, high, shape)
    at_bound = np.where(rng.random(shape) < 0.5, low, high)
    drawn = np.where(rng.random(shape) < 0.5, at_bound, anywhere)
    rank = np.argsort(rng.random(shape), axis=1)
    changed = rank < rng.integers(1, _MOST_CHANGED + 1, count)[:, None]
    internal = sources[rng.integers(0, len(sources), count)].copy()
    internal[:, at] = np.where(changed, drawn, internal[:, at])
    return internal


def _exponents(problem: Problem) -> np.ndarray:
    """Return the positions of exponents in θ."""
    return np.flatnonzero(~problem.form.is_coefficient)
