"""What a job checks of its node before it works, and which of its errors are the node's and not its own.

A fault of the node ends a job with the exit status 86, stands in its record (`node_fault`) and in the study's
`node_faults.jsonl`: several processes may share a training, and not the one that keeps the record need find the fault.
All this only in jobs of the workflow in Slurm. Disks and clocks that nodes share are no node's fault.
"""

import contextlib
import errno
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from vlmfrontier.cluster.excluded import Suspicion, report, reports, work_of
from vlmfrontier.cluster.job import job_id
from vlmfrontier.cluster.slurm import call
from vlmfrontier.errors import NodeFault, TakenOver, UserError

EXPECTED = "VLMFRONTIER_EXPECTED"
"""In the environment of jobs: what the Snakemake that submits them is run by, and whether nodes have CUDA, as JSON."""
CLOCK_SECONDS = 120.0
"""By which a node's clock may be off. Slurm starts no job at all where it is off by five minutes (munge's limit)."""
ROOM = 2**20
"""Bytes that a job must be able to write for a moment."""
MEMORY = Path("/dev/shm")
"""Where processes of one node share memory: what killed jobs left there may fill it."""
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
OF_A_MOUNT = {
    errno.EIO: "cannot be read",
    errno.ESTALE: "is stale here",
    errno.ENOTCONN: "is not connected",
    errno.EHOSTDOWN: "is out of reach",
}
"""Errors of a shared disk that one node has and others may not."""
NETWORK = re.compile(
    r"^(nfs|lustre|gpfs|beegfs|ceph|cifs|smb|afs|pvfs|orangefs|wekafs|panfs|gfs|ocfs|9p|glusterfs|virtiofs|fuse\.)"
)
"""File systems that nodes share, by their names in /proc/mounts."""

ERRORS = (
    (r"uncorrectable (ECC|NVLink) error|ECC_UNCORRECTABLE", "its GPU has an uncorrectable memory error"),
    (r"CUDA-capable device(s|\(s\))[a-z/ ]* busy or unavailable", "its GPU is busy or unavailable"),
    (r"no CUDA-capable device|No CUDA GPUs are available|no NVIDIA driver", "it shows no GPU"),
    (r"unspecified launch failure|CUDA_ERROR_LAUNCH_FAILED", "its GPU failed while it worked"),
    (r"hardware stack error|fallen off the bus|GPU is lost", "its GPU failed while it worked"),
    (r"system not yet initialized|CUDA driver initialization failed|CUDA unknown error", "CUDA does not start on it"),
    (r"system has unsupported display driver|[Dd]river/library version mismatch", "its driver does not fit its CUDA"),
    (r"driver version is insufficient|driver on your system is too old", "its driver is too old for this torch"),
    (r"NCCL[^\n]*unhandled (system|cuda) error|ncclSystemError", "its GPUs or network failed while processes spoke"),
    (r"cannot open shared object file|version `GLIBC[^\n]* not found", "a library is missing on it"),
)
"""Words of errors that are a node's, and what they say of it. The program's own are not among them: illegal memory
access, device-side assert, out of memory; nor what follows from another process's end (NCCL's remote errors)."""
_ERRORS = [(re.compile(pattern), what) for pattern, what in ERRORS]
_FULL = re.compile(r"No space left on device|Read-only file system|Bus error|Disk quota exceeded")


def tell_jobs(cuda: bool, repository: Path | str) -> None:
    """Put into the environment of jobs what they are to find on their nodes; called by the Snakemake that submits.

    The package is that of `repository`, as for all its jobs, also where another checkout is installed.
    """
    package = str((Path(repository) / "src" / __package__.partition(".")[0]).resolve())
    os.environ[EXPECTED] = json.dumps({**_this_python(), "package": package, "cuda": cuda})


def node_name() -> str:
    """Return Slurm's name of this node, which need not be the machine's."""
    return os.environ.get("SLURMD_NODENAME") or platform.node()


@contextlib.contextmanager
def on_fit_node(record: Path | None) -> Iterator[None]:
    """Run the block of the job that keeps `record` if its node is fit. Raises `NodeFault` if not, or if it fails then.

    None: the job is none of the workflow's, and nothing is checked.
    """
    if record is None or job_id() is None:
        yield
        return
    results = results_of(record)
    try:
        check_node(results)
        yield
    except NodeFault as fault:
        _report(results, record, str(fault))
        raise
    except BaseException as error:
        if why := fault_of(error, results):
            told = f"node {node_name()}: {why}"
            _report(results, record, told)
        elif isinstance(error, UserError | TakenOver):
            told = ""
        else:
            told = _told_by_another(results, record)
        if told:
            raise NodeFault(told) from error
        raise


def results_of(record: Path) -> Path:
    """Return the study's folder in which a record lies."""
    return next((folder for folder in record.parents if (folder / "study.json").exists()), record.parent)


def _report(results: Path, record: Path, told: str) -> None:
    with contextlib.suppress(OSError):  # the record may still tell
        report(results, Suspicion(node_name(), told), job_id() or "", work_of(results, record))


def _told_by_another(results: Path, record: Path) -> str:
    """Return what another process of this very job said of its node; this one was then ended, or lost its partner."""
    job, work = job_id(), work_of(results, record)
    return next((line.reason for line in reports(results) if (line.job, line.work) == (job, work)), "")


def check_node(results: Path) -> None:
    """Raise `NodeFault` if this node is not fit for a job of the study in `results`; its GPUs are another matter."""
    for why in (wrong_python(expected()), full_disk(results), wrong_clock(results)):
        if why:
            raise NodeFault(f"node {node_name()}: {why}")


# Python


def expected() -> dict[str, Any]:
    """Return what `tell_jobs` put into this job's environment; empty if nothing or no such thing."""
    try:
        found = json.loads(os.environ.get(EXPECTED, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def wrong_python(there: Mapping[str, Any]) -> str:
    """Return why the Python that stands in the same place as the controller's is another one; empty if it is not.

    One in another place is an environment of the rule's own.
    """
    here = _this_python()
    if there.get("prefix") != here["prefix"]:
        return ""
    different = [key for key in ("python", "package") if there.get(key) != here[key]]
    if not different:
        return ""
    told = ", ".join(f"{key} {here[key]} instead of {there.get(key)}" for key in different)
    return f"the wrong Python in {here['prefix']}: {told}"


def _this_python() -> dict[str, str]:
    version = ".".join(map(str, sys.version_info[:2]))
    return {"prefix": sys.prefix, "python": version, "package": str(Path(__file__).parents[1].resolve())}


# Disks


def full_disk(results: Path) -> str:
    """Return why no temporary file can be written on this node; empty if one can, or if the disk is not the node's."""
    for folder in (temporary_folder(), MEMORY):
        try:
            if folder is None or not folder.is_dir() or _is_shared(folder, results):
                continue
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(ROOM))
                file.flush()
        except OSError as error:
            if error.errno in OF_THE_DISK:
                return f"{folder}: {str(error.strerror).lower()}"
    return ""


def temporary_folder() -> Path | None:
    """Return where this job writes temporary files; where that is its working directory, what it is there in place of.

    Python falls back to the working directory where it can write nowhere else, and Snakemake tells its jobs so.
    """
    named = Path(os.environ.get("TMPDIR", "/tmp"))
    places = [place for place in (named, Path("/tmp"), Path("/var/tmp")) if place.is_dir()]
    return next((place for place in places if place.resolve() != Path.cwd().resolve()), None)


def _is_shared(folder: Path, results: Path) -> bool:
    """Return whether a folder is on the disk of the results, or on any that nodes share."""
    return folder.stat().st_dev == results.stat().st_dev or bool(NETWORK.match(file_system(folder)))


def file_system(folder: Path) -> str:
    """Return the kind of file system that a folder lies on, as /proc/mounts names it; empty if that does not tell."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    place = folder.resolve()
    # A later mount on the same place hides an earlier one.
    holding = [(len(words[1]), index) for index, words in enumerate(mounts) if place.is_relative_to(words[1])]
    return mounts[max(holding)[1]][2] if holding else ""


# Clock


def wrong_clock(results: Path) -> str:
    """Return how far this node's clock is off: by the shared disk's time of a file just written, and by Slurm's."""
    off = _behind(results)
    if off is None or abs(off) <= CLOCK_SECONDS:
        return ""
    by_slurm = _behind_slurm()
    if by_slurm is None or abs(by_slurm) <= CLOCK_SECONDS:
        print(f"warning: the disk of {results} and node {node_name()} differ by {abs(off):.0f} s in time", flush=True)
        return ""
    return f"its clock is {abs(off) / 60:.0f} minutes {'behind' if off > 0 else 'ahead'}"


def _behind(results: Path) -> float | None:
    """Return how many seconds this node is behind the disk of `results`; None if nothing can be written there."""
    file = results / f".clock.{node_name()}.{os.getpid()}"
    try:
        before = time.time()
        file.touch()
        written, after = file.stat().st_mtime, time.time()
        file.unlink()
    except OSError:
        return None
    return written - before if written < before else max(0.0, written - after)


def _behind_slurm() -> float | None:
    """Return how many seconds this node is behind Slurm's controller; None if that does not say what time it is."""
    answer = call(["scontrol", "show", "config"], seconds=60).out
    try:
        return datetime.fromisoformat(answer.split("\n", 1)[0].split()[-1]).timestamp() - time.time()
    except (ValueError, IndexError):
        return None


# GPUs


def check_gpus(torch: Any, planned: int | None, without_cuda: bool, uses_them: bool = True) -> None:
    """Raise `NodeFault` if this node shows fewer GPUs than planned, or if the one that this process uses does not work.

    `torch` is the module, which this one must not import. Without a plan (None) a job expects what Slurm gave it.
    Raises `UserError` if torch has no CUDA or Slurm gave more than was planned, which is no node's fault.
    """
    given = given_gpus()
    if without_cuda or (planned is None and not given):
        _count(len(given), planned)
        return
    if not (torch.version.cuda or torch.version.hip):
        raise UserError(f"torch {torch.__version__} was installed without CUDA: see docs/slurm.md, or cuda in the site")
    _count(torch.cuda.device_count(), len(given) if planned is None else planned)
    if uses_them:
        _compute(torch, int(os.environ.get("LOCAL_RANK", "0")))


def given_gpus() -> list[str]:
    """Return the GPUs that Slurm made visible to this job."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return [name for name in named if name and name not in ("NoDevFiles", "-1")]


def _count(seen: int, planned: int | None) -> None:
    if planned is None or seen == planned:
        return
    job = job_id()
    look = f"see `scontrol show job -d {job}`" if job else "see CUDA_VISIBLE_DEVICES"
    if seen < planned and job:
        raise NodeFault(f"node {node_name()}: {seen} of {planned} GPUs; {look}")
    raise UserError(f"this node shows {seen} GPUs, but {planned} are planned; {look} and the site file's section gpu")


def _compute(torch: Any, index: int) -> None:
    """Raise `NodeFault` unless GPU `index` adds some numbers up."""
    try:
        added = float(torch.ones(1024, device=f"cuda:{index}").sum())
    except RuntimeError as error:
        told = str(error).strip().split("\n", 1)[0]
        raise NodeFault(f"node {node_name()}: GPU {index} does not compute: {told}") from error
    if added != 1024:
        raise NodeFault(f"node {node_name()}: GPU {index} computes wrongly: 1024 ones add up to {added:g}")


# Errors while a job works


def fault_of(error: BaseException, results: Path) -> str:
    """Return what an error says of the node that it came up on; empty if the node is not to blame."""
    each: BaseException | None = error
    while isinstance(each, Exception):
        if why := _fault_of(each, results):
            return why
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return ""


def _fault_of(error: Exception, results: Path) -> str:
    text = str(error)
    if isinstance(error, OSError):
        if error.errno in OF_A_MOUNT and error.filename is not None:
            return f"{error.filename} {OF_A_MOUNT[error.errno]}"
        return full_disk(results) if error.errno in OF_THE_DISK else ""
    if _FULL.search(text):
        return full_disk(results)
    found = next((what for pattern, what in _ERRORS if pattern.search(text)), "")
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return f"{found} ({line})" if found else ""
