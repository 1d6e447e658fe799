"""What each job asks for: its hours, and the resources of its rule, from the site file and the plan of each run.

A job asks for twice its hours (`limit_minutes`), so the rates are typical ones, measured where a comment says so. They
decide no result: too short a limit costs an attempt, each further one is given twice the time.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vlmfrontier.cluster.options import quoted, sbatch_words
from vlmfrontier.cluster.site import GpuSite, Partition, Site
from vlmfrontier.cost.flops import vision_cost
from vlmfrontier.cost.training import BACKWARD
from vlmfrontier.study.analysis import LawsConfig
from vlmfrontier.study.evaluation import UNKNOWN_QUESTIONS
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.evaluations import benchmark_questions
from vlmfrontier.sweep.resources import ResourcePlan, limit_minutes
from vlmfrontier.sweep.trainings import DIGITS_TEXT

MIB_PER_GIB = 1024
Resources = dict[str, Any]
Hours = Callable[[Any], float]
"""How long a job may take, by its wildcards."""
_PLUGIN_TAKES = re.compile(r"[A-Za-z0-9_.]+\Z")
"""Names of GPUs that the plugin takes; with a dash, as NVIDIA's own have, it refuses them."""

DIGITS_VIDEO_SECONDS = 0.05
"""Of one core, to draw and encode a generated video: 64 took 3 s of a shared core."""
VIDEO_SECONDS, ALL_FRAMES_SECONDS = 0.7, 2.3
"""Of one core, to look into a real video: three frames of the slowest kind in docs/data.md, or every frame."""
RECORD_SECONDS = 1e-4
"""Of one core, to read and write a record: 1,200,000 took 40 s."""
RECORD_BYTES = 500
"""Of one record in an annotations file, at least: how many there may be where nothing counts them."""
STEP_SECONDS = 0.07
"""Of a step of the digits study's pretraining, however fast the GPU: 101,000 steps take a laptop two hours."""
FRAMES = 32
"""Of a generated video."""
REPLY_SECONDS = 10.0
"""Of a judge, for one answer; several are asked at a time."""
SCORE_SECONDS = 0.01
"""To score an answer without a judge."""
FIT_SECONDS = {"fast": 4e-3, "wide": 4e-3, "exhaustive": 1e-2}
FIT_SECONDS["paper"] = FIT_SECONDS["wide"]
"""Of one core, for a row of one fit: of 63 rows 0.1 s a resample, about half of this, whatever the starts up to 500."""
SCIPY_SECONDS = 1.0
"""The same of the `scipy` backend: some minutes a fit."""
USUAL_STARTS = 500
COMPILING_SECONDS = 60.0
"""Until the first fit: 30 s of one core."""
FITS = 40
"""Of one form besides its resamples: folds, extrapolation, rows left out, profiles."""
ABLATIONS = 12
"""Settings that the ablation tables compare, each like the fit of one form."""
GENERATED_TOKENS = 640
"""Longest batch of the digits study's stage 1, per example."""


def cpu_job(site: Site | None, hours: Hours, memory: float = 0.0, cores: int = 1) -> Resources:
    """Return the resources of a job without a GPU that may take `hours` and needs `memory` GiB; none outside a cluster.

    `cores` are asked for by name: the threads of a rule are cut to the cores of the machine that submits.
    """
    if site is None:
        return {}
    asked = {
        "cpus_per_task": cores,
        "runtime": _growing(site, lambda _: site.cpu, hours),
        "mem_mb": int(max(site.cpu.memory, memory) * MIB_PER_GIB),
    }
    return asked | _of_partition(site, lambda _: site.cpu)


def gpu_job(site: Site | None, on: Callable[[Any], GpuSite], hours: Hours) -> Resources:
    """Return the resources of a job with one GPU that may take `hours`; none outside a cluster."""
    if site is None:
        return {}
    asked = {
        "cpus_per_task": lambda wildcards: on(wildcards).cpus,
        "runtime": _growing(site, on, hours),
        "mem_mb": lambda wildcards: int(on(wildcards).host_memory * MIB_PER_GIB),
    }
    asked |= _of_gpus(site, on, lambda _: 1)
    return asked | _packed(site, asked)


def training_job(
    site: Site | None, plan: Callable[[Any], ResourcePlan], force: Callable[[Any], str] = lambda _: ""
) -> Resources:
    """Return the resources of a training on one node; `plan` looks a job's wildcards up in the plan.

    `layout` holds the options that tell the script how it was planned and, from `force`, whether it is to train a
    finished run once more; a resource and not a parameter, since another number of GPUs is no reason to train again.
    """
    if site is None:
        return {"layout": force}
    asked = _trained(site, plan, force) | _of_gpus(site, _on(plan), lambda w: plan(w).gpus)
    return asked | _packed(site, asked)


def training_job_on_nodes(
    site: Site, plan: Callable[[Any], ResourcePlan], force: Callable[[Any], str] = lambda _: ""
) -> Resources:
    """Return the resources of a training on several nodes: one task a node, which starts a process per GPU.

    Not by `gpu`, which Slurm would spread over the nodes as it likes, but so many on each (`--gpus-per-node`). `mpi`
    keeps Snakemake from wrapping the job in an srun of its own.
    """
    nodes = {
        "mpi": "srun",
        "nodes": lambda wildcards: plan(wildcards).nodes,
        "tasks": lambda wildcards: plan(wildcards).nodes,
    }

    def options(wildcards: Any) -> str:
        planned = plan(wildcards)
        return f"--ntasks-per-node=1 {_gpus_of_each_node(planned.on, planned.gpus)}"

    return _trained(site, plan, force) | _of_partition(site, _on(plan), options) | nodes


def layout(site: Site, plan: ResourcePlan) -> str:
    """Return the options by which a training script learns how it was planned."""
    options: Mapping[str, object] = {
        "gpus": plan.gpus,
        "nodes": plan.nodes,
        "micro-batch": plan.micro_batch,
        "warning": f"{site.warning:g}",
    }
    flags = {"checkpointing": plan.checkpointing, "without-cuda": not plan.on.cuda}
    words = [f"--{name} {value}" for name, value in options.items()]
    return " ".join([*words, *(f"--{name}" for name, on in flags.items() if on)])


def _trained(site: Site, plan: Callable[[Any], ResourcePlan], force: Callable[[Any], str]) -> Resources:
    return {
        "cpus_per_task": lambda wildcards: plan(wildcards).gpus * plan(wildcards).on.cpus,
        "runtime": lambda wildcards: plan(wildcards).minutes(site),
        "mem_mb": lambda wildcards: plan(wildcards).main_memory,
        "layout": lambda wildcards: f"{layout(site, plan(wildcards))} {force(wildcards)}".strip(),
    }


def _growing(site: Site, on: Callable[[Any], Partition], hours: Hours) -> Callable[..., int]:
    """Return the time limit of a job that cannot go on where it was stopped: each further attempt is given twice the
    time."""

    def minutes(wildcards: Any, attempt: int = 1) -> int:
        partition = on(wildcards)
        return min(partition.minutes, limit_minutes(site, partition, hours(wildcards)) * 2 ** (attempt - 1))

    return minutes


def _packed(site: Site, asked: Resources) -> Resources:
    """Return the resource that lets the executor pack a job with others, if it is small and has one GPU."""
    if site.pack.runs == 1:
        return {}
    limit, gpus = asked["runtime"], asked["gpu"]

    def runs(wildcards: Any) -> int | None:
        return site.pack.runs if gpus(wildcards) == 1 and limit(wildcards) <= site.pack.minutes else None

    return {"pack": runs}


def _on(plan: Callable[[Any], ResourcePlan]) -> Callable[[Any], GpuSite]:
    return lambda wildcards: plan(wildcards).on


def _of_gpus(site: Site, on: Callable[[Any], GpuSite], count: Callable[[Any], int]) -> Resources:
    """Return what asks for `count` GPUs of one node, under a name of the GPU that the plugin takes or as our own
    option."""

    def options(wildcards: Any) -> str:
        return "" if _is_taken(on(wildcards)) else _gpus_of_each_node(on(wildcards), count(wildcards))

    asked = {"gpu": lambda wildcards: count(wildcards) if _is_taken(on(wildcards)) else None}
    if not all(map(_is_taken, site.gpu)):
        asked["nodes"] = lambda wildcards: None if _is_taken(on(wildcards)) else 1
    if any(gpu.model for gpu in site.gpu):
        asked["gpu_model"] = lambda wildcards: on(wildcards).model if _is_taken(on(wildcards)) else None
    return asked | _of_partition(site, on, options)


def _is_taken(gpu: GpuSite) -> bool:
    return gpu.model is None or bool(_PLUGIN_TAKES.match(gpu.model))


def _gpus_of_each_node(gpu: GpuSite, count: int) -> str:
    return f"--gpus-per-node={f'{gpu.model}:' if gpu.model else ''}{count}"


def _of_partition(
    site: Site, on: Callable[[Any], Partition], options: Callable[[Any], str] = lambda _: ""
) -> Resources:
    """Return what every job of a partition asks for. A resource that is None is none: Snakemake leaves it out."""

    def extra(wildcards: Any) -> str | None:
        words = f"{options(wildcards)} {quoted(sbatch_words(site, on(wildcards)))}"
        return words.strip() or None

    return {
        "slurm_partition": lambda wildcards: on(wildcards).partition,
        "slurm_account": site.account,
        "qos": lambda wildcards: site.qos_of(on(wildcards)),
        "constraint": lambda wildcards: site.constraint_of(on(wildcards)),
        "slurm_extra": extra,
        **({"tmpdir": site.scratch} if site.scratch else {}),
    }


# Hours of what is neither finetuning nor evaluation of a run: data, pretraining, rating, fits


def preparation_hours(study: Study, split: str, cores: int) -> float:
    """Return the hours in which `cores` cores make a split of generated videos, or look into all of a real one."""
    data = study.data
    if data.source == "digits":
        videos = {"train": data.digits.train, "test": data.digits.test}.get(split, study.pretrain.align.videos)
        return videos * DIGITS_VIDEO_SECONDS / cores / 3600
    records = sum(source.count or _records_in(source.files) for source in data.sources(split))
    if split == "train":
        records = max([records, *(n for design in study.sweep.designs.values() for n in _sizes(design))])
    each = VIDEO_SECONDS if data.llava.checked_frames else ALL_FRAMES_SECONDS
    return records * (each / cores + RECORD_SECONDS) / 3600


def _sizes(design: object) -> list[int]:
    return list(getattr(design, "n", None) or [])


def _records_in(files: list[str]) -> int:
    return sum(os.path.getsize(file) for file in files if os.path.isfile(file)) // RECORD_BYTES


def pretraining_hours(study: Study, stage: str, gpu: GpuSite, language: str = "") -> float:
    """Return the hours on one GPU of a `stage` of the digits study's pretraining: vision, language, encode or align."""
    settings, tower = study.pretrain, study.models.vision
    frame = float(vision_cost(1, tower.parameters, tower.features))
    of_token = 2.0 * study.models.language[language].N if language else 0.0
    transcript = settings.language.transcript_length + DIGITS_TEXT[0]
    flops, steps, section = {
        "vision": (frame, settings.vision.steps, settings.vision),
        "language": (of_token * transcript, settings.language.steps, settings.language),
        "encode": (frame * FRAMES / BACKWARD, settings.align.videos, None),
        "align": (of_token * (GENERATED_TOKENS + DIGITS_TEXT[0]), settings.align.steps, settings.align),
    }[stage]
    batch = section.batch_size if section else 1
    rate = gpu.peak(section.precision if section else "fp32") * gpu.mfu
    return steps * (STEP_SECONDS + BACKWARD * flops * batch / rate) / 3600


def rating_hours(study: Study, results: Path | None = None, points: int = 1) -> float:
    """Return the hours in which a job rates and scores the answers of one run to all benchmarks, at so many points."""
    judge = study.evaluate.lmms_eval.judge
    judged = other = 0
    for _, benchmark, known in benchmark_questions(study.evaluate.lmms_eval, results):
        count = UNKNOWN_QUESTIONS if known is None else known
        judged, other = (judged + count, other) if benchmark.judged else (judged, other + count)
    return points * (judged * REPLY_SECONDS / judge.concurrency + other * SCORE_SECONDS) / 3600


def fitting_hours(laws: LawsConfig, rows: int, cores: int = 1) -> float:
    """Return the hours in which `cores` cores fit, bag and compare all forms of a target on `rows` rows."""
    return (COMPILING_SECONDS + laws.form_count * _form_seconds(laws, rows)) / cores / 3600


def ablation_hours(laws: LawsConfig, rows: int, cores: int = 1) -> float:
    """Return the hours in which `cores` cores make the tables of other losses, starts and ways of bagging."""
    return (COMPILING_SECONDS + ABLATIONS * _form_seconds(laws, rows)) / cores / 3600


def _form_seconds(laws: LawsConfig, rows: int) -> float:
    each = SCIPY_SECONDS if laws.backend == "scipy" else FIT_SECONDS[laws.preset]
    return rows * each * max(1.0, laws.starts / USUAL_STARTS) * (2 * laws.resamples + FITS + laws.folds)


def table_rows(study: Study, points: int) -> int:
    """Return how many rows the laws are fitted to: one of each point that runs are tested at, or those of the user's
    own table."""
    if study.trained:
        return points
    try:
        with open(study.table.path, "rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return 0
