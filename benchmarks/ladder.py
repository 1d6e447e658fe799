"""When does it suffice to train once and test at many T and V? Simulated studies with known answers.

    python benchmarks/ladder.py [--truths 4] [--seed 0] [--processes 2] [--output ladder.csv] [--gap-only]

Draws truths of several kinds on the paper's sizes, and studies each by four designs: all 88 runs of the paper; a ladder
of nine trainings (three N, three n) at the largest T and V, each tested at 5 x 5 levels; the same with six anchors; and
with T and V drawn batch by batch. A model that is tested elsewhere loses `gap` for each halving of T and of V, twice
that with the smallest n and nothing with the largest where the gap depends on n; or, as was measured on the digits
study, little with the smallest T and more in between (`hump`). A training and a test have noise of their own. Prints
coverage and width of the 90% interval at x*, regret, and how often the study says that something is wrong. The CSV
holds all cells.

`--gap-only` fits no laws, which takes seconds: with three to nine anchors, how well is the gap itself known over
all tests, and does the study say that it may be wrong?
"""

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from calibration import BUDGETS, EXAMPLES, NEAR, compare, fitted, paper_space
from simulated import simulate_all
from tabulate import tabulate
from truths import DATA_UNIT, FACTORS, GRID, UNITS, Truth, draw

from vlmfrontier.frontier.caveats import tested_elsewhere
from vlmfrontier.frontier.pool import Target
from vlmfrontier.frontier.search import frontier_table
from vlmfrontier.frontier.space import RunRange
from vlmfrontier.laws.table import ResultsTable, from_arrays
from vlmfrontier.sweep.points import most_telling

KINDS = ("none", "weak", "mult", "tokens", "ceiling")


class Gap(NamedTuple):
    """What a model loses by being tested elsewhere than it was trained."""

    halving: float
    """Share of the error for each halving of T and of V."""
    with_n: bool = False
    """Whether that is twice as much with the smallest n and nothing with the largest."""
    hump: float = 0.0
    """More at T between the smallest and the largest, in logs with the middle n; more than that with a larger n."""


GAPS = {
    "0%": Gap(0.0),
    "3%": Gap(0.03),
    "3% x n": Gap(0.03, with_n=True),
    "10%": Gap(0.1),
    "hump": Gap(0.005, hump=0.035),
}
HUMP = (0.0, 0.25, 0.5, 0.75, 1.0), (0.0, 0.9, 1.0, 0.8, 0.0)
"""How far T is below that of the training, of the whole way, and how high the hump is there."""
HUMP_WITH_N = 0.43
"""How its log grows from the middle n to the largest: as measured on the digits study (docs/ladder.md)."""
DESIGNS = ("full", "ladder", "anchors", "elastic")
SIZES, EXAMPLES_TRAINED = (1e9, 2.8e9, 7.5e9), (250_000.0, 500_000.0, 2_000_000.0)
FRAMES, TOKENS = (2.0, 5.0, 10.0, 20.0, 40.0), (9.0, 36.0, 100.0, 196.0, 400.0)
ANCHORS = 6
TRAINING, TEST = 0.007, 0.007
"""Noise of a training, which all of its tests share, and of a test."""
ELASTIC = 0.01
"""What drawing T and V costs at every level."""


def main() -> None:
    """Simulate, print the tables, write the cells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truths", type=int, default=4, help="truths of each kind (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="seed of truths and noise (default 0)")
    parser.add_argument("--processes", type=int, default=2, help="studies side by side (default 2)")
    parser.add_argument("--output", type=Path, default=Path("ladder.csv"), help="where the cells go")
    parser.add_argument("--gaps", nargs="+", choices=GAPS, default=list(GAPS), help="gaps (default all)")
    parser.add_argument("--designs", nargs="+", choices=DESIGNS, default=list(DESIGNS), help="designs (default all)")
    parser.add_argument("--gap-only", action="store_true", help="judge the estimate of the gap, fit no laws")
    options = parser.parse_args()
    if options.gap_only:
        print(tabulate(gaps(options.truths, options.seed), headers="keys", showindex=False, floatfmt=".3g"))
        return
    tasks = [
        (kind, gap, design, options.seed, index)
        for index in range(options.truths)
        for kind in KINDS
        for gap in options.gaps
        for design in options.designs
        if design != "full" or gap == "0%"  # nobody is tested elsewhere
    ]
    cells = simulate_all(simulate, tasks, options.processes, options.output)
    inside = cells[cells.inside]
    print(f"{options.truths} truths of each of {len(KINDS)} kinds, seed {options.seed}; of n up to that of the runs\n")
    by = inside.groupby(["design", "gap"], sort=False)
    means = by[["covered", "width", "regret"]].mean().assign(covered=lambda frame: 100 * frame.covered)
    means["bias"] = by.apply(lambda rows: 100 * (rows.f / rows.true - 1).mean(), include_groups=False)
    means["warned"] = 100 * by.warned.mean()
    print("covered: 90% intervals of f at x* that hold it, %; width, regret, bias (of the error predicted): % of it;")
    print("warned: studies that say that no gap is known, or that it may be wrong, %\n")
    print(tabulate(means.reset_index(), headers="keys", showindex=False, floatfmt=".3g"), end="\n\n")
    kinds = inside.groupby(["design", "kind"], sort=False)[["covered", "regret"]].mean().unstack("kind")
    print(tabulate((kinds.covered * 100).reset_index(), headers="keys", showindex=False, floatfmt=".3g"))
    print(f"cells → {options.output}")


def simulate(task: tuple[str, str, str, int, int]) -> pd.DataFrame:
    """Return every cell (n, budget) of one simulated study, with what was said and what is true."""
    kind, gap, design, seed, index = task
    truth = draw(kind, np.random.default_rng([seed, KINDS.index(kind), index]))
    rng = np.random.default_rng([seed, KINDS.index(kind), index, DESIGNS.index(design)])
    table = study(truth, design, GAPS[gap], rng)
    space = paper_space()
    span = RunRange.of(table.factors, table.data)
    target = Target("avg", space, fitted(table).ensemble(space.factors), span)
    cells = compare(
        frontier_table(target, BUDGETS, EXAMPLES, NEAR), np.ones(len(BUDGETS) * len(EXAMPLES)), truth, space
    )
    warned = bool(tested_elsewhere(table.measured("avg"), "avg"))
    return cells.assign(kind=kind, gap=gap, design=design, truth=index, warned=warned)


def gaps(truths: int, seed: int) -> pd.DataFrame:
    """Return, by number of anchors, gap and whether the study warns, how well a ladder's gap is known."""
    found = []
    for anchors, kind, index, name in product((3, 4, 5, 6, 9), range(len(KINDS)), range(truths), GAPS):
        truth = draw(KINDS[kind], np.random.default_rng([seed, kind, index]))
        rng = np.random.default_rng([seed, kind, index, list(GAPS).index(name), anchors])
        table = study(truth, "anchors", GAPS[name], rng, anchors).measured("avg")
        transfer, points = table.transfer["avg"], pd.DataFrame(table.points())
        top = points.assign(T_train=max(FRAMES), V_train=max(TOKENS))
        true = lost(top, GAPS[name]).to_numpy()
        drawn = transfer.draws(400, seed) @ transfer.place.Z(transfer.columns, table.points()).T
        away = ((top["T"] < top.T_train) | (top.V_train > top.V)).to_numpy()
        low, middle, high = np.quantile(drawn, [0.05, 0.5, 0.95], axis=0)[:, away]
        inside = (low <= true[away]) & (true[away] <= high)
        said = {"anchors": anchors, "gap": name, "warned": bool(tested_elsewhere(table, "avg"))}
        off = {"bias": 100 * (middle - true[away]).mean(), "width": 100 * (high - low).mean()}
        found.append({**said, "covered": 100 * inside.mean(), **off})
    by = pd.DataFrame(found).groupby(["anchors", "gap", "warned"], sort=False)
    return by.mean().assign(studies=by.size()).reset_index()


def lost(rows: pd.DataFrame, gap: Gap) -> pd.Series:
    """Return what a model loses by being tested elsewhere, in logs of its error."""
    halvings = np.log2(rows.T_train / rows["T"]) + np.log2(rows.V_train / rows.V)
    low, high = np.log(min(EXAMPLES_TRAINED)), np.log(max(EXAMPLES_TRAINED))
    more = 2 * (high - np.log(rows.n)) / (high - low) if gap.with_n else 1.0
    place = 2 * (np.log(rows.n) - low) / (high - low) - 1
    below = np.log(rows.T_train / rows["T"]) / np.log(max(FRAMES) / min(FRAMES))
    hump = gap.hump * np.exp(HUMP_WITH_N * place) * np.interp(below, *HUMP)
    return np.log1p(gap.halving) * halvings * more + hump


def study(truth: Truth, design: str, gap: Gap, rng: np.random.Generator, anchors: int = ANCHORS) -> ResultsTable:
    """Return the results of a study by `design` whose models lose `gap` where they are tested elsewhere."""
    rows = _rows(design, anchors)
    trainings = rows.groupby(["N", "n", "T_train", "V_train", "elastic"]).ngroup().to_numpy()
    own = TRAINING * rng.standard_normal(trainings.max() + 1)
    noise = own[trainings] + TEST * rng.standard_normal(len(rows))
    error = np.minimum(truth.error(rows, rows.n) * np.exp(lost(rows, gap) + ELASTIC * rows.elastic + noise), 100.0)
    factors = {name: rows[name].to_numpy(float) for name in FACTORS}
    trained = {name: rows[f"{name}_train"].to_numpy(float) for name in ("T", "V")}
    elsewhere = {} if design == "full" else {"trained": trained, "elastic": rows.elastic.to_numpy() > 0}
    table = from_arrays(factors, {"avg": error.to_numpy()}, rows.n.to_numpy(float), UNITS, DATA_UNIT, **elsewhere)
    return replace(table, largest={"avg": 100.0})


def _rows(design: str, anchors: int) -> pd.DataFrame:
    """Return what a design trains and tests: N, T, V, n, T_train, V_train, elastic."""
    if design == "full":
        rows = GRID[[*FACTORS, "n"]]
        return rows.assign(T_train=rows["T"], V_train=rows.V, elastic=0)
    tested = pd.DataFrame(product(SIZES, FRAMES, TOKENS, EXAMPLES_TRAINED), columns=[*FACTORS, "n"])
    rows = tested.assign(T_train=max(FRAMES), V_train=max(TOKENS), elastic=int(design == "elastic"))
    if design == "ladder":
        return rows
    away = rows[(rows["T"] < rows.T_train) | (rows.V_train > rows.V)]
    below = np.column_stack([away.T_train / away["T"], away.V_train / away.V])
    chosen = away.iloc[most_telling(below, away[["N", "n"]].to_numpy(), design == "elastic", anchors)]
    return pd.concat([rows, chosen.assign(T_train=chosen["T"], V_train=chosen.V, elastic=0)], ignore_index=True)


if __name__ == "__main__":
    main()
