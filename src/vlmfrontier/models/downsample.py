"""From the vision tower's feature grid to V = k² tokens a frame."""

import math

import torch
import torch.nn.functional as F  # noqa: N812


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
