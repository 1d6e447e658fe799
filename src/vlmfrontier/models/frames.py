"""Pixels as the vision tower takes them."""

import torch


def normalise(frames: torch.Tensor) -> torch.Tensor:
    """Return uint8 `frames` (…, height, width, 3) as floats in −1…1, channels first: (…, 3, height, width)."""
    return (frames.movedim(-1, -3).float() / 127.5 - 1).contiguous()
