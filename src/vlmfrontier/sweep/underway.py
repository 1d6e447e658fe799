"""The runs of a study while one call of Snakemake makes them: how many are done, and how long the others will take."""

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from vlmfrontier.ended import ATTEMPT_LINE, FAILED, INTERRUPTED, read_ended, record_file, record_of
from vlmfrontier.files import read_record
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.runs import Run
from vlmfrontier.sweep.status import how_ended, log_tail
from vlmfrontier.sweep.trainings import finetuning
from vlmfrontier.units import format_duration

STAGE_OF = {
    "finetune_run": "finetune",
    "finetune_run_on_nodes": "finetune",
    "answer_run": "answer",
    "evaluate_run": "evaluate",
}
"""The stage of a run that each rule is."""
DONE_BY = {"finetune": "finetuned", "answer": "answered", "evaluate": "evaluated"}
CLOCKS = 60.0
"""Seconds by which clocks of machines may differ."""
LAST = 20
"""Jobs that say how many work side by side."""
LINES = 8
"""Last lines of a failed job's log, where it has no traceback."""
LONGEST = 1000
"""Lines of a failed attempt that are looked at."""


class RunJob(NamedTuple):
    """A job of a run."""

    run: str
    stage: str
    work: float
    """What it computes, in a unit of its stage."""


class Underway:
    """The runs of one study in one call of Snakemake, told of its `jobs` as they begin and end.

    `done` of `total` runs were done before and are not made again. Time left is that of the jobs of runs, from the work
    of each and the time that others of its stage took, and as many at a time as have been seen to work.
    """

    def __init__(
        self,
        results: ResultsFolder,
        target: str,
        total: int,
        done: int,
        jobs: Mapping[int, RunJob],
        clock: Callable[[], float] = time.time,
    ):
        self.results, self.target, self.total, self.done = results, target, total, done
        self.failed: set[str] = set()
        self._jobs, self._left, self._clock = jobs, set(jobs), clock
        self._begun: dict[int, float] = {}
        self._took: dict[str, list[tuple[float, float]]] = {}
        self._beside: deque[int] = deque(maxlen=LAST)

    @property
    def study(self) -> str:
        """Its name."""
        return self.results.root.name

    @property
    def about(self) -> str:
        """What the lines of its runs will say; empty if the call makes none."""
        if not self._jobs:
            return ""
        error = f"its error ({self.target}, 0–100, lower is better)"
        return f"study {self.study}: {self.done} of {self.total} runs done; each one names {error} when it is"

    def __contains__(self, job: int) -> bool:
        return job in self._jobs

    def begin(self, job: int) -> None:
        """Note that a job was started, or submitted; once more after a failure."""
        self.failed.discard(self._jobs[job].run)
        self._left.add(job)
        self._begun[job] = self._clock()

    def end(self, job: int) -> str:
        """Note that a job has ended well; return the line that says so if it was the last one of its run, else ""."""
        run, stage, work = self._jobs[job]
        working = self._working_since()
        since = working.pop(job, self._begun.pop(job, None))
        if since is not None:
            self._took.setdefault(stage, []).append((work, self._clock() - since))
        self._left.discard(job)
        self._beside.append(1 + len(working))
        if any(self._jobs[other].run == run for other in self._left):
            return ""
        self.done += 1
        return f"{run}: {self._found(run, stage)}, {self.count(working)}"

    def fail(self, job: int) -> str:
        """Note that a job has failed, and that its run is not made; return the run and its stage in words."""
        run, stage, _ = self._jobs[job]
        self._begun.pop(job, None)
        self.failed.add(run)
        return f"{run}: {stage}"

    def count(self, working: Mapping[int, float] | None = None) -> str:
        """Return how many runs are done, and how long the others will take, as far as that can be said.

        `working`: since when jobs work, where it has just been read.
        """
        failed = f", {len(self.failed)} failed" if self.failed else ""
        seconds = self.seconds_left(working)
        left = f", about {format_duration(seconds / 3600)} left" if seconds else ""
        return f"{self.done} of {self.total}{failed}{left}"

    def working(self) -> list[str]:
        """Return the jobs under way, in words."""
        return [f"{self._jobs[job].stage} {self._jobs[job].run}" for job in self._begun]

    def seconds_left(self, working: Mapping[int, float] | None = None) -> float | None:
        """Return how long the jobs of runs will take from now on; None while no job of some stage has ended."""
        working = self._working_since() if working is None else working
        now, longest, whole = self._clock(), 0.0, 0.0
        for job in self._left:
            run, stage, work = self._jobs[job]
            if run in self.failed:
                continue
            expected = self._expected(stage, work)
            if expected is None:
                return None
            if job in working:
                expected = max(expected - (now - working[job]), 0.0)
            longest, whole = max(longest, expected), whole + expected
        return max(longest, whole / max(self._beside, default=1))

    def _expected(self, stage: str, work: float) -> float | None:
        """Return the seconds that so much work takes by those that have ended: a line, as jobs also have to start."""
        took = self._took.get(stage)
        if not took:
            return None
        amounts, seconds = zip(*took, strict=True)
        mean = statistics.fmean(seconds)
        if len(set(amounts)) > 1:
            slope, start = statistics.linear_regression(amounts, seconds)
            if slope >= 0 and start >= 0:
                return start + slope * work
            if slope < 0:
                return mean
        return mean * work / statistics.fmean(amounts) if any(amounts) else mean

    def _working_since(self) -> dict[int, float]:
        """Return since when each job under way works by its own record, without those that wait in a queue."""
        found = {}
        for job, submitted in self._begun.items():
            run, stage, _ = self._jobs[job]
            record = read_ended(record_file(self.results.run(run).root, stage))
            try:
                started = datetime.fromisoformat(record.started).timestamp() if record else 0.0
            except ValueError:
                started = 0.0
            if started > submitted - CLOCKS:
                found[job] = max(started, submitted)
        return found

    def _found(self, run: str, stage: str) -> str:
        entry = read_record(self.results.run(run).result).get("errors", {}) if stage == "evaluate" else {}
        error = entry.get(self.target, {}).get("error")
        return f"{self.target} {error:.1f}" if isinstance(error, float | int) else DONE_BY[stage]


def runs_underway(
    dag: Any, study: Study, runs: Mapping[str, Run], results: str, rule: Callable[[str], str] = str
) -> Underway:
    """Return the runs of `study` in the call of Snakemake with the jobs of `dag`; `rule` says what it calls a rule."""
    stages = {rule(name): stage for name, stage in STAGE_OF.items()}
    jobs = {}
    for job in dag.needrun_jobs():
        if job.rule.name in stages:
            run, stage = runs[job.wildcards.run], stages[job.rule.name]
            jobs[dag.jobid(job)] = RunJob(run.key, stage, _work(study, run, stage))
    folder, made = ResultsFolder(Path(results)), {job.run for job in jobs.values()}
    ends = "result" if any(job.stage == "evaluate" for job in jobs.values()) or not jobs else "finetuned"
    done = sum(run not in made and getattr(folder.run(run), ends).exists() for run in runs)
    return Underway(folder, study.main_target, len(runs), done, jobs)


def _work(study: Study, run: Run, stage: str) -> float:
    """Return the FLOPs of a run's training; of its tests those of one video at each T and V: all see the same ones."""
    training = finetuning(study, run)
    if stage == "finetune":
        return training.flops
    return sum(sum(training.forward(T, V)) for T, V in ((run.T, run.V), *run.tested))


def failure(logs: Iterable[str]) -> str:
    """Return why the job that writes one of `logs` failed, with its log and all of its traceback, else what its last
    lines add; "" if it left no record that says so."""
    for log in map(Path, logs):
        end = how_ended(record_of(log))
        if end is None or end.state not in (FAILED, INTERRUPTED):
            continue
        lines = log_tail(log, LONGEST, end.attempt).splitlines()
        trace = next((number for number, line in enumerate(lines) if line.strip().startswith("Traceback ")), None)
        shown = _beside(end.reason, lines[-LINES:]) if trace is None else lines[trace:]
        return "\n".join([f"{end.state}: {end.reason.removeprefix('error: ')}", f"  log: {log}", *shown])
    return ""


def _beside(reason: str, lines: Iterable[str]) -> list[str]:
    """Return the lines of a log that are neither the reason nor the line that each attempt begins with."""
    return [line for line in lines if line.strip() != reason and not ATTEMPT_LINE.match(line.strip())]
