"""Studies of a table that is made up by a law: fitted in seconds, for tests that need a whole results folder."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from vlmfrontier.figures.drawing import save
from vlmfrontier.frontier.elasticity import elasticity_table
from vlmfrontier.frontier.search import frontier_table
from vlmfrontier.frontier.tables import regret_table, scaling_rules, summary
from vlmfrontier.laws.profile import profiles
from vlmfrontier.laws.runs_file import write_runs
from vlmfrontier.laws.selection import fit_target
from vlmfrontier.laws.user_table import as_runs, read_table
from vlmfrontier.results import Results
from vlmfrontier.study.load import load_study, write_study
from vlmfrontier.tables.writing import write_csv, write_table

STUDY = {
    "study": "made",
    "table": {
        "path": "points.csv",
        "factors": {"N": {"column": "params", "unit": "1B"}, "T": {"column": "frames"}, "V": {"column": "tokens"}},
        "data": {"column": "examples", "unit": "1M"},
        "targets": {
            "quiz": {"column": "quiz", "kind": "error"},
            "avg": {"column": "avg", "kind": "error"},
        },
        "split": "n_star == 1",
    },
    "laws": {"forms": ["mult", "add", "add-interact-s"], "starts": 10, "resamples": 8},
    "cost": {"model": "paper"},
    "space": {"N": ["1B", "3B", "8B"], "T": {"from": 1, "to": 64}, "V": {"squares": 20}},
    "frontier": {"budgets": {"from": "2T", "to": "30T", "count": 40}, "examples": ["0.5M", "1M", "4M"], "members": 60},
}
"""Three factors, two targets, Eq. 1 with the paper's vision model; frames and n reach beyond the runs."""


def points(noise: float = 0.01) -> pd.DataFrame:
    """Return a star around (3B, 16, 100) at three data sizes and some rivals, with errors of an additive law."""
    star = (
        [(N, 16, 100) for N in (1, 3, 8)] + [(3, T, 100) for T in (2, 4, 8, 32)] + [(3, 16, V) for V in (16, 49, 196)]
    )
    rows = [(*x, n, 1) for x, n in product(star, (0.5, 1, 2))]
    rows += [(*x, 1, 0) for x in ((8, 4, 100), (8, 16, 25), (1, 32, 49), (1, 16, 196), (3, 24, 64), (8, 8, 49))]
    frame = pd.DataFrame(rows, columns=["N", "T", "V", "n", "n_star"], dtype=float)
    rng = np.random.default_rng(0)
    for target, scale in (("quiz", 1.4), ("avg", 1.0)):
        error = 12 * frame.N**-0.4 + 15 * frame["T"] ** -0.6 + scale * 40 * frame.V**-0.5 + 6 * frame.n**-0.3 + 8
        frame[target] = error * rng.lognormal(0, noise, len(frame))
    renamed = frame.rename(columns={"T": "frames", "V": "tokens"})
    return renamed.assign(params=frame.N * 1e9, examples=frame.n * 1e6).drop(columns=["N", "n"])


def made(folder: Path, study: Mapping = STUDY, table: pd.DataFrame | None = None) -> Results:
    """Write a study and its table into `folder` and return its results folder, in which nothing has been fitted."""
    path = folder / "points.csv"
    (points() if table is None else table).to_csv(path, index=False)
    config = {**study, "table": {**study["table"], "path": str(path)}}
    file = folder / "results" / study["study"] / "study.json"
    made = load_study([], config)
    write_study(made, file)
    write_runs(*as_runs(read_table(made.table), made.table), file.with_name("runs.csv"))
    return Results.open(file)


def fitted(results: Results) -> Results:
    """Return the results after fitting the laws of every target, comparing forms and searching the frontiers."""
    forms = []
    for target in results.study.targets():
        fit_target(results.table, target, results.study.laws, results.laws_folder(target), threads=1)
        forms.append(pd.read_csv(results.laws_folder(target).forms))
    write_table(pd.concat(forms, ignore_index=True), results.forms_csv)
    if results.cost is not None:
        for target in results.study.targets():
            table = frontier_table(results.target(target), results.budgets, results.examples, results.config.near)
            write_csv(table, results.frontier_csv(target))
    if results.cost is not None and results.table.has_data:
        name = results.main_target
        table = elasticity_table(results.target(name), results.elasticity_grid)
        write_table(table.assign(target=name), results.table_csv("elasticity"))
    return results


def with_profile_and_regret(results: Results) -> Results:
    """Return fitted results after profiling the main target's law coarsely and pricing rules that scale one factor."""
    name = results.main_target
    law = results.law(name)
    present = [parameter for parameter, value in law.parameters.items() if value != 0][:3]
    write_csv(
        profiles(results.table, law, present, results.study.laws, 3, threads=1), results.laws_folder(name).profile
    )
    if results.cost is not None:
        rules = scaling_rules(results.space, results.center)
        table = regret_table(results.target(name), results.budgets, results.examples, rules)
        write_table(summary(table), results.table_csv("regret"))
    return results


def assert_another_process_draws_the_same(results: Results, names: Sequence[str], folder: Path) -> None:
    """Draw figures here, into `folder`, and in a process that orders its sets in another way; compare every byte."""
    save(results, names, results.main_target, folder)
    here = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(here) == {f"{name}{suffix}" for name in names for suffix in (".csv", ".pdf", ".png", ".svg")}
    command = [sys.executable, "-m", "vlmfrontier", "figure", *names, "--study", str(results.study_json)]
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    there = {name: (results.figures / name).read_bytes() for name in here}
    assert [name for name in here if here[name] != there[name]] == []
