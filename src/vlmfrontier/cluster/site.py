"""The site file of a cluster profile: account, partitions, GPU, limits; read by the plan and by the rules."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from vlmfrontier.errors import UserError
from vlmfrontier.study.base import Section
from vlmfrontier.study.files import read_yaml
from vlmfrontier.study.suggest import did_you_mean
from vlmfrontier.study.units import Few, Number, Positive

PositiveNumber = Annotated[Number, Field(gt=0, le=1e24)]
GIB = 2**30
SITE_FILE = Path("profiles/slurm/site.yaml")
"""The site that a plan is counted for unless another is named, in the repository: that of its cluster profile."""


def shipped_site(script: str) -> Path:
    """Return the site file of the repository in whose scripts/ the file `script` lies, wherever the package does."""
    return Path(script).resolve().parents[1] / SITE_FILE


class Partition(Section):
    """A partition and its limit."""

    partition: str
    """Name of the partition, as `sinfo` lists it."""
    hours: PositiveNumber
    """Longest job that the partition takes; a longer training is saved and goes on in a job of the same id."""


class CpuSite(Partition):
    """Where jobs without a GPU run."""

    partition: str = "cpu"
    """Name of the partition."""
    hours: PositiveNumber = 24.0
    """Longest job that the partition takes."""
    memory: PositiveNumber = 4.0
    """GiB of main memory per job."""


class GpuSite(Partition):
    """Where jobs with GPUs run, and what these GPUs are."""

    partition: str = "gpu"
    """Name of the partition."""
    hours: PositiveNumber = 48.0
    """Longest job that the partition takes."""
    model: str | None = "a100"
    """Name of the GPU as `sinfo -o %G` spells it; null takes any."""
    memory: PositiveNumber = 80.0
    """GiB of one GPU."""
    per_node: Few = 8
    """GPUs of one node."""
    cpus: Few = 8
    """Cores per GPU."""
    host_memory: PositiveNumber = 60.0
    """GiB of main memory per GPU."""
    flops: PositiveNumber = 19.5e12
    """Peak FLOPs per second of one GPU in 32 bits."""
    flops_bf16: PositiveNumber = 312e12
    """Peak FLOPs per second of one GPU in 16 bits, for `finetune.precision: bf16`."""
    mfu: Annotated[float, Field(gt=0, le=1)] = 0.4
    """Share of the peak that training is expected to reach: GPU-hours = FLOPs / (flops · mfu)."""
    token_seconds: PositiveNumber = 0.03
    """Seconds in which an evaluation writes one token of an answer."""
    cuda: bool = True
    """Whether jobs must find CUDA there; false only to try the workflow on machines without GPUs."""

    def peak(self, precision: str) -> float:
        """Return the peak FLOPs per second of one GPU in `fp32` or `bf16`."""
        return self.flops_bf16 if precision == "bf16" else self.flops


class Site(Section):
    """One cluster."""

    account: str | None = None
    """Account that jobs are charged to; null leaves it to Slurm's default."""
    constraint: str | None = None
    """Feature that GPU nodes must have (`sbatch --constraint`)."""
    scratch: str | None = None
    """Folder for temporary files on the nodes; null keeps the system's."""
    warning: PositiveNumber = 10.0
    """Minutes before its time limit at which a training saves its state and has its job requeued."""
    minutes: Positive = 30
    """Shortest time that a job asks for."""
    cpu: CpuSite = CpuSite()
    """Jobs without a GPU."""
    gpu: GpuSite = GpuSite()
    """Jobs with GPUs."""


def read_site(path: Path) -> Site:
    """Return the site that a YAML file describes. Raises `UserError`, one line per mistake, naming file, key, value."""
    if not path.exists() and not path.is_symlink():
        raise UserError(f"{path}: no such file; the profile's `site` must name a site file")
    content = read_yaml(path)
    try:
        return Site.model_validate(content)
    except ValidationError as error:
        raise UserError("\n".join(f"{path}: {_mistake(e)}" for e in error.errors())) from None


def _mistake(error: dict) -> str:
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        section = {"cpu": CpuSite, "gpu": GpuSite}.get(str(error["loc"][0]), Site) if len(error["loc"]) > 1 else Site
        return f"{key}: no such key; {did_you_mean(str(error['loc'][-1]), list(section.model_fields))}"
    return f"{key} = {error['input']!r}: {error['msg']}"


def site_file(default_resources: Iterable[str], repository: Path | str) -> Path | None:
    """Return the site file that a profile's default resources name (`site=…`, relative to `repository`), if any.

    A cluster profile names one, the laptop's does not: so jobs, which are given the same default resources, agree with
    the controller on what was planned.
    """
    for text in default_resources:
        name, _, value = str(text).partition("=")
        if name == "site":
            return Path(repository) / value.strip("'\"")
    return None


def site_or_exit(path: Path | None) -> Site | None:
    """Return the site of `path`, None without one; on a mistake print `error: …`, one line each, and leave."""
    try:
        return None if path is None else read_site(path)
    except UserError as error:
        sys.exit("\n".join(f"error: {line}" for line in str(error).splitlines()))
