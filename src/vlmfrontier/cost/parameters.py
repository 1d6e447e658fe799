"""Parameters of the towers counted from their shapes, without building them: the N and M of every cost and every law.

Training asserts that the built models hold exactly these numbers, so that plan, cost and result speak of the same N.
"""

from collections.abc import Collection, Mapping

from vlmfrontier.cost.counted import Decoder, Encoder
from vlmfrontier.cost.vision_families import SIGLIP, VisionFamily


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
