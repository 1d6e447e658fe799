"""Designs side by side on real runs: star, ladder, elastic ladder, against the same rivals on the same test videos.

    snakemake collect --configfile workflow/studies/digits-designs.yaml    # about 50 minutes on two cores
    python benchmarks/ladder_study.py [--study results/digits-designs] [--target avg]

Rivals are the isoFLOP runs, each trained where it is tested; no design has them in its fit. Prints trainings, training
FLOPs, CPU seconds of training and of testing (of the jobs, their start included), error and R² on the rivals, the share
of rivals inside their own 90% interval of a new run, and the regret of x* at 20 budgets and three n, in points: under
the laws of all runs that were trained where they were tested, and under those of all results.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from calibration import fitted
from tabulate import tabulate

from vlmfrontier.ended import read_ended, record_file
from vlmfrontier.frontier.pool import Ensemble
from vlmfrontier.frontier.search import affordable
from vlmfrontier.laws.fit import metrics
from vlmfrontier.laws.table import ResultsTable, from_arrays
from vlmfrontier.results import Results
from vlmfrontier.study.analysis import LawsConfig
from vlmfrontier.sweep.runs import find_run, plan_runs
from vlmfrontier.sweep.trainings import finetuning

CONFIG = LawsConfig(starts=100, resamples=100, preset="fast")


def main() -> None:
    """Fit all designs, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, default=Path("results/digits-designs"), help="results of the study")
    parser.add_argument("--target", default="avg", help="task or mean (default avg)")
    options = parser.parse_args()
    results = Results.open(options.study / "study.json")
    table = pd.read_csv(results.runs_csv)
    designs = rows_by_design(results, table)
    measured = table[table.sweep == "isoflop"].reset_index(drop=True)
    x = dict(results.space.factors)
    there = table[(table["T"] == table.T_train) & (table["V"] == table.V_train) & (table.elastic == 0)]
    references = {
        "regret, trained there": fitted_on(there, results, options.target).ensemble(x),
        "regret, all": fitted_on(table, results, options.target).ensemble(x),
    }
    found = []
    for name, own in designs.items():
        laws = fitted_on(own, results, options.target)
        at_rivals = laws.ensemble({factor: measured[factor].to_numpy(float) for factor in results.table.factors})
        found.append(
            {
                "design": name,
                **cost(results, own),
                **on_rivals(at_rivals, measured, options.target),
                **{key: regret(laws.ensemble(x), reference, results) for key, reference in references.items()},
            }
        )
        print(f"{name}: {len(own)} rows", flush=True)
    print(tabulate(pd.DataFrame(found), headers="keys", showindex=False, floatfmt=".4g"))


def rows_by_design(results: Results, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of `runs.csv` that each design has; a run of two designs counts in both."""
    runs = {run.key: run for run in plan_runs(results.study)}
    anchors = {key for key, run in runs.items() if not run.tested}

    def of(*names: str, anchored: bool = True) -> pd.DataFrame:
        keys = {key for key, run in runs.items() if set(names) & set(run.sweeps)}
        return table[table.run.isin(keys if anchored else keys - anchors)].reset_index(drop=True)

    return {
        "star and repeats": of("star", "repeats"),
        "ladder": of("ladder", anchored=False),
        "ladder and anchors": of("ladder"),
        "elastic": of("elastic", anchored=False),
        "elastic and anchors": of("elastic"),
    }


def fitted_on(runs: pd.DataFrame, full: Results, target: str):
    """Return the laws of some rows, in the units of the full design."""
    table: ResultsTable = full.table
    factors = {name: runs[name].to_numpy(float) for name in table.factors}
    away = (runs["T"] != runs.T_train) | (runs["V"] != runs.V_train) | (runs.elastic > 0)
    elsewhere = {}
    if away.any():
        trained = {name: runs[f"{name}_train"].to_numpy(float) for name in ("T", "V")}
        elsewhere = {"trained": trained, "elastic": (runs.elastic > 0).to_numpy()}
    own = from_arrays(
        factors,
        {"avg": runs[target].to_numpy(float)},
        runs.n.to_numpy(float),
        table.units,
        table.data_unit,
        largest={"avg": 100.0},
        **elsewhere,
    )
    return fitted(own, CONFIG)


def cost(results: Results, own: pd.DataFrame) -> dict[str, float]:
    """Return trainings, training FLOPs, and CPU seconds of the jobs that trained and that tested."""
    keys = list(dict.fromkeys(own.run))
    flops = sum(finetuning(results.study, find_run(results.study, key)).flops for key in keys)
    training, testing = (
        sum(read_ended(record_file(results.run(key).root, stage)).cpu_seconds for key in keys)
        for stage in ("finetune", "evaluate")
    )
    return {"trainings": len(keys), "training TFLOPs": flops / 1e12, "training s": training, "testing s": testing}


def on_rivals(ensemble: Ensemble, measured: pd.DataFrame, target: str) -> dict[str, float]:
    """Return error and R² of the median on the rivals, and the share of rivals inside the interval of a new run."""
    predicted, inside = np.empty(len(measured)), np.empty(len(measured), bool)
    for i, n in enumerate(measured.n):
        at = np.array([i])
        predicted[i] = np.median(ensemble.pool.errors(at, n))
        low, high = ensemble.run_interval(at, n)
        inside[i] = low[0] <= measured[target].iloc[i] <= high[0]
    found = metrics(predicted, measured[target].to_numpy(float))
    return {"E%": found["e_pct"], "R2": found["r2"], "covered %": 100 * inside.mean()}


def regret(ensemble: Ensemble, reference: Ensemble, full: Results) -> float:
    """Return the mean regret of x*, in points of the reference's median, over 20 budgets and three n."""
    budgets = np.geomspace(min(full.budgets), max(full.budgets), 20)
    counts = affordable(full.space.cost, budgets)
    lost = []
    for n in full.examples:
        every = np.arange(counts.max())
        own, true = (np.median(each.pool.errors(every, n), axis=0) for each in (ensemble, reference))
        lost += [true[np.argmin(own[:count])] - true[:count].min() for count in counts]
    return float(np.mean(lost))


if __name__ == "__main__":
    main()
