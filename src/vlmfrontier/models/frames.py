"""Pixels as the vision tower takes them: the same for training and evaluation."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

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


def to_pixels(frames: np.ndarray, side: int) -> torch.Tensor:
    """Return uint8 `frames` (T, height, width, 3) as the tower takes them: (T, 3, side, side) floats in −1…1."""
    return normalise(torch.from_numpy(resize(frames, side)))
