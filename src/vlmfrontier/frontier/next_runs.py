"""Which runs to train next: those that shrink the frontier's expected regret most per unit of training cost.

The pool's models stand for what could be true. For each of them, a candidate run would show that model's error, up to
noise; the other models gain or lose weight by how well they had predicted it, the frontier is chosen anew, and its
regret under the model taken for true is noted. The mean over models is the expected regret after the run. Runs are
taken one by one, each given those before it, so a batch does not ask the same question twice.

Where a training is tested at lower levels as well, it shows the error of all these points at once: tests of one
training, which share a part of their noise, each off by the transfer gap, of which every model has its own draw. Its
cost is then that of training and of all tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from vlmfrontier.frontier.candidates import Candidates
from vlmfrontier.frontier.pool import Target, TargetLaws
from vlmfrontier.frontier.search import affordable, member_choices
from vlmfrontier.laws.checks import SHARED
from vlmfrontier.laws.formula import DATA
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.laws.transfer import Columns, GapDraws
from vlmfrontier.progress import Progress

DECISIONS = 12
"""Budgets at which regret is measured, spread evenly in the logarithm."""
SCREENED, SCREENING_TRUTHS = 150, 25
"""All candidates are judged with few models as the truth; this many of the best then with all of them."""
TRUTHS = 100
"""At most this many models are taken for the truth in turn."""


COLUMNS = ("n", "training_cost", "regret_before", "regret_after")
"""Of a table of suggestions, after the factors."""


def with_gap(target: Target, laws: TargetLaws, table: ResultsTable, seed: int) -> tuple[Target, GapDraws | None]:
    """Return a target whose models are of trainings where they are deployed, and each model's transfer gap.

    Where no anchor tells the gap, the laws take nothing off; here every model takes its draw of the prior, or an anchor
    would be worth nothing. None where no run was tested elsewhere, and in the paper's mode.
    """
    known, found = laws.discrepancy, table.measured(target.name).transfer.get(target.name)
    if known is None or found is None:
        return target, None
    if known.gap is not None:
        return target, known.gap
    pool = target.ensemble.pool
    gap = GapDraws(found.columns, found.place, found.draws(len(pool), seed))
    level, slope = gap.over(target.space.factors)
    pool = replace(pool, level=pool.level - level, slope=pool.slope - slope)
    return replace(target, ensemble=replace(target.ensemble, pool=pool)), gap


def suggest(
    target: Target,
    candidates: Candidates,
    budgets: np.ndarray,
    examples: np.ndarray,
    noise: float,
    count: int,
    progress: Progress | None = None,
    gap: GapDraws | None = None,
) -> pd.DataFrame:
    """Return `count` runs to train next, in order, a row each.

    `noise` is the relative standard deviation of a run's error around the law, `gap` what each model says is lost by a
    test elsewhere. Columns: the factors and n of the run, its `training_cost`, where it is tested at several levels how
    many `points` that makes and their `testing_cost`, and the expected regret of the frontier, in points of error
    averaged over budgets and `examples`, before it (`regret_before`) and after it (`regret_after`): f at x* (Eq. 4) of
    the weighted models less the least f that the budget affords under the model taken for the truth.
    """
    problem = _Problem.of(target, budgets, examples)
    predicted = _predicted(target, candidates, noise, gap)
    truths = _spread_out(len(target.ensemble.pool), TRUTHS)
    evidence = np.zeros((len(truths), len(target.ensemble.pool)))
    before = problem.regret(evidence, truths)
    shown, rows = _screen(problem, predicted, candidates), []
    for number in range(min(count, len(candidates.index))):
        if progress is not None:
            progress(f"weigh {len(shown)} candidates for run {number + 1}")
        after = np.array([problem.regret(evidence + _evidence(predicted[k], truths), truths) for k in shown])
        best = int(np.argmax((before - after) / candidates.total[shown]))
        k = shown[best]
        x = target.space.at(candidates.index[k])
        run = {**x, "n": candidates.examples[k], "training_cost": candidates.cost[k]}
        if candidates.testing is not None:
            run |= {"points": len(candidates.tests[k]), "testing_cost": candidates.testing[k]}
        rows.append({**run, "regret_before": before, "regret_after": after[best]})
        evidence += _evidence(predicted[k], truths)
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


def _predicted(target: Target, candidates: Candidates, noise: float, gap: GapDraws | None) -> list[np.ndarray]:
    """Return what every model predicts for the tests of each candidate, (R, k): log errors that are rotated and scaled
    so that their noise is independent and of size 1."""
    tests = candidates.tests or [np.array([i]) for i in candidates.index]
    sizes = [len(where) for where in tests]
    index, examples = np.concatenate(tests), np.repeat(candidates.examples, sizes)
    predicted = np.empty((len(target.ensemble.pool), len(index)))
    for n in np.unique(examples):
        needed, at = np.unique(index[examples == n], return_inverse=True)
        predicted[:, examples == n] = np.log(target.ensemble.pool.errors(needed, n))[:, at]
    lost, unsure = _lost(target, candidates, index, examples, sizes, gap)
    ends = np.cumsum(sizes)[:-1]
    parts = zip(np.split(predicted + lost, ends, axis=1), np.split(unsure, ends), strict=True)
    return [_without_noise(values, noise, columns) for values, columns in parts]


def _without_noise(values: np.ndarray, noise: float, unsure: np.ndarray) -> np.ndarray:
    """Return values (R, k) of one training's tests in units of their noise, a part of which they share; `unsure` (k, q)
    times independent normal numbers come on top."""
    k = values.shape[1]
    covariance = noise**2 * ((1 - SHARED) * np.eye(k) + SHARED) + unsure @ unsure.T
    return np.linalg.solve(np.linalg.cholesky(covariance), values.T).T


def _lost(
    target: Target,
    candidates: Candidates,
    index: np.ndarray,
    examples: np.ndarray,
    sizes: Sequence[int],
    gap: GapDraws | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what every model says is lost in tests at `index` by having been trained elsewhere, in logs: (R, tests) or
    0; and columns (tests, q) of what no model knows: a gap of a kind that the study has no runs of."""
    none = np.zeros((len(index), 1))
    if not candidates.tests and not (candidates.elastic is not None and candidates.elastic.any()):
        return np.zeros((1, 1)), none
    factors = target.space.factors
    points = {name: values[index] for name, values in factors.items()} | {DATA: examples}
    trained = {name: np.repeat(factors[name][candidates.index], sizes) for name in "TV"}
    drew = np.repeat(candidates.elastic, sizes)
    known, lost = np.zeros(len(index), bool), np.zeros((1, 1))
    if gap is not None:
        known = np.where(drew, gap.columns.elastic, gap.columns.fixed)
        lost = gap.gamma @ gap.columns.of(points, trained, drew).T
    new = Columns(("T", "V"), (), True, True, {})
    return lost, new.of(points, trained, drew) * new.prior * ~known[:, None]


def _evidence(predicted: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """Return the log likelihood (Q, R) of every model if each of `truths` shows its own errors, `predicted` (R, k) in
    units of their noise.

    Half the variance is the measurement's own noise, which is not drawn but averaged: it widens the likelihood.
    """
    return -np.square(predicted[truths][:, None] - predicted[None]).sum(axis=-1) / 4


def _screen(problem: _Problem, predicted: Sequence[np.ndarray], candidates: Candidates) -> np.ndarray:
    """Return the candidates that do best per cost, as indices, judged with few models as the truth."""
    truths = _spread_out(len(predicted[0]), SCREENING_TRUTHS)
    nothing = np.zeros((len(truths), len(predicted[0])))
    before = problem.regret(nothing, truths)
    after = np.array([problem.regret(_evidence(each, truths), truths) for each in predicted])
    return np.argsort(-(before - after) / candidates.total, kind="stable")[:SCREENED]


def _spread_out(count: int, most: int) -> np.ndarray:
    """Return at most `most` of the indices 0 … count − 1, evenly spaced: the pool lists form after form."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))
