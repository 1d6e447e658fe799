"""The plan of a study: every run with its cost, as a table and as a page."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from vlmfrontier.cluster.site import GIB, GpuSite, Site
from vlmfrontier.cluster.slurm import QueuedJob
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.evaluation import UNKNOWN_QUESTIONS
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.resources import (
    Questions,
    ResourcePlan,
    answering_hours,
    asked,
    evaluation_gpu,
    plan_training,
    uncounted,
)
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.sweep.status import DONE, FAILED, MISSING, REFUSED, Status, hours_used, run_status
from vlmfrontier.sweep.trainings import PlannedTraining, alignment, finetuning, pictures
from vlmfrontier.units import format_flops, format_number, format_quantity

RUN = ["run", "sweep", "sweeps", "N", "T", "V", "M", "n", "seed", "c", "training_flops"]
PLACED = ["nodes", "gpus", "micro_batch", "accumulation", "checkpointing"]
CLUSTER = ["partition", "gpu_model", *PLACED, "memory_gib", "weights_gib"]
CLUSTER += ["gradients_gib", "optimizer_gib", "gathered_gib", "activations_gib", "host_memory_mb", "gpu_hours"]
CLUSTER += ["wall_hours", "limit_minutes", "jobs", "disk_gib", "evaluation_partition", "evaluation_gpu_hours", "cost"]
COLUMNS = [*RUN, *CLUSTER, "measured_gpu_hours", "status", "reason"]
ON_PAGE = {
    "run": "run",
    "sweeps": "sweeps",
    "c": "c (FLOPs)",
    "nodes": "nodes",
    "gpus": "GPUs",
    "batch": "batch",
    "memory_gib": "memory (GiB)",
    "gpu_hours": "GPU-hours",
    "wall_hours": "hours",
    "disk_gib": "disk (GiB)",
    "status": "status",
    "reason": "reason",
}
"""Columns of the page, and what they are called there."""
QUANTITIES = ["memory_gib", "gpu_hours", "wall_hours", "disk_gib", "cost"]
"""Columns of the page that are hours, GiB or money."""
NOT_KNOWN = "not known"


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
    runs, rows = plan_runs(study), []
    known, supposed = (asked(study, results, unknown) if runs else None for unknown in (0, UNKNOWN_QUESTIONS))
    for run in runs:
        training = finetuning(study, run)
        resources = plan_training(training, site)
        folder = ResultsFolder(results).run(run.key).root
        hours = hours_used(folder / "state" / "train.jsonl") * resources.processes
        status = _planned_status(run_status(folder, (live or {}).get(run.key), run.tested), resources)
        rows.append(
            {
                "run": run.key,
                "sweep": run.sweeps[0],
                "sweeps": "+".join(run.sweeps),
                **{name: getattr(run, name) for name in [*study.factors(), "n", "seed", "c"]},
                "training_flops": training.flops,
                **_on_cluster(site, resources),
                **_evaluation(training, evaluation_gpu(training, site, supposed), known, resources.cost),
                "measured_gpu_hours": float(f"{hours:.4g}"),
                "status": status.state,
                "reason": status.reason,
            }
        )
    one_tower = not study.trained or not study.models.several_towers
    table = pd.DataFrame(rows, columns=[column for column in COLUMNS if not (one_tower and column == "M")])
    table.attrs["currency"] = site.currency
    return table


def _evaluation(training: PlannedTraining, gpu: GpuSite, known: Questions, cost: float) -> dict[str, object]:
    """Return where a run is evaluated, for how long, and what it costs together with its training."""
    hours = answering_hours(training, gpu, known)
    to_evaluate = 0.0 if gpu.price is None or math.isnan(hours) else hours * gpu.price
    return {
        "evaluation_partition": gpu.partition,
        "evaluation_gpu_hours": float(f"{hours:.4g}"),
        "cost": float(f"{cost + to_evaluate:.4g}"),
    }


def _planned_status(found: Status, resources: ResourcePlan) -> Status:
    """Return `refused` with the reason for a run that no GPU of the site can train and that has not begun elsewhere."""
    return Status(REFUSED, resources.problem) if resources.problem and found.state == MISSING else found


def _on_cluster(site: Site, resources: ResourcePlan) -> dict[str, object]:
    memory = resources.memory
    parts = {name: getattr(memory, name) for name in ("weights", "gradients", "optimizer", "gathered", "activations")}
    return {
        "partition": resources.on.partition,
        "gpu_model": resources.on.model,
        **{name: getattr(resources, name) for name in PLACED},
        "memory_gib": float(f"{memory.total / GIB:.4g}"),
        **{f"{name}_gib": float(f"{size / GIB:.4g}") for name, size in parts.items()},
        "host_memory_mb": resources.main_memory,
        "gpu_hours": float(f"{resources.gpu_hours:.4g}"),
        "wall_hours": float(f"{resources.hours:.4g}"),
        "limit_minutes": resources.minutes(site),
        "jobs": resources.jobs(site),
        "disk_gib": float(f"{resources.disk / GIB:.4g}"),
    }


def sweep_totals(plan: pd.DataFrame) -> pd.DataFrame:
    """Return runs, training FLOPs and GPU-hours per sweep, every run counted in the first sweep it belongs to; and the
    cost, where there are prices."""
    priced, currency = plan.cost.notna().any(), plan.attrs.get("currency", "")
    totals = [
        {
            "sweep": sweep,
            "runs": len(rows),
            "done": int((rows.status == DONE).sum()),
            "failed": int((rows.status == FAILED).sum()),
            "cheapest c": format_flops(rows.c.min()),
            "dearest c": format_flops(rows.c.max()),
            "training": format_flops(rows.training_flops.sum()),
            "GPU-hours": format_quantity(rows.gpu_hours.sum()),
            "GPU-hours left": format_quantity(rows.gpu_hours[rows.status != DONE].sum()),
            "GPU-hours to evaluate": _evaluation_hours(rows),
            **({"cost": _money(rows.cost.sum(), currency)} if priced else {}),
        }
        for sweep, rows in plan.groupby("sweep", sort=False)
    ]
    return pd.DataFrame(totals)


def _evaluation_hours(rows: pd.DataFrame) -> str:
    """Return the GPU-hours of the evaluation of runs, as far as something says how many questions there are."""
    return format_quantity(rows.evaluation_gpu_hours.sum(min_count=1)) or NOT_KNOWN


def _money(amount: float, currency: str) -> str:
    return f"{format_quantity(amount)} {currency}".strip()


def stage_1(study: Study, site: Site, results: Path | None = None) -> pd.DataFrame:
    """Return a row for every pair of published models that stage 1 is run for, as it would be run on `site`.

    No hours where neither the study nor prepared data in `results` says how many pictures there are.
    """
    published = study.trained and study.models.pretrained
    pairs = dict.fromkeys((run.language, run.vision) for run in plan_runs(study)) if published else {}
    planned = {study.models.start_name(*pair): plan_training(alignment(study, *pair, results), site) for pair in pairs}
    known = bool(pairs) and pictures(study, results)[0] is not None
    rows = [
        {
            "stage 1 of": name,
            "GPUs": resources.gpus,
            "GPU-hours": format_quantity(resources.gpu_hours) if known else NOT_KNOWN,
            "hours": format_quantity(resources.hours) if known else NOT_KNOWN,
            **({"partition": resources.on.name} if len(site.gpu) > 1 else {}),
            **({"cost": _money(resources.cost, site.currency) if known else NOT_KNOWN} if _priced(site) else {}),
            **({"refused": resources.problem} if resources.problem else {}),
        }
        for name, resources in planned.items()
    ]
    return pd.DataFrame(rows)


def _priced(site: Site) -> bool:
    return site.gpu[0].price is not None  # of all or of none


def assumptions(study: Study, site: Site, results: Path | None = None) -> list[str]:
    """Return in sentences what the numbers of the plan rest on that the study does not say, and what they leave out."""
    if not study.trained:
        return []
    said = [f"GPU-hours are those of {', '.join(_rate(study.finetune.precision, gpu) for gpu in site.gpu)} (site file)"]
    if len(site.gpu) > 1:
        said.append(f"each run takes the {site.choose} GPU that holds it, its evaluation the {_cheapest(site)} one")
    if _priced(site):
        prices = ", ".join(f"{gpu.name} {gpu.price:g}" for gpu in site.gpu)
        said.append(f"an hour of a GPU costs{f' in {site.currency}' if site.currency else ''}: {prices} (site file)")
    if study.models.pretrained and study.models.start is None:
        count, source = pictures(study, results)
        if count is None:
            said.append(
                "stage 1 is not counted: nothing says how many pictures it reads; write data.llava.align.count, or "
                "plan again once the data is prepared"
            )
        else:
            said.append(f"stage 1 reads {count:,} pictures in a pass, as {source} says")
    missing = uncounted(study, results)
    if missing:
        said.append(
            f"the evaluation leaves out {', '.join(missing)}: nothing says how many questions there are; write "
            f"evaluate.lmms_eval.tasks.{missing[0]}.questions, or plan again once the benchmarks are fetched"
        )
    tasks = {} if study.evaluate.harness == "packed" else study.evaluate.lmms_eval.tasks
    own = [name for name, task in tasks.items() if task.metric is not None and name not in missing]
    if own:
        said.append(f"answers to {', '.join(own)} are taken to be as short as a letter; longer ones take longer")
    return said


def _rate(precision: str, gpu: GpuSite) -> str:
    peak = f"{format_flops(gpu.peak(precision))} per second"
    return f"{gpu.model or 'a GPU'} at {gpu.mfu:.0%} of its peak of {peak}"


def _cheapest(site: Site) -> str:
    return "cheapest" if _priced(site) else "smallest"


def plan_page(study: Study, plan: pd.DataFrame, site: Site | None = None, results: Path | None = None) -> str:
    """Return the plan as Markdown: totals per sweep, then every run as it would be trained on `site`."""
    if not study.trained:
        return f"# Plan of {study.study}\n\nNothing is trained: the laws start at `{study.table.path}`.\n"
    site = site or Site()
    before = stage_1(study, site, results)
    columns = dict(ON_PAGE)
    if len(site.gpu) > 1:
        columns |= {"partition": "partition"}
    if _priced(site):
        columns |= {"cost": f"cost ({site.currency})" if site.currency else "cost"}
    memories = ", ".join(f"{gpu.memory:g} GiB" for gpu in site.gpu)
    again = plan.checkpointing.map({True: " again", False: ""})
    runs = plan.assign(
        c=plan.c.map(format_number),
        batch=plan.micro_batch.astype(str) + " × " + plan.accumulation.astype(str) + again,
        **{name: plan[name].map(format_quantity) for name in QUANTITIES},
    )[list(columns)].rename(columns=columns)
    return "\n".join(
        [
            f"# Plan of {study.study}\n",
            summary(plan, uncounted(study, results)) + "\n",
            *(f"- {sentence}." for sentence in assumptions(study, site, results)),
            "",
            "A run of several sweeps is trained once and counted in the first. `c`: inference FLOPs per video (Eq. 1);",
            "GPU-hours: three times the forward pass of Eq. 1 per example. `GPUs`: per node. `batch`: micro-batch",
            "× accumulation, `again` if activations must be computed again to fit. `memory`: of one GPU, which has",
            f"{memories}. `disk`: model and checkpoints while it trains, all runs "
            f"{format_quantity(plan.disk_gib.sum())} GiB.",
            "`GPU-hours to evaluate`: a forward pass for every question at that rate, and every token of the answers.",
            "plan.csv has more columns.\n",
            sweep_totals(plan).to_markdown(index=False, disable_numparse=True) + "\n",
            *([before.to_markdown(index=False, disable_numparse=True) + "\n"] if len(before) else []),
            runs.to_markdown(index=False, disable_numparse=True) + "\n",
        ]
    )


def summary(plan: pd.DataFrame, missing: Sequence[str] = ()) -> str:
    """Return the plan in one line: how many runs, what they cost to train, how far they are.

    `missing` are benchmarks that nothing says the size of.
    """
    if plan.empty:
        return "no runs: the laws start at a table"
    counts = Counter(plan.status)
    states = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    to_evaluate = plan.evaluation_gpu_hours.sum(min_count=1)
    evaluation = f"{format_quantity(to_evaluate)} to evaluate" if to_evaluate >= 0 else "the evaluation not counted"
    less = f" without {', '.join(missing)}" if missing and to_evaluate >= 0 else ""
    hours = f"{format_quantity(plan.gpu_hours.sum())} GPU-hours on a cluster, {evaluation}{less}"
    money = f", {_money(plan.cost.sum(), plan.attrs.get('currency', ''))}" if plan.cost.notna().any() else ""
    return f"{len(plan)} runs, {format_flops(plan.training_flops.sum())} of training, {hours}{money}: {states}"


def write_plan(
    study: Study, results: Path, site: Site | None = None, live: Mapping[str, QueuedJob] | None = None
) -> pd.DataFrame:
    """Write `plan.csv` and `plan.md` to `results` and return the plan."""
    plan = plan_table(study, results, site, live)
    results.mkdir(parents=True, exist_ok=True)
    plan.to_csv(ResultsFolder(results).plan_csv, index=False)
    ResultsFolder(results).plan_md.write_text(plan_page(study, plan, site, results))
    return plan
