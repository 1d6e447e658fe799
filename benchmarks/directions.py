"""Can 88 runs tell in which direction x* moves with n? Simulated studies whose truth has the paper's direction.

    python benchmarks/directions.py [--truths 12] [--seed 0] [--processes 2] [--output directions.csv]

The paper's headline is "with more data N* falls, T* and V* rise". Draws laws with interactions until their own
elasticities at the paper's settings (Eq. 9, Table 10) have these signs and are at least as large as LEAST, makes the
paper's 88 runs of each with 1% and 3% noise, fits and pools as a study does, and prints how often `elasticity_table`
gives each direction, right or wrong, and how often it gives all three.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from calibration import NOISES, fitted
from simulated import simulate_all
from tabulate import tabulate
from truths import DATA_UNIT, FACTORS, GRID, Truth, draw, runs

from vlmfrontier.cost.flops import PAPER_VISION_FEATURES, PAPER_VISION_PARAMETERS, PaperCost
from vlmfrontier.frontier.elasticity import ElasticityGrid, elasticity_of_errors, elasticity_table
from vlmfrontier.frontier.pool import Target
from vlmfrontier.frontier.space import RunRange, SearchSpace, grid_space

HEADLINE = {"N": "down", "T": "up", "V": "up"}
LEAST = {"N": 0.05, "T": 0.02, "V": 0.05}
"""Smallest size of a truth's own elasticity."""
TRIES = 20_000
GRID_OF_AVERAGE = ElasticityGrid(np.linspace(2e12, 100e12, 100), np.linspace(1, 10, 20) * DATA_UNIT, 5 * DATA_UNIT)
"""Fewer budgets and sizes than the paper's 300 and 100, whose Table 10 shows that these change nothing."""
COARSE = ElasticityGrid(np.linspace(2e12, 100e12, 40), np.linspace(1, 10, 3) * DATA_UNIT, 5 * DATA_UNIT)
"""For a first look at a truth: most are no candidates."""


def main() -> None:
    """Simulate, print the table, write every direction found."""
    options = arguments()
    truths = headline_truths(options.truths, options.seed)
    tasks = [(index, draws, noise, options.seed) for index, (draws, _) in enumerate(truths) for noise in NOISES]
    found = simulate_all(simulate, tasks, options.processes, options.output)
    print(f"{len(truths)} truths with the headline's direction, seed {options.seed}; their elasticities:")
    own = pd.DataFrame([elasticities for _, elasticities in truths], columns=list(FACTORS))
    print(tabulate(own.describe().loc[["min", "50%", "max"]], headers="keys", floatfmt=".2f"), end="\n\n")
    print(tabulate(summary(found), headers="keys", showindex=False, floatfmt=".0f"))
    print(f"directions → {options.output}")


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truths", type=int, default=12, help="truths with the headline's direction (default 12)")
    parser.add_argument("--seed", type=int, default=0, help="seed of truths and noise (default 0)")
    parser.add_argument("--processes", type=int, default=2, help="studies side by side (default 2)")
    parser.add_argument("--output", type=Path, default=Path("directions.csv"), help="where the directions go")
    return parser.parse_args()


def headline_truths(count: int, seed: int) -> list[tuple[int, np.ndarray]]:
    """Return the numbers of `count` draws with the headline's direction, and their elasticities (N, T, V).

    Raises `RuntimeError` if too few draws have it.
    """
    space, found = paper_space(), []
    for number in range(TRIES):
        truth = numbered(seed, number)
        if has_direction(elasticities(truth, space, COARSE)):
            exact = elasticities(truth, space, GRID_OF_AVERAGE)
            if has_direction(exact):
                found.append((number, exact))
        if len(found) == count:
            return found
    raise RuntimeError(f"only {len(found)} of {TRIES} draws have the headline's direction")


def numbered(seed: int, number: int) -> Truth:
    """Return one draw of a law with strong interactions."""
    return draw("strong", np.random.default_rng([seed, number]))


def elasticities(truth: Truth, space: SearchSpace, grid: ElasticityGrid) -> np.ndarray:
    """Return the truth's own elasticities (N, T, V) at the settings of `grid` (Eq. 9)."""

    def errors(examples: np.ndarray) -> np.ndarray:
        return np.stack([truth.error(space.factors, n) for n in examples])

    return elasticity_of_errors(space, grid, errors(grid.examples), errors(grid.examples + grid.step))


def has_direction(found: np.ndarray) -> bool:
    """Say whether elasticities have the headline's signs and sizes."""
    signs = {"up": 1, "down": -1}
    return all(signs[HEADLINE[k]] * e >= LEAST[k] for k, e in zip(FACTORS, found, strict=True))


def paper_space() -> SearchSpace:
    """Return the paper's LM sizes, 1 to 128 frames and square grids up to 27 × 27, as far as the budgets go."""
    axes = {"N": np.unique(GRID.N), "T": np.arange(1, 129), "V": np.arange(1, 28) ** 2}
    return grid_space(axes, PaperCost(PAPER_VISION_PARAMETERS, PAPER_VISION_FEATURES)).within(
        GRID_OF_AVERAGE.budgets[-1]
    )


def simulate(task: tuple[int, int, float, int]) -> pd.DataFrame:
    """Return the elasticity table of one simulated study."""
    index, number, noise, seed = task
    table = runs(numbered(seed, number), noise, np.random.default_rng([seed, number, int(1000 * noise)]))
    space = paper_space()
    target = Target("avg", space, fitted(table).ensemble(space.factors), RunRange.of(table.factors, table.data))
    return elasticity_table(target, GRID_OF_AVERAGE).assign(truth=index, noise=noise)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Return in per cent of the studies how often each direction is found, denied, and how often all three are."""
    right = found.factor.map(HEADLINE)
    wrong = right.map({"up": "down", "down": "up"})
    found = found.assign(right=found.direction == right, wrong=found.direction == wrong)
    rows = []
    for noise, part in found.groupby("noise"):
        row = {"noise in %": 100 * noise}
        for k in FACTORS:
            of = part[part.factor == k]
            row |= {f"{k} {HEADLINE[k]}": 100 * of.right.mean(), f"{k} the other way": 100 * of.wrong.mean()}
        rows.append(row | {"all three": 100 * part.groupby("truth").right.all().mean()})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
