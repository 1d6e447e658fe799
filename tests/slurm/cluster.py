"""A real Slurm of several virtual nodes with fake GPUs on this machine, for tests and for trying the workflow out.

    python -m tests.slurm.cluster start /tmp/slurm; eval $(python -m tests.slurm.cluster env /tmp/slurm); sinfo
    python -m tests.slurm.cluster stop /tmp/slurm

Needs root and Debian's `slurmctld slurmd slurm-client munge`. Everything lies in the folder given: own key, sockets,
ports, nothing in /etc. No accounting, as on the barest of clusters. Nodes and daemons can be killed and started again.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("srun", "sbatch", "squeue", "scontrol", "scancel", "sinfo", "sacct", "sacctmgr")
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
GPU_NODES, CPU_NODES = ("gpu01", "gpu02", "gpu03"), ("cpu01",)
GPUS = 8
NAME_LENGTH = 15
"""Of a process's name in /proc."""


def why_not() -> str:
    """Return why no cluster can be started here; empty if one can."""
    missing = [name for name in (*DAEMONS, *CLIENTS) if not shutil.which(name, path=SYSTEM_PATH)]
    if missing:
        return f"not installed: {', '.join(missing)} (apt-get install slurmctld slurmd slurm-client munge)"
    return "" if os.geteuid() == 0 else "virtual Slurm nodes need root"


class SlurmCluster:
    """A cluster in a folder: partitions cpu, gpu, and gpu-high whose jobs preempt those of gpu."""

    def __init__(self, root: Path | str):
        self.root = Path(root).resolve()
        self.conf = self.root / "slurm.conf"
        self._pids_file = self.root / "pids.json"
        self.nodes = (*GPU_NODES, *CPU_NODES)

    def env(self) -> dict[str, str]:
        """Return the environment in which clients speak to this cluster and to no other."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
        path = f"{self.root}/bin:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        return {**kept, "SLURM_CONF": str(self.conf), "PATH": path}

    def ask(self, *command: str) -> str:
        """Return what a client prints. Raises `CalledProcessError` if it fails."""
        return subprocess.run(command, env=self.env(), capture_output=True, text=True, check=True).stdout.strip()

    def start(self) -> "SlurmCluster":
        """Start all daemons; return when every node is idle."""
        if reason := why_not():
            raise RuntimeError(reason)
        self.stop()
        self._write_configuration()
        for leftover in self.root.glob("munge/munge.socket*"):
            leftover.unlink()
        munge = self.root / "munge"
        files = {"socket": "socket", "key-file": "key", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={munge}/munge.{suffix}" for option, suffix in files.items()]
        self._spawn("munged", "--foreground", "--force", f"--pid-file={munge}/munged.pid", *options)
        _wait("munged", (munge / "munge.socket").exists)
        self.start_controller()
        for node in self.nodes:
            self.start_node(node)
        _wait("nodes", lambda: set(self.states().values()) <= {"idle"} and len(self.states()) == len(self.nodes))
        return self

    def start_controller(self) -> None:
        """Start slurmctld; return when it answers."""
        self._spawn("slurmctld", "-D", "-f", str(self.conf))
        _wait("slurmctld", lambda: "UP" in self._try("scontrol", "ping"))

    def start_node(self, node: str) -> None:
        """Start the slurmd of a node."""
        (self.root / "spool" / node).mkdir(parents=True, exist_ok=True)
        self._spawn("slurmd", "-D", "-N", node, "-f", str(self.conf), name=f"slurmd.{node}")

    def kill(self, name: str, with_jobs: bool = False) -> None:
        """Send SIGKILL to the daemon `slurmctld` or `slurmd.<node>`; `with_jobs`: to the jobs of that node too."""
        pid = self._pids()[name]
        node = name.removeprefix("slurmd.")
        jobs = self.ask("squeue", "--noheader", "--nodelist", node, "--format", "%i").split() if with_jobs else []
        os.kill(pid, signal.SIGKILL)
        _wait(f"end of {name}", lambda: not _runs(pid, name))
        for stepd, title in self._stepds().items():
            if any(f"[{job}." in title for job in jobs):
                _kill_tree(stepd)

    def kill_job(self, job: str) -> None:
        """Send SIGKILL to all processes of a job, to Slurm's own too, which could tell of its end."""
        for stepd, title in self._stepds().items():
            if f"[{job}." in title:
                _kill_tree(stepd)

    def sicken(self, node: str) -> None:
        """Let a node refuse its GPUs to every job that starts there."""
        (self.root / "sick" / node).touch()

    def heal(self, node: str) -> None:
        """Let a node be as it was."""
        (self.root / "sick" / node).unlink(missing_ok=True)

    def states(self) -> dict[str, str]:
        """Return the state of every node."""
        lines = self._try("sinfo", "--noheader", "-N", "-o", "%N %t").splitlines()
        return dict(line.split() for line in lines)

    def stop(self) -> None:
        """Kill all daemons and the job steps that they left; the folder stays."""
        for name, pid in self._pids().items():
            if _runs(pid, name):
                os.kill(pid, signal.SIGKILL)
        for stepd in self._stepds():
            _kill_tree(stepd)
        self._pids_file.unlink(missing_ok=True)

    def __enter__(self) -> "SlurmCluster":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _try(self, *command: str) -> str:
        return subprocess.run(command, env=self.env(), capture_output=True, text=True, check=False).stdout

    def _spawn(self, program: str, *arguments: str, name: str | None = None) -> None:
        executable = shutil.which(program, path=SYSTEM_PATH)
        with (self.root / "log" / f"{name or program}.out").open("ab") as out:
            process = subprocess.Popen(
                [executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=self.env(),
                start_new_session=True,
                cwd=self.root,
            )
        self._pids_file.write_text(json.dumps({**self._pids(), name or program: process.pid}))

    def _pids(self) -> dict[str, int]:
        return json.loads(self._pids_file.read_text()) if self._pids_file.exists() else {}

    def _stepds(self) -> dict[int, str]:
        """Return the slurmstepd processes of this cluster, with their titles: `slurmstepd: [<job>.<step>]`."""
        found = {}
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and (folder / "comm").read_text().startswith("slurmstepd"):
                    ours = f"SLURM_CONF={self.conf}".encode() in (folder / "environ").read_bytes()
                    if ours:
                        found[int(folder.name)] = (folder / "cmdline").read_text()
            except OSError:
                continue
        return found

    def _write_configuration(self) -> None:
        for folder in ("log", "run", "state", "spool", "munge", "gpudev", "bin", "sick"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "munge").chmod(0o700)
        key = self.root / "munge" / "munge.key"
        if not key.exists():
            key.write_bytes(os.urandom(128))
            key.chmod(0o400)
        ports = self._ports()
        values = {"root": self.root, "host": _host(), "port": ports[0], "nodes": self._nodes(ports[1:])}
        self.conf.write_text(SLURM_CONF.format(**values))
        (self.root / "gres.conf").write_text(self._gpus())
        (self.root / "cgroup.conf").write_text("")
        prolog = self.root / "prolog"
        prolog.write_text(PROLOG.format(root=self.root))
        prolog.chmod(0o755)
        # Snakemake's job steps lose all SLURM_* variables but the id, so clients get theirs from wrappers.
        for client in CLIENTS:
            wrapper = self.root / "bin" / client
            executable = shutil.which(client, path=SYSTEM_PATH)
            wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={self.conf} exec {executable} "$@"\n')
            wrapper.chmod(0o755)

    def _ports(self) -> list[int]:
        """Return a free port for the controller and for each node; a second start keeps them."""
        file = self.root / "ports.json"
        if not file.exists():
            file.write_text(json.dumps(_free_ports(1 + len(self.nodes))))
        return json.loads(file.read_text())

    def _nodes(self, ports: Sequence[int]) -> str:
        lines = []
        for node, port in zip(self.nodes, ports, strict=True):
            line = f"NodeName={node} NodeHostname={_host()} NodeAddr=127.0.0.1 Port={port} CPUs=128 RealMemory=1000000"
            lines.append(line + (f" Gres=gpu:a100:{GPUS} Feature=a100" if node in GPU_NODES else ""))
        return "\n".join(lines)

    def _gpus(self) -> str:
        """Return gres.conf: only character devices make Slurm set CUDA_VISIBLE_DEVICES, so each GPU is a /dev/null."""
        for index in range(GPUS):
            device = self.root / "gpudev" / f"nvidia{index}"
            if not device.exists():
                os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        devices = f"{self.root}/gpudev/nvidia[0-{GPUS - 1}]"
        lines = [f"NodeName={node} Name=gpu Type=a100 File={devices} Flags=nvidia_gpu_env" for node in GPU_NODES]
        return "\n".join(["AutoDetect=off", *lines]) + "\n"


PROLOG = """\
#!/bin/sh
[ -e {root}/sick/$SLURMD_NODENAME ] && echo "export CUDA_VISIBLE_DEVICES=NoDevFiles"
exit 0
"""
# cred_expire: else a requeued job waits two minutes. config_overrides: nodes may claim more cores than there are.
SLURM_CONF = """\
ClusterName=toy
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={root}/munge/munge.socket,cred_expire=5
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/slurmd.%n.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.%n.log
PlugStackConfig=/dev/null
TaskProlog={root}/prolog
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
SlurmctldTimeout=30
SlurmdTimeout=10
KillWait=10
OverTimeLimit=0
MinJobAge=36000
MaxJobCount=20000
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
{nodes}
PartitionName=cpu Nodes=ALL Default=YES MaxTime=1-00:00:00 State=UP PriorityTier=10
PartitionName=gpu Nodes=gpu[01-03] MaxTime=2-00:00:00 State=UP PriorityTier=10
PartitionName=gpu-high Nodes=gpu[01-03] MaxTime=1-00:00:00 State=UP PriorityTier=100
"""


def _host() -> str:
    return socket.gethostname().split(".")[0]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait(what: str, happened: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s; see the cluster's log folder")
        time.sleep(0.05)


def _runs(pid: int, name: str) -> bool:
    """Return whether the process is still the daemon that was started, and not a zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    command, state = status[status.index("(") + 1 : status.rindex(")")], status[status.rindex(")") + 2]
    if state == "Z":
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return False
    return command.startswith(name.split(".", maxsplit=1)[0][:NAME_LENGTH])


def _kill_tree(pid: int) -> None:
    """Send SIGKILL to a process and all that descend from it, as if its machine had lost power."""
    import psutil  # noqa: PLC0415 — the cluster itself runs on the standard library

    try:
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            each.kill()
    except psutil.NoSuchProcess:
        return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["start", "stop", "env"])
    parser.add_argument("folder")
    given = parser.parse_args()
    cluster = SlurmCluster(given.folder)
    if given.command == "start":
        cluster.start()
    elif given.command == "stop":
        cluster.stop()
    else:
        print(f"export SLURM_CONF={cluster.conf} PATH={cluster.root}/bin:$PATH")


if __name__ == "__main__":
    main()
