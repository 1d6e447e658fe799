"""The sections of pretraining, finetuning and `execution`: how runs are trained, and what never changes a result."""

from importlib.util import find_spec
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from vlmfrontier.study.base import Few, Positive, Rate, Section, Seed, Share
from vlmfrontier.study.space import VideoLevels

Part = Literal["vision", "projector", "language"]
Grids = Annotated[list[Few], Field(min_length=1)]


def _some_and_distinct(parts: list[Part]) -> list[Part]:
    if not parts or len(set(parts)) < len(parts):
        raise ValueError("name at least one part, and each one once; for example [projector, language]")
    return parts


Parts = Annotated[list[Part], AfterValidator(_some_and_distinct)]


class LearningRates(Section):
    """Peak learning rates of the parts; one number, or a map keyed by language model."""

    vision: Rate | dict[str, Rate] = 6.0e-4
    """Vision tower."""
    projector: Rate | dict[str, Rate] = {"xxs": 8.2e-3, "xs": 8.2e-3, "s": 7.1e-3, "m": 5.8e-3, "l": 5.0e-3}
    """Two-layer projector."""
    language: Rate | dict[str, Rate] = {"xxs": 3.3e-3, "xs": 3.3e-3, "s": 2.8e-3, "m": 2.3e-3, "l": 2.0e-3}
    """Language model; the default falls with the square root of its width."""

    def of(self, part: Part, language: str) -> float:
        """Return the learning rate of `part` in a run with the language model called `language`."""
        rate = getattr(self, part)
        return rate[language] if isinstance(rate, dict) else rate


class OptimizationConfig(Section):
    """AdamW with linear warm-up and cosine decay."""

    batch_size: Positive = 8
    """Examples per step."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW weight decay."""
    beta1: Annotated[Share, Field(lt=1)] = 0.9
    """AdamW first moment decay."""
    beta2: Annotated[Share, Field(lt=1)] = 0.98
    """AdamW second moment decay."""
    max_grad_norm: Rate = 1.0
    """Gradients are clipped to this norm."""
    warmup: Share = 0.05
    """Share of the steps in which the learning rate rises from zero."""
    final_rate: Share = 0.05
    """Learning rate at the end as a share of its peak."""
    save_every: Positive = 50
    """Steps between saved states; a killed training repeats at most this many steps."""
    log_every: Positive = 10
    """Steps between lines of train.jsonl."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What is computed in: 32 bits, or 16 (bfloat16) with weights and moments kept in 32."""
    sharding: Literal["none", "fsdp2"] = "none"
    """`none`: every GPU holds the whole model. `fsdp2`: the GPUs of a training share weights, gradients and moments
    (PyTorch's fully_shard), which a model of billions of parameters needs."""


class LoraConfig(Section):
    """Low-rank updates in place of a full finetuning of vision and language model; the projector is trained fully."""

    rank: Few = 64
    """Rank of the updates."""
    alpha: Positive = 128
    """Updates are scaled by alpha / rank."""
    dropout: Annotated[Share, Field(lt=1)] = 0.0
    """Dropout before the update."""
    targets: Annotated[list[str], Field(min_length=1)] = [
        *("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        *("out_proj", "fc1", "fc2"),
    ]
    """Names of the linear layers that get an update, in those towers that `train` names: first Llama's, then the vision
    towers'."""
    keep_adapter: bool = False
    """Save the updates as an adapter beside the merged weights, in `runs/<run>/adapter/`."""


class FinetuneConfig(OptimizationConfig):
    """Stage 2: every run's finetuning on its n examples, one epoch by default."""

    train: Parts = ["vision", "projector", "language"]
    """Parts that learn; the paper trains all. Without `vision` a run is faster and learns a little less."""
    epochs: Positive = 1
    """Passes over the n examples."""
    draw: VideoLevels | None = None
    """Elastic finetuning: each batch has T and V drawn from these levels, up to those of the run, instead of the run's
    own; it costs the mean of them. null: the run's own T and V (docs/ladder.md)."""
    learning_rates: LearningRates = LearningRates(
        vision=2.0e-4,
        projector={"xxs": 1.2e-3, "xs": 1.2e-3, "s": 1.1e-3, "m": 8.7e-4, "l": 7.5e-4},
        language={"xxs": 5.0e-4, "xs": 5.0e-4, "s": 4.2e-4, "m": 3.5e-4, "l": 3.0e-4},
    )
    """Peak learning rates, a sixth of stage 1's: higher ones first undo what the starting model knows."""
    lora: LoraConfig | None = None
    """Finetune low-rank updates instead of all weights; null: all weights."""
    keep_model: bool = True
    """Keep `runs/<run>/model/` after the evaluation; `false` frees the disk, the results stay."""


class VisionPretraining(OptimizationConfig):
    """The tower learns to name what stands in each cell, through every downsampled grid."""

    steps: Positive = 6000
    """Optimizer steps."""
    batch_size: Positive = 48
    """Still frames per step."""
    learning_rate: Rate = 2.0e-3
    """Peak learning rate."""
    grids: Grids = [1, 2, 3, 4, 5, 6, 7, 8]
    """Sides k of the downsampled grids it reads from: every V = k² of the sweep should be here."""
    save_every: Positive = 500
    log_every: Positive = 100


class LanguagePretraining(OptimizationConfig):
    """Each language model learns to answer from written transcripts of scenes."""

    steps: Positive = 4000
    """Optimizer steps, the same for every size."""
    batch_size: Positive = 32
    """Transcripts per step."""
    learning_rate: Rate | dict[str, Rate] = {"xxs": 4.1e-3, "xs": 4.1e-3, "s": 3.5e-3, "m": 2.9e-3, "l": 2.5e-3}
    """Peak learning rate."""
    transcript_length: Few = 96
    """Places of a transcript; what does not fit is cut from its beginning."""
    max_frames: Few = 16
    """Transcripts tell of 1 to this many frames."""
    save_every: Positive = 500
    log_every: Positive = 100


class Alignment(OptimizationConfig):
    """Stage 1: projector and language model learn to read the tower, once per language model; the tower is frozen."""

    videos: Positive = 6000
    """Videos generated for this stage (other scenes than those of training and test)."""
    steps: Positive = 15000
    """Optimizer steps, the same for every size."""
    epochs: Positive | None = None
    """Passes over the split `align` of published models, instead of `steps`, `videos`, `video_share` and the limits on
    T, which concern the digits study; null: `steps`."""
    batch_size: Positive = 16
    """Still frames or videos per step."""
    train: Parts = ["projector", "language"]
    """Parts that learn. The paper trains the projector alone; language models of this size then stay at chance."""
    learning_rates: LearningRates = LearningRates()
    """Peak learning rates."""
    grids: Grids = [1, 2, 3, 4, 5, 6, 7, 8]
    """Each batch has V = k² with k drawn from here: every V of the sweep should be among them."""
    video_share: Share = 0.2
    """Share of batches with videos and questions about them; the others are still frames, as in the paper's stage 1."""
    max_frames: Few = 16
    """Video batches have T drawn from 1 to this, uniform in its logarithm."""
    max_tokens: Positive = 640
    """Batches with more than this many visual tokens T·V are drawn again: they cost most and teach no more."""
    save_every: Positive = 500
    log_every: Positive = 100


class PretrainConfig(Section):
    """How the starting models are made, when `models.start` is null."""

    seed: Seed = 7
    """Seed of scenes, weights and order."""
    vision: VisionPretraining = VisionPretraining()
    """The vision tower."""
    language: LanguagePretraining = LanguagePretraining()
    """The language models."""
    align: Alignment = Alignment()
    """Stage 1."""


SiteName = Annotated[str, Field(min_length=1, max_length=200)]
"""A partition or a GPU model, as a site file writes it."""
MOST_WORKERS = 16
"""Decoding processes per GPU that are started without being asked for."""


Reporter = Literal["tensorboard", "wandb"]


class ExecutionConfig(Section):
    """How jobs are run, and the GPUs and nodes of a training on a cluster."""

    warm_start: bool = True
    """Outside Slurm, let a server that has torch imported finetune and evaluate. Turn off to debug a job."""
    gpus: Few | dict[str, Few] = 1
    """On a cluster, GPUs of one node that a finetuning takes: a number, or a map by language model (others: 1)."""
    nodes: Few | dict[str, Few] = 1
    """On a cluster, nodes that a finetuning takes: a number, or a map by language model (others: 1)."""
    partition: SiteName | dict[str, SiteName] | None = None
    """On a cluster with several GPUs, which of them a finetuning takes: a partition or a GPU model of the site file, or
    a map by language model (others: the site's choice)."""
    workers: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Processes that decode videos ahead of each GPU; null: one a core but one (at most 16) for real videos, none for
    the digits study. 0: the training decodes itself."""
    prefetch: Few = 4
    """Batches that each worker keeps ready; more even out slow videos and take memory."""
    without_failed: bool = False
    """Fit the laws on the runs that have a result when others failed for good; those are named. Off: nothing is fitted
    until every run has its result."""

    report_to: Annotated[list[Reporter], Field(max_length=2)] = []
    """Where learning curves go besides train.jsonl: `tensorboard` (runs/<run>/tensorboard/), `wandb` (Weights & Biases;
    the study is the project). Their packages must be installed where runs are trained."""

    def absent_reporters(self) -> list[str]:
        """Return those of `report_to` whose package the Python that asks has not got."""
        packages = {"tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",)}
        return [name for name in self.report_to if not any(find_spec(package) for package in packages[name])]

    def decoders(self, cores: int, generated: bool) -> int:
        """Return the processes that decode ahead of a GPU with so many cores; none for `generated` videos, which come
        out of memory."""
        if self.workers is not None:
            return self.workers
        return 0 if generated else min(MOST_WORKERS, max(1, cores - 1))

    def partition_of(self, language: str) -> str | None:
        """Return the partition or GPU model that this language model is bound to; None leaves it to the site."""
        return self.partition.get(language) if isinstance(self.partition, dict) else self.partition

    def gpus_of(self, language: str) -> int:
        """Return the GPUs per node of a finetuning of this language model."""
        return self.gpus.get(language, 1) if isinstance(self.gpus, dict) else self.gpus

    def nodes_of(self, language: str) -> int:
        """Return the nodes of a finetuning of this language model."""
        return self.nodes.get(language, 1) if isinstance(self.nodes, dict) else self.nodes
