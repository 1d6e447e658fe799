"""What a job finds wrong with its node, and which errors are a node's and which a run's own."""

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from vlmfrontier.cluster import node
from vlmfrontier.cluster.excluded import faults_file, reports
from vlmfrontier.cluster.node import (
    CLOCK_SECONDS,
    EXPECTED,
    check_gpus,
    check_node,
    expected,
    fault_of,
    file_system,
    full_disk,
    on_fit_node,
    tell_jobs,
    wrong_clock,
    wrong_python,
)
from vlmfrontier.ended import Ended, read_ended, record_of
from vlmfrontier.errors import NodeFault, Stopped, UserError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a study; this is Slurm job 12 on node gpu02."""
    folder = tmp_path / "results" / "digits"
    folder.mkdir(parents=True)
    (folder / "study.json").write_text("{}")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURMD_NODENAME", "gpu02")
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.delenv(EXPECTED, raising=False)
    return folder


# Errors as they are said by CUDA, torch, NCCL and the system.
ECC = "CUDA error: uncorrectable ECC error encountered\nCUDA kernel errors might be asynchronously reported at"
NODES = [
    RuntimeError(ECC),
    RuntimeError("CUDA error: unspecified launch failure"),
    RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable"),
    RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"),
    RuntimeError("CUDA error: no CUDA-capable device is detected"),
    RuntimeError("No CUDA GPUs are available"),
    RuntimeError("Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"),
    RuntimeError("Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized"),
    RuntimeError("CUDA unknown error - this may be due to an incorrectly set up environment"),
    RuntimeError("NCCL error in: ProcessGroupNCCL.cpp:1970, unhandled system error (run with NCCL_DEBUG=INFO)"),
    RuntimeError("NCCL error: unhandled cuda error (run with NCCL_DEBUG=INFO for details), NCCL version 2.27.5"),
    ImportError("libcudart.so.12: cannot open shared object file: No such file or directory"),
    ImportError("/lib/x86_64-linux-gnu/libm.so.6: version `GLIBC_2.35' not found (required by libtorch.so)"),
    UserError("lmms-eval ended without results (status 1): RuntimeError: CUDA error: uncorrectable ECC error"),
    OSError(errno.ESTALE, "Stale file handle", "/shared/videos/1.mp4"),
    OSError(errno.EIO, "Input/output error", "/shared/videos/1.mp4"),
]
RUNS = [
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.11 GiB"),
    RuntimeError("NCCL error: remote process exited or there was a network error, NCCL version 2.27.5"),
    RuntimeError("[Rank 1] Watchdog caught collective operation timeout"),
    RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed."),
    RuntimeError("No space left on device"),
    OSError(errno.ENOSPC, "No space left on device", "/shared/results/runs"),
    OSError(errno.EROFS, "Read-only file system", "/shared/results/runs"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    OSError(errno.ENOENT, "No such file or directory", "x"),
    OSError(errno.EIO, "Input/output error"),
    ModuleNotFoundError("No module named 'peft'"),
    UserError("start/s: no starting model with its tokenizer here"),
    ValueError(""),
    MemoryError(),
    KeyboardInterrupt(),
    SystemExit(143),
]


@pytest.mark.parametrize("error", NODES, ids=lambda error: str(error)[:40])
def test_errors_of_a_node(results: Path, error: Exception):
    assert fault_of(error, results)


@pytest.mark.parametrize("error", RUNS, ids=lambda error: f"{type(error).__name__} {error}"[:40])
def test_errors_of_a_run(results: Path, error: BaseException):
    assert fault_of(error, results) == ""


def test_what_an_error_was_caused_by_counts_too(results: Path):
    def failing(how: Callable[[Exception], None]) -> Exception:
        try:
            try:
                raise RuntimeError(ECC)
            except RuntimeError as error:
                how(error)
        except Exception as error:
            return error
        raise AssertionError

    def caused(error: Exception) -> None:
        raise ValueError("the step failed") from error

    def while_it_ended(_: Exception) -> None:
        raise ValueError("the processes did not part")

    def unrelated(_: Exception) -> None:
        raise ValueError("another matter") from None

    told = "its GPU has an uncorrectable memory error (CUDA error: uncorrectable ECC error encountered)"
    assert fault_of(failing(caused), results) == fault_of(failing(while_it_ended), results) == told
    assert fault_of(failing(unrelated), results) == ""


# Disks


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount small disks in memory; only root may."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=False, capture_output=True)
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.decode().strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", place], check=True)


FULL, READ_ONLY = "size=64k", "ro"


@pytest.mark.parametrize(("options", "told"), [(FULL, "no space left on device"), (READ_ONLY, "read-only file system")])
def test_a_node_that_takes_no_temporary_files_is_at_fault(results: Path, disk, monkeypatch, options: str, told: str):
    scratch = disk(options)
    monkeypatch.setenv("TMPDIR", str(scratch))
    assert full_disk(results) == f"{scratch}: {told}"
    with pytest.raises(NodeFault, match=f"^node gpu02: {scratch}: {told}$"):
        check_node(results)
    assert fault_of(OSError(errno.ENOSPC, "No space left on device"), results) == f"{scratch}: {told}"
    assert fault_of(RuntimeError("PytorchStreamWriter failed: No space left on device"), results)
    assert list(scratch.iterdir()) == []


def test_shared_memory_that_is_full_is_the_nodes_fault(results: Path, disk, monkeypatch):
    monkeypatch.setattr(node, "MEMORY", disk(FULL))
    assert full_disk(results).endswith("no space left on device")
    assert fault_of(RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error."), results)


def test_a_full_disk_of_results_is_no_nodes_fault(results: Path, disk, monkeypatch):
    shared = disk(FULL)
    for name in ("results", "tmp"):
        (shared / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(shared / "tmp"))
    assert full_disk(shared / "results") == ""
    assert wrong_clock(shared / "results") == ""


@pytest.mark.parametrize(("kind", "is_shared"), [("nfs4", True), ("lustre", True), ("tmpfs", False), ("xfs", False)])
def test_a_full_disk_that_nodes_share_is_no_nodes_fault(results, disk, monkeypatch, kind: str, is_shared: bool):
    monkeypatch.setenv("TMPDIR", str(disk(FULL)))
    monkeypatch.setattr(node, "file_system", lambda folder: kind)
    assert (full_disk(results) == "") == is_shared


def test_a_temporary_folder_that_is_not_there_is_not_used_and_no_fault(results: Path, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/nowhere/on/this/node")  # of the shell that called Snakemake
    assert full_disk(results) == ""
    monkeypatch.chdir(results)
    monkeypatch.setenv("TMPDIR", str(results))
    assert node.temporary_folder() == Path("/tmp")


def test_the_kind_of_a_file_system_is_that_of_the_last_mount(disk):
    assert file_system(disk(FULL) / "x") == "tmpfs"
    assert file_system(Path("/proc/self")) == "proc"


# Clock


@pytest.mark.parametrize(
    ("node_off", "slurm_off", "told"),
    [
        (0, None, ""),
        (CLOCK_SECONDS - 5, 0, ""),
        (5 - CLOCK_SECONDS, 0, ""),
        (600, 0, "its clock is 10 minutes ahead"),
        (-600, 0, "its clock is 10 minutes behind"),
        (600, 600, ""),  # the disk is
        (600, None, ""),  # nobody knows which
    ],
)
def test_a_clock_is_off_by_the_disk_and_by_slurm(results: Path, monkeypatch, tmp_path, node_off, slurm_off, told):
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    moment = "" if slurm_off is None else time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + slurm_off))
    scontrol.write_text(f"#!/bin/sh\necho Configuration data as of {moment}\necho AccountingStorageTRES = cpu\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{scontrol.parent}:{os.environ['PATH']}")
    now = time.time
    monkeypatch.setattr(node.time, "time", lambda: now() + node_off)
    assert wrong_clock(results) == told
    assert [path.name for path in results.iterdir()] == ["study.json"]


# Python


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, ""),
        ({"python": "3.8"}, "python 3."),
        ({"package": "/opt/old/vlmfrontier"}, "instead of /opt/old/vlmfrontier"),
        ({"prefix": "/envs/of-a-rule", "python": "3.8"}, ""),
    ],
)
def test_another_python_in_the_same_place_is_the_wrong_one(results: Path, monkeypatch, changed: dict, told: str):
    monkeypatch.setenv(EXPECTED, "")
    tell_jobs(cuda=True, repository=ROOT)
    found = wrong_python(expected() | changed)
    assert told in found
    assert bool(found) == bool(told)


@pytest.mark.parametrize("text", ["", "{", "3", "[]"])
def test_a_job_that_was_told_nothing_expects_nothing(results: Path, monkeypatch, text: str):
    monkeypatch.setenv(EXPECTED, text)
    assert expected() == {}
    check_node(results)


# GPUs


class Tensor:
    """What torch.ones returns: here, nothing computes on a GPU."""

    def __init__(self, total: float):
        self.total = total

    def sum(self) -> float:
        return self.total


def fake_torch(count: int, broken: dict[int, str | float] | None = None, cuda: str | None = "12.8") -> SimpleNamespace:
    def ones(size: int, device: str) -> Tensor:
        fault = (broken or {}).get(int(device.removeprefix("cuda:")), float(size))
        if isinstance(fault, str):
            raise RuntimeError(fault)
        return Tensor(fault)

    device = SimpleNamespace(device_count=lambda: count)
    return SimpleNamespace(__version__="2.9", version=SimpleNamespace(cuda=cuda, hip=None), cuda=device, ones=ones)


@pytest.mark.parametrize(
    ("torch", "planned", "without_cuda", "devices", "told"),
    [
        (fake_torch(8), 8, False, "0,1,2,3,4,5,6,7", ""),
        (fake_torch(0), 8, False, "0,1,2,3,4,5,6,7", "node gpu02: 0 of 8 GPUs; see `scontrol show job -d 12`"),
        (fake_torch(7), 8, False, "0,1,2,3,4,5,6,7", "node gpu02: 7 of 8 GPUs"),
        (fake_torch(0), None, False, "0", "node gpu02: 0 of 1 GPUs"),
        (fake_torch(0), None, False, "", ""),
        (fake_torch(0), None, False, "NoDevFiles", ""),
        (fake_torch(0, cuda=None), None, True, "0", ""),
        (fake_torch(0, cuda=None), 2, True, "NoDevFiles", "node gpu02: 0 of 2 GPUs"),
        (fake_torch(0, cuda=None), 2, True, "0,1", ""),
        (fake_torch(1, {0: ECC}), 1, False, "0", "node gpu02: GPU 0 does not compute: CUDA error: uncorrectable ECC"),
        (fake_torch(1, {0: "CUDA out of memory"}), 1, False, "0", "GPU 0 does not compute: CUDA out of memory"),
        (fake_torch(1, {0: 1023.0}), 1, False, "0", "node gpu02: GPU 0 computes wrongly"),
        (fake_torch(2, {0: ECC}), 2, False, "0,1", ""),  # that of another process, which says so itself
    ],
)
def test_gpus_of_a_node(results: Path, monkeypatch, torch, planned, without_cuda, devices: str, told: str):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    monkeypatch.setenv("LOCAL_RANK", str(max(0, (planned or 1) - 1)))
    if not told:
        check_gpus(torch, planned, without_cuda)
        return
    with pytest.raises(NodeFault) as fault:
        check_gpus(torch, planned, without_cuda)
    assert told in str(fault.value)


@pytest.mark.parametrize(
    ("torch", "planned", "without_cuda", "devices", "job", "told"),
    [
        (fake_torch(0, cuda=None), 8, False, "0", "12", "torch 2.9 was installed without CUDA"),
        (fake_torch(8), 2, False, "", "12", "this node shows 8 GPUs, but 2 are planned"),
        (fake_torch(0, cuda=None), 2, True, "0,1,2", "12", "this node shows 3 GPUs, but 2 are planned"),
        (fake_torch(1), 2, False, "0", None, "this node shows 1 GPUs, but 2 are planned; see CUDA_VISIBLE_DEVICES"),
    ],
)
def test_what_is_wrong_with_gpus_but_no_nodes_fault(
    results: Path, monkeypatch, torch, planned, without_cuda, devices: str, job: str | None, told: str
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    if job is None:
        monkeypatch.delenv("SLURM_JOB_ID")
    with pytest.raises(UserError) as error:
        check_gpus(torch, planned, without_cuda)
    assert told in str(error.value)


# The job as a whole


def record_of_run(results: Path) -> Path:
    return results / "runs" / "N1_T1" / "finetune.ended.json"


def test_a_fault_is_reported_with_its_job_and_its_work(results: Path):
    with (
        pytest.raises(NodeFault, match=r"^node gpu02: its GPU has an uncorrectable memory error \(CUDA error") as fault,
        on_fit_node(record_of_run(results)),
    ):
        raise RuntimeError(ECC)
    (line,) = reports(results)
    assert (line.node, line.job, line.work) == ("gpu02", "12", "runs/N1_T1/finetune")
    assert line.reason == str(fault.value)
    assert not line.died


@pytest.mark.parametrize("error", [SystemExit(143), Stopped("saved"), RuntimeError("Connection closed by peer")])
def test_a_process_ended_by_anothers_fault_tells_that(results: Path, monkeypatch, error: BaseException):
    monkeypatch.setenv("SLURMD_NODENAME", "gpu07")
    with pytest.raises(NodeFault), on_fit_node(record_of_run(results)):
        raise RuntimeError(ECC)
    monkeypatch.setenv("SLURMD_NODENAME", "gpu02")
    with pytest.raises(NodeFault, match=r"^node gpu07: its GPU has"), on_fit_node(record_of_run(results)):
        raise error
    assert len(list(reports(results))) == 1
    # Neither what a user can correct, nor another run of the same pack, nor another job.
    with pytest.raises(UserError), on_fit_node(record_of_run(results)):
        raise UserError("no such split")
    with pytest.raises(type(error)), on_fit_node(results / "runs" / "N2_T1" / "finetune.ended.json"):
        raise error
    monkeypatch.setenv("SLURM_JOB_ID", "13")
    with pytest.raises(type(error)), on_fit_node(record_of_run(results)):
        raise error


@pytest.mark.parametrize("job", [None, "12"])
def test_only_jobs_of_the_workflow_in_slurm_are_looked_at(results: Path, monkeypatch, job: str | None):
    if job is None:
        monkeypatch.delenv("SLURM_JOB_ID")
    monkeypatch.setattr(node, "check_node", lambda folder: pytest.fail("looked at"))
    with pytest.raises(RuntimeError), on_fit_node(record_of_run(results) if job is None else None):
        raise RuntimeError(ECC)
    assert not faults_file(results).exists()


def test_a_fault_is_told_though_it_cannot_be_reported(results: Path, monkeypatch):
    faults_file(results).mkdir()
    with pytest.raises(NodeFault), on_fit_node(record_of_run(results)):
        raise RuntimeError(ECC)


WORK = """
import os, time
from vlmfrontier import command_line

def main():
    if os.environ.get("RANK", "0") == os.environ["BROKEN"]:
        raise RuntimeError("CUDA error: uncorrectable ECC error encountered")
    print("works", flush=True)
    time.sleep(60 * int(os.environ.get("WORLD_SIZE", "1") != "1"))

command_line.run(main)
"""


def run_job(results: Path, broken: str, launcher: Sequence[str] = (), **environment: str) -> tuple[int, str, Ended]:
    """Return status, log and record of a job on this node; of several processes, the one numbered `broken` fails."""
    script, log = results / "job.py", results / "runs" / "N1_T1" / "finetune.log"
    script.write_text(WORK)
    command = ["bash", str(ROOT / "scripts" / "job.sh"), str(log), sys.executable, *launcher, str(script)]
    done = subprocess.run(command, env={**os.environ, "BROKEN": broken, **environment}, check=False, timeout=100)
    return done.returncode, log.read_text(), read_ended(record_of(log))


def test_a_job_on_a_fit_node_is_done(results: Path):
    status, log, record = run_job(results, "none")
    assert (status, record.state, record.node, record.node_fault) == (0, "done", "gpu02", False)
    assert "works" in log
    assert not faults_file(results).exists()


def test_a_job_on_a_full_node_ends_before_it_works(results: Path, disk):
    scratch = disk(FULL)
    status, log, record = run_job(results, "none", TMPDIR=str(scratch))
    told = f"node gpu02: {scratch}: no space left on device"
    assert (status, record.state, record.status, record.node_fault) == (86, "failed", 86, True)
    assert record.reason == told
    assert log.endswith(f"error: {told}\n")
    assert "works" not in log
    assert "Traceback" not in log


def test_an_error_of_the_node_keeps_its_traceback(results: Path):
    status, log, record = run_job(results, "0")
    assert (status, record.status, record.node_fault) == (86, 86, True)
    assert "Traceback" in log
    assert "RuntimeError: CUDA error: uncorrectable ECC error encountered\n" in log


def test_a_fault_that_another_process_of_the_training_found_is_the_jobs(results: Path):
    torchrun = ["-m", "vlmfrontier.training.processes", "--standalone", "--nproc-per-node=2"]
    status, _, record = run_job(results, "1", torchrun)
    assert status != 0
    assert (record.state, record.status, record.node_fault) == ("failed", 86, True)
    assert "node gpu02: its GPU has an uncorrectable memory error" in record.reason
    assert [line.work for line in reports(results)] == ["runs/N1_T1/finetune"]


def test_what_jobs_are_told_is_json(monkeypatch):
    monkeypatch.setenv(EXPECTED, "")
    tell_jobs(cuda=False, repository=ROOT)
    assert json.loads(os.environ[EXPECTED])["cuda"] is False
