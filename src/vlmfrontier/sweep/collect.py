"""From the results of the runs to `runs.csv`, the table that the laws start at."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.columns import identity, numbers
from vlmfrontier.sweep.fingerprints import SHOWN, Identity, named, read_finetuned, read_result
from vlmfrontier.sweep.runs import plan_runs


def collect(study: Study, results: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return the run table and the keys of the runs that have no result: those are no row, never a made-up value.

    Columns: run, sweep, N (parameters), T, V, with several vision models M (parameters), n (examples), seed, c (FLOPs),
    then every target's error on 0–100 and every target's standard error `<target>_se`. Raises `UserError` if a result
    lacks a target or no run has a result.
    """
    rows, missing, foreign = [], [], []
    now = Identity(study, results)
    for run in plan_runs(study):
        path = results / "runs" / run.key / "result.json"
        if path.exists():
            result = read_result(path)
            trained = path.with_name("finetuned.json")
            why = now.of_result(run, result, read_finetuned(trained) if trained.exists() else None)
            foreign += [f"{path}: {named(why)}"] if why else []
            rows.append({**identity(study, run), **_errors(study, path, result)})
        else:
            missing.append(run.key)
    _refuse_foreign(foreign)
    if not rows:
        raise UserError(f"{results}: no run has a result yet; run `snakemake evaluate` first")
    targets = study.targets()
    columns = ["run", "sweep", *numbers(study), *targets, *(f"{target}_se" for target in targets)]
    return pd.DataFrame(rows)[columns], missing


def _refuse_foreign(foreign: list[str]) -> None:
    """Raise `UserError` if results belong to another configuration than the study."""
    if foreign:
        more = [f"and {len(foreign) - SHOWN} more results"] if len(foreign) > SHOWN else []
        lines = [
            *foreign[:SHOWN],
            *more,
            "run `snakemake`, which makes again what differs, or restore the configuration",
        ]
        raise UserError("results of another configuration than the study's:\n" + "\n".join(lines))


def _errors(study: Study, path: Path, result: Mapping[str, Any]) -> dict[str, float]:
    errors = result["errors"]
    absent = [target for target in study.targets() if target not in errors]
    if absent:
        raise UserError(f"{path}: no error of {absent[0]!r}; delete this file and run `snakemake evaluate` again")
    measured = {target: errors[target]["error"] for target in study.targets()}
    return measured | {f"{target}_se": errors[target]["standard_error"] for target in study.targets()}
