"""A trained study whose vision models have several sizes, with results that follow a known law: M is a factor."""

import json
from pathlib import Path

import numpy as np

from vlmfrontier.laws.runs_file import write_runs
from vlmfrontier.results import Results
from vlmfrontier.study.load import validate, write_study
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.collect import collect, describe
from vlmfrontier.sweep.runs import plan_runs

TOWERS = {
    "coarse": {"hidden_size": 32, "layers": 2, "heads": 2, "intermediate_size": 64},
    "fine": {"hidden_size": 64, "layers": 3},
    "wide": {"hidden_size": 96, "layers": 4},
}
VARY = {"N": ["xxs", "xs", "m"], "T": [2, 4, 8], "V": [4, 16, 36], "M": list(TOWERS)}
QUIZ = {"tasks": ["quiz"], "metric": "right", "best": 1}
WHERE = {"finished": "2026-01-01T00:00:00+00:00", "device": "cpu", "commit": "abc", "versions": {"torch": "2"}}


def study(cost: str = "paper", **more) -> Study:
    """Return a star over all four factors at two data sizes, tested on one task."""
    star = {"design": "star", "vary": VARY, "n": [200, 400]}
    sections = {
        "study": "towers",
        "models": {"vision": TOWERS},
        "evaluate": {"harness": "lmms-eval", "lmms_eval": {"tasks": {"quiz": QUIZ}}},
        "sweep": {"center": {"N": "m", "T": 4, "V": 16, "M": "fine"}, "designs": {"star": star}},
        "laws": {"forms": ["add"], "starts": 20, "resamples": 10, "split": None},
        "cost": {"model": cost},
        "frontier": {"budgets": {"from": "20M", "to": "300M", "count": 30}, "examples": [200, 400], "members": 20},
    }
    return validate({**sections, **more})


def error(N: np.ndarray, T: np.ndarray, V: np.ndarray, M: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the error by the law that the results follow."""
    models = 20 * (N / 1e4) ** -0.3 + 6 * (M / 1e5) ** -0.4
    return models + 15 * T**-0.5 + 20 * V**-0.5 + 30 * n**-0.3


def results(folder: Path, made: Study, noise: float = 0.0, without: int = 0) -> Results:
    """Return the results of a study after its runs, in which nothing has been fitted; `noise` is relative.

    The first `without` runs have no result.
    """
    file = folder / "results" / made.study / "study.json"
    write_study(made, file)
    rng = np.random.default_rng(0)
    for run in plan_runs(made)[without:]:
        own = file.parent / "runs" / run.key
        own.mkdir(parents=True)
        value = error(run.N, run.T, run.V, run.M, run.n)
        errors = {
            name: {"error": value * rng.lognormal(0, noise), "standard_error": 1.0, "questions": 100}
            for name in made.targets()
        }
        about = {"seed": run.seed, "seconds": {"finetune": 1.0, "evaluate": 1.0}, "counted_flops": {"total": run.c}}
        (own / "result.json").write_text(json.dumps({"errors": errors, "provenance": WHERE, **about}))
    rows, _ = collect(made, file.parent)
    write_runs(rows, describe(made, rows), file.with_name("runs.csv"))
    return Results.open(file)
