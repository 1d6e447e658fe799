"""Where the examples of a training are made: in its own process, or ahead of it in workers."""

import os
from dataclasses import dataclass
from typing import Any

from vlmfrontier.study.root import Study


@dataclass(frozen=True)
class Loading:
    """Workers of each process and the batches each keeps ready. Changes no result: batches come in their order."""

    workers: int = 0
    prefetch: int = 4

    @classmethod
    def of(cls, study: Study) -> "Loading":
        """Return what the study says, for this process's share of the cores."""
        cores = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        return cls(study.execution.decoders(cores, study.data.source == "digits"), study.execution.prefetch)

    def arguments(self) -> dict[str, Any]:
        """Return what transformers' TrainingArguments call this."""
        if not self.workers:
            return {}
        return {"dataloader_num_workers": self.workers, "dataloader_prefetch_factor": self.prefetch}


OWN_PROCESS = Loading()
