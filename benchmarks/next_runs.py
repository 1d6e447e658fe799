"""What do suggested runs save? From the star runs alone towards the regret of the paper's full design, four ways.

    python benchmarks/next_runs.py [--truths 20] [--seed 0] [--round 14] [--processes 2] [--output next_runs.csv]

Every simulated study starts with the paper's 39 star runs and adds runs in rounds, until they cost as much as the 49 of
the paper's isoFLOP sweep or are twice as many: the suggestions of `next_runs`; rivals of the frontier in random order;
the cheapest of them first; the paper's own isoFLOP runs, at random. After every round all laws are fitted anew, and the
regret of the frontier against the truth is noted beside the training cost so far, in shares of what the paper's 49 runs
cost. Truths take turns in kind, and in noise, 1% and 3%. Prints the median regret by share of that cost, and the share
at which half of the truths have reached the regret of their own full design.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from calibration import fitted
from simulated import simulate_all
from tabulate import tabulate
from truths import DATA_UNIT, FACTORS, GRID, Truth, draw, runs

from vlmfrontier.cost.flops import PAPER_VISION_FEATURES, PAPER_VISION_PARAMETERS, PaperCost
from vlmfrontier.cost.training import training_cost
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.candidates import Candidates, candidates_of
from vlmfrontier.frontier.next_runs import suggest
from vlmfrontier.frontier.pool import Target
from vlmfrontier.frontier.search import affordable, pooled_errors, search
from vlmfrontier.frontier.space import RunRange, SearchSpace, grid_space
from vlmfrontier.study.analysis import LawsConfig

KINDS = ("none", "weak", "strong", "mult", "saturating")
NOISES = (0.01, 0.03)
BUDGETS = np.geomspace(2e12, 100e12, 15)
EXAMPLES = np.array([0.5, 1.0, 2.0]) * DATA_UNIT
"""Data sizes at which regret counts."""
SIZES = np.array([0.25, 0.5, 1.0, 2.0]) * DATA_UNIT
"""Data sizes that a run may have: those of the full design."""
SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 1.0)
MOST = 2 * int((GRID.sweep == "isoflop").sum())
"""At most so many runs are added: cheap ones may be many."""
CONFIG = LawsConfig(starts=16, resamples=25, preset="fast")
"""Lighter than a study: the median of the pool, whose regret counts here, needs fewer resamples than intervals do."""
COST = PaperCost(PAPER_VISION_PARAMETERS, PAPER_VISION_FEATURES)
STAR = GRID[GRID.sweep == "star"][[*FACTORS, "n"]].reset_index(drop=True)
FULL = GRID[GRID.sweep == "isoflop"][[*FACTORS, "n"]].reset_index(drop=True)


@dataclass(frozen=True)
class Known:
    """What a study knows after some runs."""

    target: Target
    noise: float
    """Relative error of the likeliest form on runs it has not seen, which `next_runs` takes for the noise of a run."""
    added: pd.DataFrame
    """The runs beside those of the star."""


Strategy = Callable[[Known, int, np.random.Generator], pd.DataFrame]
"""From what is known to the next runs, at most so many."""


def main() -> None:
    """Simulate, print the tables, write every round."""
    options = arguments()
    tasks = [(index, options.seed, options.round) for index in range(options.truths)]
    rounds = simulate_all(simulate, tasks, options.processes, options.output)
    print(f"{options.truths} truths, rounds of {options.round} runs, seed {options.seed}\n")
    for table in (median_regrets(rounds), shares_needed(rounds)):
        print(tabulate(table, headers="keys", showindex=False, floatfmt=".3g"), end="\n\n")
    print(f"rounds → {options.output}")


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truths", type=int, default=20, help="simulated studies (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="seed of truths, noise and orders (default 0)")
    parser.add_argument("--round", type=int, default=14, help="runs between two fits (default 14)")
    parser.add_argument("--processes", type=int, default=2, help="studies side by side (default 2)")
    parser.add_argument("--output", type=Path, default=Path("next_runs.csv"), help="where the rounds go")
    return parser.parse_args()


def simulate(task: tuple[int, int, int]) -> pd.DataFrame:
    """Return every round of every strategy on one truth: runs added, share of the full design's cost, regret in %."""
    index, seed, size = task
    kind, noise = KINDS[index % len(KINDS)], NOISES[index % len(NOISES)]
    truth, space = draw(kind, np.random.default_rng([seed, index])), deployable()
    study, parts = Study(truth, noise, [seed, index, 100], space), []
    start = study.after(STAR.iloc[:0])
    for order, (name, strategy) in enumerate(STRATEGIES.items()):
        rounds = trace(strategy, study, start, size, np.random.default_rng([seed, index, order]))
        parts.append(rounds.assign(strategy=name))
    return pd.concat(parts, ignore_index=True).assign(kind=kind, noise=noise, truth=index)


@dataclass(frozen=True)
class Study:
    """A simulated study."""

    truth: Truth
    noise: float
    seed: list[int]
    """Of the noise: that of the first runs stays when more are added."""
    space: SearchSpace

    def after(self, added: pd.DataFrame) -> Known:
        """Return what is known after the star runs and those added."""
        rows = pd.concat([STAR, added], ignore_index=True)
        table = runs(self.truth, self.noise, np.random.default_rng(self.seed), rows)
        laws = fitted(table, CONFIG)
        likeliest = max(laws.rows, key=lambda form: len(laws.rows[form]))
        unseen = laws.bags[likeliest].out_of_bag["mse"]
        target = Target("avg", self.space, laws.ensemble(self.space.factors), RunRange.of(table.factors, table.data))
        return Known(target, float(np.sqrt(unseen) / table.error("avg").mean()), added)


def trace(strategy: Strategy, study: Study, start: Known, size: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return cost and regret after every round of one strategy, the start included."""
    known = start
    rows = [{"added": 0, "share": 0.0, "regret": regret(known.target, study.truth)}]
    while len(known.added) < MOST and rows[-1]["share"] < 1 - 1e-9:
        try:
            new = strategy(known, min(size, MOST - len(known.added)), rng)
        except UserError:  # every rival has been run
            break
        known = study.after(pd.concat([known.added, new[[*FACTORS, "n"]]], ignore_index=True))
        share = cost_of(known.added).sum() / cost_of(FULL).sum()
        rows.append({"added": len(known.added), "share": share, "regret": regret(known.target, study.truth)})
    return pd.DataFrame(rows)


def deployable() -> SearchSpace:
    """Return the configurations to choose from and to run: the LM sizes, T in steps of a third, V of a half or more."""
    frames = np.unique(np.round(np.geomspace(1, 128, 18)))
    sides = np.unique(np.round(np.geomspace(1, 27, 14)))
    return grid_space({"N": np.unique(GRID.N), "T": frames, "V": sides**2}, COST).within(BUDGETS[-1])


def cost_of(rows: pd.DataFrame) -> np.ndarray:
    """Return the training FLOPs of runs."""
    return training_cost(COST.cost(rows), rows.n)


def regret(target: Target, truth: Truth) -> float:
    """Return the mean regret of the frontier in per cent of the least true error, over budgets and data sizes."""
    counts = affordable(target.space.cost, BUDGETS)
    chosen = search(pooled_errors(target.ensemble.pool, EXAMPLES), counts)
    lost = []
    for n, taken in zip(EXAMPLES, chosen, strict=True):
        true = truth.error(target.space.factors, n)
        lost += [true[x] / true[:count].min() - 1 for x, count in zip(taken, counts, strict=True)]
    return 100 * float(np.mean(lost))


def candidates(known: Known) -> Candidates:
    """Return the rivals of the frontier that have not been run."""
    return candidates_of(known.target, pd.concat([STAR, known.added]), BUDGETS, SIZES)


def rivals(known: Known) -> pd.DataFrame:
    """Return the candidates of `next_runs` as rows, with their training cost."""
    found = candidates(known)
    factors = {name: values[found.index] for name, values in known.target.space.factors.items()}
    return pd.DataFrame({**factors, "n": found.examples, "cost": found.cost})


def suggested(known: Known, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return what `next_runs` suggests."""
    return suggest(known.target, candidates(known), BUDGETS, EXAMPLES, known.noise, count)


def at_random(known: Known, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return rivals of the frontier at random."""
    found = rivals(known)
    return found.iloc[rng.permutation(len(found))[:count]]


def cheapest(known: Known, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return the rivals of the frontier that cost least to train."""
    return rivals(known).sort_values("cost", kind="stable").head(count)


def as_published(known: Known, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return the paper's isoFLOP runs that are left, at random."""
    left = FULL.merge(known.added, how="left", indicator=True)
    left = left[left._merge == "left_only"]
    return left.iloc[rng.permutation(len(left))[:count]]


STRATEGIES: dict[str, Strategy] = {
    "suggested": suggested,
    "random order": at_random,
    "cheapest first": cheapest,
    "paper's isoFLOP runs": as_published,
}


def median_regrets(rounds: pd.DataFrame) -> pd.DataFrame:
    """Return the median regret over truths by strategy and share of the full design's cost, in % of the error."""
    rows = []
    for name in STRATEGIES:
        of = rounds[rounds.strategy == name]
        medians = {f"≤ {share:.0%}": np.median([_at(one, share) for _, one in of.groupby("truth")]) for share in SHARES}
        start = of[of.added == 0].regret.median()
        rows.append({"median regret in %": name, "star only": start, **medians})
    return pd.DataFrame(rows)


def shares_needed(rounds: pd.DataFrame) -> pd.DataFrame:
    """Return by strategy the share of the full design's cost at which half of the truths have reached its regret.

    Reached means: from this round on the regret stays at or below that of the same truth's full design. Infinite where
    fewer than half of the truths ever reach it.
    """
    full = rounds[rounds.strategy == "paper's isoFLOP runs"].groupby("truth").regret.last()
    rows = []
    for name in STRATEGIES:
        of = rounds[rounds.strategy == name]
        needed = np.array([_share_needed(one, full[truth]) for truth, one in of.groupby("truth")])
        last = of.groupby("truth").last()
        rows.append(
            {
                "strategy": name,
                "share of the cost, median": np.median(needed),
                "truths that reach it": np.isfinite(needed).mean(),
                "truths within 35%": np.mean(needed <= 0.35),
                "cost after all runs": last.share.median(),
            }
        )
    return pd.DataFrame(rows)


def _at(rounds: pd.DataFrame, share: float) -> float:
    """Return the regret after the last round that cost no more than `share`."""
    return float(rounds.regret[rounds.share <= share * (1 + 1e-9)].iloc[-1])


def _share_needed(rounds: pd.DataFrame, level: float) -> float:
    """Return the cost from which on the regret stays at or below `level`; infinite if it never does."""
    above = np.flatnonzero(rounds.regret.to_numpy() > level)
    first = 0 if len(above) == 0 else above[-1] + 1
    return float(rounds.share.iloc[first]) if first < len(rounds) else np.inf


if __name__ == "__main__":
    main()
