"""Clients of Slurm that misbehave for one controller, and what Slurm saw of a folder's jobs afterwards.

Real clients stand behind: each is called unless a fault is planned for it. What jobs call themselves passes through.
"""

import re
import shlex
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tests.slurm.cluster import SlurmCluster
from vlmfrontier.cluster.slurm import parse_record

CLIENTS = ("sbatch", "squeue", "scancel", "scontrol", "sacct")

NO_ANSWER = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
TIMED_OUT = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
AWAY = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
OVER_LIMIT = (
    "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates "
    "accounting/QOS policy (job submit limit, user's size and/or time limits)"
)
NO_ACCOUNT = "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified"

# One fault per line of the file named like the client: how, exit status, message; a call takes the first one away.
WRAPPER = r"""#!/bin/bash
[ -n "$SLURM_JOB_ID" ] && exec {real} "$@"
cd {folder} || exit 1
exec 9>>lock; flock 9
printf '%s\t%s\n' "$EPOCHREALTIME" "{client} $*" >> calls
IFS=$'\t' read -r how status message 2>/dev/null < {client}.faults
[ -n "$how" ] && sed -i 1d {client}.faults
limit=$(cat {client}.limit 2>/dev/null)
if [ -n "$limit" ] && [ "$({queue} | wc -l)" -ge "$limit" ]; then
    how=fails status=1 message='{over}'
fi
[ -z "$limit" ] && exec 9>&-
cd "$OLDPWD" || exit 1
case $how in
    '') {real} "$@"; exit $? ;;
    fails) ;;
    silent) exit "$status" ;;
    hangs) exec sleep "$message" ;;
    obeys) {real} "$@" > /dev/null 2>&1 ;;
    late) script=$(mktemp -p {folder}); cat > "$script"
          (exec 9>&-; sleep 8; {real} "$@" < "$script") > /dev/null 2>&1 & ;;
esac
printf '%b\n' "$message" >&2
exit "$status"
"""


class Clients:
    """The clients that a controller finds first on its PATH, steered by files in `folder`."""

    def __init__(self, folder: Path, cluster: SlurmCluster):
        self.folder = folder
        folder.mkdir()
        for client in CLIENTS:
            wrapper = folder / client
            words = {
                "real": shlex.quote(str(cluster.root / "bin" / client)),
                "queue": f"{shlex.quote(str(cluster.root / 'bin' / 'squeue'))} --noheader --me",
                "folder": shlex.quote(str(folder)),
                "client": client,
                "over": OVER_LIMIT.replace("'", "'\\''").replace("\n", "\\n"),
            }
            text = WRAPPER
            for word, value in words.items():
                text = text.replace(f"{{{word}}}", value)
            wrapper.write_text(text)
            wrapper.chmod(0o755)

    def plan(self, client: str, message: str, *, times: int = 1, how: str = "fails", status: int = 1) -> None:
        """Let the next calls of a client misbehave.

        They fail; are `silent` (nothing printed, whatever the exit status); do as told and then fail (`obeys`, an
        answer that was lost); fail and do it eight seconds later (`late`); or hang for `message` seconds (`hangs`).
        """
        line = "\t".join([how, str(status), message.replace("\n", "\\n")])
        with (self.folder / f"{client}.faults").open("a") as file:
            file.write(f"{line}\n" * times)

    def limit(self, jobs: int | None) -> None:
        """Let sbatch refuse more than so many jobs in the queue, as a submit limit does; None: no limit."""
        file = self.folder / "sbatch.limit"
        file.unlink(missing_ok=True) if jobs is None else file.write_text(str(jobs))

    def planned(self, client: str) -> int:
        """Return how many faults of a client have not been met yet."""
        file = self.folder / f"{client}.faults"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def forget(self) -> None:
        """Plan nothing any more."""
        for file in self.folder.glob("*.faults"):
            file.unlink()

    def calls(self, client: str = "") -> list[tuple[float, str]]:
        """Return when each client was called, and its command line."""
        file = self.folder / "calls"
        lines = [line.split("\t", 1) for line in file.read_text().splitlines()] if file.exists() else []
        return [(float(moment), call) for moment, call in lines if call.startswith(client)]


class Submitted(NamedTuple):
    """A job that Slurm took."""

    id: str
    state: str
    started: float
    """Seconds since 1970, as `ended`; both 0 if it never ran."""
    ended: float
    restarts: int
    name: str
    node: str


def submitted(cluster: SlurmCluster, folder: Path) -> dict[str, list[Submitted]]:
    """Return the jobs that Slurm took from `folder`, by their comment, oldest first; those that nobody named too."""
    found = defaultdict(list)
    for line in cluster.ask("scontrol", "show", "job", "--oneliner").splitlines():
        record = parse_record(line)
        if record.get("WorkDir") == str(folder):
            found[record.get("Comment", "")].append(_submitted(record))
    return {comment: sorted(jobs, key=lambda job: int(job.id)) for comment, jobs in found.items()}


def _submitted(record: dict[str, str]) -> Submitted:
    ran = record["RunTime"] != "00:00:00" or record["JobState"] in ("COMPLETED", "FAILED")
    started, ended = (_moment(record[key]) if ran else 0.0 for key in ("StartTime", "EndTime"))
    state, node = record["JobState"], record.get("NodeList", "")
    return Submitted(record["JobId"], state, started, ended, int(record["Restarts"]), record["JobName"], node)


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def twins(output: str) -> set[str]:
    """Return the jobs that came late, after the same was submitted again, and were cancelled as soon as seen."""
    return set(re.findall(r"^Slurm job (\d+) is .* a second time; cancelled$", output, re.MULTILINE))


def assert_never_two_at_once(jobs: dict[str, list[Submitted]], output: str = "") -> None:
    """Assert that no two jobs of the same work ran at the same time, but for twins of which the output tells."""
    late = twins(output)
    for comment, each in jobs.items():
        ran = sorted((job for job in each if job.started and job.id not in late), key=lambda job: job.started)
        for first, second in pairwise(ran):
            assert 0 < first.ended <= second.started, f"{comment}: {first} and {second} at once"


def drained(cluster: SlurmCluster, nodes: Sequence[str], reason: str = "test") -> None:
    """Drain nodes: what works on them goes on, nothing new starts there."""
    cluster.ask("scontrol", "update", f"nodename={','.join(nodes)}", "state=drain", f"reason={reason}")


def resumed(cluster: SlurmCluster, nodes: Sequence[str]) -> None:
    """Take drained nodes back."""
    command = ["scontrol", "update", f"nodename={','.join(nodes)}", "state=resume"]
    if nodes:
        subprocess.run(command, env=cluster.env(), capture_output=True, check=False)  # of one that is up: refused
