"""Where a run trains: GPUs, nodes, micro-batch and accumulation, and what it takes: the record behind plan and jobs."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vlmfrontier.cluster.site import GIB, Site
from vlmfrontier.cost.memory import BYTES, TrainingMemory, activation_bytes, state_bytes
from vlmfrontier.cost.paper import paper_cost
from vlmfrontier.study.models import LanguageConfig
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.runs import Run

RECOMPUTED = 4 / 3
"""With checkpointing the way forward is computed twice: four passes where there were three."""
TEXT_TOKENS, SUPERVISED_TOKENS = 128, 32
"""Of one example's eight turns, generously: questions with answers, and answers alone."""
VOCABULARY = 64
"""Words of the digits study's tokenizer, rounded up."""
STATES_ON_DISK = 3
"""The two checkpoints that are kept, and the one being written."""
SAFETY = 2.0
"""How many times the estimate a job asks for: a job that ends early costs nothing, one that is cut is requeued."""
STARTUP_HOURS = 0.1
"""Until a training takes its first step, generously."""
SHOWN = 10
"""Refused runs that a message lists."""


@dataclass(frozen=True)
class Placement:
    """How one run is trained on a cluster; `problem` says why it cannot be."""

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
    problem: str = ""

    @property
    def processes(self) -> int:
        """One per GPU."""
        return self.gpus * self.nodes

    @property
    def hours(self) -> float:
        """Wall time of the training."""
        return self.gpu_hours / self.processes

    def minutes(self, site: Site) -> int:
        """Return the time limit to ask for: twice the estimate, at least the site's minimum, at most its limit."""
        wanted = max(site.minutes, math.ceil(60 * (STARTUP_HOURS + SAFETY * self.hours)))
        return min(wanted, math.floor(60 * site.gpu.hours))

    def jobs(self, site: Site) -> int:
        """Return how many times the training is expected to start, being requeued at the partition's limit."""
        return max(1, math.ceil((self.hours + STARTUP_HOURS) / (site.gpu.hours - site.warning / 60)))


def place(study: Study, run: Run, site: Site) -> Placement:
    """Return how `run` is trained on `site`: the largest micro-batch that fits, checkpointing if none does without.

    The global batch is the study's on any number of GPUs. A run that fits in no way has a `problem`.
    """
    gpus, nodes = study.execution.gpus_of(run.language), study.execution.nodes_of(run.language)
    processes, batch = gpus * nodes, study.finetune.batch_size
    problem = ""
    if batch % processes:
        problem = f"finetune.batch_size {batch} cannot be shared by {processes} GPUs; make it a multiple"
    elif gpus > site.gpu.per_node:
        problem = f"execution.gpus {gpus} of one node, which has {site.gpu.per_node}"
    share = max(1, batch // processes)
    memory, micro, checkpointing = _fit(study, run, site, processes, share)
    if not problem and memory.total > site.gpu.memory * GIB:
        problem = (
            f"needs {memory.total / GIB:.0f} GiB on a GPU even with one example at a time and checkpointing "
            f"(weights {memory.weights / GIB:.0f}, gradients {memory.gradients / GIB:.0f}, optimizer "
            f"{memory.optimizer / GIB:.0f}, activations {memory.activations / GIB:.0f}); "
            f"{site.gpu.model or 'the GPU'} has {site.gpu.memory:g}"
        )
    flops = training_flops(study, run) * (RECOMPUTED if checkpointing else 1.0)
    parameters = sum(_parameters(study, run).values())
    return Placement(
        gpus=gpus,
        nodes=nodes,
        micro_batch=micro,
        accumulation=share // micro,
        checkpointing=checkpointing,
        memory=memory,
        flops=flops,
        gpu_hours=flops / (site.gpu.flops * site.gpu.mfu) / 3600,
        disk=parameters * BYTES * (1 + 3 * STATES_ON_DISK),
        problem=problem,
    )


def place_all(study: Study, runs: Iterable[Run], site: Site) -> dict[str, Placement]:
    """Return the placement of every run by its key."""
    return {run.key: place(study, run, site) for run in runs}


def refusals(placements: Mapping[str, Placement]) -> str:
    """Return the runs that cannot be trained, a line each with the reason; an empty text if all can."""
    refused = [f"  {key}: {placement.problem}" for key, placement in placements.items() if placement.problem]
    if not refused:
        return ""
    more = [f"  and {len(refused) - SHOWN} more; plan.csv lists them"] if len(refused) > SHOWN else []
    mend = "take these runs out of the sweep, or give them other GPUs (execution.gpus, execution.nodes, the site file)"
    return "\n".join([*refused[:SHOWN], *more, mend])


def training_flops(study: Study, run: Run) -> float:
    """Return the FLOPs of finetuning `run`: per example the forward pass of Eq. 1, and twice that for the way back."""
    vision = study.models.vision
    forward = float(paper_cost(run.N, run.T, run.V, vision.parameters, vision.features))
    return 3.0 * forward * run.n * study.finetune.epochs


def _fit(study: Study, run: Run, site: Site, processes: int, share: int) -> tuple[TrainingMemory, int, bool]:
    """Return memory, micro-batch and checkpointing of the first way that fits, else of the smallest there is."""
    ways = [(micro, again) for again in (False, True) for micro in range(share, 0, -1) if share % micro == 0]
    for micro, checkpointing in ways:
        memory = training_memory(study, run, micro, checkpointing, processes)
        if memory.total <= site.gpu.memory * GIB:
            break
    return memory, micro, checkpointing


def training_memory(study: Study, run: Run, micro: int, checkpointing: bool, processes: int = 1) -> TrainingMemory:
    """Return the bytes on one GPU that trains `run` with `micro` examples at a time."""
    vision, language, trained_parts = study.models.vision, study.models.language[run.language], study.finetune.train
    parameters = _parameters(study, run)
    trained = sum(parameters[part] for part in trained_parts)
    one = activation_bytes(
        vision.encoder,
        language.decoder(vocabulary(study, language)),
        frames=run.T,
        tokens=run.T * run.V + TEXT_TOKENS,
        supervised=SUPERVISED_TOKENS,
        checkpointing=checkpointing,
        trains_vision="vision" in trained_parts,
    )
    return TrainingMemory(*state_bytes(sum(parameters.values()), trained, processes), micro * one)


def vocabulary(study: Study, language: LanguageConfig) -> int:
    """Return the words of a language model's output head."""
    return language.vocabulary or study.cost.vocabulary or VOCABULARY


def _parameters(study: Study, run: Run) -> dict[str, int]:
    """Return the parameters of each part that can be trained; the language model's with its embedding."""
    vision, language = study.models.vision, study.models.language[run.language]
    width = language.hidden_size
    projector = vision.hidden_size * width + width + width**2 + width
    return {
        "vision": vision.parameters,
        "projector": projector,
        "language": language.parameters + vocabulary(study, language) * width,
    }
