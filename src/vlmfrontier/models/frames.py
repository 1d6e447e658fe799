"""Pixels as the vision tower takes them: the same for training and evaluation."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812


def normalise(frames: torch.Tensor) -> torch.Tensor:
    """Return uint8 `frames` (…, height, width, 3) as floats in −1…1, channels first: (…, 3, height, width)."""
    return (frames.movedim(-1, -3).float() / 127.5 - 1).contiguous()


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
