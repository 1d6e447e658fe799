"""What finetuning costs: FLOPs, and the memory of one GPU, which a plan checks before a job is submitted.

Weights, gradients and AdamW's two moments are exact for the parameters given. Activations count the tensors that the
way back needs, layer by layer; a test compares them with what autograd keeps for real models.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vlmfrontier.towers import Decoder, Encoder

BACKWARD = 3.0
"""The way back costs twice the way forward, so a training step three times the inference that Eq. 1 counts."""


def training_cost(inference: ArrayLike, examples: ArrayLike, epochs: float = 1.0) -> np.ndarray:
    """Return the cost of finetuning, 3·c(x)·n·epochs, in the unit of c: FLOPs for Eq. 1.

    `inference` is c(x) per video and `examples` n, of shapes that broadcast.
    """
    return BACKWARD * np.asarray(inference, float) * np.asarray(examples, float) * epochs


BYTES = 4
"""Of one number of weights, gradients and moments: they are kept in 32 bits, also where 16 are computed with."""
HALF = 2
"""Of one number that is computed with in 16 bits."""
ADAM_MOMENTS = 2
CONTEXT = 1.5 * 2**30
"""Bytes that CUDA and its libraries take before any tensor."""
PROCESS = 6 * 2**30
"""Bytes of main memory that a process takes with torch and CUDA loaded, before weights and videos."""
FRAGMENTATION = 1.1
"""An allocator holds a little more than the tensors in it."""

# Numbers kept for the way back, per token and layer, in multiples of hidden size, width of the keys and MLP width.
# Llama: two RMS norms (input, normalised, scaled), queries, rotated and not, attention's output twice; keys, rotated
# and not, and values; gate, its activation, up, their product. Vision towers have theirs in `towers`.
_LLAMA_HIDDEN, _LLAMA_KEYS, _LLAMA_MLP = 10, 3, 4
_LOGITS = 3
"""Logits, their normalised copy and its gradient, for each supervised token, in 32 bits."""


@dataclass(frozen=True)
class Numbers:
    """What is computed in, and how it is spread: bytes of a kept activation follow from it."""

    precision: str = "fp32"
    """fp32 or bf16."""
    processes: int = 1
    """GPUs that train together."""
    sharded: bool = False
    """Whether they share weights, gradients and moments (FSDP2)."""

    @property
    def shares(self) -> int:
        """GPUs that one copy of the model is spread over."""
        return self.processes if self.sharded else 1

    @property
    def activation(self) -> float:
        """Bytes of a kept activation on average: some, in the norms and under autocast, stay in 32 bits."""
        if self.precision == "fp32":
            return BYTES
        return 2.1 if self.shares > 1 else 2.5

    @property
    def computed(self) -> int:
        """Bytes of a weight as it is computed with."""
        return BYTES if self.precision == "fp32" else HALF


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes on one GPU."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    gathered: float = 0.0
    """Weights that are gathered from other GPUs, or copied in 16 bits, while they are computed with."""

    @property
    def total(self) -> float:
        """All of it, with what CUDA itself and the allocator take."""
        parts = self.weights + self.gradients + self.optimizer + self.activations + self.gathered
        return CONTEXT + FRAGMENTATION * parts


def state_bytes(parameters: float, trained: float, numbers: Numbers = Numbers()) -> tuple[float, float, float]:
    """Return the bytes of weights, gradients and optimizer for `parameters`, of which `trained` learn.

    Several processes with a model each hold a second copy of the gradients: the buckets that are exchanged.
    """
    copies = 2 if numbers.processes > 1 and numbers.shares == 1 else 1
    of_each = (BYTES * parameters, BYTES * copies * trained, BYTES * ADAM_MOMENTS * trained)
    return tuple(part / numbers.shares for part in of_each)  # type: ignore[return-value]


def gathered_bytes(vision: Encoder, decoder: Decoder, parameters: float, tied: bool, numbers: Numbers) -> float:
    """Return the bytes of whole weights that one GPU holds while it computes.

    Sharded: one layer, the next, and the gradient of one, which is added up over the GPUs in 32 bits; embedding and
    head with their gradients, which stay whole from the way forward to the way back. Not sharded, in 16 bits: a copy
    of all weights.
    """
    if numbers.shares == 1:
        return 0.0 if numbers.precision == "fp32" else numbers.computed * parameters
    layer = max(decoder.per_token / 2 / decoder.layers, 4 * vision.hidden**2 + 2 * vision.hidden * vision.intermediate)
    ends = (1 if tied else 2) * decoder.hidden * decoder.vocabulary
    return (3 * numbers.computed + BYTES) * layer + (2 * numbers.computed + BYTES) * ends


def host_bytes(parameters: float, batch: float, ahead: int) -> float:
    """Return the bytes of main memory that the process of one GPU takes at most.

    Each reads the whole start, in 32 bits, before weights are shared; its workers keep `ahead` micro-batches of `batch`
    bytes ready, and two are on their way.
    """
    return PROCESS + BYTES * parameters + (ahead + 2) * batch


def activation_bytes(
    vision: Encoder,
    decoder: Decoder,
    frames: int,
    tokens: int,
    supervised: int,
    checkpointing: bool,
    trains_vision: bool,
    numbers: Numbers = Numbers(),
) -> float:
    """Return the bytes that one example keeps for the way back.

    `frames` frames of the vision model, `tokens` visual and text tokens of the language model, `supervised` of them
    predicted. With `checkpointing` a layer keeps its input alone and is computed again, one layer at a time, with its
    gradients beside it.
    """
    seen, of_patch = frames * vision.tokens, vision.family.kept
    layer_of_vision = seen * (of_patch[0] * vision.hidden + of_patch[1] * vision.intermediate)
    of_token = _LLAMA_HIDDEN * decoder.hidden + _LLAMA_KEYS * decoder.keys + _LLAMA_MLP * decoder.intermediate
    layer_of_language = tokens * of_token
    if not trains_vision:
        seen = layer_of_vision = 0
    if checkpointing:
        kept = vision.layers * seen * vision.hidden + decoder.layers * tokens * decoder.hidden
        layers = kept + 2 * max(layer_of_vision, layer_of_language)
    else:
        layers = vision.layers * layer_of_vision + decoder.layers * layer_of_language
    return numbers.activation * layers + BYTES * _LOGITS * supervised * decoder.vocabulary
