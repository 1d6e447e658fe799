"""How jobs are run, which never changes a result."""

from vlmfrontier.study.base import Section


class ExecutionConfig(Section):
    """Where time goes besides the work itself."""

    warm_start: bool = True
    """Outside Slurm, let a server that has torch imported finetune and evaluate. Turn off to debug a job."""
