"""Shapes of vision and language models, without torch: families, FLOPs and parameters counted from them.

Every family is the same transformer: patches, learned positions, layers of attention and an MLP with biases, one norm
outside the layers. Counts of parameters, FLOPs and memory read the differences here, and so does what builds the
towers. A tower gives its patches alone: tokens before them are dropped, and parts that only serve a pooled output are
left out of the model and of M.

Training asserts that the built models hold exactly these numbers, so that plan, cost and result speak of the same N.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class VisionFamily:
    """One family; the defaults are SigLIP's."""

    tower_type: str
    """What transformers calls its vision tower."""
    class_token: bool = False
    """Whether a token that is no patch stands first, with a position of its own."""
    registers: bool = False
    """Whether more such tokens, without positions, stand behind it."""
    patch_bias: bool = True
    """Whether the patch embedding has a bias."""
    layer_scale: bool = False
    """Whether what attention and the MLP add is scaled by a learned vector each."""
    output: str = "o_proj"
    """Name of attention's output projection."""
    mlp_ratio: bool = False
    """Whether its configuration tells the MLP's width as a multiple of the hidden size."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What its configuration can be told so that transformers leaves a pooling head out."""
    unused: tuple[str, ...] = ()
    """Parts of transformers' model that the features do not go through."""
    kept: tuple[int, int] = (9, 2)
    """Numbers kept for the way back per token and layer, in multiples of hidden size and MLP width: two layer norms,
    five projections, an MLP of one matrix in and one out. A layer scale keeps its input; CLIP's quick GELU is two
    operations."""


FAMILIES = {
    "siglip": VisionFamily("siglip_vision_model", output="out_proj", settings={"vision_use_head": False}),
    "clip": VisionFamily(
        "clip_vision_model",
        class_token=True,
        patch_bias=False,
        output="out_proj",
        unused=("post_layernorm",),
        kept=(9, 3),
    ),
    "dinov2": VisionFamily(
        "dinov2",
        class_token=True,
        layer_scale=True,
        mlp_ratio=True,
        unused=("embeddings.mask_token",),
        kept=(11, 2),
    ),
    "dinov2_with_registers": VisionFamily(
        "dinov2_with_registers",
        class_token=True,
        registers=True,
        layer_scale=True,
        mlp_ratio=True,
        unused=("embeddings.mask_token",),
        kept=(11, 2),
    ),
    "vit": VisionFamily("vit", class_token=True, unused=("pooler",)),
}
"""By the `model_type` of a published model's config.json."""
SIGLIP = FAMILIES["siglip"]


@dataclass(frozen=True)
class Decoder:
    """The shape of a language model."""

    hidden: int
    layers: int
    intermediate: int
    vocabulary: int = 0
    """Words of the output head; 0 leaves the head out."""
    query: int | None = None
    """Width of all queries together; by default the hidden size."""
    key_value: int | None = None
    """Width of all keys together, and of all values; by default that of the queries."""

    @property
    def queries(self) -> int:
        """Width of all queries together, resolved."""
        return self.query or self.hidden

    @property
    def keys(self) -> int:
        """Width of all keys together, and of all values, resolved."""
        return self.key_value or self.queries

    @property
    def per_token(self) -> float:
        """FLOPs of the matrices that one token passes, attention and head aside."""
        projections = 2 * self.hidden * (self.queries + self.keys)
        return 2.0 * self.layers * (projections + 3 * self.hidden * self.intermediate)

    @property
    def head(self) -> float:
        """FLOPs of the output head for one position."""
        return 2.0 * self.hidden * self.vocabulary

    def prefill(self, length: ArrayLike) -> np.ndarray:
        """Return the FLOPs of reading `length` tokens at once; attention as the full square, as if eager."""
        length = np.asarray(length, float)
        return self.per_token * length + 4.0 * self.layers * self.queries * length**2 + self.head

    def decode(self, length: ArrayLike, count: int) -> np.ndarray:
        """Return the FLOPs of `count` more tokens after `length`, one at a time over the stored keys and values."""
        length = np.asarray(length, float)
        attended = count * length + count * (count + 1) / 2
        return count * (self.per_token + self.head) + 4.0 * self.layers * self.queries * attended


@dataclass(frozen=True)
class Encoder:
    """The shape of a vision model."""

    hidden: int
    layers: int
    intermediate: int
    patch: int
    features: int
    """W: patches of one frame."""
    family: VisionFamily = SIGLIP
    registers: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of one frame inside the layers: its patches and what stands before them."""
        return self.family.class_token + self.registers + self.features

    @property
    def per_frame(self) -> float:
        """FLOPs of one frame: patch embedding; per layer four projections, the MLP, attention over all tokens."""
        embedding = 2.0 * self.features * 3 * self.patch**2 * self.hidden
        matrices = 2.0 * self.tokens * (4 * self.hidden**2 + 2 * self.hidden * self.intermediate)
        return embedding + self.layers * (matrices + 4.0 * self.tokens**2 * self.hidden)


def llama_parameters(
    hidden: int,
    layers: int,
    intermediate: int,
    heads: int,
    key_value_heads: int | None = None,
    head_size: int | None = None,
    *,
    qkv_bias: bool = False,
    qk_norm: bool = False,
) -> int:
    """Return the parameters of a Llama decoder, or one of its relatives, without input embedding and output head.

    Per layer: query and output projections (hidden × heads·head_size each), key and value projections
    (hidden × key_value_heads·head_size each), three matrices of the gated MLP, two norms; and the last norm. Qwen2 adds
    biases to queries, keys and values, Qwen3 a norm of one head's width to queries and one to keys.
    """
    head_size = head_size or hidden // heads
    key_value_heads = key_value_heads or heads
    attention = 2 * hidden * heads * head_size + 2 * hidden * key_value_heads * head_size
    if qkv_bias:
        attention += (heads + 2 * key_value_heads) * head_size
    if qk_norm:
        attention += 2 * head_size
    mlp = 3 * hidden * intermediate
    return layers * (attention + mlp + 2 * hidden) + hidden


def vision_parameters(
    hidden: int,
    layers: int,
    intermediate: int,
    image_size: int,
    patch_size: int,
    family: VisionFamily = SIGLIP,
    registers: int = 0,
) -> int:
    """Return the parameters of a vision tower without what its patches do not go through, as a pooling head.

    Patch embedding, positions, class token and registers; per layer four square projections with bias, a two-layer MLP
    with biases, two norms with bias, two layer scales; and one norm after the layers, or in CLIP before them.
    """
    positions = (image_size // patch_size) ** 2 + family.class_token
    embedding = hidden * (3 * patch_size**2 + family.patch_bias + positions + family.class_token + registers)
    layer = 4 * (hidden**2 + hidden) + 2 * hidden * intermediate + intermediate + hidden + 4 * hidden
    return embedding + layers * (layer + 2 * hidden * family.layer_scale) + 2 * hidden


Layers = Mapping[str, tuple[int, int]]
"""Widths in and out of the linear layers of one transformer layer, by their names."""


def llama_layers(decoder: Decoder) -> tuple[int, Layers]:
    """Return how many transformer layers a Llama has, and the widths in and out of one's linear layers by name."""
    hidden, inner = decoder.hidden, decoder.intermediate
    return decoder.layers, {
        "q_proj": (hidden, decoder.queries),
        "k_proj": (hidden, decoder.keys),
        "v_proj": (hidden, decoder.keys),
        "o_proj": (decoder.queries, hidden),
        "gate_proj": (hidden, inner),
        "up_proj": (hidden, inner),
        "down_proj": (inner, hidden),
    }


def vision_layers(encoder: Encoder) -> tuple[int, Layers]:
    """Return how many transformer layers a vision tower has, and the widths in and out of one's linear layers by
    name."""
    hidden, inner = encoder.hidden, encoder.intermediate
    square = dict.fromkeys(("q_proj", "k_proj", "v_proj", encoder.family.output), (hidden, hidden))
    return encoder.layers, {**square, "fc1": (hidden, inner), "fc2": (inner, hidden)}


def lora_parameters(tower: tuple[int, Layers], rank: int, targets: Collection[str]) -> int:
    """Return the parameters of low-rank updates of the layers called `targets`: rank · (in + out) each."""
    layers, widths = tower
    return layers * rank * sum(sum(widths[name]) for name in widths if name in targets)
