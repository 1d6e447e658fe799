"""Do the frontier's intervals and probabilities mean what they say? Simulated studies with known answers.

    python benchmarks/calibration.py [--truths 8] [--seed 0] [--processes 2] [--output calibration.csv]

Draws truths of every kind on the paper's 88 runs, adds 1% and 3% noise, fits the forms, searches the frontier as a
study does, and compares with the truth: coverage of the 90% interval of f at x*, regret of x*, and how often x* really
is the best configuration or within 0.5% of it, against p_best and p_near. Prints three tables; the CSV holds all cells.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate
from truths import DATA_UNIT, FACTORS, GRID, KINDS, Truth, draw, runs

from vlmfrontier.cost.paper import PAPER_VISION_FEATURES, PAPER_VISION_PARAMETERS, PaperCost
from vlmfrontier.frontier.coverage import RunRange
from vlmfrontier.frontier.laws import TargetLaws
from vlmfrontier.frontier.search import affordable
from vlmfrontier.frontier.space import SearchSpace, grid_space
from vlmfrontier.frontier.table import frontier_table
from vlmfrontier.frontier.target import Target
from vlmfrontier.laws.bagging import bag
from vlmfrontier.laws.fit import fit
from vlmfrontier.laws.selection import Evidence, pseudo_bma
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.laws.validation import cross_validated
from vlmfrontier.study.laws import LawsConfig

NOISES = (0.01, 0.03)
BUDGETS = np.geomspace(2e12, 100e12, 15)
EXAMPLES = np.array([0.25, 0.5, 1.0, 2.0, 5.0, 10.0]) * DATA_UNIT
NEAR = 0.005
CONFIG = LawsConfig(starts=40, resamples=100, preset="fast")
"""Few starts: the bags start at the fit of all runs as well."""


def main() -> None:
    """Simulate, print the tables, write the cells."""
    options = arguments()
    tasks = [
        (kind, noise, options.seed, index) for kind in KINDS for index in range(options.truths) for noise in NOISES
    ]
    with ProcessPoolExecutor(options.processes) as executor:
        cells = pd.concat(executor.map(simulate, tasks), ignore_index=True)
    cells.to_csv(options.output, index=False)
    print(f"{options.truths} truths of each of {len(KINDS)} kinds, {len(tasks)} studies, seed {options.seed}\n")
    for table in (coverage(cells), regrets(cells), reliability(cells)):
        print(tabulate(table, headers="keys", showindex=False, floatfmt=".3g"), end="\n\n")
    print(f"cells → {options.output}")


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truths", type=int, default=8, help="truths of each kind (default 8)")
    parser.add_argument("--seed", type=int, default=0, help="seed of truths and noise (default 0)")
    parser.add_argument("--processes", type=int, default=2, help="studies side by side (default 2)")
    parser.add_argument("--output", type=Path, default=Path("calibration.csv"), help="where the cells go")
    return parser.parse_args()


def simulate(task: tuple[str, float, int, int]) -> pd.DataFrame:
    """Return every cell (n, budget) of one simulated study, with what was said and what is true."""
    kind, noise, seed, index = task
    rng = np.random.default_rng([seed, KINDS.index(kind), index])
    truth = draw(kind, rng)
    table = runs(truth, noise, np.random.default_rng([seed, KINDS.index(kind), index, int(1000 * noise)]))
    space = paper_space()
    span = RunRange.of(table.factors, table.data)
    target = Target("avg", space, fitted(table).spread(space.factors), span)
    cells = frontier_table(target, BUDGETS, EXAMPLES, NEAR)
    return compare(cells, truth, space).assign(kind=kind, noise=noise, truth=index)


def paper_space() -> SearchSpace:
    """Return the LM sizes of the runs, 1 to 128 frames and square grids up to 27 × 27, as far as the budgets go."""
    axes = {"N": np.unique(GRID.N), "T": np.arange(1, 129), "V": np.arange(1, 28) ** 2}
    return grid_space(axes, PaperCost(PAPER_VISION_PARAMETERS, PAPER_VISION_FEATURES)).within(BUDGETS[-1])


def fitted(table: ResultsTable) -> TargetLaws:
    """Return the laws of a table as the stage `laws` fits them: every form bagged, weighted by cross-validation."""
    laws = {form: fit(table, form, "avg", CONFIG, threads=1) for form in CONFIG.forms}
    evidence = {}
    for form, law in laws.items():
        left_out = cross_validated(table, form, "avg", CONFIG, law.theta[None], threads=1)
        evidence[form] = Evidence(law.predict(table.points()), left_out, left_out, None)
    main = CONFIG.forms[-1]
    return TargetLaws(
        name="avg",
        bags={form: bag(table, law, "avg", CONFIG, threads=1) for form, law in laws.items()},
        wild=bag(table, laws[main], "avg", CONFIG, kind="wild", threads=1),
        weights=pseudo_bma(table, "avg", evidence, CONFIG),
        main=main,
    )


def compare(cells: pd.DataFrame, truth: Truth, space: SearchSpace) -> pd.DataFrame:
    """Return the cells with the true error at x*, whether the interval covers it, and the regret in % of the best."""
    cells = cells[["c", "n", *FACTORS, "f", "f_lo", "f_hi", "p_best", "p_near"]].copy()
    cells["true"] = truth.error(cells, cells.n)
    counts = affordable(space.cost, BUDGETS)
    everywhere = {n: truth.error(space.factors, n) for n in EXAMPLES}
    best = [everywhere[n][:count].min() for n in EXAMPLES for count in counts]
    cells["covered"] = cells.true.between(cells.f_lo, cells.f_hi)
    cells["width"] = 100 * (cells.f_hi - cells.f_lo) / cells.f
    cells["regret"] = 100 * (cells.true / best - 1)
    cells["inside"] = cells.n <= GRID.n.max()
    return cells


def coverage(cells: pd.DataFrame) -> pd.DataFrame:
    """Return coverage of the 90% interval and its mean width, by kind and noise, inside and beyond the runs' n."""
    return _by_kind(cells, covered=("covered", lambda column: 100 * column.mean()), width_pct=("width", "mean"))


def regrets(cells: pd.DataFrame) -> pd.DataFrame:
    """Return mean and 95th percentile of the regret, in % of the least error, by kind and noise."""
    return _by_kind(cells, mean_pct=("regret", "mean"), p95_pct=("regret", lambda column: column.quantile(0.95)))


def _by_kind(cells: pd.DataFrame, **columns) -> pd.DataFrame:
    everything = pd.concat([cells, cells.assign(kind="all")])
    kinds = pd.Categorical(everything.kind, [*KINDS, "all"])
    groups = everything.assign(kind=kinds).groupby(["kind", "noise", "inside"], observed=True)
    return groups.agg(**columns).unstack("inside").pipe(_flat).reset_index()


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    frame.columns = [f"{name}, {'inside' if inside else 'beyond'}" for name, inside in frame.columns]
    return frame


def reliability(cells: pd.DataFrame) -> pd.DataFrame:
    """Return, by bins of p_best and p_near and inside the runs' n, the mean claimed and the observed frequency in %."""
    inside = cells[cells.inside]
    parts = []
    for name, happened in (("p_best", inside.regret < 1e-9), ("p_near", inside.regret <= 100 * NEAR)):
        bins = pd.cut(inside[name], [-0.01, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0])
        frame = pd.DataFrame({"bin": bins.astype(str), "claimed": inside[name], "observed": happened})
        means = 100 * frame.groupby("bin")[["claimed", "observed"]].mean()
        parts.append(means.assign(cells=frame.groupby("bin").size(), what=name).reset_index())
    return pd.concat(parts)[["what", "bin", "claimed", "observed", "cells"]]


if __name__ == "__main__":
    main()
