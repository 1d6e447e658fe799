"""The plan of a study: every run with its cost, as a table and as a page."""

from collections import Counter
from pathlib import Path

import pandas as pd

from vlmfrontier.cost.paper import paper_cost
from vlmfrontier.study.root import Study
from vlmfrontier.study.units import format_number
from vlmfrontier.sweep.runs import Run, plan_runs
from vlmfrontier.sweep.status import DONE, FAILED, run_status

COLUMNS = ["run", "sweep", "sweeps", "N", "T", "V", "n", "seed", "c", "training_flops", "status", "reason"]


def training_flops(study: Study, run: Run) -> float:
    """Return the FLOPs of finetuning `run`: per example the forward pass of Eq. 1, and twice that for the way back."""
    vision = study.models.vision
    forward = float(paper_cost(run.N, run.T, run.V, vision.parameters, vision.features))
    return 3.0 * forward * run.n * study.finetune.epochs


def plan_table(study: Study, results: Path) -> pd.DataFrame:
    """Return one row per run (`COLUMNS`) with its status read from `results`; no rows for a study with a table."""
    rows = []
    for run in plan_runs(study):
        status = run_status(results, run)
        rows.append(
            {
                "run": run.key,
                "sweep": run.sweeps[0],
                "sweeps": "+".join(run.sweeps),
                **{name: getattr(run, name) for name in ("N", "T", "V", "n", "seed", "c")},
                "training_flops": training_flops(study, run),
                "status": status.state,
                "reason": status.reason,
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def sweep_totals(plan: pd.DataFrame) -> pd.DataFrame:
    """Return runs, done runs and training FLOPs per sweep, every run counted in the first sweep it belongs to."""
    totals = [
        {
            "sweep": sweep,
            "runs": len(rows),
            "done": int((rows.status == DONE).sum()),
            "failed": int((rows.status == FAILED).sum()),
            "cheapest c": format_number(rows.c.min()),
            "dearest c": format_number(rows.c.max()),
            "training FLOPs": format_number(rows.training_flops.sum()),
        }
        for sweep, rows in plan.groupby("sweep", sort=False)
    ]
    return pd.DataFrame(totals)


def plan_page(study: Study, plan: pd.DataFrame) -> str:
    """Return the plan as Markdown: totals per sweep, then every run."""
    if not study.trained:
        return f"# Plan of {study.study}\n\nNothing is trained: the laws start at `{study.table.path}`.\n"
    runs = plan.assign(
        **{name: plan[name].map(format_number) for name in ("c", "training_flops")},
        N=plan.N.map(lambda N: format_number(N, billions="B")),
    ).drop(columns=["sweep"])
    return "\n".join(
        [
            f"# Plan of {study.study}\n",
            summary(plan) + "\n",
            "A run of several sweeps is trained once and counted in the first. `c`: inference FLOPs per video (Eq. 1);",
            "training FLOPs: three times the forward pass of Eq. 1 per example.\n",
            sweep_totals(plan).to_markdown(index=False) + "\n",
            runs.to_markdown(index=False, disable_numparse=True) + "\n",
        ]
    )


def summary(plan: pd.DataFrame) -> str:
    """Return the plan in one line: how many runs, what they cost to train, how far they are."""
    if plan.empty:
        return "no runs: the laws start at a table"
    counts = Counter(plan.status)
    states = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    return f"{len(plan)} runs, {format_number(plan.training_flops.sum())} training FLOPs: {states}"


def write_plan(study: Study, results: Path) -> pd.DataFrame:
    """Write `plan.csv` and `plan.md` to `results` and return the plan."""
    plan = plan_table(study, results)
    results.mkdir(parents=True, exist_ok=True)
    plan.to_csv(results / "plan.csv", index=False)
    (results / "plan.md").write_text(plan_page(study, plan))
    return plan
