"""The processes that train together, one per GPU: how many, which one this is, and what they agree on."""

import os
from pathlib import Path

import torch
import torch.distributed as dist


def num_processes() -> int:
    """Return how many processes train together, as torchrun says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_number() -> int:
    """Return the number of this process among those that train together, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_first() -> bool:
    """Return whether this process is the one that writes."""
    return process_number() == 0


def told_any(signal_number: int | None, device: torch.device) -> int | None:
    """Return the signal that any of the processes was sent: they must stop at the same step."""
    if num_processes() == 1:
        return signal_number
    highest = torch.tensor(signal_number or 0, device=device)
    dist.all_reduce(highest, dist.ReduceOp.MAX)
    return int(highest) or None


def meet() -> None:
    """Return when all processes have come here."""
    if num_processes() > 1:
        dist.barrier()


def agreed(checkpoint: Path | None) -> Path | None:
    """Return the checkpoint that the first process found valid."""
    if num_processes() == 1:
        return checkpoint
    found = [str(checkpoint) if checkpoint else None]
    dist.broadcast_object_list(found, src=0)
    return Path(found[0]) if found[0] else None
