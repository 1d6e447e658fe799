"""The processes that train together, one per GPU: how many, which one this is, what each takes, what they agree on.

python -m vlmfrontier.training.processes --nproc-per-node=2 … -- scripts/finetune.py …

is torchrun that says in the job's record which process failed: one that is killed cannot, and the others are stopped.

Every example of the data is taken once, on any number of processes: their parts of a step are cut from the step's own
batch, the last one that is not full as well. Where a part is empty the process still computes, since sharded weights
are gathered by all together, but what it sees supervises nothing.
"""

import contextlib
import os
import signal
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main
from torch.utils.data import Sampler

from vlmfrontier.cluster.job import last_moment, requeue
from vlmfrontier.ended import own_record, process_failed
from vlmfrontier.errors import Stopped, UserError
from vlmfrontier.study.data import DataConfig
from vlmfrontier.study.training import ExecutionConfig


def num_processes() -> int:
    """Return how many processes train together, as torchrun says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_number() -> int:
    """Return the number of this process among those that train together, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_first() -> bool:
    """Return whether this process is the one that writes."""
    return process_number() == 0


def any_signal(signal_number: int | None, device: torch.device) -> int | None:
    """Return the signal that any of the processes was sent: they must stop at the same step."""
    if num_processes() == 1:
        return signal_number
    highest = torch.tensor(signal_number or 0, device=device)
    dist.all_reduce(highest, dist.ReduceOp.MAX)
    return int(highest) or None


def barrier() -> None:
    """Return when all processes have come here."""
    if num_processes() > 1:
        dist.barrier()


def broadcast_checkpoint(checkpoint: Path | None) -> Path | None:
    """Return the checkpoint that the first process found valid."""
    if num_processes() == 1:
        return checkpoint
    found = [str(checkpoint) if checkpoint else None]
    dist.broadcast_object_list(found, src=0)
    return Path(found[0]) if found[0] else None


@dataclass(frozen=True)
class Loading:
    """Workers of each process and the batches each keeps ready. Changes no result: batches come in their order."""

    workers: int = 0
    prefetch: int = 4

    @classmethod
    def of(cls, execution: ExecutionConfig, data: DataConfig) -> "Loading":
        """Return what the study says, for this process's share of the cores."""
        cores = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        return cls(execution.decoders(cores, data.source == "digits"), execution.prefetch)

    def arguments(self) -> dict[str, Any]:
        """Return what transformers' TrainingArguments call this."""
        if not self.workers:
            return {}
        return {"dataloader_num_workers": self.workers, "dataloader_prefetch_factor": self.prefetch}


OWN_PROCESS = Loading()


@dataclass(frozen=True)
class BatchPlan:
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


WHOLE_BATCHES = BatchPlan()


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


class Interrupted(Stopped):
    """Training was asked to stop (SIGTERM, SIGUSR1, time limit), saved its state and left: the next attempt goes on.

    `warned` says that Slurm would have ended the job soon, and `progressed` that this attempt took steps.
    """

    def __init__(self, message: str, warned: bool = False, progressed: bool = False):
        super().__init__(message)
        self.warned, self.progressed = warned, progressed


@contextlib.contextmanager
def launch(given: Namespace, name: str) -> Iterator[BatchPlan]:
    """Give the plan of the training called `name`; if its job's time limit interrupts it, have the job requeued.

    Raises `UserError` as `check_placement` does.
    """
    check_placement(given)
    stop_at = last_moment(given.warning) if given.warning else None
    try:
        yield BatchPlan(given.micro_batch, given.checkpointing, stop_at)
    except Interrupted as stopped:
        # Without progress it would be requeued for ever.
        if stopped.warned and stopped.progressed and is_first() and requeue():
            print(f"{name}: the job is requeued and goes on where it was", flush=True)
        raise


def check_placement(given: Namespace) -> None:
    """Raise `UserError` unless as many processes train together as were planned."""
    if given.gpus is None:
        return
    processes, planned = int(os.environ.get("WORLD_SIZE", "1")), given.gpus * given.nodes
    if processes != planned:
        raise UserError(f"{processes} processes, but {planned} are planned ({given.nodes} nodes of {given.gpus} GPUs)")


def run() -> None:
    """Start the processes that the command line asks for and wait for them."""
    try:
        main()
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        record, status = own_record(), failure.exitcode
        if record is not None:
            how = f"ended by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
            process_failed(record, rank, status, how)
        raise


if __name__ == "__main__":
    run()
