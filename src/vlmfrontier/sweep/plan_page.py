"""The plan of a study as a page: totals, what the numbers rest on, and every run."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vlmfrontier.cluster.site import GpuSite, Site
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.evaluations import uncounted
from vlmfrontier.sweep.resources import plan_training
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.sweep.status import DONE, FAILED, MISSING
from vlmfrontier.sweep.trainings import alignment, pictures
from vlmfrontier.units import format_flops, format_number, format_quantity

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


def sweep_totals(plan: pd.DataFrame) -> pd.DataFrame:
    """Return runs, training FLOPs and GPU-hours per sweep, every run counted in the first sweep it belongs to; the
    cost, where there are prices; and the points, where runs are tested at several T and V."""
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
            **(_points(rows) if (plan.points > 1).any() else {}),
            **({"cost": _money(rows.cost.sum(), currency)} if priced else {}),
        }
        for sweep, rows in plan.groupby("sweep", sort=False)
    ]
    return pd.DataFrame(totals)


def _points(rows: pd.DataFrame) -> dict[str, object]:
    """Return how many points runs are tested at, and the GPU-hours of as many trainings."""
    return {"points": int(rows.points.sum()), "trained one by one": format_quantity(rows.one_by_one_gpu_hours.sum())}


def _evaluation_hours(rows: pd.DataFrame) -> str:
    """Return the GPU-hours of the evaluation of runs, as far as something says how many questions there are."""
    return format_quantity(rows.evaluation_gpu_hours.sum(min_count=1)) or NOT_KNOWN


def _money(amount: float, currency: str) -> str:
    return f"{format_quantity(amount)} {currency}".strip()


def stage_1(study: Study, site: Site, results: Path | None = None) -> pd.DataFrame:
    """Return a row for every pair of published models that stage 1 is run for, as it would be run on `site`.

    No hours where neither the study nor prepared data in `results` gives the number of images.
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
    """Return, as sentences, the assumptions of the plan that the study does not state, and what the plan leaves out."""
    if not study.trained:
        return []
    rates = ", ".join(_rate(study.finetune.precision, gpu) for gpu in site.gpu)
    said = [
        f"GPU-hours are for {rates} (site file); your cluster may reach less; after the first runs, `status` "
        "compares planned and used GPU-hours"
    ]
    if len(site.gpu) > 1:
        said.append(f"each run takes the {site.choose} GPU that holds it, its evaluation the {_cheapest(site)} one")
    if _priced(site):
        prices = ", ".join(f"{gpu.name} {gpu.price:g}" for gpu in site.gpu)
        said.append(f"price of a GPU-hour{f' in {site.currency}' if site.currency else ''}: {prices} (site file)")
    if study.models.pretrained and study.models.start is None:
        count, source = pictures(study, results)
        if count is None:
            said.append(
                "stage 1 is not counted: the number of its images is not known; write data.llava.align.count, or "
                "plan again once the data is prepared"
            )
        else:
            said.append(f"stage 1 reads {count:,} images per epoch ({source})")
    missing = uncounted(study, results)
    if missing:
        said.append(
            f"the evaluation leaves out {', '.join(missing)}: the number of questions is not known; write "
            f"evaluate.lmms_eval.tasks.{missing[0]}.questions, or plan again once the benchmarks are fetched"
        )
    tasks = {} if study.evaluate.harness == "packed" else study.evaluate.lmms_eval.tasks
    own = [name for name, task in tasks.items() if task.metric is not None and name not in missing]
    if own:
        said.append(f"answers to {', '.join(own)} are assumed to be one letter; longer answers take longer")
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
        status=plan.status.replace(MISSING, "not started"),
        batch=plan.micro_batch.astype(str) + " × " + plan.accumulation.astype(str) + again,
        **{name: plan[name].map(format_quantity) for name in QUANTITIES},
    )[list(columns)].rename(columns=columns)
    return "\n".join(
        [
            f"# Plan of {study.study}\n",
            summary(plan, uncounted(study, results)) + "\n",
            *(f"- {sentence}." for sentence in assumptions(study, site, results)),
            "",
            f"{_longest(plan)}A run that belongs to several sweeps is trained once and counted in the first.\n",
            "- `c`: cost of inference in FLOPs per video, by Eq. 1",
            "- `GPU-hours`: of training, three forward passes of Eq. 1 per example; `hours`: on all GPUs of the run",
            "- `GPU-hours to evaluate`: a forward pass for every question, and every token of the answers",
            "- `GPUs`: per node",
            "- `batch`: videos at a time on one GPU × gradient accumulation; `again`: activations are recomputed",
            f"- `memory`: needed on one GPU, which has {memories}",
            f"- `disk`: model and checkpoints during training; all runs {format_quantity(plan.disk_gib.sum())} GiB",
            *_of_ladders(study, plan),
            "\nplan.csv has more columns.\n",
            sweep_totals(plan).to_markdown(index=False, disable_numparse=True) + "\n",
            *([before.to_markdown(index=False, disable_numparse=True) + "\n"] if len(before) else []),
            runs.to_markdown(index=False, disable_numparse=True) + "\n",
        ]
    )


def _longest(plan: pd.DataFrame) -> str:
    """Return how long runs train: the longest, and all of them one after another."""
    hours = plan.wall_hours
    if not hours.notna().any() or hours.max() < 1:
        return ""
    days = f"{format_quantity(hours.sum() / 24)} days"
    return f"The longest training takes {format_quantity(hours.max())} hours; one after another, all take {days}.\n\n"


def _of_ladders(study: Study, plan: pd.DataFrame) -> list[str]:
    """Return what the hours of runs count that have several T and V, in training or in tests."""
    said = []
    if any(run.draw for run in plan_runs(study)):
        said += [
            "- A run whose name has ranges of T and V draws T and V for each step: its GPU-hours are the mean over its "
            "levels, its memory is that of the largest level.",
        ]
    if (plan.points > 1).any():
        said += [
            "- `points`: pairs of T and V at which runs are tested; the frames of one T are encoded once for all its V",
            "- `trained one by one`: GPU-hours if each point were trained alone; a point of several runs counts once",
        ]
    return said


def summary(plan: pd.DataFrame, missing: Sequence[str] = ()) -> str:
    """Return the plan in one line: how many runs, what they cost to train, how far they are.

    `missing` are benchmarks of unknown size.
    """
    if plan.empty:
        return "no runs: the laws start at a table"
    counts = Counter(plan.status)
    others = (f"{count} {state}" for state, count in counts.most_common() if state not in (DONE, MISSING))
    states = ", ".join([f"{counts[DONE]} of {len(plan)} done", *others])
    to_evaluate = plan.evaluation_gpu_hours.sum(min_count=1)
    evaluation = f"{format_quantity(to_evaluate)} to evaluate" if to_evaluate >= 0 else "the evaluation not counted"
    less = f" without {', '.join(missing)}" if missing and to_evaluate >= 0 else ""
    hours = f"{format_quantity(plan.gpu_hours.sum())} GPU-hours to train, {evaluation}{less}"
    points, separate = plan.points.sum(), ""
    if points > len(plan):
        taken = format_quantity(plan.one_by_one_gpu_hours.sum())
        tested = format_quantity(plan.one_by_one_evaluation_gpu_hours.sum(min_count=1))
        separate = (
            f"; trained one by one, the points would take {taken} GPU-hours{tested and f' and {tested} to evaluate'}"
        )
    money = f", {_money(plan.cost.sum(), plan.attrs.get('currency', ''))}" if plan.cost.notna().any() else ""
    runs = f"{len(plan)} runs tested at {points} points" if separate else f"{len(plan)} runs"
    return f"{runs}, {format_flops(plan.training_flops.sum())} of training, {hours}{money}{separate}; {states}"
