"""Memory of one GPU in training, counted from the shapes of the towers: what a plan checks before a job is submitted.

Weights, gradients and AdamW's two moments are exact for the parameters given. Activations count the tensors that the
way back needs, layer by layer; a test compares them with what autograd keeps for real models.
"""

from dataclasses import dataclass

from vlmfrontier.cost.counted import Decoder, Encoder

BYTES = 4
"""Of one number: training computes in 32 bits."""
ADAM_MOMENTS = 2
CONTEXT = 1.5 * 2**30
"""Bytes that CUDA and its libraries take before any tensor."""
FRAGMENTATION = 1.1
"""An allocator holds a little more than the tensors in it."""

# Numbers kept for the way back, per token and layer, in multiples of hidden size and MLP width. Llama: two RMS norms
# (input, normalised, scaled), queries, keys and values, rotated and not, attention's output twice; gate, its
# activation, up, their product. SigLIP: two layer norms, the same projections, and an MLP of one matrix in and one out.
_LLAMA_HIDDEN, _LLAMA_MLP = 13, 4
_SIGLIP_HIDDEN, _SIGLIP_MLP = 9, 2
_LOGITS = 3
"""Logits, their normalised copy and its gradient, for each supervised token."""


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes on one GPU."""

    weights: float
    gradients: float
    optimizer: float
    activations: float

    @property
    def total(self) -> float:
        """All of it, with what CUDA itself and the allocator take."""
        return CONTEXT + FRAGMENTATION * (self.weights + self.gradients + self.optimizer + self.activations)


def state_bytes(parameters: float, trained: float, processes: int = 1) -> tuple[float, float, float]:
    """Return the bytes of weights, gradients and optimizer for `parameters`, of which `trained` learn.

    Several processes hold a second copy of the gradients: the buckets that are exchanged.
    """
    copies = 1 if processes == 1 else 2
    return BYTES * parameters, BYTES * copies * trained, BYTES * ADAM_MOMENTS * trained


def activation_bytes(
    vision: Encoder,
    decoder: Decoder,
    frames: int,
    tokens: int,
    supervised: int,
    checkpointing: bool,
    trains_vision: bool,
) -> float:
    """Return the bytes that one example keeps for the way back.

    `frames` frames of the vision model, `tokens` visual and text tokens of the language model, `supervised` of them
    predicted. With `checkpointing` a layer keeps its input alone and is computed again, one layer at a time.
    """
    seen = frames * vision.features
    layer_of_vision = seen * (_SIGLIP_HIDDEN * vision.hidden + _SIGLIP_MLP * vision.intermediate)
    layer_of_language = tokens * (_LLAMA_HIDDEN * decoder.hidden + _LLAMA_MLP * decoder.intermediate)
    if not trains_vision:
        seen = layer_of_vision = 0
    if checkpointing:
        kept = vision.layers * seen * vision.hidden + decoder.layers * tokens * decoder.hidden
        layers = kept + max(layer_of_vision, layer_of_language)
    else:
        layers = vision.layers * layer_of_vision + decoder.layers * layer_of_language
    return BYTES * (layers + _LOGITS * supervised * decoder.vocabulary)
