"""What a step is made of, compiled: derivatives of the residuals, Gauss–Newton matrix, Cholesky; and how one compiles.

Buffers are those of `kernel.Workspace`; `points`, `layout` and `options` are the kernel's too.
"""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

from numba import njit

# No fastmath: sums that may be reordered come out otherwise where code was compiled anew than where it was read from
# the cache, and an ill-determined law then ends elsewhere. It would save a tenth of the time.
_OPTIONS = {"nogil": True, "error_model": "numpy"}
_SOURCES = ("kernel.py", "matrix.py", "problem.py", "starts.py")


def compiled(function: Callable) -> Callable:
    """Return `function` as machine code that threads run in parallel.

    The first call compiles (some seconds); the code is then kept beside the package, or in the user's cache folder if
    the package is installed read-only. Where neither can be written, every process compiles anew.
    """
    try:
        dispatcher = njit(cache=True, **_OPTIONS)(function)
        # numba calls a function's cached code stale when its own file changes; it also holds code of the other files.
        dispatcher._cache._cache_file._source_stamp = _DIGEST
    except (RuntimeError, AttributeError):  # no folder for the cache, or a numba that keeps it otherwise
        return njit(**_OPTIONS)(function)
    return dispatcher


def _digest() -> str:
    """Return a hash of all kernel sources."""
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in _SOURCES)).hexdigest()


_DIGEST = _digest()


_BEND = 0.5  # largest acceleration, relative to the step


@compiled
def weigh(weight, count, delta, beyond, work):
    """Write each point's weight in the normal matrix, and the derivative of its loss.

    Beyond δ Huber's loss is straight. Reweighting gives a point there the weight δ/|r|, which always leads down and
    near the minimum slowly; `beyond` is the share of it that is taken: towards 0 the step becomes Newton's.
    """
    for i in range(count):
        size = abs(work.residual[i])
        outer = 0.0 < delta < size
        work.curvature[i] = weight[i] * (beyond * delta / size if outer else 1.0)
        work.slope[i] = weight[i] * (delta / size if outer else 1.0) * work.residual[i]


@compiled
def jacobian(points, count, layout, options, work):
    """Write the derivatives of the residuals, (P, m); terms become their shares of g, but for f̂ − f without a ceiling.

    With a ceiling log f has a share of the slope of log g, and the rest of that of log C.
    """
    has_ceiling = layout.sharpness > 0.0
    if options.log_space or has_ceiling:
        for i in range(count):
            work.value[i] = 1.0 / work.value[i]
        for j in range(layout.coefficient.size):
            share = work.share[j]
            for i in range(count):
                share[i] *= work.value[i]
    for p in range(work.gradient.size):
        for i in range(count):
            work.jacobian[p, i] = 0.0
    for e in range(layout.term.size):
        row, feature = work.jacobian[layout.parameter[e]], points.features[layout.variable[e]]
        share, sign = work.share[layout.term[e]], layout.sign[e]
        for i in range(count):
            row[i] += sign * share[i] * feature[i]
    if has_ceiling:
        bend_jacobian(count, layout, options, work)


@compiled
def bend_jacobian(count, layout, options, work):
    """Turn the derivatives of log g into those of log f below the ceiling, or of f."""
    slope = work.slope
    for i in range(count):
        slope[i] = work.passed[i] if options.log_space else work.passed[i] * work.bent[i]
    for p in range(work.gradient.size):
        row = work.jacobian[p]
        for i in range(count):
            row[i] *= slope[i]
    if layout.ceiling >= 0:
        row = work.jacobian[layout.ceiling]
        for i in range(count):
            row[i] = (1.0 - work.passed[i]) * (1.0 if options.log_space else work.bent[i])


@compiled
def normal_equations(points, count, options, beyond, work):
    """Write gradient and Gauss–Newton matrix (its lower triangle)."""
    weigh(points.weight, count, options.delta, beyond, work)
    scaled = work.exponent[0]
    for p in range(work.gradient.size):
        row, slope = work.jacobian[p], 0.0
        for i in range(count):
            slope += row[i] * work.slope[i]
            scaled[i] = row[i] * work.curvature[i]
        work.gradient[p] = slope
        for q in range(p + 1):
            other, product = work.jacobian[q], 0.0
            for i in range(count):
                product += scaled[i] * other[i]
            work.normal[p, q] = product


@compiled
def freeze_at_bounds(theta, options, work):
    """Take parameters that push against their bound out of the system; return the largest diagonal entry."""
    parameters, largest = theta.size, 0.0
    for p in range(parameters):
        largest = max(largest, work.normal[p, p])
    for p in range(parameters):
        outwards = (theta[p] <= options.lower[p] and work.gradient[p] > 0.0) or (
            theta[p] >= options.upper[p] and work.gradient[p] < 0.0
        )
        if outwards:
            work.gradient[p] = 0.0
            for q in range(p):
                work.normal[p, q] = 0.0
            for q in range(p + 1, parameters):
                work.normal[q, p] = 0.0
            work.normal[p, p] = largest
    return largest


@compiled
def factorise(damping, largest, work):
    """Write the Cholesky factor of H + damping·diag H; return whether the matrix was positive definite."""
    factor, normal = work.factor, work.normal
    parameters = len(factor)
    for p in range(parameters):
        for q in range(p):
            factor[p, q] = normal[p, q]
        factor[p, p] = normal[p, p] * (1.0 + damping) + largest * (1e-12 * damping + 1e-16)
    for j in range(parameters):
        pivot = factor[j, j]
        for k in range(j):
            pivot -= factor[j, k] * factor[j, k]
        if not pivot > 0.0:
            return False
        pivot = math.sqrt(pivot)
        factor[j, j] = pivot
        for i in range(j + 1, parameters):
            entry = factor[i, j]
            for k in range(j):
                entry -= factor[i, k] * factor[j, k]
            factor[i, j] = entry / pivot
    return True


@compiled
def substitute(factor, right, solution):
    """Write the solution of L·Lᵀ·x = right."""
    parameters = len(right)
    for i in range(parameters):
        entry = right[i]
        for k in range(i):
            entry -= factor[i, k] * solution[k]
        solution[i] = entry / factor[i, i]
    for i in range(parameters - 1, -1, -1):
        entry = solution[i]
        for k in range(i + 1, parameters):
            entry -= factor[k, i] * solution[k]
        solution[i] = entry / factor[i, i]


@compiled
def accelerate(slopes, count, layout, log_space, work):
    """Bend the step along the valley: geodesic acceleration (Transtrum & Sethna 2012, arXiv 1201.5885).

    `slopes` (J, m) are the terms' log slopes along the step. The second derivative of a log-sum-exp is their variance;
    the correction solves the step's own system for it, and is dropped where it is no small correction.
    """
    has_ceiling = layout.sharpness > 0.0
    ceiling = work.move[layout.ceiling] if layout.ceiling >= 0 else 0.0
    for i in range(count):
        mean, square = 0.0, 0.0
        for j in range(len(slopes)):
            mean += work.share[j, i] * slopes[j, i]
            square += work.share[j, i] * slopes[j, i] * slopes[j, i]
        second = square - mean * mean if log_space else square
        if has_ceiling:
            second = bent_second(mean, square - mean * mean, ceiling, layout.sharpness, work.passed[i])
            if not log_space:
                first = work.passed[i] * mean + (1.0 - work.passed[i]) * ceiling
                second = work.bent[i] * (second + first * first)
        work.slope[i] = work.curvature[i] * second
    straight, bent = 0.0, 0.0
    for p in range(work.move.size):
        row, total = work.jacobian[p], 0.0
        for i in range(count):
            total += row[i] * work.slope[i]
        work.right[p] = total if work.gradient[p] != 0.0 else 0.0  # frozen at a bound
    substitute(work.factor, work.right, work.trial)
    for p in range(work.move.size):
        straight += work.normal[p, p] * work.move[p] * work.move[p]
        bent += work.normal[p, p] * work.trial[p] * work.trial[p]
    if bent <= _BEND * _BEND * straight:
        for p in range(work.move.size):
            work.move[p] += 0.5 * work.trial[p]


@compiled
def bent_second(slope, second, ceiling, sharpness, passed):
    """Return the second derivative of log f along a step, from first and second of log g and the first of log C."""
    apart = slope - ceiling
    return passed * second - sharpness * passed * (1.0 - passed) * apart * apart
