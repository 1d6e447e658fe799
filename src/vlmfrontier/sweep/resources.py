"""What a training takes of a cluster: GPUs, nodes, micro-batch, memory, hours. The record behind plan and jobs."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from vlmfrontier.cluster.site import GIB, GpuSite, Partition, Site
from vlmfrontier.cost.training import BYTES, TrainingMemory, host_bytes
from vlmfrontier.errors import did_you_mean
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.runs import Run
from vlmfrontier.sweep.trainings import PlannedTraining, finetuning, training_memory

RECOMPUTED = 4 / 3
"""With checkpointing the way forward is computed twice: four passes where there were three."""
STATES_ON_DISK = 3
"""The two checkpoints that are kept, and the one being written."""
SAFETY = 2.0
"""How many times the estimate a job asks for: a job that ends early costs nothing, one that is cut is requeued."""
STARTUP_HOURS = 0.1
"""Until a training takes its first step, generously."""
SHOWN = 10
"""Refused runs that a message lists."""


@dataclass(frozen=True)
class ResourcePlan:
    """How a training is run on a cluster; `problem` says why it cannot be."""

    gpus: int
    """GPUs of each node."""
    nodes: int
    micro_batch: int
    """Examples that one GPU holds at a time."""
    accumulation: int
    """Micro-batches of one GPU per optimizer step."""
    checkpointing: bool
    memory: TrainingMemory
    flops: float
    """Training FLOPs, those of recomputed activations included."""
    gpu_hours: float
    """Of all GPUs together, at the site's utilization."""
    disk: float
    """Bytes at most: model and checkpoints."""
    host: float
    """Bytes of main memory of one node at most."""
    on: GpuSite
    """The GPUs and their partition."""
    problem: str = ""

    @property
    def processes(self) -> int:
        """One per GPU."""
        return self.gpus * self.nodes

    @property
    def hours(self) -> float:
        """Wall time of the training."""
        return self.gpu_hours / self.processes

    @property
    def cost(self) -> float:
        """Price of the training; NaN where the site names none."""
        return math.nan if self.on.price is None else self.gpu_hours * self.on.price

    @property
    def main_memory(self) -> int:
        """MiB of main memory that one node is asked for: the site's, or what the training needs if that is more."""
        return int(max(self.gpus * self.on.host_memory, self.host / GIB) * 1024)

    def minutes(self, site: Site) -> int:
        """Return the time limit to ask for."""
        return limit_minutes(site, self.on, self.hours)

    def jobs(self, site: Site) -> int:
        """Return how many times the training is expected to start, being requeued at the partition's limit."""
        return max(1, math.ceil((self.hours + STARTUP_HOURS) / (self.on.hours - site.warning / 60)))


def limit_minutes(site: Site, partition: Partition, hours: float) -> int:
    """Return the time limit of a job that may take `hours`: twice that, within the site's shortest and the partition's
    longest."""
    wanted = max(site.minutes, math.ceil(60 * (STARTUP_HOURS + SAFETY * hours)))
    return min(wanted, partition.minutes)


def plan_training(training: PlannedTraining, site: Site) -> ResourcePlan:
    """Return how a training is run on `site`: the largest micro-batch that fits, checkpointing if none does without.

    Of several GPUs that it fits, on those that the site chooses (`choose`). The global batch is the study's on any
    number of GPUs. A training that fits in no way has a `problem`.
    """
    bound = training.partition
    allowed = [gpu for gpu in site.gpu if bound is None or bound in gpu.called]
    if not allowed:
        known = dict.fromkeys(name for gpu in site.gpu for name in gpu.called)
        problem = f"execution.partition {bound}: the site has no such partition or GPU; {did_you_mean(bound, known)}"
        return replace(_plan_on(training, site.gpu[0]), problem=problem)
    plans = [_plan_on(training, gpu) for gpu in allowed]
    fitting = [plan for plan in plans if not plan.problem]
    if not fitting:
        roomiest = max(plans, key=lambda plan: plan.on.memory)
        said = "; ".join(f"{plan.on.name}: {plan.problem}" for plan in plans)
        return replace(roomiest, problem=said) if len(plans) > 1 else roomiest
    if site.choose == "cheapest":
        return min(fitting, key=lambda plan: plan.cost)
    return min(fitting, key=lambda plan: plan.hours) if site.choose == "fastest" else fitting[0]


def _plan_on(training: PlannedTraining, gpu: GpuSite) -> ResourcePlan:
    gpus, nodes, settings = training.gpus, training.nodes, training.settings
    processes, batch = gpus * nodes, settings.batch_size
    problem = ""
    if batch % processes:
        problem = f"{training.section}.batch_size {batch} cannot be shared by {processes} GPUs; make it a multiple"
    elif gpus > gpu.per_node:
        problem = f"execution.gpus {gpus} of one node, which has {gpu.per_node}"
    share = max(1, batch // processes)
    memory, micro, checkpointing = _fit(training, gpu, share)
    if not problem and memory.total > gpu.memory * GIB:
        problem = _too_large(training, memory, gpu)
    flops = training.flops * (RECOMPUTED if checkpointing else 1.0)
    parameters = sum(training.parameters.values())
    states = BYTES * (parameters + 2 * training.learning)
    ahead = training.execution.prefetch * training.execution.decoders(gpu.cpus, training.generated)
    return ResourcePlan(
        gpus=gpus,
        nodes=nodes,
        micro_batch=micro,
        accumulation=share // micro,
        checkpointing=checkpointing,
        memory=memory,
        flops=flops,
        gpu_hours=flops / (gpu.peak(settings.precision) * gpu.mfu) / 3600,
        disk=parameters * training.numbers.computed + STATES_ON_DISK * states,
        host=gpus * host_bytes(parameters, micro * training.T * 3 * training.vision.image_size**2, ahead),
        on=gpu,
        problem=problem,
    )


def _fit(training: PlannedTraining, gpu: GpuSite, share: int) -> tuple[TrainingMemory, int, bool]:
    """Return memory, micro-batch and checkpointing of the first way that fits, else of the smallest there is."""
    ways = [(micro, again) for again in (False, True) for micro in range(share, 0, -1) if share % micro == 0]
    for micro, checkpointing in ways:
        memory = training_memory(training, micro, checkpointing)
        if memory.total <= gpu.memory * GIB:
            break
    return memory, micro, checkpointing


def _too_large(training: PlannedTraining, memory: TrainingMemory, gpu: GpuSite) -> str:
    parts = {"weights": memory.weights, "gradients": memory.gradients, "optimizer": memory.optimizer}
    parts |= {"gathered": memory.gathered} if memory.gathered else {}
    parts |= {"activations": memory.activations}
    listed = ", ".join(f"{name} {size / GIB:.0f}" for name, size in parts.items())
    settings, hints = training.settings, []
    if settings.sharding == "none":
        hints.append(f"{training.section}.sharding: fsdp2")
    if settings.precision == "fp32":
        hints.append(f"{training.section}.precision: bf16")
    hints.append("more GPUs" if settings.sharding == "fsdp2" else "several GPUs")
    return (
        f"needs {memory.total / GIB:.0f} GiB on a GPU even with one example at a time and checkpointing ({listed}); "
        f"{gpu.model or 'the GPU'} has {gpu.memory:g}; try {', '.join(hints)}"
    )


def plan_trainings(study: Study, runs: Iterable[Run], site: Site) -> dict[str, ResourcePlan]:
    """Return how every run is finetuned on `site`, by its key."""
    return {run.key: plan_training(finetuning(study, run), site) for run in runs}


def refusals(plans: Mapping[str, ResourcePlan]) -> str:
    """Return the runs that cannot be trained, a line each with the reason; an empty text if all can."""
    refused = [f"  {key}: {plan.problem}" for key, plan in plans.items() if plan.problem]
    if not refused:
        return ""
    more = [f"  and {len(refused) - SHOWN} more; plan.csv lists them"] if len(refused) > SHOWN else []
    hint = "take these runs out of the sweep, or give them other GPUs (execution.gpus, execution.nodes, the site file)"
    return "\n".join([*refused[:SHOWN], *more, hint])
