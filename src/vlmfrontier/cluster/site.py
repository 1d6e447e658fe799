"""The site file of a cluster profile: account, partitions, GPUs, limits, options; read by the plan and by the rules."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from vlmfrontier.cluster.options import (
    Address,
    Constraint,
    Currency,
    Image,
    MailEvents,
    Name,
    Names,
    NodeNames,
    OptionWords,
    ShellLines,
    sbatch_words,
    taken_by_plugin,
)
from vlmfrontier.errors import UserError, did_you_mean
from vlmfrontier.files import REPOSITORY
from vlmfrontier.study.base import Few, Number, Positive, Section
from vlmfrontier.study.files import read_yaml

PositiveNumber = Annotated[Number, Field(gt=0, le=1e24)]
Hours = Annotated[Number, Field(gt=0, le=1e5)]
Price = Annotated[Number, Field(ge=0, le=1e9)]
GIB = 2**30
SITE_FILE = Path("profiles/slurm/site.yaml")
"""The site that a plan is counted for unless another is named, in the repository: that of its cluster profile."""
SHOWN = 100
"""Characters of a wrong value that a message shows."""
WRITTEN_OUT = ("partition", "memory", "flops", "flops_bf16")
"""Keys that each of several GPUs must have: the defaults are one GPU's."""


def shipped_site() -> Path:
    """Return the site file of the repository that this package lies in, else of the one that is called in."""
    files = [REPOSITORY / SITE_FILE, Path.cwd() / SITE_FILE]
    return next(filter(Path.exists, files), files[-1])


class Partition(Section):
    """Partitions of one kind of node, and their limit."""

    partition: Names
    """Name of the partition, as `sinfo` lists it; of several with the same nodes Slurm takes the first that is free."""
    hours: Hours
    """Longest job that the partition takes; a longer training is saved and goes on in a job of the same id."""
    qos: Name | None = None
    """Quality of service of these jobs; null: the site's."""
    reservation: Name | None = None
    """Reservation of these jobs; null: the site's."""
    constraint: Constraint | None = None
    """Feature of these nodes; null: the site's, for nodes with GPUs."""

    @property
    def minutes(self) -> int:
        """Longest job that the partition takes, in whole minutes."""
        return int(60 * self.hours + 1e-6)


class CpuSite(Partition):
    """Where jobs without a GPU run."""

    partition: Names = "cpu"
    """Name of the partition."""
    hours: Hours = 24.0
    """Longest job that the partition takes."""
    memory: PositiveNumber = 4.0
    """GiB of main memory per job."""


class GpuSite(Partition):
    """Where jobs with GPUs run, and what these GPUs are."""

    partition: Names = "gpu"
    """Name of the partition."""
    hours: Hours = 48.0
    """Longest job that the partition takes."""
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")] | None = "a100"
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
    price: Price | None = None
    """Price of one GPU for an hour; null: the plan names no cost."""

    def peak(self, precision: str) -> float:
        """Return the peak FLOPs per second of one GPU in `fp32` or `bf16`."""
        return self.flops_bf16 if precision == "bf16" else self.flops

    @property
    def called(self) -> list[str]:
        """Names by which a study may bind a training to it: of its partitions, and its model."""
        names = [self.partition, *self.partition.split(","), *([self.model] if self.model else [])]
        return list(dict.fromkeys(names))

    @property
    def name(self) -> str:
        """What tables and messages call it."""
        named = self.model is None or self.model in self.partition
        return self.partition if named else f"{self.partition} {self.model}"


class Mail(Section):
    """Mails that Slurm sends."""

    address: Address | None = None
    """Whom to write to; null: nobody."""
    when: MailEvents = ("FAIL",)
    """When: BEGIN, END, FAIL, REQUEUE, TIME_LIMIT, ALL. A mail per job: with END a sweep sends hundreds."""


class Pack(Section):
    """Small runs that share one job, each on a GPU of its own."""

    runs: Few = 1
    """How many; 1: every run has a job of its own, and its evaluation another one."""
    minutes: Positive = 60
    """A run is small if its job, or its evaluation's, asks for at most so long."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict | GpuSite) else value


class Site(Section):
    """One cluster."""

    account: Name | None = None
    """Account that jobs are charged to; null leaves it to Slurm's default."""
    qos: Name | None = None
    """Quality of service of all jobs (`sbatch --qos`)."""
    reservation: Name | None = None
    """Reservation that all jobs run in (`sbatch --reservation`)."""
    exclude: NodeNames = ()
    """Nodes that no job may run on (`sbatch --exclude`)."""
    constraint: Constraint | None = None
    """Feature that GPU nodes must have (`sbatch --constraint`)."""
    mail: Mail = Mail()
    """Mails that Slurm sends."""
    extra: OptionWords = ()
    """Further options of sbatch, each one word."""
    before: ShellLines = ()
    """Lines of bash that each job runs first."""
    container: Image | None = None
    """Image of Apptainer that jobs run in; null: none."""
    scratch: Annotated[str, Field(min_length=1)] | None = None
    """Folder for temporary files on the nodes; null keeps the system's."""
    warning: PositiveNumber = 10.0
    """Minutes before its time limit at which a training saves its state and has its job requeued."""
    minutes: Positive = 30
    """Shortest time that a job asks for."""
    pack: Pack = Pack()
    """Small runs that share one job."""
    choose: Literal["first", "cheapest", "fastest"] = "first"
    """Which of several GPUs that a training fits is taken: in the order written, by price, or by its hours."""
    currency: Currency = ""
    """What prices are in, for the plan."""
    cpu: CpuSite = CpuSite()
    """Jobs without a GPU."""
    gpu: Annotated[tuple[GpuSite, ...], BeforeValidator(_as_list), Field(min_length=1, max_length=50)] = (GpuSite(),)
    """Jobs with GPUs: one kind of GPU, or a list of several."""

    def qos_of(self, partition: Partition) -> str | None:
        """Return the quality of service of jobs in a partition."""
        return partition.qos or self.qos

    def constraint_of(self, partition: Partition) -> str | None:
        """Return the feature that nodes of a partition must have; the site's own is one of nodes with GPUs."""
        return partition.constraint or (self.constraint if isinstance(partition, GpuSite) else None)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        self._each_gpu_is_written_out()
        priced = [gpu.price is not None for gpu in self.gpu]
        if any(priced) and not all(priced):
            raise ValueError("gpu: a price must be written for all GPUs, or for none")
        if self.choose == "cheapest" and not all(priced):
            raise ValueError("choose = 'cheapest': needs a price; write gpu.price for all GPUs")
        if self.pack.runs > min(gpu.per_node for gpu in self.gpu):
            raise ValueError(f"pack.runs = {self.pack.runs}: more than the GPUs of one node; write fewer")
        for partition in (self.cpu, *self.gpu):
            if self.minutes > partition.minutes:
                raise ValueError(
                    f"minutes = {self.minutes}: longer than partition {partition.partition} takes "
                    f"({partition.hours:g} hours); write fewer minutes"
                )
            said = taken_by_plugin(sbatch_words(self, partition))
            if said:
                raise ValueError(f"{said!r}: the Slurm plugin would take a part for its own option; name it otherwise")
        for gpu in self.gpu:
            if self.warning >= 60 * gpu.hours:
                raise ValueError(
                    f"warning = {self.warning:g}: not before the limit of partition {gpu.partition} "
                    f"({gpu.hours:g} hours); write fewer minutes"
                )
        return self

    def _each_gpu_is_written_out(self) -> None:
        """Raise `ValueError` if several GPUs leave to defaults what tells them apart, or are the same one twice."""
        seen: set[tuple[str, str | None, str | None]] = set()
        for index, gpu in enumerate(self.gpu, start=1):
            missing = [key for key in WRITTEN_OUT if key not in gpu.model_fields_set]
            if missing and len(self.gpu) > 1:
                raise ValueError(
                    f"gpu, entry {index}: {', '.join(missing)} missing: each of several GPUs must say what it is"
                )
            known = (gpu.partition, gpu.model, gpu.constraint)
            if known in seen:
                raise ValueError(f"gpu, entry {index}: {gpu.name} is written twice; take one out")
            seen.add(known)


SECTIONS: dict[str, type[Section]] = {"cpu": CpuSite, "gpu": GpuSite, "mail": Mail, "pack": Pack}


def read_site(path: Path) -> Site:
    """Return the site that a YAML file describes. Raises `UserError`, one line per mistake, naming file, key, value."""
    if not path.exists() and not path.is_symlink():
        raise UserError(f"{path}: no such file; the profile's `site` must name a site file")
    content = read_yaml(path)
    try:
        return Site.model_validate(content)
    except ValidationError as error:
        raise UserError("\n".join(f"{path}: {_mistake(e, content)}" for e in error.errors())) from None


def _mistake(error: dict[str, Any], content: dict[str, Any]) -> str:
    loc, said = list(error["loc"]), error["msg"].removeprefix("Value error, ")
    if not loc:
        return said
    section = SECTIONS.get(str(loc[0]), Site) if len(loc) > 1 else Site
    if loc[0] == "gpu" and len(loc) > 1 and isinstance(content["gpu"], dict):
        del loc[1]
    key = "".join(f", entry {part + 1}" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")
    if error["type"] == "extra_forbidden":
        return f"{key}: no such key; {did_you_mean(str(loc[-1]), list(section.model_fields))}"
    if isinstance(error["input"], int | float) and "valid string" in said:
        said = "must be text; write it in quotes"
    value = repr(error["input"])
    return f"{key} = {value if len(value) <= SHOWN else value[:SHOWN] + '…'}: {said}"


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
