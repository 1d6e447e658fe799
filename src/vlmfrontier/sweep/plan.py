"""The plan of a study: every run with its cost, as a table."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from vlmfrontier.cluster.site import GIB, GpuSite, Site
from vlmfrontier.cluster.slurm import QueuedJob
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.evaluation import UNKNOWN_QUESTIONS
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.evaluations import Questions, answering_hours, asked, evaluation_gpu
from vlmfrontier.sweep.plan_page import plan_page
from vlmfrontier.sweep.resources import ResourcePlan, plan_training
from vlmfrontier.sweep.runs import Run, plan_runs
from vlmfrontier.sweep.status import MISSING, REFUSED, Status, hours_used, run_status
from vlmfrontier.sweep.trainings import PlannedTraining, finetuning

RUN = ["run", "sweep", "sweeps", "N", "T", "V", "M", "n", "seed", "c", "training_flops", "tokens", "points"]
PLACED = ["nodes", "gpus", "micro_batch", "accumulation", "checkpointing"]
CLUSTER = ["partition", "gpu_model", *PLACED, "memory_gib", "weights_gib"]
CLUSTER += ["gradients_gib", "optimizer_gib", "gathered_gib", "activations_gib", "host_memory_mb", "gpu_hours"]
CLUSTER += ["wall_hours", "limit_minutes", "jobs", "disk_gib", "evaluation_partition", "evaluation_gpu_hours", "cost"]
ONE_BY_ONE = ["one_by_one_gpu_hours", "one_by_one_evaluation_gpu_hours"]
COLUMNS = [*RUN, *CLUSTER, *ONE_BY_ONE, "measured_gpu_hours", "status", "reason"]


def plan_table(
    study: Study, results: Path, site: Site | None = None, live: Mapping[str, QueuedJob] | None = None
) -> pd.DataFrame:
    """Return one row per run (`COLUMNS`, M only with several vision models) with its status read from `results`.

    No rows for a study with a table.

    What a run takes is counted for `site`, by default the one that a new site file describes. `gpus` are those of each
    node, `memory_gib` is that of one GPU, `gpu_hours` are those of all GPUs together; `measured_gpu_hours` is what the
    training took so far. `live` are jobs in the queue by run. `tokens` are the visual tokens of a training example, the
    mean where they are drawn; `points` those that a run is tested at, and `ONE_BY_ONE` what these would take if each
    were trained: a point of several runs counts in the first.
    """
    site = site or Site()
    runs, rows = plan_runs(study), []
    known, supposed = (asked(study, results, unknown) if runs else None for unknown in (0, UNKNOWN_QUESTIONS))
    one_by_one = _OneByOne(site, known, supposed)
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
                "tokens": float(f"{math.prod(training.mean):.4g}"),
                "points": 1 + len(run.tested),
                **_on_cluster(site, resources),
                **_evaluation(training, evaluation_gpu(training, site, supposed), known, resources.cost),
                **one_by_one.hours(run, training),
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


class _OneByOne:
    """What the points that runs are tested at would take if each were a training of its own."""

    def __init__(self, site: Site, known: Questions | None, supposed: Questions | None):
        self.site, self.known, self.supposed = site, known, supposed
        self._counted: set[tuple] = set()
        self._taken: dict[tuple, tuple[float, float]] = {}

    def hours(self, run: Run, training: PlannedTraining) -> dict[str, float]:
        """Return the GPU-hours of training and evaluation of those points of `run` that no run before had."""
        points = {(run.language, run.vision, T, V, run.n, run.seed) for T, V in ((run.T, run.V), *run.tested)}
        train = test = 0.0
        for point in sorted(points - self._counted):
            each, evaluation = self._of_point(point[:4], training)
            train, test = train + each * training.examples, test + evaluation
        self._counted |= points
        return dict(zip(ONE_BY_ONE, (float(f"{total:.4g}") for total in (train, test)), strict=True))

    def _of_point(self, point: tuple[str, str, int, int], training: PlannedTraining) -> tuple[float, float]:
        """Return the GPU-hours of training one example at a point, and of testing there."""
        if point not in self._taken:
            alone = replace(training, T=point[2], V=point[3], drawn=None, tested=())
            evaluation = answering_hours(alone, evaluation_gpu(alone, self.site, self.supposed), self.known)
            self._taken[point] = plan_training(alone, self.site).gpu_hours / alone.examples, evaluation
        return self._taken[point]


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


def write_plan(
    study: Study, results: Path, site: Site | None = None, live: Mapping[str, QueuedJob] | None = None
) -> pd.DataFrame:
    """Write `plan.csv` and `plan.md` to `results` and return the plan."""
    plan = plan_table(study, results, site, live)
    results.mkdir(parents=True, exist_ok=True)
    plan.to_csv(ResultsFolder(results).plan_csv, index=False)
    ResultsFolder(results).plan_md.write_text(plan_page(study, plan, site, results))
    return plan
