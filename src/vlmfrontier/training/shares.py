"""Which examples a process takes in each step: every example of the data once, on any number of processes.

The processes' parts of a step are cut from the step's own batch, the last one that is not full as well. Where a part
is empty the process still computes, since sharded weights are gathered by all together, but what it sees supervises
nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Dataset, Sampler

from vlmfrontier.models.video_vlm import IGNORED
from vlmfrontier.training.processes import num_processes


@dataclass(frozen=True)
class Layout:
    """How a training is spread over its processes, one per GPU; by default one process takes whole batches."""

    micro_batch: int | None = None
    """Examples that one process holds at a time, at most; None: its whole share of the batch."""
    checkpointing: bool = False
    """Compute activations again on the way back instead of keeping them."""
    stop_at: float | None = None
    """When to save and stop, in seconds since 1970; None: never."""

    def accumulation(self, batch_size: int) -> int:
        """Return the micro-batches of one process per optimizer step."""
        return -(-batch_size // (num_processes() * self.share(batch_size)))

    def share(self, batch_size: int) -> int:
        """Return the micro-batch."""
        return self.micro_batch or -(-batch_size // num_processes())


WHOLE_BATCHES = Layout()


class BatchShares(Sampler[list[int]]):
    """The micro-batches of one of `processes`, step by step: places in the data.

    A step has `batch_size` examples, the last one what is left. `~place` stands for an example that fills an empty
    micro-batch and supervises nothing. All processes have equally many micro-batches.
    """

    def __init__(self, examples: int, batch_size: int, micro_batch: int, processes: int = 1, process: int = 0):
        self.examples, self.batch_size, self.micro_batch = examples, batch_size, micro_batch
        self.processes, self.process = processes, process

    def passes(self, examples: int) -> int:
        """Return the micro-batches of every process in a step of so many examples."""
        return -(-examples // (self.processes * self.micro_batch))

    def __len__(self) -> int:
        whole, left = divmod(self.examples, self.batch_size)
        return whole * self.passes(self.batch_size) + self.passes(left)

    def __iter__(self) -> Iterator[list[int]]:
        for first in range(0, self.examples, self.batch_size):
            step = np.arange(first, min(first + self.batch_size, self.examples))
            parts = np.array_split(step, self.processes * self.passes(len(step)))
            for part in parts[self.process :: self.processes]:
                yield part.tolist() or [~first]


class WithFillers(Dataset):
    """The examples of `data`; at `~place` the example there, supervising nothing."""

    def __init__(self, data: Dataset):
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, place: int) -> dict:
        if place >= 0:
            return self.data[place]
        example = self.data[~place]
        return {**example, "labels": np.full_like(example["labels"], IGNORED)}
