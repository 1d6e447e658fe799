"""The fitting kernel: bounded Levenberg–Marquardt for log g = logsumexp of terms affine in θ, compiled.

f is g, or its soft minimum with a ceiling C: log f = −(1/s)·log(g^(−s) + C^(−s)), whose slopes are one share for log g
and the rest for log C.

One definition serves every form: `Layout` lists which parameter multiplies which feature in which term. The features
are (1, log x_1, …, log n), θ holds log coefficients and exponents. A fit has its own point weights (bootstrap counts,
folds, 1/se²) and its own log targets, so that a batch is (start × resample). Every fit is computed alone and in a fixed
order of operations: results do not depend on how a batch is divided among threads.
"""

import math
from typing import NamedTuple

import numpy as np

from vlmfrontier.laws.matrix import (
    accelerate,
    compiled,
    factorise,
    freeze_at_bounds,
    jacobian,
    normal_equations,
    substitute,
)

_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_LARGEST = 690.0  # e^690 is still a float64, and so is the sum of a few of them
_REJECTIONS = 12  # smaller and smaller steps tried before a fit counts as converged
_SLACK = 1e-3  # damping above which a short step says nothing about the distance to the minimum
_BOLDER, _BOLDEST = 0.3, 0.01  # how the weight of points beyond Huber's δ shrinks from step to step, and where to
_SMALL_STEPS = 3  # accepted steps in a row below the tolerance that end a fit


class Layout(NamedTuple):
    """A form as the kernel sees it: log term[j] = Σ over its entries of sign · θ[parameter] · feature[variable]."""

    term: np.ndarray
    parameter: np.ndarray
    variable: np.ndarray
    sign: np.ndarray
    coefficient: np.ndarray  # (J,): the parameter that is the log coefficient of each term
    sharpness: float  # s of the ceiling; 0: there is none
    ceiling: int  # the parameter that is the log of the ceiling C; −1: C is known
    log_ceiling: float  # the log of a C that is known


class Options(NamedTuple):
    """Box and step limits per parameter; `delta` ≤ 0 means half squares, otherwise Huber's loss."""

    lower: np.ndarray
    upper: np.ndarray
    step: np.ndarray
    delta: float
    log_space: bool


class Points(NamedTuple):
    """The points of one fit with a positive weight, packed to the front of arrays of full length."""

    features: np.ndarray  # (Q, m)
    target: np.ndarray  # (m,): log y, or y
    weight: np.ndarray  # (m,)


class Workspace(NamedTuple):
    """Buffers of one thread."""

    exponent: np.ndarray  # (J, m)
    share: np.ndarray  # (J, m): term / g once normalised
    bits: np.ndarray  # (m,) int64
    value: np.ndarray  # (m,): g, of which `jacobian` leaves the inverse
    bent: np.ndarray  # (m,): f below the ceiling; unused without one
    passed: np.ndarray  # (m,): slope of log f by log g, the share of g; unused without a ceiling
    residual: np.ndarray  # (m,)
    curvature: np.ndarray  # (m,): weight of each point in the normal matrix
    slope: np.ndarray  # (m,): derivative of the loss by the residual
    jacobian: np.ndarray  # (P, m)
    normal: np.ndarray  # (P, P)
    factor: np.ndarray  # (P, P)
    gradient: np.ndarray  # (P,)
    right: np.ndarray  # (P,)
    move: np.ndarray  # (P,)
    trial: np.ndarray  # (P,)


@compiled
def workspace(terms, parameters, points):
    """Return buffers for fits of this size."""
    return Workspace(
        np.empty((terms, points)),
        np.empty((terms, points)),
        np.empty(points, np.int64),
        np.empty(points),
        np.empty(points),
        np.empty(points),
        np.empty(points),
        np.empty(points),
        np.empty(points),
        np.empty((parameters, points)),
        np.empty((parameters, parameters)),
        np.empty((parameters, parameters)),
        np.empty(parameters),
        np.empty(parameters),
        np.empty(parameters),
        np.empty(parameters),
    )


@compiled
def exponentials(x, out, bits, count):
    """Write e^x, exact to 2 ulp, in a loop that vectorises (libm's exp is called one by one and is five times slower).

    x = k·ln 2 + r; a Taylor polynomial of degree 12 gives e^r on |r| ≤ ln 2 / 2, and k goes into the exponent's bits.
    """
    powers = bits.view(np.float64)
    for i in range(count):
        clipped = min(max(x[i], -_LARGEST), _LARGEST)
        k = math.floor(clipped * _LOG2_E + 0.5)
        r = (clipped - k * _LN2_HIGH) - k * _LN2_LOW
        p = 1.0 / 479001600.0
        p = p * r + 1.0 / 39916800.0
        p = p * r + 1.0 / 3628800.0
        p = p * r + 1.0 / 362880.0
        p = p * r + 1.0 / 40320.0
        p = p * r + 1.0 / 5040.0
        p = p * r + 1.0 / 720.0
        p = p * r + 1.0 / 120.0
        p = p * r + 1.0 / 24.0
        p = p * r + 1.0 / 6.0
        p = p * r + 0.5
        p = p * r + 1.0
        p = p * r + 1.0
        out[i] = p
        bits[i] = (np.int64(k) + 1023) << 52
    for i in range(count):
        out[i] *= powers[i]


@compiled
def term_exponents(theta, features, layout, out, count):
    """Write log of every term at every point, (J, m)."""
    for j in range(layout.coefficient.size):
        for i in range(count):
            out[j, i] = 0.0
    for e in range(layout.term.size):
        slope = layout.sign[e] * theta[layout.parameter[e]]
        row, feature = out[layout.term[e]], features[layout.variable[e]]
        for i in range(count):
            row[i] += slope * feature[i]


@compiled
def evaluate(theta, points, count, layout, options, work):
    """Write terms, f and residuals at θ; return the loss Σ w·ρ(residual)."""
    law = law_at(theta, points, count, layout, work)
    if options.log_space:
        for i in range(count):
            work.residual[i] = math.log(law[i]) - points.target[i]
    else:
        for i in range(count):
            work.residual[i] = law[i] - points.target[i]
    return loss(work.residual, points.weight, count, options.delta)


@compiled
def law_at(theta, points, count, layout, work):
    """Write terms and their sum at θ; return f (m,), a buffer."""
    term_exponents(theta, points.features, layout, work.exponent, count)
    for i in range(count):
        work.value[i] = 0.0
    for j in range(layout.coefficient.size):
        exponentials(work.exponent[j], work.share[j], work.bits, count)
        share = work.share[j]
        for i in range(count):
            work.value[i] += share[i]
    if layout.sharpness > 0.0:
        bend(theta, count, layout, work)
        return work.bent
    return work.value


@compiled
def bend(theta, count, layout, work):
    """Write f below the ceiling, and the share of g in it; in powers of the smaller over the larger, none overflows."""
    s = layout.sharpness
    log_ceiling = theta[layout.ceiling] if layout.ceiling >= 0 else layout.log_ceiling
    ceiling = math.exp(log_ceiling)
    for i in range(count):
        low, high = min(work.value[i], ceiling), max(work.value[i], ceiling)
        ratio = low / high
        if s == 1.0:
            inverse = 1.0 / (1.0 + ratio)
            work.bent[i] = low * inverse
        elif s == 4.0:
            ratio *= ratio
            ratio *= ratio
            inverse = 1.0 / (1.0 + ratio)
            work.bent[i] = low * math.sqrt(math.sqrt(inverse))
        else:
            ratio = ratio**s
            inverse = 1.0 / (1.0 + ratio)
            work.bent[i] = low * inverse ** (1.0 / s)
        work.passed[i] = inverse if low == work.value[i] else ratio * inverse


@compiled
def loss(residual, weight, count, delta):
    """Return Σ w·r²/2, or Huber's Σ w·ρ_δ(r)."""
    total = 0.0
    if delta <= 0.0:
        for i in range(count):
            total += weight[i] * residual[i] * residual[i]
        return 0.5 * total
    for i in range(count):
        size = abs(residual[i])
        inner = min(size, delta)
        total += weight[i] * inner * (size - 0.5 * inner)
    return total


@compiled
def propose(theta, options, work):
    """Write θ after the step, shortened to the step limits and clipped to the box; return the predicted decrease ×2."""
    longest, predicted = 1.0, 0.0
    for p in range(theta.size):
        longest = max(longest, abs(work.move[p]) / options.step[p])
    for p in range(theta.size):
        move = work.move[p] / longest
        work.trial[p] = min(max(theta[p] - move, options.lower[p]), options.upper[p])
        predicted += move * work.gradient[p]
    return predicted


@compiled
def descend(theta, damping, points, count, layout, options, iterations, tolerance, enough, work):
    """Improve θ in place for at most `iterations` steps, or until the loss is `enough`; return loss and damping."""
    current = evaluate(theta, points, count, layout, options, work)
    small, beyond = 0, 1.0
    for _ in range(iterations):
        jacobian(points, count, layout, options, work)
        normal_equations(points, count, options, beyond, work)
        largest = freeze_at_bounds(theta, options, work)
        proposed, accepted = current, False
        for attempt in range(_REJECTIONS):
            if not factorise(damping, largest, work):
                damping = max(damping * 10.0, 1e-8)
                continue
            substitute(work.factor, work.gradient, work.move)
            if attempt == 0:  # a trial overwrites the terms at θ
                term_exponents(work.move, points.features, layout, work.exponent, count)
                accelerate(work.exponent, count, layout, options.log_space, work)
            predicted = propose(theta, options, work)
            proposed = evaluate(work.trial, points, count, layout, options, work)
            if proposed < current:
                accepted = True
                gain = 2.0 * (current - proposed) / max(predicted, 1e-300)
                if gain > 0.75:
                    damping = max(damping * 0.2, 1e-14)
                elif gain < 0.25:
                    damping = damping * 2.0
                break
            if beyond < 1.0:
                break
            damping = max(damping * 4.0, 1e-10)
        if not accepted and beyond < 1.0:  # too bold a step: back to the one that always leads down
            beyond = 1.0
            current = evaluate(theta, points, count, layout, options, work)
            continue
        if not accepted:
            return current, damping
        if options.delta > 0.0:
            beyond = max(beyond * _BOLDER, _BOLDEST)
        decrease = current - proposed
        slow = decrease < tolerance * proposed and damping < _SLACK  # a stiff step is short, not at the end
        small = small + 1 if slow else 0
        current = proposed
        theta[:] = work.trial
        if small >= _SMALL_STEPS or current <= enough:
            break
    return current, damping
