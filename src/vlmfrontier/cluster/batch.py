"""What one Slurm job runs: a job of Snakemake, or several small ones side by side; and what each wrote of its end.

Small runs are packed where the site says so (`pack`): a resource of that name asks for it. Each of them keeps its own
exit status in a file, so that one is finished, failed or repeated without the others; a job that Slurm starts again
leaves out those that have succeeded.
"""

import contextlib
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from snakemake_executor_plugin_slurm.utils import get_job_wildcards
from snakemake_executor_plugin_slurm_jobstep import get_cpu_setting, get_gpu_setting, get_node_setting

from vlmfrontier.ended import DONE, INTERRUPTED, Ended, close_record, read_ended, record_of

JOB_ID = "$SLURM_JOB_ID"
CLOSED = ".closed"
"""Ending of the file that keeps a repeated job from running a member again whose end was told to Snakemake."""
_SHARED = ("gpu", "cpus_per_task", "mem_mb")
"""Resources of which a pack needs what its members need together."""
_WITHOUT_SLURM = (
    "unset $(compgen -v | grep -E '^(SLURM|SRUN|SBATCH)_' | "
    "grep -vxE 'SLURM_(JOB_ID|JOBID|CLUSTER_NAME|CONF|SUBMIT_DIR|SUBMIT_HOST|RESTART_COUNT)')"
)
"""What the batch script was given is not meant for the steps inside, which say themselves what they want."""


class Demand(dict):
    """Resources that can be read as Snakemake's can: by key and by name."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Batch(NamedTuple):
    """What is submitted as one job; the plugin reads its `name`, `resources` and `threads` as those of a job."""

    jobs: tuple[Any, ...]

    @property
    def name(self) -> str:
        """The rule: of a group, its first job's."""
        return members(self.jobs[0])[0].rule.name

    @property
    def wildcards(self) -> str:
        """Which runs, splits or targets: joined by plus signs where they are several."""
        return "+".join(get_job_wildcards(members(job)[0]) for job in self.jobs)

    @property
    def short_wildcards(self) -> str:
        """The first of them, and how many more."""
        more = f"+{len(self.jobs) - 1}" if len(self.jobs) > 1 else ""
        return get_job_wildcards(members(self.jobs[0])[0]) + more

    @property
    def threads(self) -> int:
        """Threads of all jobs together."""
        return sum(job.threads for job in self.jobs)

    @property
    def resources(self) -> Demand:
        """What the jobs need side by side."""
        first = self.jobs[0].resources
        asked = Demand({key: first.get(key) for key in first.keys()})  # noqa: SIM118 — no dict
        if len(self.jobs) == 1:
            return asked
        shared = {key: sum(job.resources.get(key) for job in self.jobs) for key in _SHARED if key in asked}
        return Demand(asked | shared | {"runtime": max(job.resources.get("runtime") for job in self.jobs)})


def members(job: Any) -> list[Any]:
    """Return the jobs of a group in the order in which they run; of any other job itself."""
    return [each for layer in job.toposorted for each in layer] if job.is_group() else [job]


def batches(jobs: Iterable[Any]) -> Iterator[Batch]:
    """Yield the jobs packed as their resource `pack` says, those alike together; all others alone."""
    alike: dict[tuple[Any, ...], list[Any]] = {}
    for job in jobs:
        if not job.resources.get("pack"):
            yield Batch((job,))
            continue
        asked = job.resources
        kind = (members(job)[0].rule.name, *map(asked.get, ("slurm_partition", "gpu_model", "constraint", "pack")))
        alike.setdefault(kind, []).append(job)
    for (*_, size), together in alike.items():
        for first in range(0, len(together), size):
            yield Batch(tuple(together[first : first + size]))


def script(batch: Batch, calls: Sequence[str], exits: Path, before: Sequence[str]) -> str:
    """Return the batch script: the site's lines in a login shell, as modules want it, then a step for each of `calls`.

    Snakemake runs each job in a step of its own, which gets its cores and GPUs; a job of several nodes calls `srun`
    itself. (The plugin would start one Snakemake more per job, seconds of a core.) Exit statuses go into `exits`.
    """
    lines = ["#!/bin/bash -l" if before else "#!/bin/bash", *before, _WITHOUT_SLURM]
    if len(batch.jobs) == 1:
        return "\n".join([*lines, f"{_step(batch.jobs[0])}{calls[0]}", ""])
    lines += [f"exits={shlex.quote(str(exits))}/{JOB_ID}", 'mkdir -p "$exits"']
    for index, (job, call) in enumerate(zip(batch.jobs, calls, strict=True)):
        file = f'"$exits"/{index}'
        alone = f"--exact --mem={job.resources.get('mem_mb')} "
        lines += [
            f'if [ ! -e {file}{CLOSED} ] && [ "$(cat {file} 2>&-)" != 0 ]; then',
            f"  rm -f {file}",
            f"  ({_step(job, alone)}{call}; echo $? > {file}.part; mv {file}.part {file}) &",
            "fi",
        ]
    return "\n".join([*lines, "wait", ""])


def _step(job: Any, more: str = "") -> str:
    if job.resources.get("mpi"):
        return ""
    has_gpu = bool(get_gpu_setting(job))
    words = ["srun", "-n1", "--cpu-bind=q", get_cpu_setting(job, has_gpu), get_gpu_setting(job), get_node_setting(job)]
    return f"{' '.join(filter(None, words))} {more}"


def records(job: Any) -> list[Path]:
    """Return the files in which each member of a job says how it ended."""
    return [record_of(Path(member.log[0])) for member in members(job) if member.log]


def written(job: Any, number: str) -> list[Ended]:
    """Return what the members of a job wrote of their ends in the Slurm job of this number."""
    found = map(read_ended, records(job))
    return [record for record in found if record is not None and record.slurm_job_id == number]


def was_interrupted(job: Any, number: str) -> bool:
    """Return whether a packed job was stopped by a signal, as when the whole pack is requeued."""
    return any(record.state == INTERRUPTED for record in written(job, number))


def forgotten_state(job: Any, number: str) -> str:
    """Return the state of a job of which Slurm knows nothing any more: by what it wrote itself."""
    kept = records(job)
    ends = written(job, number)
    done = len(ends) == len(kept) and all(record.state == DONE for record in ends)
    if not kept:
        done = all(os.path.exists(file) for file in job.output)
    return "COMPLETED" if done else "forgotten by Slurm"


def close(job: Any, number: str, reason: str, nodes: str = "") -> None:
    """Write the end of a job that could not write it itself into the record of the member that failed."""
    given_up = job.attempt > job.restart_times
    for record in records(job):
        before = read_ended(record)
        if before is not None and before.state == DONE and before.slurm_job_id == number:
            continue  # of a group's members the first that has not finished is the one that failed
        with contextlib.suppress(OSError):  # a full disk must not keep the other jobs from being followed
            close_record(record, slurm_job_id=number, reason=reason, host=nodes, given_up=given_up)
        return


def give_up(job: Any) -> None:
    """Leave a job no retry."""
    job.attempt = job.restart_times + 1


def exit_status(file: Path | None) -> int | None:
    """Return how a packed job ended, whatever the others of its pack do; None if it runs or is not packed."""
    try:
        return None if file is None else int(file.read_text())
    except (OSError, ValueError):
        return None
