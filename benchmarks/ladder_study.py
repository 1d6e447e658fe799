"""A study of trainings one by one against ladders, on real runs: the same rivals, the same test videos.

    snakemake --configfile workflow/studies/digits.yaml    # and digits-ladder.yaml, digits-elastic.yaml
    python benchmarks/ladder_study.py [--full results/digits] [--ladder results/digits-ladder]
        [--elastic results/digits-elastic] [--target avg]

Rivals are the isoFLOP runs of the full design, each trained where it is tested; no design has them in its fit. Prints
trainings, training FLOPs, CPU seconds of training and of testing, error and R² on the rivals, the share of rivals
inside their own 90% interval of a new run, and the regret of x* at 20 budgets and three n, in points, under the laws of
all results together.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from calibration import fitted
from tabulate import tabulate

from vlmfrontier.frontier.pool import Ensemble
from vlmfrontier.frontier.search import affordable
from vlmfrontier.laws.fit import metrics
from vlmfrontier.laws.table import ResultsTable, from_arrays
from vlmfrontier.results import Results
from vlmfrontier.study.analysis import LawsConfig
from vlmfrontier.sweep.runs import find_run
from vlmfrontier.sweep.trainings import finetuning

CONFIG = LawsConfig(starts=100, resamples=100, preset="fast")


def main() -> None:
    """Fit all designs, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("full", "ladder", "elastic"):
        default = Path("results") / ("digits" if name == "full" else f"digits-{name}")
        parser.add_argument(f"--{name}", type=Path, default=default, help=f"results of that study (default {default})")
    parser.add_argument("--target", default="avg", help="task or mean (default avg)")
    options = parser.parse_args()
    full, ladder, elastic = (open_results(path) for path in (options.full, options.ladder, options.elastic))
    rivals = plain(full)["sweep"] == "isoflop"
    designs = {
        "full design": (full, rows(full, ~rivals)),
        "ladder": (ladder, rows(ladder, ~is_anchor(ladder))),
        "ladder and anchors": (ladder, rows(ladder)),
        "elastic": (elastic, rows(elastic, ~is_anchor(elastic))),
        "elastic and anchors": (elastic, rows(elastic)),
    }
    measured = rows(full, rivals)
    everything = pd.concat([rows(each) for each in (full, ladder, elastic)], ignore_index=True)
    x = dict(full.space.factors)
    reference = fitted_on(everything, full, options.target).ensemble(x)
    found = []
    for name, (results, own) in designs.items():
        laws = fitted_on(own, full, options.target)
        at_rivals = laws.ensemble({factor: measured[factor].to_numpy(float) for factor in full.table.factors})
        found.append(
            {
                "design": name,
                **cost(results, own),
                **on_rivals(at_rivals, measured, options.target),
                "regret": regret(laws.ensemble(x), reference, full),
            }
        )
        print(f"{name}: {len(own)} rows", flush=True)
    print(tabulate(pd.DataFrame(found), headers="keys", showindex=False, floatfmt=".4g"))


def open_results(folder: Path) -> Results:
    """Return the results in a folder."""
    return Results.open(folder / "study.json")


def is_anchor(results: Results) -> pd.Series:
    """Return which rows are of models that were trained at fewer T or V than the ladder's."""
    runs = plain(results)
    return (runs.T_train < runs.T_train.max()) | (runs.V_train < runs.V_train.max())


def plain(results: Results) -> pd.DataFrame:
    """Return `runs.csv` with the columns of trained levels also where every model was tested where it was trained."""
    runs = pd.read_csv(results.runs_csv)
    return runs if "T_train" in runs else runs.assign(T_train=runs["T"], V_train=runs["V"])


def rows(results: Results, keep: pd.Series | None = None) -> pd.DataFrame:
    """Return rows of `runs.csv`, all unless some are to be kept."""
    runs = plain(results).assign(study=results.study.study)
    runs["elastic"] = runs.get("elastic", 0)
    return runs if keep is None else runs[keep.to_numpy()].reset_index(drop=True)


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
    """Return trainings, training FLOPs, and CPU seconds (one core a job) of training and of testing."""
    keys = list(dict.fromkeys(own.run))
    flops, training, testing = 0.0, 0.0, 0.0
    for key in keys:
        run = find_run(results.study, key)
        flops += finetuning(results.study, run).flops
        seconds = results.result(key)["seconds"]
        training += seconds["finetune"]
        tests = [results.result(f"{key}@T{T}_V{V}")["seconds"]["evaluate"] for T, V in run.tested]
        testing += seconds["evaluate"] + sum(tests)
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
