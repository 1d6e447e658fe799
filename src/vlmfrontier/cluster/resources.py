"""What jobs ask Slurm for: the resources of the rules, out of the site file and the same placements as plan.csv."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from vlmfrontier.cluster.options import quoted, sbatch_words
from vlmfrontier.cluster.site import GIB, GpuSite, Partition, Site
from vlmfrontier.sweep.placement import Placement, limit_minutes

MIB_PER_GIB = 1024
Resources = dict[str, Any]
Hours = Callable[[Any], float]
"""How long a job may take, by its wildcards."""
_PLUGIN_TAKES = re.compile(r"[A-Za-z0-9_.]+\Z")
"""Names of GPUs that the plugin takes; with a dash, as NVIDIA's own have, it refuses them."""


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
    site: Site | None, placement: Callable[[Any], Placement], again: Callable[[Any], str] = lambda _: ""
) -> Resources:
    """Return the resources of a training on one node; `placement` looks a job's wildcards up in the plan.

    `layout` holds the options that tell the script how it was placed and, from `again`, whether it is to train a
    finished run once more; a resource and not a parameter, since another number of GPUs is no reason to train again.
    """
    if site is None:
        return {"layout": again}
    asked = _trained(site, placement, again) | _of_gpus(site, _on(placement), lambda w: placement(w).gpus)
    return asked | _packed(site, asked)


def training_job_on_nodes(
    site: Site, placement: Callable[[Any], Placement], again: Callable[[Any], str] = lambda _: ""
) -> Resources:
    """Return the resources of a training on several nodes: one task a node, which starts a process per GPU.

    Not by `gpu`, which Slurm would spread over the nodes as it likes, but so many on each (`--gpus-per-node`). `mpi`
    keeps Snakemake from wrapping the job in an srun of its own.
    """
    nodes = {
        "mpi": "srun",
        "nodes": lambda wildcards: placement(wildcards).nodes,
        "tasks": lambda wildcards: placement(wildcards).nodes,
    }

    def options(wildcards: Any) -> str:
        placed = placement(wildcards)
        return f"--ntasks-per-node=1 {_gpus_of_each_node(placed.on, placed.gpus)}"

    return _trained(site, placement, again) | _of_partition(site, _on(placement), options) | nodes


def host_memory(placement: Placement) -> int:
    """Return the MiB of main memory that one node of a training is asked for: the site's, or what it needs if more."""
    return int(max(placement.gpus * placement.on.host_memory, placement.host / GIB) * MIB_PER_GIB)


def layout(site: Site, placement: Placement) -> str:
    """Return the options by which a training script learns how it was placed."""
    options: Mapping[str, object] = {
        "gpus": placement.gpus,
        "nodes": placement.nodes,
        "micro-batch": placement.micro_batch,
        "warning": f"{site.warning:g}",
    }
    flags = {"checkpointing": placement.checkpointing, "without-cuda": not placement.on.cuda}
    words = [f"--{name} {value}" for name, value in options.items()]
    return " ".join([*words, *(f"--{name}" for name, on in flags.items() if on)])


def _trained(site: Site, placement: Callable[[Any], Placement], again: Callable[[Any], str]) -> Resources:
    return {
        "cpus_per_task": lambda wildcards: placement(wildcards).gpus * placement(wildcards).on.cpus,
        "runtime": lambda wildcards: placement(wildcards).minutes(site),
        "mem_mb": lambda wildcards: host_memory(placement(wildcards)),
        "layout": lambda wildcards: f"{layout(site, placement(wildcards))} {again(wildcards)}".strip(),
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


def _on(placement: Callable[[Any], Placement]) -> Callable[[Any], GpuSite]:
    return lambda wildcards: placement(wildcards).on


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

    def constraint(wildcards: Any) -> str | None:
        partition = on(wildcards)
        return partition.constraint or (site.constraint if isinstance(partition, GpuSite) else None)

    def extra(wildcards: Any) -> str | None:
        words = f"{options(wildcards)} {quoted(sbatch_words(site, on(wildcards)))}"
        return words.strip() or None

    return {
        "slurm_partition": lambda wildcards: on(wildcards).partition,
        "slurm_account": site.account,
        "qos": lambda wildcards: on(wildcards).qos or site.qos,
        "constraint": constraint,
        "slurm_extra": extra,
        **({"tmpdir": site.scratch} if site.scratch else {}),
    }
