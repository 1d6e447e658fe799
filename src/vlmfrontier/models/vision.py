"""From pixels to V tokens a frame, the same for training and evaluation: sizes and colours of frames, towers of every
family, downsampling of their feature grid.

Towers are built without what their patches do not go through, loaded, set to a size.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from vlmfrontier.towers import FAMILIES, VisionFamily

HALF = (0.5, 0.5, 0.5)
"""Mean and standard deviation of SigLIP's colours, and of the digits study's: pixels in −1…1."""


def normalise(frames: torch.Tensor, mean: Sequence[float] = HALF, std: Sequence[float] = HALF) -> torch.Tensor:
    """Return uint8 `frames` (…, height, width, 3) as floats (x / 255 − mean) / std by colour, channels first:
    (…, 3, height, width)."""
    scale, shift = (torch.tensor(values, device=frames.device)[:, None, None] for values in _scales(mean, std))
    return (frames.movedim(-1, -3).float() / scale - shift).contiguous()


def _scales(mean: Sequence[float], std: Sequence[float]) -> tuple[list[float], list[float]]:
    return [255 * s for s in std], [m / s for m, s in zip(mean, std, strict=True)]


def resize(frames: np.ndarray, side: int) -> np.ndarray:
    """Return uint8 `frames` (T, height, width, 3) as (T, side, side, 3), squeezed and not cropped, as SigLIP does.

    Bicubic with antialiasing, rounded to whole values, so that frames may be kept after it; frames of that size are
    returned as they are.
    """
    if frames.shape[1:3] == (side, side):
        return frames
    # In whole numbers, channels last: a tenth of the time that floats take, and Pillow's result but for single units.
    pixels = torch.from_numpy(np.require(frames, requirements=["C", "W"])).movedim(-1, 1)
    resized = F.interpolate(pixels, size=(side, side), mode="bicubic", antialias=True, align_corners=False)
    return resized.movedim(1, -1).contiguous().numpy()


_BY_TYPE = {family.tower_type: family for family in FAMILIES.values()}
# transformers derives these from the number of layers, and refuses those of another number.
_DERIVED = ("model_type", "stage_names", "out_features", "out_indices")


def family_of(config: PreTrainedConfig) -> VisionFamily:
    """Return the family of the tower that `config` describes. Raises `ValueError` for one that is not in the table."""
    if config.model_type not in _BY_TYPE:
        raise ValueError(f"a {config.model_type} is none of the vision towers {', '.join(_BY_TYPE)}")
    return _BY_TYPE[config.model_type]


def leading_tokens(config: PreTrainedConfig) -> int:
    """Return how many tokens stand before the patches in a tower's features: class token and registers."""
    family = family_of(config)
    return family.class_token + (config.num_register_tokens if family.registers else 0)


def changed(config: PreTrainedConfig, changes: Mapping[str, Any]) -> PreTrainedConfig:
    """Return a copy of `config` with other values for the keys of `changes`."""
    settings = {key: value for key, value in config.to_dict().items() if key not in _DERIVED} | changes
    return with_attention(AutoConfig.for_model(config.model_type, **settings), attention_of(config))


def attention_of(config: PreTrainedConfig) -> str | None:
    """Return which attention the model of `config` computes with; a private name of transformers 5.23."""
    return config._attn_implementation


def with_attention(config: PreTrainedConfig, attention: str | None) -> PreTrainedConfig:
    """Return `config` after setting its attention, for which transformers has no public setter."""
    config._attn_implementation = attention
    return config


def build_tower(config: PreTrainedConfig) -> PreTrainedModel:
    """Return a randomly initialised tower all of whose parameters its features depend on."""
    return without_unused(AutoModel.from_config(config))


def without_unused(tower: PreTrainedModel) -> PreTrainedModel:
    """Return `tower` after taking out what its features do not go through: such parameters would get no gradient."""
    for name in family_of(tower.config).unused:
        owner, _, last = name.rpartition(".")
        part = tower.get_submodule(owner)
        # A norm is still called, on what nobody reads.
        setattr(part, last, nn.Identity() if isinstance(getattr(part, last), nn.Module) else None)
    return tower


@torch.no_grad()
def resized(tower: PreTrainedModel, side: int) -> PreTrainedModel:
    """Return `tower` for images of `side` pixels, its position embeddings interpolated as the family does it."""
    config = tower.config
    if side == config.image_size:
        return tower
    patches = (side // config.patch_size) ** 2
    blank = torch.empty(1, patches + family_of(config).class_token, config.hidden_size)
    positions = tower.embeddings.interpolate_pos_encoding(blank, side, side)
    larger = build_tower(changed(config, {"image_size": side}))
    weights = tower.state_dict()
    for name, weight in larger.state_dict().items():
        if weight.shape != weights[name].shape:  # positions alone depend on the size
            weights[name] = positions.reshape(weight.shape)
    larger.load_state_dict(weights)
    return larger.to(tower.dtype)


def side_of(tokens_per_frame: int) -> int:
    """Return k for V = k². Raises `ValueError` if V is not a square."""
    side = math.isqrt(tokens_per_frame)
    if side * side != tokens_per_frame:
        raise ValueError(f"V = {tokens_per_frame} is not a square")
    return side


def downsample(features: torch.Tensor, tokens_per_frame: int) -> torch.Tensor:
    """Return `features` (frames, W, width), a square grid in rows, bilinearly resized to (frames, V, width).

    Plain bilinear interpolation without antialiasing, as in the paper: at small V some patches are never read directly,
    and the tower must have learned to spread what it sees.
    """
    frames, count, width = features.shape
    side, grid = side_of(tokens_per_frame), side_of(count)
    if side > grid:
        raise ValueError(f"V = {tokens_per_frame} is more than the tower's {count} features")
    if side == grid:
        return features
    as_image = features.transpose(1, 2).reshape(frames, width, grid, grid)
    resized = F.interpolate(as_image, size=(side, side), mode="bilinear", align_corners=False)
    return resized.flatten(2).transpose(1, 2)
