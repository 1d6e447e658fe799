"""How jobs are run, which never changes a result."""

from vlmfrontier.study.base import Section


class ExecutionConfig(Section):
    """Where time goes besides the work itself."""

    warm_start: bool = True
    """Hand finetuning and evaluation to a server with torch already imported, outside Slurm. Turn off to debug one job."""
