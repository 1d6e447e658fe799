"""The plan of a study: every run with its cost, as a table and as a page."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from vlmfrontier.cluster.queue import QueuedJob
from vlmfrontier.cluster.resources import host_memory
from vlmfrontier.cluster.site import GIB, Site
from vlmfrontier.study.root import Study
from vlmfrontier.study.units import format_number
from vlmfrontier.sweep.answering import answering_hours
from vlmfrontier.sweep.placement import Placement, alignment, place, place_training, training_flops
from vlmfrontier.sweep.runs import Run, plan_runs
from vlmfrontier.sweep.spent import spent_hours
from vlmfrontier.sweep.status import DONE, FAILED, MISSING, REFUSED, Status, run_status

RUN = ["run", "sweep", "sweeps", "N", "T", "V", "M", "n", "seed", "c", "training_flops"]
CLUSTER = ["partition", "nodes", "gpus", "micro_batch", "accumulation", "checkpointing", "memory_gib", "weights_gib"]
CLUSTER += ["gradients_gib", "optimizer_gib", "gathered_gib", "activations_gib", "host_memory_mb", "gpu_hours"]
CLUSTER += ["wall_hours", "limit_minutes", "jobs", "disk_gib", "evaluation_gpu_hours"]
COLUMNS = [*RUN, *CLUSTER, "measured_gpu_hours", "status", "reason"]
ON_PAGE = ["run", "sweeps", "c", "nodes", "gpus", "batch", "memory_gib", "gpu_hours", "wall_hours", "disk_gib"]
ON_PAGE += ["status", "reason"]


def plan_table(
    study: Study, results: Path, site: Site | None = None, live: Mapping[str, QueuedJob] | None = None
) -> pd.DataFrame:
    """Return one row per run (`COLUMNS`, M only with several vision models) with its status read from `results`.

    No rows for a study with a table.

    What a run takes is counted for `site`, by default the one that a new site file describes. `gpus` are those of each
    node, `memory_gib` is that of one GPU, `gpu_hours` are those of all GPUs together; `measured_gpu_hours` is what the
    training took so far. `live` are jobs in the queue by run.
    """
    site = site or Site()
    rows = []
    for run in plan_runs(study):
        placement = place(study, run, site)
        status = _planned_status(run_status(results, run, live), placement)
        rows.append(
            {
                "run": run.key,
                "sweep": run.sweeps[0],
                "sweeps": "+".join(run.sweeps),
                **{name: getattr(run, name) for name in [*study.factors(), "n", "seed", "c"]},
                "training_flops": training_flops(study, run),
                **_on_cluster(site, placement),
                "evaluation_gpu_hours": float(f"{answering_hours(study, run, site):.4g}"),
                "measured_gpu_hours": _measured(results, run, placement),
                "status": status.state,
                "reason": status.reason,
            }
        )
    one_tower = not study.trained or not study.models.several_towers
    return pd.DataFrame(rows, columns=[column for column in COLUMNS if not (one_tower and column == "M")])


def _planned_status(found: Status, placement: Placement) -> Status:
    """Return `refused` with the reason for a run that no GPU of the site can train and that has not begun elsewhere."""
    return Status(REFUSED, placement.problem) if placement.problem and found.state == MISSING else found


def _measured(results: Path, run: Run, placement: Placement) -> float:
    """Return the hours that the training of `run` took so far, times its processes."""
    hours = spent_hours(results / "runs" / run.key / "state" / "train.jsonl")
    return float(f"{hours * placement.processes:.4g}")


def _on_cluster(site: Site, placement: Placement) -> dict[str, object]:
    memory = placement.memory
    parts = {name: getattr(memory, name) for name in ("weights", "gradients", "optimizer", "gathered", "activations")}
    return {
        "partition": site.gpu.partition,
        **{name: getattr(placement, name) for name in CLUSTER[1:6]},
        "memory_gib": float(f"{memory.total / GIB:.4g}"),
        **{f"{name}_gib": float(f"{size / GIB:.4g}") for name, size in parts.items()},
        "host_memory_mb": host_memory(site, placement),
        "gpu_hours": float(f"{placement.gpu_hours:.4g}"),
        "wall_hours": float(f"{placement.hours:.4g}"),
        "limit_minutes": placement.minutes(site),
        "jobs": placement.jobs(site),
        "disk_gib": float(f"{placement.disk / GIB:.4g}"),
    }


def sweep_totals(plan: pd.DataFrame) -> pd.DataFrame:
    """Return runs, training FLOPs and GPU-hours per sweep, every run counted in the first sweep it belongs to."""
    totals = [
        {
            "sweep": sweep,
            "runs": len(rows),
            "done": int((rows.status == DONE).sum()),
            "failed": int((rows.status == FAILED).sum()),
            "cheapest c": format_number(rows.c.min()),
            "dearest c": format_number(rows.c.max()),
            "training FLOPs": format_number(rows.training_flops.sum()),
            "GPU-hours": f"{rows.gpu_hours.sum():.3g}",
            "GPU-hours left": f"{rows.gpu_hours[rows.status != DONE].sum():.3g}",
            "to evaluate": f"{rows.evaluation_gpu_hours.sum():.3g}",
        }
        for sweep, rows in plan.groupby("sweep", sort=False)
    ]
    return pd.DataFrame(totals)


def stage_1(study: Study, site: Site) -> pd.DataFrame:
    """Return a row for every pair of published models that stage 1 is run for, as it would be placed on `site`."""
    published = study.trained and study.models.pretrained
    pairs = dict.fromkeys((run.language, run.vision) for run in plan_runs(study)) if published else {}
    placed = {study.models.start_name(*pair): place_training(alignment(study, *pair), site) for pair in pairs}
    rows = [
        {
            "stage 1 of": name,
            "gpus": placement.gpus,
            "GPU-hours": f"{placement.gpu_hours:.3g}",
            "wall hours": f"{placement.hours:.3g}",
            **({"refused": placement.problem} if placement.problem else {}),
        }
        for name, placement in placed.items()
    ]
    return pd.DataFrame(rows)


def plan_page(study: Study, plan: pd.DataFrame, site: Site | None = None) -> str:
    """Return the plan as Markdown: totals per sweep, then every run as it would be trained on `site`."""
    if not study.trained:
        return f"# Plan of {study.study}\n\nNothing is trained: the laws start at `{study.table.path}`.\n"
    gpu, before = (site or Site()).gpu, stage_1(study, site or Site())
    peak = format_number(gpu.peak(study.finetune.precision))
    again = plan.checkpointing.map({True: " again", False: ""})
    runs = plan.assign(
        c=plan.c.map(format_number),
        batch=plan.micro_batch.astype(str) + " × " + plan.accumulation.astype(str) + again,
        **{name: plan[name].map("{:.3g}".format) for name in ("memory_gib", "gpu_hours", "wall_hours", "disk_gib")},
    )[ON_PAGE]
    return "\n".join(
        [
            f"# Plan of {study.study}\n",
            summary(plan) + "\n",
            "A run of several sweeps is trained once and counted in the first. `c`: inference FLOPs per video (Eq. 1);",
            f"GPU-hours: three times the forward pass of Eq. 1 per example, at {gpu.mfu:.0%} of the peak of one",
            f"{gpu.model or 'GPU'}, {peak} FLOPs/s. `gpus`: per node. `batch`: micro-batch",
            "× accumulation, `again` if activations must be computed again to fit. `memory_gib`: of one GPU, which has",
            f"{gpu.memory:g}. `disk_gib`: model and checkpoints while it trains, all runs {plan.disk_gib.sum():.3g}.",
            "`to evaluate`: a forward pass for every question at that rate, and every token of the answers.",
            "plan.csv has more columns.\n",
            sweep_totals(plan).to_markdown(index=False) + "\n",
            *([before.to_markdown(index=False) + "\n"] if len(before) else []),
            runs.to_markdown(index=False, disable_numparse=True) + "\n",
        ]
    )


def summary(plan: pd.DataFrame) -> str:
    """Return the plan in one line: how many runs, what they cost to train, how far they are."""
    if plan.empty:
        return "no runs: the laws start at a table"
    counts = Counter(plan.status)
    states = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    hours = f"{plan.gpu_hours.sum():.3g} GPU-hours on a cluster and {plan.evaluation_gpu_hours.sum():.2g} to evaluate"
    return f"{len(plan)} runs, {format_number(plan.training_flops.sum())} training FLOPs, {hours}: {states}"


def write_plan(
    study: Study, results: Path, site: Site | None = None, live: Mapping[str, QueuedJob] | None = None
) -> pd.DataFrame:
    """Write `plan.csv` and `plan.md` to `results` and return the plan."""
    plan = plan_table(study, results, site, live)
    results.mkdir(parents=True, exist_ok=True)
    plan.to_csv(results / "plan.csv", index=False)
    (results / "plan.md").write_text(plan_page(study, plan, site))
    return plan
