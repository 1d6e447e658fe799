"""What jobs ask Slurm for: the resources of the rules, out of the site file and the same placements as plan.csv."""

from collections.abc import Callable, Mapping
from typing import Any

from vlmfrontier.cluster.site import GIB, Site
from vlmfrontier.sweep.placement import Placement, limit_minutes

MIB_PER_GIB = 1024
Resources = dict[str, Any]


def cpu_job(site: Site | None, hours: float = 0.0, memory: float = 0.0) -> Resources:
    """Return the resources of a job without a GPU that may take `hours` and needs `memory` GiB; none outside a
    cluster."""
    if site is None:
        return {}
    asked = {
        "slurm_partition": site.cpu.partition,
        "runtime": min(max(site.minutes, int(60 * hours)), int(60 * site.cpu.hours)),
        "mem_mb": int(max(site.cpu.memory, memory) * MIB_PER_GIB),
    }
    return asked | _of_site(site)


def gpu_job(site: Site | None, hours: float = 0.0) -> Resources:
    """Return the resources of a job with one GPU that may take `hours`; none outside a cluster."""
    if site is None:
        return {}
    wanted = max(site.minutes, int(60 * hours))
    asked = {
        "slurm_partition": site.gpu.partition,
        "gpu": 1,
        "cpus_per_task": site.gpu.cpus,
        "runtime": min(wanted, int(60 * site.gpu.hours)),
        "mem_mb": int(site.gpu.host_memory * MIB_PER_GIB),
    }
    if site.gpu.model:
        asked["gpu_model"] = site.gpu.model
    return asked | _of_gpu_nodes(site)


def answering_job(site: Site | None, hours: Callable[[Any], float]) -> Resources:
    """Return the resources of a job that answers benchmarks on one GPU; `hours` looks a job's wildcards up."""
    if site is None:
        return {}
    return gpu_job(site) | {"runtime": lambda wildcards: limit_minutes(site, hours(wildcards))}


def training_job(
    site: Site | None, placement: Callable[[Any], Placement], again: Callable[[Any], str] = lambda _: ""
) -> Resources:
    """Return the resources of a training on one node; `placement` looks a job's wildcards up in the plan.

    `layout` holds the options that tell the script how it was placed and, from `again`, whether it is to train a
    finished run once more; a resource and not a parameter, since another number of GPUs is no reason to train again.
    """
    if site is None:
        return {"layout": again}
    asked = {
        "gpu": lambda wildcards: placement(wildcards).gpus,
        "cpus_per_task": lambda wildcards: placement(wildcards).gpus * site.gpu.cpus,
        "runtime": lambda wildcards: placement(wildcards).minutes(site),
        "mem_mb": lambda wildcards: host_memory(site, placement(wildcards)),
        "layout": lambda wildcards: f"{layout(site, placement(wildcards))} {again(wildcards)}".strip(),
    }
    return gpu_job(site) | asked


def training_job_on_nodes(
    site: Site, placement: Callable[[Any], Placement], again: Callable[[Any], str] = lambda _: ""
) -> Resources:
    """Return the resources of a training on several nodes: one task a node, which starts a process per GPU.

    Not by `gpu`, which Slurm would spread over the nodes as it likes, but so many on each (`--gpus-per-node`). `mpi`
    keeps Snakemake from wrapping the job in an srun of its own.
    """
    one_node = training_job(site, placement, again)
    model = f"{site.gpu.model}:" if site.gpu.model else ""
    nodes = {
        "mpi": "srun",
        "nodes": lambda wildcards: placement(wildcards).nodes,
        "tasks": lambda wildcards: placement(wildcards).nodes,
        "slurm_extra": lambda wildcards: f"--ntasks-per-node=1 --gpus-per-node={model}{placement(wildcards).gpus}",
    }
    return {key: value for key, value in one_node.items() if key not in ("gpu", "gpu_model")} | nodes


def host_memory(site: Site, placement: Placement) -> int:
    """Return the MiB of main memory that one node of a training is asked for: the site's, or what it needs if more."""
    return int(max(placement.gpus * site.gpu.host_memory, placement.host / GIB) * MIB_PER_GIB)


def layout(site: Site, placement: Placement) -> str:
    """Return the options by which a training script learns how it was placed."""
    options: Mapping[str, object] = {
        "gpus": placement.gpus,
        "nodes": placement.nodes,
        "micro-batch": placement.micro_batch,
        "warning": f"{site.warning:g}",
    }
    flags = {"checkpointing": placement.checkpointing, "without-cuda": not site.gpu.cuda}
    words = [f"--{name} {value}" for name, value in options.items()]
    return " ".join([*words, *(f"--{name}" for name, on in flags.items() if on)])


def _of_site(site: Site) -> Resources:
    asked = {"slurm_account": site.account, "tmpdir": site.scratch}
    return {key: value for key, value in asked.items() if value is not None}


def _of_gpu_nodes(site: Site) -> Resources:
    return _of_site(site) | ({"constraint": site.constraint} if site.constraint else {})
