"""Where a run trains: GPUs, nodes, micro-batch and accumulation, and what it takes: the record behind plan and jobs."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vlmfrontier.cluster.site import GIB, GpuSite, Partition, Site
from vlmfrontier.cost.flops import language_cost, vision_cost
from vlmfrontier.cost.training import (
    BACKWARD,
    BYTES,
    Numbers,
    TrainingMemory,
    activation_bytes,
    gathered_bytes,
    host_bytes,
    state_bytes,
)
from vlmfrontier.errors import did_you_mean
from vlmfrontier.files import read_record
from vlmfrontier.study.models import LanguageConfig, VisionConfig
from vlmfrontier.study.root import Study
from vlmfrontier.study.training import ExecutionConfig, LoraConfig, OptimizationConfig, Part
from vlmfrontier.sweep.runs import Run
from vlmfrontier.towers import llama_layers, lora_parameters, vision_layers

RECOMPUTED = 4 / 3
"""With checkpointing the way forward is computed twice: four passes where there were three."""
DIGITS_TEXT, REAL_TEXT = (128, 32), (1024, 512)
"""Tokens of one example's turns, generously: questions with answers, and answers alone."""
VOCABULARY = 64
"""Words of the digits study's tokenizer, rounded up."""
STATES_ON_DISK = 3
"""The two checkpoints that are kept, and the one being written."""
SAFETY = 2.0
"""How many times the estimate a job asks for: a job that ends early costs nothing, one that is cut is requeued."""
STARTUP_HOURS = 0.1
"""Until a training takes its first step, generously."""
PICTURES = 558_128
"""Of LCS-558k, the paper's stage 1: what a job asks time for where nothing says how many pictures there are."""
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


@dataclass(frozen=True)
class Training:
    """A training that is to be placed: a run's finetuning, or stage 1 of a pair of towers."""

    vision: VisionConfig
    language: LanguageConfig
    vocabulary: int
    """Words of the output head."""
    size: float
    """N as the study states it."""
    T: int
    V: int
    examples: int
    """All that it reads, epochs together."""
    settings: OptimizationConfig
    learns: tuple[Part, ...]
    text: tuple[int, int]
    """Tokens of text in an example, generously, and how many of them are predicted."""
    gpus: int
    nodes: int
    section: str
    """Where its settings stand in the study."""
    execution: ExecutionConfig
    generated: bool
    """Whether its videos come out of memory."""
    partition: str | None = None
    """Partition or GPU model that it is bound to."""

    @property
    def lora(self) -> LoraConfig | None:
        """Its low-rank updates."""
        return getattr(self.settings, "lora", None)

    @property
    def numbers(self) -> Numbers:
        """What it computes in, and how it is spread."""
        processes = self.gpus * self.nodes
        return Numbers(self.settings.precision, processes, self.settings.sharding == "fsdp2")

    @property
    def forward(self) -> tuple[float, float]:
        """FLOPs of one video by Eq. 1, with the model's real M·W: seen, and read."""
        seen = vision_cost(self.T, self.vision.parameters, self.vision.features)
        return float(seen), float(language_cost(self.size, self.T, self.V))

    @property
    def flops(self) -> float:
        """FLOPs without recomputed activations, by Eq. 1: what learns costs three times the way forward, what its
        gradients only pass through twice, and a vision model that does not learn once."""
        vision, language = self.forward
        whole = 2.0 if self.lora else BACKWARD
        passes = whole if "vision" in self.learns else 1.0, whole if "language" in self.learns else 2.0
        return self.examples * (passes[0] * vision + passes[1] * language)

    @property
    def parameters(self) -> dict[str, int]:
        """Parameters of each part that can be trained; the language model's with its embedding."""
        width = self.language.hidden_size
        return {
            "vision": self.vision.parameters,
            "projector": self.vision.hidden_size * width + width + width**2 + width,
            "language": self.language.parameters + self.vocabulary * width,
        }

    @property
    def learning(self) -> int:
        """Parameters that learn."""
        if self.lora is None:
            return sum(self.parameters[part] for part in self.learns)
        shapes = {"vision": vision_layers(self.vision.encoder), "language": llama_layers(self.language.decoder(0))}
        towers = [lora_parameters(shapes[t], self.lora.rank, self.lora.targets) for t in self.learns if t in shapes]
        return sum(towers) + (self.parameters["projector"] if "projector" in self.learns else 0)


def finetuning(study: Study, run: Run) -> Training:
    """Return stage 2 of `run` as a training to be placed."""
    language = study.models.language[run.language]
    return Training(
        vision=study.models.towers[run.vision],
        language=language,
        vocabulary=vocabulary(study, language),
        size=run.N,
        T=run.T,
        V=run.V,
        examples=run.n * study.finetune.epochs,
        settings=study.finetune,
        learns=tuple(study.finetune.train),
        text=REAL_TEXT if study.data.source == "llava" else DIGITS_TEXT,
        gpus=study.execution.gpus_of(run.language),
        nodes=study.execution.nodes_of(run.language),
        section="finetune",
        execution=study.execution,
        generated=study.data.source == "digits",
        partition=study.execution.partition_of(run.language),
    )


def pictures(study: Study, results: Path | None = None) -> tuple[int | None, str]:
    """Return how many pictures stage 1 reads in one pass, and what says so: the prepared data, else the study.

    None if neither knows.
    """
    prepared = None if results is None else read_record(results / "data/align/manifest.json").get("conversations")
    if isinstance(prepared, int) and prepared > 0:
        return prepared, "the prepared data"
    if study.data.source == "digits":
        return study.pretrain.align.videos, "pretrain.align.videos"
    return study.data.llava.align and study.data.llava.align.count, "data.llava.align.count"


def alignment(study: Study, language: str, vision: str = "", results: Path | None = None) -> Training:
    """Return stage 1 of a pair of published models as a training to be placed, on one node.

    Where nothing says how many pictures there are, as many as the paper's: a job must ask for some time. The plan says
    no hours then.
    """
    settings, model = study.pretrain.align, study.models.language[language]
    count = pictures(study, results)[0] or PICTURES
    return Training(
        vision=study.models.towers[vision],
        language=model,
        vocabulary=vocabulary(study, model),
        size=model.N,
        T=1,
        V=max(settings.grids) ** 2,
        examples=count * (settings.epochs or 1),
        settings=settings,
        learns=tuple(settings.train),
        text=REAL_TEXT,
        gpus=study.execution.gpus_of(language),
        nodes=1,
        section="pretrain.align",
        execution=study.execution,
        generated=study.data.source == "digits",
        partition=study.execution.partition_of(language),
    )


def place(study: Study, run: Run, site: Site) -> Placement:
    """Return how `run` is trained on `site`: the largest micro-batch that fits, checkpointing if none does without.

    The global batch is the study's on any number of GPUs. A run that fits in no way has a `problem`.
    """
    return place_training(finetuning(study, run), site)


def place_training(training: Training, site: Site) -> Placement:
    """Return how any training is placed on `site`, as `place` does for runs: of the GPUs that it fits, which the site
    chooses (`choose`)."""
    bound = training.partition
    allowed = [gpu for gpu in site.gpu if bound is None or bound in gpu.called]
    if not allowed:
        known = dict.fromkeys(name for gpu in site.gpu for name in gpu.called)
        problem = f"execution.partition {bound}: the site has no such partition or GPU; {did_you_mean(bound, known)}"
        return replace(_place_on(training, site.gpu[0]), problem=problem)
    placed = [_place_on(training, gpu) for gpu in allowed]
    fitting = [placement for placement in placed if not placement.problem]
    if not fitting:
        roomiest = max(placed, key=lambda placement: placement.on.memory)
        said = "; ".join(f"{placement.on.name}: {placement.problem}" for placement in placed)
        return replace(roomiest, problem=said) if len(placed) > 1 else roomiest
    if site.choose == "cheapest":
        return min(fitting, key=lambda placement: placement.cost)
    return min(fitting, key=lambda placement: placement.hours) if site.choose == "fastest" else fitting[0]


def _place_on(training: Training, gpu: GpuSite) -> Placement:
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
    return Placement(
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


def _too_large(training: Training, memory: TrainingMemory, gpu: GpuSite) -> str:
    parts = {"weights": memory.weights, "gradients": memory.gradients, "optimizer": memory.optimizer}
    parts |= {"gathered": memory.gathered} if memory.gathered else {}
    parts |= {"activations": memory.activations}
    listed = ", ".join(f"{name} {size / GIB:.0f}" for name, size in parts.items())
    settings, mends = training.settings, []
    if settings.sharding == "none":
        mends.append(f"{training.section}.sharding: fsdp2")
    if settings.precision == "fp32":
        mends.append(f"{training.section}.precision: bf16")
    mends.append("more GPUs" if settings.sharding == "fsdp2" else "several GPUs")
    return (
        f"needs {memory.total / GIB:.0f} GiB on a GPU even with one example at a time and checkpointing ({listed}); "
        f"{gpu.model or 'the GPU'} has {gpu.memory:g}; try {', '.join(mends)}"
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
    return finetuning(study, run).flops


def _fit(training: Training, gpu: GpuSite, share: int) -> tuple[TrainingMemory, int, bool]:
    """Return memory, micro-batch and checkpointing of the first way that fits, else of the smallest there is."""
    ways = [(micro, again) for again in (False, True) for micro in range(share, 0, -1) if share % micro == 0]
    for micro, checkpointing in ways:
        memory = training_memory(training, micro, checkpointing)
        if memory.total <= gpu.memory * GIB:
            break
    return memory, micro, checkpointing


def training_memory(training: Training, micro: int, checkpointing: bool, keeps: bool = True) -> TrainingMemory:
    """Return the bytes on one GPU of a training with `micro` examples at a time; unless it `keeps` what the way back
    needs, those of the way forward, one layer at a time."""
    numbers, text = training.numbers, training.text
    encoder, decoder = training.vision.encoder, training.language.decoder(training.vocabulary)
    if not keeps:
        encoder, decoder = replace(encoder, layers=0), replace(decoder, layers=0)
    parameters = sum(training.parameters.values())
    one = activation_bytes(
        encoder,
        decoder,
        frames=training.T,
        tokens=training.T * training.V + text[0],
        supervised=text[1],
        checkpointing=checkpointing,
        trains_vision="vision" in training.learns or not keeps,
        numbers=numbers,
    )
    gathered = gathered_bytes(encoder, decoder, parameters, training.language.tied, numbers)
    return TrainingMemory(*state_bytes(parameters, training.learning, numbers), micro * one, gathered)


def vocabulary(study: Study, language: LanguageConfig) -> int:
    """Return the words of a language model's output head."""
    return language.vocabulary or study.cost.vocabulary or VOCABULARY
