"""A training as the plan sees it, a run's finetuning or stage 1: what it computes, what learns, the memory it takes."""

from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from vlmfrontier.cost.flops import language_cost, vision_cost
from vlmfrontier.cost.training import BACKWARD, Numbers, TrainingMemory, activation_bytes, gathered_bytes, state_bytes
from vlmfrontier.files import read_record
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.models import LanguageConfig, VisionConfig
from vlmfrontier.study.root import Study
from vlmfrontier.study.training import ExecutionConfig, LoraConfig, OptimizationConfig, Part
from vlmfrontier.sweep.points import Drawn
from vlmfrontier.sweep.runs import Run
from vlmfrontier.towers import llama_layers, lora_parameters, vision_layers

DIGITS_TEXT, REAL_TEXT = (128, 32), (1024, 512)
"""Tokens of one example's turns, generously: questions with answers, and answers alone."""
VOCABULARY = 64
"""Words of the digits study's tokenizer, rounded up."""
PICTURES = 558_128
"""Of LCS-558k, the paper's stage 1: what a job asks time for where nothing says how many pictures there are."""


@dataclass(frozen=True)
class PlannedTraining:
    """A run's finetuning, or stage 1 of a pair of towers."""

    vision: VisionConfig
    language: LanguageConfig
    vocabulary: int
    """Words of the output head."""
    size: float
    """N as the study states it."""
    T: int
    V: int
    """The largest that it sees, which its memory is planned for."""
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
    drawn: Drawn | None = None
    """Levels that its steps draw T and V from, each equally often; None: all have the largest."""
    tested: tuple[tuple[int, int], ...] = ()
    """(T, V) at which it is tested besides the largest."""

    @property
    def lora(self) -> LoraConfig | None:
        """Its low-rank updates."""
        return getattr(self.settings, "lora", None)

    @property
    def numbers(self) -> Numbers:
        """What it computes in, and how it is spread."""
        processes = self.gpus * self.nodes
        return Numbers(self.settings.precision, processes, self.settings.sharding == "fsdp2")

    def forward(self, T: float, V: float) -> tuple[float, float]:
        """Return the FLOPs of one video by Eq. 1, with the model's real M·W: seen, and read."""
        seen = vision_cost(T, self.vision.parameters, self.vision.features)
        return float(seen), float(language_cost(self.size, T, V))

    @property
    def mean(self) -> tuple[float, float]:
        """T and V of its steps on average: drawn apart and equally often, they give the mean cost as well."""
        return (fmean(self.drawn.T), fmean(self.drawn.V)) if self.drawn else (self.T, self.V)

    @property
    def flops(self) -> float:
        """FLOPs without recomputed activations, by Eq. 1: what learns costs three times the way forward, what its
        gradients only pass through twice, and a vision model that does not learn once."""
        vision, language = self.forward(*self.mean)
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


def finetuning(study: Study, run: Run) -> PlannedTraining:
    """Return stage 2 of `run` as a training to be planned."""
    return PlannedTraining(
        size=run.N,
        T=run.T,
        V=run.V,
        examples=run.n * study.finetune.epochs,
        text=REAL_TEXT if study.data.source == "llava" else DIGITS_TEXT,
        nodes=study.execution.nodes_of(run.language),
        section="finetune",
        drawn=run.draw,
        tested=run.tested,
        **_of_towers(study, study.finetune, run.language, run.vision),
    )


def pictures(study: Study, results: Path | None = None) -> tuple[int | None, str]:
    """Return how many pictures stage 1 reads in one pass, and what says so: the prepared data, else the study.

    None if neither knows.
    """
    prepared = (
        None
        if results is None
        else read_record(ResultsFolder(results).split("align") / "manifest.json").get("conversations")
    )
    if isinstance(prepared, int) and prepared > 0:
        return prepared, "the prepared data"
    if study.data.source == "digits":
        return study.pretrain.align.videos, "pretrain.align.videos"
    return study.data.llava.align and study.data.llava.align.count, "data.llava.align.count"


def alignment(study: Study, language: str, vision: str = "", results: Path | None = None) -> PlannedTraining:
    """Return stage 1 of a pair of published models as a training to be planned, on one node.

    Where nothing says how many pictures there are, as many as the paper's: a job must ask for some time. The plan says
    no hours then.
    """
    settings = study.pretrain.align
    return PlannedTraining(
        size=study.models.language[language].N,
        T=1,
        V=max(settings.grids) ** 2,
        drawn=Drawn((1,), tuple(side**2 for side in settings.grids)),
        examples=(pictures(study, results)[0] or PICTURES) * (settings.epochs or 1),
        text=REAL_TEXT,
        nodes=1,
        section="pretrain.align",
        **_of_towers(study, settings, language, vision),
    )


def _of_towers(study: Study, settings: OptimizationConfig, language: str, vision: str) -> dict[str, Any]:
    """Return what any training of a pair of towers has."""
    model = study.models.language[language]
    return {
        "vision": study.models.towers[vision],
        "language": model,
        "vocabulary": model.vocabulary or study.cost.vocabulary or VOCABULARY,
        "settings": settings,
        "learns": tuple(settings.train),
        "gpus": study.execution.gpus_of(language),
        "execution": study.execution,
        "generated": study.data.source == "digits",
        "partition": study.execution.partition_of(language),
    }


def training_memory(training: PlannedTraining, micro: int, checkpointing: bool, keeps: bool = True) -> TrainingMemory:
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
