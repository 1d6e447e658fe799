"""Do the frontier's intervals and probabilities mean what they say? Simulated studies with known answers.

    python benchmarks/calibration.py [--truths 6] [--seed 0] [--in-turn] [--processes 2] [--output calibration.csv]

Draws truths of every kind on the paper's 88 runs, adds 1% and 3% noise, fits the forms, searches the frontier as a
study does, and compares with the truth: coverage of the 90% interval of f at x*, regret of x*, and how often x* really
is the best configuration or within 0.5% of it, against p_best and p_near. Prints tables; the CSV holds all cells.
A seed stands for a set of truths of its own: what is tuned on one is judged on another.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from simulated import simulate_all
from tabulate import tabulate
from truths import DATA_UNIT, FACTORS, GRID, HELD, KINDS, WRONG, Truth, draw, runs

from vlmfrontier.cost.flops import PAPER_VISION_FEATURES, PAPER_VISION_PARAMETERS, PaperCost
from vlmfrontier.frontier.pool import Target, TargetLaws, target_laws
from vlmfrontier.frontier.search import affordable, frontier_table
from vlmfrontier.frontier.space import RunRange, SearchSpace, grid_space
from vlmfrontier.laws.bagging import bag, cross_validated
from vlmfrontier.laws.checks import settle
from vlmfrontier.laws.fit import fit
from vlmfrontier.laws.selection import Evidence, log_scores, pseudo_bma
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.study.analysis import FrontierConfig, LawsConfig

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
        (kind, noise, options.seed, index)
        for index in range(options.truths)
        for kind in KINDS
        for noise in (NOISES[index % 2 : index % 2 + 1] if options.in_turn else NOISES)
    ]
    cells = simulate_all(simulate, tasks, options.processes, options.output)
    print(f"{options.truths} truths of each of {len(KINDS)} kinds, {len(tasks)} studies, seed {options.seed}\n")
    print("covered: 90% intervals that hold the true f at x*, in %; run: that hold what a new run measures, in %;")
    print("width and regret in % of the error\n")
    for table in (
        by_kind(cells, "covered", 100),
        by_kind(cells, "run", 100),
        by_kind(cells, "width"),
        by_kind(cells, "regret"),
        reliability(cells),
    ):
        print(tabulate(table, headers="keys", showindex=False, floatfmt=".3g"), end="\n\n")
    print(f"cells → {options.output}")


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truths", type=int, default=6, help="truths of each kind (default 6)")
    parser.add_argument("--seed", type=int, default=0, help="seed of truths and noise (default 0)")
    parser.add_argument("--in-turn", action="store_true", help="give a truth one of the noises in turn, not both")
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
    target = Target("avg", space, fitted(table).ensemble(space.factors), span)
    cells = frontier_table(target, BUDGETS, EXAMPLES, NEAR)
    rng = np.random.default_rng([seed, KINDS.index(kind), index, int(1000 * noise), 1])
    measured = np.exp(noise * rng.standard_normal(len(cells)))
    return compare(cells, measured, truth, space).assign(kind=kind, noise=noise, truth=index)


def paper_space() -> SearchSpace:
    """Return the LM sizes of the runs, 1 to 128 frames and square grids up to 27 × 27, as far as the budgets go."""
    axes = {"N": np.unique(GRID.N), "T": np.arange(1, 129), "V": np.arange(1, 28) ** 2}
    return grid_space(axes, PaperCost(PAPER_VISION_PARAMETERS, PAPER_VISION_FEATURES)).within(BUDGETS[-1])


def fitted(table: ResultsTable, config: LawsConfig = CONFIG) -> TargetLaws:
    """Return the laws of a table as the stage `laws` fits them: every form bagged, weighted by its log score."""
    config, _ = settle(table, config, "avg")
    laws, bags, evidence = {}, {}, {}
    for form in config.forms:
        laws[form] = law = fit(table, form, "avg", config, threads=1)
        left_out = cross_validated(table, form, "avg", config, law.theta[None], threads=1)
        evidence[form] = Evidence(law.predict(table.points()), left_out, left_out, None)
        bags[form] = bag(table, law, "avg", config, threads=1)
    weights = pseudo_bma(log_scores(table, "avg", evidence), config.seed)
    return target_laws(table, laws, bags, weights, FrontierConfig(), config.seed)


def compare(cells: pd.DataFrame, noise: np.ndarray, truth: Truth, space: SearchSpace) -> pd.DataFrame:
    """Return the cells with the true error at x*, whether the intervals cover it, and the regret in % of the best.

    `noise` are factors by which a new run at x* is off, one for each cell.
    """
    cells = cells[["c", "n", *FACTORS, "f", "f_lo", "f_hi", "run_lo", "run_hi", "p_best", "p_near", "near"]].copy()
    cells["true"] = truth.error(cells, cells.n)
    counts = affordable(space.cost, BUDGETS)
    everywhere = {n: truth.error(space.factors, n) for n in EXAMPLES}
    best = [everywhere[n][:count].min() for n in EXAMPLES for count in counts]
    cells["covered"] = cells.true.between(cells.f_lo, cells.f_hi)
    cells["run"] = (cells.true * noise).between(cells.run_lo, cells.run_hi)
    cells["width"] = 100 * (cells.f_hi - cells.f_lo) / cells.f
    cells["regret"] = 100 * (cells.true / best - 1)
    cells["inside"] = cells.n <= GRID.n.max()
    return cells


def by_kind(cells: pd.DataFrame, column: str, scale: float = 1.0) -> pd.DataFrame:
    """Return the mean of a column by kind of truth: per noise and together for n up to that of the runs, and beyond;

    and over the kinds that a form holds, those that none does, and all.
    """
    rows = []
    groups = {kind: (kind,) for kind in HELD} | {"held by a form": HELD}
    groups |= {kind: (kind,) for kind in WRONG} | {"held by none": WRONG, "all": KINDS}
    for kind, members in groups.items():
        of = cells[cells.kind.isin(members)]
        inside, beyond = of[of.inside], of[~of.inside]
        noises = {f"{noise:.0%} noise": inside[inside.noise == noise][column].mean() for noise in NOISES}
        means = noises | {"both": inside[column].mean(), "beyond the runs' n": beyond[column].mean()}
        rows.append({column: kind, **{name: scale * value for name, value in means.items()}})
    return pd.DataFrame(rows)


def reliability(cells: pd.DataFrame) -> pd.DataFrame:
    """Return, by bins of p_best and p_near, the mean claimed and the observed frequency in %.

    Of n up to that of the runs. `off` is the difference, to be within 8 points.
    """
    inside = cells[cells.inside]
    parts = []
    for name, happened in (("p_best", inside.regret < 1e-9), ("p_near", inside.regret <= 100 * inside.near)):
        bins = pd.cut(inside[name], [-0.01, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0])
        frame = pd.DataFrame({"bin": bins.astype(str), "claimed": inside[name], "observed": happened})
        means = 100 * frame.groupby("bin")[["claimed", "observed"]].mean()
        means["off"] = means.observed - means.claimed
        parts.append(means.assign(cells=frame.groupby("bin").size(), what=name).reset_index())
    return pd.concat(parts)[["what", "bin", "claimed", "observed", "off", "cells"]]


if __name__ == "__main__":
    main()
