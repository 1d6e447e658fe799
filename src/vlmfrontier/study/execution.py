"""How jobs are run, which never changes a result."""

from typing import Annotated

from pydantic import Field

from vlmfrontier.study.base import Few, Section

SiteName = Annotated[str, Field(min_length=1, max_length=200)]
"""A partition or a GPU model, as a site file writes it."""
MOST_WORKERS = 16
"""Decoding processes per GPU that are started without being asked for."""


class ExecutionConfig(Section):
    """Where time goes besides the work itself, and how much of a cluster a training takes."""

    warm_start: bool = True
    """Outside Slurm, let a server that has torch imported finetune and evaluate. Turn off to debug a job."""
    gpus: Few | dict[str, Few] = 1
    """On a cluster, GPUs of one node that a finetuning takes: a number, or a map by language model (others: 1)."""
    nodes: Few | dict[str, Few] = 1
    """On a cluster, nodes that a finetuning takes: a number, or a map by language model (others: 1)."""
    partition: SiteName | dict[str, SiteName] | None = None
    """On a cluster with several GPUs, which of them a finetuning takes: a partition or a GPU model of the site file, or
    a map by language model (others: the site's choice)."""
    workers: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Processes that decode videos ahead of each GPU; null: one a core but one (at most 16) for real videos, none for
    the digits study. 0: the training decodes itself."""
    prefetch: Few = 4
    """Batches that each worker keeps ready; more even out slow videos and take memory."""
    without_failed: bool = False
    """Fit the laws on the runs that have a result when others failed for good; those are named. Off: nothing is fitted
    until every run has its result."""

    def decoders(self, cores: int, generated: bool) -> int:
        """Return the processes that decode ahead of a GPU with so many cores; none for `generated` videos, which come
        out of memory."""
        if self.workers is not None:
            return self.workers
        return 0 if generated else min(MOST_WORKERS, max(1, cores - 1))

    def partition_of(self, language: str) -> str | None:
        """Return the partition or GPU model that this language model is bound to; None leaves it to the site."""
        return self.partition.get(language) if isinstance(self.partition, dict) else self.partition

    def gpus_of(self, language: str) -> int:
        """Return the GPUs per node of a finetuning of this language model."""
        return self.gpus.get(language, 1) if isinstance(self.gpus, dict) else self.gpus

    def nodes_of(self, language: str) -> int:
        """Return the nodes of a finetuning of this language model."""
        return self.nodes.get(language, 1) if isinstance(self.nodes, dict) else self.nodes
