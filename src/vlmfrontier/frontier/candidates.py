"""Runs that could be trained next, each with all points at which it would be tested, and what that costs.

Only rivals of the frontier are candidates. Far from it the models disagree most, and all of them may be wrong there: a
law has no ceiling at chance, for one. A training that has a rival among its tests is a candidate as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from vlmfrontier.cost.training import training_cost
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.pool import Target
from vlmfrontier.frontier.search import affordable, pooled_errors, search
from vlmfrontier.study.evaluation import UNKNOWN_QUESTIONS
from vlmfrontier.study.root import Study
from vlmfrontier.study.space import VideoLevels
from vlmfrontier.sweep.evaluations import asked
from vlmfrontier.sweep.points import Drawn, drawn, next_draw, next_levels

Numbers = dict[tuple[float, ...], int]
"""Indices of configurations by their factors, T and V last."""
RIVAL = 1.1
"""A candidate's predicted error is at most this many times the least at its cost."""


@dataclass(frozen=True)
class Treatment:
    """How a run that is trained next is trained and tested, as the study says."""

    also: VideoLevels | None = None
    """Where it is tested besides its own T and V; None: nowhere."""
    draw: VideoLevels | None = None
    """What its steps draw T and V from; None: all have its own."""
    questions: int = 0
    """Videos that each test reads."""
    epochs: int = 1
    """Passes over its examples."""

    @classmethod
    def of(cls, study: Study, results: Path | None = None) -> "Treatment":
        """Return what a study says; an own table says nothing. `results` may know how many questions there are."""
        if not study.trained:
            return cls()
        questions = asked(study, results, UNKNOWN_QUESTIONS)
        return cls(next_levels(study), next_draw(study), questions.readings - questions.control, study.finetune.epochs)

    def levels(self, x: dict[str, float]) -> Drawn | None:
        """Return what a run of x draws T and V from; None if it draws nothing."""
        return drawn(self.draw, int(x["T"]), int(x["V"])) if self.draw else None


@dataclass(frozen=True)
class Candidates:
    """Runs that could be trained."""

    index: np.ndarray
    """Configurations as indices into the search space, shape (K,)."""
    examples: np.ndarray
    """Numbers of examples, shape (K,)."""
    cost: np.ndarray
    """Training cost of all epochs, shape (K,), in the unit of c times examples: FLOPs for Eq. 1."""
    tests: Sequence[np.ndarray] = ()
    """Where each would be tested, as indices into the search space, its own configuration first; empty: there alone."""
    testing: np.ndarray | None = None
    """Cost of these tests, shape (K,); None: it is not counted."""
    elastic: np.ndarray | None = None
    """Which would draw their T and V, shape (K,); None: none."""

    @property
    def total(self) -> np.ndarray:
        """What each costs, shape (K,)."""
        return self.cost if self.testing is None else self.cost + self.testing


def candidates_of(
    target: Target,
    runs: pd.DataFrame,
    budgets: np.ndarray,
    examples: Sequence[float],
    testing: Treatment | None = None,
) -> Candidates:
    """Return the configurations that come close to the frontier (Eq. 4) of the budgets, at every n, if not yet run.

    Close means a predicted error of at most `RIVAL` times the least that the same cost can buy. With `testing` at lower
    levels also those that would be tested at such a configuration. `runs` may say which were `trained` elsewhere and
    which are `elastic`. Raises `UserError` if nothing is left to run.
    """
    space, sizes, testing = target.space, np.asarray(examples, float), testing or Treatment()
    errors = pooled_errors(target.ensemble.pool, sizes)
    cheapest = search(errors, affordable(space.cost, budgets[:1])).min()
    rivals = errors <= RIVAL * np.minimum.accumulate(errors, axis=1)
    rivals &= (np.arange(len(space)) >= cheapest) & (space.cost <= budgets[-1])
    number = _numbered(target) if testing.also or testing.draw else {}
    below = _Below(target, testing.also, number) if testing.also else None
    trained = rivals if below is None else rivals | below.bring(rivals)
    size, index = np.nonzero(trained)
    done, elastic = _done(runs, list(space.factors)), _elastic(target, testing, index)
    points = zip(*(values[index] for values in space.factors.values()), sizes[size], elastic.tolist(), strict=True)
    new = np.array([point not in done for point in points])
    if not new.any():
        raise UserError("every rival of the frontier has been run at every number of examples; widen space")
    index, sizes, elastic = index[new], sizes[size][new], elastic[new]
    cost = training_cost(_seen(target, testing, index, elastic, number), sizes, testing.epochs)
    if below is None:
        return Candidates(index, sizes, cost, elastic=elastic)
    tests = [below.tests(i) for i in index]
    answers = testing.questions * np.array([space.cost[where].sum() for where in tests])
    return Candidates(index, sizes, cost, tests, answers, elastic)


def _done(runs: pd.DataFrame, factors: list[str]) -> set[tuple]:
    """Return factors and n of what has been trained, and whether T and V were drawn.

    A test of a model that was trained elsewhere leaves that run to do: it may be an anchor.
    """
    drew = runs["elastic"].to_numpy(bool) if "elastic" in runs else np.zeros(len(runs), bool)
    own = (runs["trained"] == "").to_numpy() if "trained" in runs else np.ones(len(runs), bool)
    at_own = np.all([runs[f] == runs.get(f"{f}_train", runs[f]) for f in factors], axis=0)
    runs = runs.assign(drew=drew)[own | (drew & at_own)]
    return set(runs[[*factors, "n", "drew"]].itertuples(index=False, name=None))


def _elastic(target: Target, testing: Treatment, index: np.ndarray) -> np.ndarray:
    """Return which of the configurations at `index` would draw their T and V."""
    return np.array([testing.levels(target.space.at(i)) is not None for i in index], bool)


def _seen(target: Target, testing: Treatment, index: np.ndarray, elastic: np.ndarray, number: Numbers) -> np.ndarray:
    """Return the mean c of the steps of trainings at `index`; of those that draw over the levels in the space."""
    cost = target.space.cost[index].copy()
    for k in np.flatnonzero(elastic):
        x = target.space.at(index[k])
        at = [number.get((*_others(x), T, V)) for T, V in product(*testing.levels(x))]
        cost[k] = np.mean([target.space.cost[i] for i in at if i is not None])
    return cost


def _others(x: dict[str, float]) -> tuple[float, ...]:
    return tuple(value for name, value in x.items() if name not in "TV")


def _numbered(target: Target) -> Numbers:
    """Return the index of every configuration by its other factors, T and V."""
    space = target.space
    return {(*_others(x), x["T"], x["V"]): i for i, x in enumerate(map(space.at, range(len(space))))}


class _Below:
    """Where the configurations of a space are tested besides, if they are trained."""

    def __init__(self, target: Target, also: VideoLevels, number: Numbers):
        self.space, self.also, self.number = target.space, also, number

    def tests(self, index: int) -> np.ndarray:
        """Return the configurations at which a training would be tested, its own first; none outside the space."""
        x = self.space.at(index)
        levels = [[level for level in getattr(self.also, f) or [x[f]] if level <= x[f]] for f in "TV"]
        found = [self.number.get((*_others(x), float(T), float(V))) for T, V in product(*levels)]
        return np.array([index, *(i for i in found if i not in (None, index))])

    def bring(self, rivals: np.ndarray) -> np.ndarray:
        """Return which configurations at the levels of the tests, (S, m), would be tested at one of the `rivals`."""
        at_levels = np.ones(len(self.space), bool)
        for f in "TV":
            if (levels := getattr(self.also, f)) is not None:
                at_levels &= np.isin(self.space.factors[f], levels)
        found = np.zeros_like(rivals)
        for index in np.flatnonzero(at_levels):
            found[:, index] = rivals[:, self.tests(index)].any(axis=1)
        return found
