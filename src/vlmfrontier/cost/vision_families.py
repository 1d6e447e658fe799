"""Families of vision towers, in one table: what sets them apart beside their shape.

Every family is the same transformer: patches, learned positions, layers of attention and an MLP with biases, one norm
outside the layers. Counts of parameters, FLOPs and memory read the differences here, and so does what builds the
towers. A tower gives its patches alone: tokens before them are dropped, and parts that only serve a pooled output are
left out of the model and of M.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
