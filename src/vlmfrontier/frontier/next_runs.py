"""Which runs to train next: those that shrink the frontier's expected regret most per unit of training cost.

The pool's models stand for what could be true. For each of them, a candidate run would show that model's error, up to
noise; the other models gain or lose weight by how well they had predicted it, the frontier is chosen anew, and its
regret under the model taken for true is noted. The mean over models is the expected regret after the run. Runs are
taken one by one, each given those before it, so a batch does not ask the same question twice.

Only rivals of the frontier are candidates. Far from it the models disagree most, and all of them may be wrong there: a
law has no ceiling at chance, for one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vlmfrontier.cost.training import training_cost
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.pool import Target
from vlmfrontier.frontier.search import affordable, member_choices, pooled_errors, search
from vlmfrontier.progress import Progress

RIVAL = 1.1
"""A candidate's predicted error is at most this many times the least at its cost."""
DECISIONS = 12
"""Budgets at which regret is measured, spread evenly in the logarithm."""
SCREENED, SCREENING_TRUTHS = 150, 25
"""All candidates are judged with few models as the truth; this many of the best then with all of them."""
TRUTHS = 100
"""At most this many models are taken for the truth in turn."""


COLUMNS = ("n", "training_cost", "regret_before", "regret_after")
"""Of a table of suggestions, after the factors."""


@dataclass(frozen=True)
class Candidates:
    """Runs that could be trained."""

    index: np.ndarray
    """Configurations as indices into the search space, shape (K,)."""
    examples: np.ndarray
    """Numbers of examples, shape (K,)."""
    cost: np.ndarray
    """Training cost of one epoch, shape (K,), in the unit of c times examples: FLOPs for Eq. 1."""


def candidates_of(target: Target, runs: pd.DataFrame, budgets: np.ndarray, examples: Sequence[float]) -> Candidates:
    """Return the configurations that come close to the frontier (Eq. 4) of the budgets, at every n, if not yet run.

    Close means a predicted error of at most `RIVAL` times the least that the same cost can buy. Raises `UserError` if
    nothing is left to run.
    """
    space, sizes = target.space, np.asarray(examples, float)
    errors = pooled_errors(target.ensemble.pool, sizes)
    cheapest = search(errors, affordable(space.cost, budgets[:1])).min()
    rivals = errors <= RIVAL * np.minimum.accumulate(errors, axis=1)
    rivals &= (np.arange(len(space)) >= cheapest) & (space.cost <= budgets[-1])
    if "trained" in runs:  # a test of a model that was trained elsewhere leaves that run to do: it may be an anchor
        runs = runs[runs["trained"] == ""]
    done = set(runs[[*space.factors, "n"]].itertuples(index=False, name=None))
    size, index = np.nonzero(rivals)
    sizes = sizes[size]
    points = zip(*(values[index] for values in space.factors.values()), sizes, strict=True)
    new = np.array([point not in done for point in points])
    if not new.any():
        raise UserError("every rival of the frontier has been run at every number of examples; widen space")
    index, sizes = index[new], sizes[new]
    return Candidates(index, sizes, training_cost(space.cost[index], sizes))


def suggest(
    target: Target,
    candidates: Candidates,
    budgets: np.ndarray,
    examples: np.ndarray,
    noise: float,
    count: int,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Return `count` runs to train next, in order, a row each.

    `noise` is the relative standard deviation of a run's error around the law. Columns: the factors and n of the run,
    its `training_cost`, and the expected regret of the frontier, in points of error averaged over budgets and
    `examples`, before it (`regret_before`) and after it (`regret_after`): f at x* (Eq. 4) of the weighted models less
    the least f that the budget affords under the model taken for the truth.
    """
    problem = _Problem.of(target, budgets, examples)
    predicted = _log_errors(target, candidates)
    truths = _spread_out(len(target.ensemble.pool), TRUTHS)
    evidence = np.zeros((len(truths), len(target.ensemble.pool)))
    before = problem.regret(evidence, truths)
    shown, rows = _screen(problem, predicted, candidates, noise), []
    for number in range(min(count, len(candidates.index))):
        if progress is not None:
            progress(f"weigh {len(shown)} candidates for run {number + 1}")
        after = np.array([problem.regret(evidence + _evidence(predicted, k, truths, noise), truths) for k in shown])
        best = int(np.argmax((before - after) / candidates.cost[shown]))
        k = shown[best]
        x = target.space.at(candidates.index[k])
        run = {**x, "n": candidates.examples[k], "training_cost": candidates.cost[k]}
        rows.append({**run, "regret_before": before, "regret_after": after[best]})
        evidence += _evidence(predicted, k, truths, noise)
        before, shown = after[best], np.delete(shown, best)
        if len(shown) == 0:
            break
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class _Problem:
    """The decisions whose regret counts, over the configurations that any model might choose."""

    errors: np.ndarray
    """Every model's error at these configurations, shape (R, S, D)."""
    counts: np.ndarray
    """How many of the configurations each budget affords, shape (C,)."""

    @classmethod
    def of(cls, target: Target, budgets: np.ndarray, examples: np.ndarray) -> "_Problem":
        """Return the decisions at some budgets within the given ones and at the given numbers of examples."""
        some = np.geomspace(budgets[0], budgets[-1], DECISIONS)
        pool, space = target.ensemble.pool, target.space
        optima = np.unique(member_choices(pool, examples, affordable(space.cost, some)))
        errors = np.stack([pool.errors(optima, n) for n in examples], axis=1)
        return cls(errors, affordable(space.cost[optima], some))

    def regret(self, evidence: np.ndarray, truths: np.ndarray) -> float:
        """Return the mean regret if each of `truths` holds and the models have the log weights `evidence` (Q, R)."""
        weights = np.exp(evidence - evidence.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        expected = np.tensordot(weights, self.errors, axes=1)
        true = self.errors[truths]
        losses = 0.0
        for count in self.counts:
            chosen = expected[..., :count].argmin(axis=-1)
            reached = np.take_along_axis(true, chosen[..., None], axis=-1)[..., 0]
            losses += np.mean(reached - true[..., :count].min(axis=-1))
        return losses / len(self.counts)


def _log_errors(target: Target, candidates: Candidates) -> np.ndarray:
    """Return the logarithm of what every model predicts for every candidate, shape (R, K)."""
    predicted = np.empty((len(target.ensemble.pool), len(candidates.index)))
    for n in np.unique(candidates.examples):
        here = candidates.examples == n
        predicted[:, here] = target.ensemble.pool.errors(candidates.index[here], n)
    return np.log(predicted)


def _evidence(predicted: np.ndarray, k: int, truths: np.ndarray, noise: float) -> np.ndarray:
    """Return the log likelihood (Q, R) of every model if each of `truths` shows its own error in candidate `k`.

    Half the variance is the measurement's own noise, which is not drawn but averaged: it widens the likelihood.
    """
    difference = predicted[truths, k][:, None] - predicted[None, :, k]
    return -(difference**2) / (4 * noise**2)


def _screen(problem: _Problem, predicted: np.ndarray, candidates: Candidates, noise: float) -> np.ndarray:
    """Return the candidates that do best per cost, as indices, judged with few models as the truth."""
    truths = _spread_out(len(predicted), SCREENING_TRUTHS)
    nothing = np.zeros((len(truths), len(predicted)))
    before = problem.regret(nothing, truths)
    count = len(candidates.index)
    after = np.array([problem.regret(_evidence(predicted, k, truths, noise), truths) for k in range(count)])
    return np.argsort(-(before - after) / candidates.cost, kind="stable")[:SCREENED]


def _spread_out(count: int, most: int) -> np.ndarray:
    """Return at most `most` of the indices 0 … count − 1, evenly spaced: the pool lists form after form."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))
