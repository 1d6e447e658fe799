"""What a design of runs can tell, before any of them: laws of a prior, simulated runs, fits, and what these find.

Every law is fitted as a study's is, but for speed with few starts and forms, and resamples descend from the fit of all
runs instead of searching anew. In 16 simulated studies of the paper's 88 runs the intervals so found were 0.92 times as
wide as those of the full way. Exponents may have any sign: otherwise the fits would assume the sign of the difference.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from vlmfrontier.frontier.elasticity import elasticity_of_errors, elasticity_table
from vlmfrontier.frontier.pool import Target, TargetLaws, target_laws
from vlmfrontier.frontier.prior import TARGET, Design, Law, draw_law
from vlmfrontier.frontier.rivals import Comparison, Configuration, columns, compare
from vlmfrontier.frontier.space import RunRange
from vlmfrontier.laws.bagging import Bag, descended, folds, times_drawn
from vlmfrontier.laws.engine import descend
from vlmfrontier.laws.fit import fit, problem_for
from vlmfrontier.laws.forms import form_for
from vlmfrontier.laws.selection import Evidence, log_scores, pseudo_bma
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.study.analysis import FrontierConfig, LawsConfig

FORMS = ("mult", "add", "add-interact")
RESAMPLES, STARTS, MEMBERS = 40, 10, 80
MOVES = 0.02
"""An elasticity smaller than this is no direction."""
BINS = (0.0, 0.5, 1.0, 2.0, np.inf)
"""Bins of the true difference, in points of error (of a loss: in 1/45 of a typical one)."""
FOUND = 0.8


def quick_laws(table: ResultsTable, config: LawsConfig) -> TargetLaws:
    """Return laws of a table, bagged and pooled as a study's but faster: see this module's text."""
    laws, bags, evidence = {}, {}, {}
    for form in config.forms:
        laws[form] = law = fit(table, form, TARGET, config, threads=1)
        problem = problem_for(table, form, TARGET, config)
        warm, weight = law.theta[None], problem.weight[0]
        theta = np.stack([descend(problem, weight * times, warm)[0] for times in times_drawn(table, config)])
        bags[form] = Bag(law.form, table.units, table.data_unit, theta, np.zeros(len(theta)), np.zeros(len(theta)))
        left_out = descended(problem, folds(table, config), warm, threads=1)
        evidence[form] = Evidence(law.predict(table.points()), left_out, left_out, None)
    weights = pseudo_bma(log_scores(table, TARGET, evidence), config.seed)
    return target_laws(table, laws, bags, weights, FrontierConfig(members=MEMBERS), config.seed)


Noise = float | Callable[[np.ndarray], np.ndarray]
"""Standard deviation of a measured error relative to it, or that of each error."""


@dataclass(frozen=True)
class Outcome:
    """What one simulated study detected, and what was true."""

    compared: list[Comparison]
    true: list[float]
    """True difference of every pair of rivals, the second's error less the first's."""
    directions: pd.DataFrame
    """Per factor: its true elasticity `e`, and the sign that was `detected` (0: none)."""


def simulate(
    design: Design,
    rivals: Sequence[Configuration],
    examples: float | None,
    noise: Noise,
    laws: int,
    seed: int,
    done: Callable[[], None],
) -> list[Outcome]:
    """Return what the design detects under each of `laws` laws of the prior, calling `done` after each."""
    config = LawsConfig(
        forms=_forms(design),
        ceiling=None,
        positive_exponents=False,
        preset="fast",
        starts=STARTS,
        resamples=RESAMPLES,
        seed=seed,
    )
    found = []
    for number in range(laws):
        rng = np.random.default_rng([seed, number])
        law = draw_law(design, rng)
        error = law(design.points())
        size = noise(error) if callable(noise) else noise
        fitted = quick_laws(design.table(error * np.exp(size * rng.standard_normal(len(error)))), config)
        found.append(_outcome(design, law, fitted, rivals, examples))
        done()
    return found


def _forms(design: Design) -> list[str]:
    """Return the forms that the runs can carry; the first where they carry none, whose fit then says so."""
    factors, has_data = list(design.factors), design.data is not None
    forms = [form_for(name, factors, has_data) for name in (FORMS if has_data else FORMS[:-1])]
    carried = [form.name for form in forms if form.needed <= design.configurations]
    return carried or [FORMS[0]]


def _outcome(
    design: Design, law: Law, fitted: TargetLaws, rivals: Sequence[Configuration], examples: float | None
) -> Outcome:
    compared, true = [], []
    if rivals:
        compared = compare(rivals, fitted.ensemble(columns(rivals)), examples)
        n = {} if design.data is None else {"n": np.full(len(rivals), examples)}
        errors = dict(zip(map(_key, rivals), law({**columns(rivals), **n}), strict=True))
        true = [float(errors[_key(pair.second)] - errors[_key(pair.first)]) for pair in compared]
    return Outcome(compared, true, _directions(design, law, fitted))


def _key(rival: Configuration) -> tuple[float, ...]:
    return tuple(rival.values())


def _directions(design: Design, law: Law, fitted: TargetLaws) -> pd.DataFrame:
    """Return the true elasticity and the detected direction of each factor; no row without space or n."""
    if design.space is None or design.grid is None:
        return pd.DataFrame(columns=["factor", "e", "detected"])
    space, grid = design.space, design.grid
    before, after = (
        np.stack([law({**space.factors, "n": np.full(len(space), n)}) for n in sizes])
        for sizes in (grid.examples, grid.examples + grid.step)
    )
    target = Target(TARGET, space, fitted.ensemble(space.factors), RunRange.of(design.factors, design.data))
    detected = elasticity_table(target, grid).direction.map({"up": 1, "down": -1}).fillna(0).to_numpy(int)
    return pd.DataFrame(
        {"factor": list(space.factors), "e": elasticity_of_errors(space, grid, before, after), "detected": detected}
    )


def separated(outcomes: Sequence[Outcome], pair: int, scale: float) -> tuple[pd.DataFrame, float | None]:
    """Return how often the difference between two rivals is detected, by its true size, and the smallest difference
    that is detected with the right sign in 80% of the cases (None if that is not reached).

    Columns: `from`, `to` (points), laws, and as shares right and wrong sign and undetected; the last row is over all.
    """
    true = np.array([outcome.true[pair] for outcome in outcomes])
    detected = np.array([outcome.compared[pair].detected for outcome in outcomes])
    right, wrong = detected * np.sign(true) > 0, detected * np.sign(true) < 0
    rows = []
    for low, high in [*pairwise(BINS), (BINS[0], BINS[-1])]:
        inside = (np.abs(true) >= low * scale) & (np.abs(true) < high * scale)
        shares = [float(x[inside].mean()) if inside.any() else np.nan for x in (right, wrong, detected == 0)]
        rows.append((low * scale, high * scale, int(inside.sum()), *shares))
    return pd.DataFrame(rows, columns=["from", "to", "laws", "right", "wrong", "undetected"]), _smallest(
        np.abs(true), right
    )


def _smallest(size: np.ndarray, right: np.ndarray) -> float | None:
    """Return the size from which on the share of `right`, made monotone in the size, is `FOUND` or more."""
    order = np.argsort(size, kind="stable")
    blocks: list[list[float]] = []  # sum and count, pooled while a block is below the one before it
    for value in right[order].astype(float):
        blocks.append([value, 1.0])
        while len(blocks) > 1 and blocks[-1][0] / blocks[-1][1] <= blocks[-2][0] / blocks[-2][1]:
            last = blocks.pop()
            blocks[-1] = [blocks[-1][0] + last[0], blocks[-1][1] + last[1]]
    place = 0
    for total, count in blocks:
        if total / count >= FOUND:
            return float(size[order][place])
        place += int(count)
    return None


def directed(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Return how often a direction in n is stated, by factor: rows of shares.

    Columns: factor; `moves`, in how many laws x* moves; `right`, in which share of these that direction is detected;
    `wrong`, in which share of all laws another direction is detected than the true one.
    """
    rows = pd.concat([outcome.directions for outcome in outcomes], ignore_index=True)
    found = []
    for factor, of in rows.groupby("factor", sort=False):
        moves = of.e.abs() >= MOVES
        right, wrong = of.detected * np.sign(of.e) > 0, (of.detected != 0) & (of.detected != np.sign(of.e))
        found.append((factor, int(moves.sum()), right[moves].mean() if moves.any() else np.nan, wrong.mean()))
    return pd.DataFrame(found, columns=["factor", "moves", "right", "wrong"])
