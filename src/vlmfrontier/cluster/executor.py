"""The executor of a sweep: Snakemake's Slurm plugin, changed where it loses or doubles jobs of a Slurm that misbehaves.

- A job whose state is unknown, since `squeue` does not answer, is kept and asked for again.
- A refusal of `sbatch` that passes (a limit on the number of jobs, a controller that is away) is waited out; before
  another try the queue is searched for the job whose answer was lost.
- What Slurm says of an end that the job could not tell itself is written into the job's record (`ended.py`).
- A job that someone cancels is not submitted again by the same call; one whose node failed is, without losing a retry.
  A node at fault that Slurm does not know to be so is left out from then on.
- No job is submitted while jobs of an earlier call live.
"""

import asyncio
import shlex
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Lock
from typing import Any

from snakemake_executor_plugin_slurm import Executor
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string
from snakemake_executor_plugin_slurm.validation import validate_slurm_extra
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from vlmfrontier.cluster.batch import (
    CLOSED,
    Batch,
    batches,
    close,
    exit_status,
    forgotten_state,
    give_up,
    records,
    script,
    was_interrupted,
)
from vlmfrontier.cluster.excluded import left_out, nodes_file, to_avoid, work_of
from vlmfrontier.cluster.slurm import job_name, job_record
from vlmfrontier.cluster.submitter import LIVE, NOT_ITS_FAULT, Listed, RefusedError, Submitter, Sweep, in_words
from vlmfrontier.cluster.suspicion import judge

MISSES = 2
"""Answers of squeue in a row that leave out a job before it counts as forgotten."""
LONGER = 1.5
"""So many times longer whenever nothing has ended is the time between two looks at the queue."""
REQUEUE_SECONDS = 60.0
"""For Slurm to start a job again whose node failed, before it is submitted again."""
SUBMISSIONS = 10
"""Of one job in one call, all nodes together."""
EXITS = "exits"
"""Folder, beside Slurm's logs, of the exit statuses of packed jobs."""


class SweepExecutor(Executor):
    """Submits the jobs of one study and follows them to their end."""

    sweep: Sweep
    """Of the class that `use_for` makes: Snakemake itself makes the object."""

    def __init__(self, workflow: Any, logger: Any):
        self._lock = Lock()  # of the two below
        self._living: dict[tuple[str, int], SubmittedJobInfo] = {}  # by job and place in its pack
        self._submissions: Counter[Any] = Counter()
        self._misses: Counter[str] = Counter()
        self._alone = False  # whether no job of an earlier call lives
        self._submitter = Submitter(self.sweep, Path(workflow.workdir_init).resolve(), logger)
        super().__init__(workflow, logger)

    # Submission

    def run_jobs(self, jobs: list[Any]) -> None:
        """Submit jobs, unless jobs of an earlier call live. Raises `WorkflowError` then, naming what to call."""
        if not self._alone:
            self._submitter.refuse_beside_others()
            self._submitter.note_earlier()
            self._alone = True
        for batch in batches(jobs):
            for job in batch.jobs:
                self.run_job_pre(job)
            self._job_submission_executor.submit(self._run, batch)

    def _run(self, batch: Batch) -> None:
        """Submit a batch, however long Slurm has no room for it; report its jobs failed if it is refused for good."""
        try:
            self._submit(batch)
        except Exception as error:  # whatever it is: a job of which nobody hears again would be waited for for ever
            if self._submitter.stopping.is_set():
                return
            out = left_out(self.sweep.results)
            without = f" (without {', '.join(out)}, left out in {nodes_file(self.sweep.results)})" if out else ""
            for job in batch.jobs:
                close(job, "", f"not submitted: {error}{without}")
                if isinstance(error, RefusedError):
                    give_up(job)
                self.report_job_error(SubmittedJobInfo(job), msg=f"not submitted: {error}{without}\n")

    def _submit(self, batch: Batch) -> None:
        name = job_name(self.sweep.study, batch.name, batch.short_wildcards)
        log = self.slurm_logdir / f"rule_{batch.name}" / batch.short_wildcards / "%j.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        calls = [self.format_job_exec(job) for job in batch.jobs]
        exits = (self.slurm_logdir / EXITS).absolute()
        lines = script(batch, calls, exits, self.sweep.before)
        number = self._submitter.submit(lambda: self._command(batch, name, log), lines, name, bool(self._living))
        if number is None:
            return
        log = log.with_name(f"{number}.log")
        self.logger.info(f"Slurm job {number}: {name} (log: {log})")
        for index, job in enumerate(batch.jobs):
            status = exits / number / str(index) if len(batch.jobs) > 1 else None
            aux = {"slurm_logfile": log, "name": name, "index": index, "status": status}
            info = SubmittedJobInfo(job, external_jobid=number, aux=aux)
            with self._lock:
                self._living[number, index] = info
                self._submissions[job] += 1
            self.report_job_submission(info)

    def additional_general_args(self) -> str:
        """Return what tells the Snakemake of a job to run it where it is."""
        return "--executor local"

    def _command(self, batch: Batch, name: str, log: Path) -> list[str]:
        validate_slurm_extra(batch)
        settings = {
            "run_uuid": name,
            "slurm_logfile": log,
            "comment_str": f"rule_{batch.name}" + (f"_wildcards_{batch.wildcards}" if batch.wildcards else ""),
            "account": next(self.get_account_arg(batch)),
            "partition": self.get_partition_arg(batch),
            "workdir": self.workflow.workdir_init,
        }
        works = [work_of(self.sweep.results, record) for job in batch.jobs for record in records(job)]
        partition, needed = str(batch.resources.get("slurm_partition") or ""), batch.resources.get("nodes") or 1
        nodes = to_avoid(self.sweep.results, works, partition, needed, self.sweep.exclude)
        line = get_submit_command(batch, settings, settings=self.workflow.executor_settings, failed_nodes=nodes)
        return shlex.split(line + set_gres_string(batch))

    def get_account_arg(self, job: Any) -> Any:
        """Yield the option of the account; whether it is valid is for sbatch to say, which does, once and clearly."""
        account = job.resources.get("slurm_account")
        yield f" -A {shlex.quote(str(account))}" if account else ""

    # Following

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncIterator[SubmittedJobInfo]:
        """Yield the jobs that live or of which Slurm says nothing; report the others as finished or failed."""
        if not active_jobs:
            self.next_seconds_between_status_checks = self._interval
            return
        async with self.status_rate_limiter:
            listing = self._submitter.listing()
        if listing is None:
            self._submitter.warn(
                "squeue", f"squeue does not answer; {len(active_jobs)} jobs are kept and asked for again"
            )
            for info in active_jobs:
                yield info
            return
        with self._lock:
            names = {info.aux["name"] for info in self._living.values()}
        self._submitter.end_twins(listing, names)
        for number in {info.external_jobid for info in active_jobs}:
            self._misses[number] = 0 if number in listing else self._misses[number] + 1
        ended = False
        for info in active_jobs:
            if self._is_followed(info, listing.get(info.external_jobid)):
                yield info
            else:
                ended = True
        longest = self.workflow.remote_execution_settings.seconds_between_status_checks
        longer = min(LONGER * self.next_seconds_between_status_checks, max(longest, self._interval))
        self.next_seconds_between_status_checks = self._interval if ended else longer

    def _is_followed(self, info: SubmittedJobInfo, listed: Listed | None) -> bool:
        """Return whether a job is to be asked for again; else report how it ended."""
        number = info.external_jobid
        try:
            status = exit_status(info.aux["status"])
            lives = listed is not None and (listed.lives or self._may_be_requeued(info, listed.state))
            if status == 0:
                self._report(info, "COMPLETED", "")
            elif status is not None and not (lives and was_interrupted(info.job, number)):
                self._report(info, f"FAILED, exit status {status}", listed.nodes if listed else "")
            elif lives:
                self._submitter.release_if_held(listed)
                return True
            elif listed is None and (
                self._misses[number] < MISSES or (state := self._submitter.state_of(number)) in (None, *LIVE)
            ):
                return True
            else:
                state = listed.state if listed is not None else state
                state = "ended without a word" if state == "COMPLETED" and info.aux["status"] is not None else state
                self._report(
                    info, state or forgotten_state(info.job, number), listed.nodes if listed is not None else ""
                )
        except Exception as error:  # else the thread that follows all jobs would end
            self._submitter.warn(f"follow {number}", f"Slurm job {number} cannot be followed ({error!r}); tried again")
            return True
        return False

    def _report(self, info: SubmittedJobInfo, state: str, nodes: str) -> None:
        number, job = info.external_jobid, info.job
        if state == "COMPLETED":
            self._forget(info)
            self.report_job_success(info)
            return
        record = job_record(number)
        nodes = nodes or record.get("NodeList", "")
        nodes = "" if nodes in ("(null)", "None assigned") else nodes
        exited = f", exit code {record['ExitCode']}" if "ExitCode" in record and info.aux["status"] is None else ""
        reason = f"Slurm job {number}{f' on {nodes}' if nodes else ''}: {in_words(state)}{exited}"
        self._forget(info)
        elsewhere = "not the fault of the job" if state in NOT_ITS_FAULT else self._left_out(info, state, nodes)
        if elsewhere and self._submissions[job] < SUBMISSIONS:
            self.logger.warning(f"{reason}; {elsewhere}: submitted again")
            if info.aux["status"] is None:
                self._submitter.cancel([number])  # were Slurm to start it again after all
            self._job_submission_executor.submit(self._run, Batch((job,)))
            return
        if state == "CANCELLED":
            give_up(job)
        close(job, number, reason, nodes)
        self.report_job_error(info, msg=f"{reason}\n", aux_logs=[str(info.aux["slurm_logfile"])])

    def _left_out(self, info: SubmittedJobInfo, state: str, nodes: str) -> str:
        """Leave out the node that was at fault in the end of a job; return what is done about it, empty if nothing."""
        for path in records(info.job):
            verdict = judge(self.sweep.results, info.external_jobid, state, nodes, path)
            if verdict is None:
                continue
            if verdict.left_out:
                self._submitter.keep_off({number for number, _ in self._living}, left_out(self.sweep.results))
                return verdict.told
            self.logger.warning(verdict.told)
            if verdict.of_the_work:
                give_up(info.job)
        return ""

    def _may_be_requeued(self, info: SubmittedJobInfo, state: str) -> bool:
        """Return whether Slurm may still start a job again that it has just ended for no fault of its own."""
        if state not in NOT_ITS_FAULT:
            info.aux.pop("ended", None)
            return False
        return time.monotonic() - info.aux.setdefault("ended", time.monotonic()) < REQUEUE_SECONDS

    # The end

    def cancel(self) -> None:
        """End every job of this call; what has not been submitted yet is not."""
        self._submitter.stopping.set()
        self._job_submission_executor.shutdown(wait=True, cancel_futures=True)
        super().cancel()

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel the jobs that live, also those whose state is being asked for at this moment."""
        with self._lock:
            numbers = sorted({number for number, _ in self._living}, key=int)
        if not numbers:
            return
        complaint = self._submitter.cancel(numbers)
        if not complaint:
            self.logger.info(f"cancelled {len(numbers)} Slurm jobs: {', '.join(numbers)}")
            return
        self.logger.error(
            f"{complaint}; jobs may live on: {', '.join(numbers)}. When Slurm answers again: "
            f"vlmfrontier recover --study {self.sweep.results / 'study.json'} --cancel"
        )

    async def sleep(self) -> None:
        """Wait for the next look at the queue, but not beyond the end of this call."""
        end = time.monotonic() + self.next_seconds_between_status_checks
        while self.wait and time.monotonic() < end:
            await asyncio.sleep(min(1.0, max(0.0, end - time.monotonic())))

    # Common

    @property
    def _interval(self) -> int:
        return self.workflow.executor_settings.init_seconds_before_status_checks

    def _forget(self, info: SubmittedJobInfo) -> None:
        with self._lock:
            self._living.pop((info.external_jobid, info.aux["index"]), None)
        self._submitter.has_ended()
        if info.aux["status"] is not None:
            Path(f"{info.aux['status']}{CLOSED}").touch()


def use_for(sweep: Sweep) -> None:
    """Let Snakemake submit through `SweepExecutor` wherever it is asked for the executor `slurm`.

    A plugin of another name would have other options than `--slurm-…`, and those given to it would be ignored without a
    word. Seen with snakemake-interface-executor-plugins 9.4.
    """
    plugin = ExecutorPluginRegistry().get_plugin("slurm")
    plugin.executor = type(SweepExecutor.__name__, (SweepExecutor,), {"sweep": sweep})
