"""A batch of fits that share a design: what the kernel needs, made from a form, points and a configuration."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from vlmfrontier.laws.forms import Form
from vlmfrontier.laws.kernel import Layout, Options
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
