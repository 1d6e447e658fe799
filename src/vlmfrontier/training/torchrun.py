"""torchrun that says in the job's record which process failed: one that is killed cannot, and the others are stopped.

python -m vlmfrontier.training.torchrun --nproc-per-node=2 … -- scripts/finetune.py …
"""

import signal

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

from vlmfrontier.ended import own_record, process_failed


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
