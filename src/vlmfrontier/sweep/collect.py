"""From the results of the runs to `runs.csv`, the table that the laws start at."""

import json
from pathlib import Path

import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.columns import identity, numbers
from vlmfrontier.sweep.runs import plan_runs


def collect(study: Study, results: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return the run table and the keys of the runs that have no result: those are no row, never a made-up value.

    Columns: run, sweep, N (parameters), T, V, with several vision models M (parameters), n (examples), seed, c (FLOPs),
    then every target's error on 0–100 and every target's standard error `<target>_se`. Raises `UserError` if a result
    lacks a target or no run has a result.
    """
    rows, missing = [], []
    for run in plan_runs(study):
        path = results / "runs" / run.key / "result.json"
        if path.exists():
            rows.append({**identity(study, run), **_errors(study, path)})
        else:
            missing.append(run.key)
    if not rows:
        raise UserError(f"{results}: no run has a result yet; run `snakemake evaluate` first")
    targets = study.targets()
    columns = ["run", "sweep", *numbers(study), *targets, *(f"{target}_se" for target in targets)]
    return pd.DataFrame(rows)[columns], missing


def _errors(study: Study, path: Path) -> dict[str, float]:
    errors = json.loads(path.read_text())["errors"]
    absent = [target for target in study.targets() if target not in errors]
    if absent:
        raise UserError(f"{path}: no error of {absent[0]!r}; delete this file and run `snakemake evaluate` again")
    measured = {target: errors[target]["error"] for target in study.targets()}
    return measured | {f"{target}_se": errors[target]["standard_error"] for target in study.targets()}
