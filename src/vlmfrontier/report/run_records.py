"""The record of every run, for a reader who points at it."""

from pathlib import Path
from typing import Any

import numpy as np

from vlmfrontier.frontier.load import Results
from vlmfrontier.records import read_result as checked_result


def run_records(results: Results) -> dict[str, Any]:
    """Return the runs in columns: names, factors, n, cost, errors by target with standard errors, notes.

    `notes` has a list of label and text for each run.
    """
    table = results.table
    costs = None if results.cost is None else results.run_costs
    return {
        "count": len(table),
        "names": table.names,
        "factors": [values.tolist() for values in table.factors.values()],
        "n": None if table.data is None else table.data.tolist(),
        "cost": None if costs is None else _or_none(costs),
        "errors": {name: _or_none(values) for name, values in table.targets.items()},
        "se": {name: None if se is None else _or_none(se) for name, se in table.se.items()},
        "notes": [_notes(results, row) for row in range(len(table))],
    }


def _or_none(values: np.ndarray) -> list[float | None]:
    """Return the numbers for JSON, which has no word for one that is not known but null."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _notes(results: Results, row: int) -> list[list[str]]:
    """Return what else is known of a run: its sweep and seed, how long it took here and on what."""
    frame = results.table.frame
    notes = [[name, str(frame[name].iloc[row])] for name in ("sweep", "seed") if name in frame]
    result = read_result(results.folder / "runs" / results.table.names[row] / "result.json")
    seconds = result.get("seconds", {})
    if {"finetune", "evaluate"} <= set(seconds):
        notes.append(["seconds", f"{seconds['finetune']:.0f} finetuning, {seconds['evaluate']:.0f} evaluation"])
    if "provenance" in result:
        notes.append(["device", str(result["provenance"].get("device"))])
    if result.get("decode_failures"):
        notes.append(["broken videos", str(result["decode_failures"])])
    return notes


def read_result(path: Path) -> dict[str, Any]:
    """Return a run's result; empty if it is not there, as where only the run table was handed on."""
    return checked_result(path) if path.exists() else {}
