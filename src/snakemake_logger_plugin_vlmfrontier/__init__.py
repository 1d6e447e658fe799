"""What the terminal shows while Snakemake runs a study: each run as it ends, with its error, instead of job numbers.

A logger plugin, which Snakemake finds by the name of this package; `logger: vlmfrontier` in a profile, or `--logger
vlmfrontier`, chooses it. Snakemake's own lines are in its log, and on the terminal for dry runs, with `--verbose` or
any `--quiet`.
"""

import re
import sys
import time
from collections.abc import Callable
from logging import WARNING, LogRecord
from pathlib import Path
from typing import Any

from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from vlmfrontier.progress import Bar
from vlmfrontier.units import format_duration

NOISE = re.compile(
    "Building DAG of jobs|Using shell: |Provided |Conda environments: |Singularity containers: |Group jobs: "
    r"|Select jobs to execute|Assuming unrestricted shared filesystem|Job rate limit|Slurm job \d+: |None$"
)
"""Begins lines that tell a user nothing; what else Snakemake says is shown."""
LOG = re.compile(r"Complete log\(s\): (.*)", re.DOTALL)
ELAPSED = re.compile(r"Elapsed time: ")
NOTHING = "Nothing to be done"
EXIT_STATUS = re.compile(r"RuleException:\s+CalledProcessError in file ")
"""Begins what Snakemake says of every job that fails: its command and exit status."""
AGAIN = re.compile(r"Trying to restart job (\d+)\.")
SILENT = {
    LogEvent.WORKFLOW_STARTED,
    LogEvent.RESOURCES_INFO,
    LogEvent.JOB_STARTED,
    LogEvent.GROUP_INFO,
    LogEvent.PROGRESS,
    LogEvent.RULEGRAPH,
    LogEvent.DEBUG_DAG,
}
RULES = 4
"""Rules that the line of all jobs names."""
COMMANDS = {"-p", "--printshellcmds"}


class LogHandler(LogHandlerBase):
    """Shows Snakemake's records on the terminal. The workflow tells it of its studies (`follow`)."""

    def __post_init__(self) -> None:
        common = self.common_settings
        quiet = common.quiet or {Quietness.HOST, Quietness.REASON}  # of a dry run, where a reason names a hundred files
        self.setFormatter(DefaultFormatter(quiet, common.show_failed_logs))
        self.addFilter(DefaultFilter(quiet, common.debug_dag, common.verbose, common.dryrun, common.printshellcmds))
        self._text = ColorizingTextHandler(common.nocolor, sys.stdout if common.stdout else sys.stderr, self.formatter)
        self._as_ever = bool(common.dryrun or common.verbose or common.debug_dag or common.quiet)
        # Not as the settings say: a cluster's profile asks for commands, for the log.
        self._commands = bool(COMMANDS & set(sys.argv))
        self._bar = Bar(self._text.stream)
        self._started, self._log = time.monotonic(), ""
        self._jobs: dict[int, tuple[str, float, bool]] = {}  # name, when it began, whether it makes something
        self._held: list[LogRecord] = []  # exit statuses of jobs of which more will be known
        self._studies: list[Any] = []  # of vlmfrontier.sweep.underway.Underway

    def follow(self, underway: Any) -> None:
        """Show the runs of a study that this call makes."""
        self._studies.append(underway)
        if underway.about and not self._as_ever:
            self._say(underway.about)

    @property
    def writes_to_stream(self) -> bool:
        """Whether it takes the place of Snakemake's own lines."""
        return True

    writes_to_file = property(lambda self: False)
    has_filter = property(lambda self: True)
    has_formatter = property(lambda self: True)
    needs_rulegraph = property(lambda self: False)

    def emit(self, record: LogRecord) -> None:
        """Show what a record says; an error in here must not silence the records that follow."""
        try:
            event = getattr(record, "event", None)
            if self._as_ever:
                self._as_snakemake(record)
            elif event in self._SHOWN:
                self._SHOWN[event](self, record)
            elif event not in SILENT:
                self._message(record)
        except BrokenPipeError:
            raise
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Take the bar away, and show what was held back and is of no job that was told of."""
        self._bar.clear()
        for held in self._held:
            self._text.emit(held)
        self._held.clear()
        super().close()

    def _as_snakemake(self, record: LogRecord) -> None:
        self._bar.clear()
        self._text.emit(record)

    def _say(self, text: str, record: LogRecord | None = None) -> None:
        """Print a line, as an error if that is the level of its record; then the bar again."""
        self._bar.clear()
        shown = self._text.decorate(record, text) if record is not None and record.levelno >= WARNING else text
        print(shown, file=self._text.stream, flush=True)
        self._show_bar()

    def _show_bar(self) -> None:
        """On a terminal, show how many runs are done, while some are made."""
        working = [name for study in self._studies for name in study.working()]
        if working and self._text.is_tty:
            done, total = (sum(getattr(study, name) for study in self._studies) for name in ("done", "total"))
            counts = "; ".join(study.count() for study in self._studies if study.working())
            self._bar.show("runs", done, total, f"{counts}: {', '.join(working)}")

    def _study_of(self, job: int) -> Any:
        return next((study for study in self._studies if job in study), None)

    def _message(self, record: LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= WARNING:
            self._as_snakemake(record)
        elif found := LOG.match(text):
            self._log = ", ".join(map(_shorter, found[1].split(", ")))
        elif ELAPSED.match(text):
            self._say(f"took {format_duration((time.monotonic() - self._started) / 3600)}; the full log is {self._log}")
        elif found := AGAIN.match(text):
            self._say(f"{self._job_name(int(found[1]))}: tried again")
        elif text and not NOISE.match(text):
            self._say(text)
            if text.startswith(NOTHING):
                self._say_pages()

    def _say_pages(self) -> None:
        """Say where the pages of studies are of which nothing has to be made."""
        for study in self._studies:
            for name, page in (("report", study.results.report_html), ("explorer", study.results.explorer_html)):
                if page.exists():
                    self._say(f"{name}: {page}")

    def _plan(self, record: LogRecord) -> None:
        """Say how many jobs there are of the most frequent rules; the workflow's own target is none."""
        counts = {rule: count for rule, count in record.stats.items() if rule not in ("total", "all")}
        most = sorted(counts, key=lambda rule: -counts[rule])
        named = [f"{counts[rule]} {rule}" for rule in most[:RULES]]
        others = sum(counts[rule] for rule in most[RULES:])
        self._say(f"{sum(counts.values())} jobs: {', '.join([*named, *([f'{others} others'] if others else [])])}")

    def _begin(self, record: LogRecord) -> None:
        values = ", ".join(record.wildcards.values()) if isinstance(record.wildcards, dict) else ""
        name = record.rule_msg or f"{record.rule_name}{values and f' {values}'}"
        self._jobs[record.jobid] = name, time.monotonic(), bool(record.output)
        study = self._study_of(record.jobid)
        if study is not None:
            study.begin(record.jobid)
            self._show_bar()

    def _command(self, record: LogRecord) -> None:
        if self._commands and record.shellcmd:
            self._say(record.shellcmd)

    def _end(self, record: LogRecord) -> None:
        study = self._study_of(record.job_id)
        if study is not None:
            line = study.end(record.job_id)
            several = f"{study.study}/" if len(self._studies) > 1 else ""
            if line:
                self._say(f"{several}{line}")
            else:
                self._show_bar()
        elif record.job_id in self._jobs:
            name, begun, makes = self._jobs[record.job_id]
            if makes:
                self._say(f"{name}: done in {format_duration((time.monotonic() - begun) / 3600)}")

    def _error(self, record: LogRecord) -> None:
        """Show what Snakemake says of an error; the exit status of a job only if the job left no words of its own."""
        if EXIT_STATUS.match(record.getMessage()):
            self._held.append(record)
        else:
            self._as_snakemake(record)

    def _fail(self, record: LogRecord) -> None:
        """Show an error whole: the job's own words and its log where it left some, else what Snakemake knows."""
        from vlmfrontier.sweep.underway import failure  # noqa: PLC0415 — not for calls in which nothing fails

        study = self._study_of(record.jobid)
        name = study.fail(record.jobid) if study is not None else self._job_name(record.jobid)
        why = failure(record.log)
        held = [each for each in self._held if any(log in each.getMessage() for log in record.log)]
        self._held = [each for each in self._held if each not in held]
        if not why:
            for each in (*held, record):
                self._as_snakemake(each)
            return
        aux = [f"  {key}: {value}" for key, value in record.aux.items()]
        told = [f"  {record.rule_msg}"] if record.rule_msg and record.rule_msg != name else []
        self._say("\n".join([f"{name} {why}", *told, *aux]), record)

    def _job_name(self, job: int) -> str:
        return self._jobs[job][0] if job in self._jobs else f"job {job}"

    _SHOWN: dict[LogEvent, Callable[["LogHandler", LogRecord], None]] = {  # noqa: RUF012
        LogEvent.RUN_INFO: _plan,
        LogEvent.JOB_INFO: _begin,
        LogEvent.SHELLCMD: _command,
        LogEvent.JOB_FINISHED: _end,
        LogEvent.JOB_ERROR: _fail,
        LogEvent.GROUP_ERROR: _as_snakemake,
        LogEvent.ERROR: _error,
    }


def _shorter(path: str) -> str:
    """Return a path from here, if it lies here."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
