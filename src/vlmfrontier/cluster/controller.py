"""The Snakemake that a user calls: its command line in words, whether one lives in a folder, and how a lock goes."""

import itertools
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from vlmfrontier.cluster.slurm import queued_jobs
from vlmfrontier.errors import UserError

_PROFILES = ("--profile", "--workflow-profile")
_EXECUTORS = ("--executor", "-e")
_DRY = ("-n", "--dry-run", "--dryrun", "--unlock", "--nolock")
_DIRECTORIES = ("--directory", "-d")
SECONDS_BETWEEN_LINES = 600.0
"""Of how many jobs are left, where that does not change."""
_WITH_VALUE = (*_PROFILES, *_DIRECTORIES, "--snakefile", "-s")


def again(argv: Sequence[str], configfiles: Sequence[str], overrides: Mapping[str, Any]) -> str:
    """Return the call of Snakemake with the profile, folder and study of `argv`, without its targets."""
    words = ["snakemake", *itertools.chain.from_iterable(_options(argv, _WITH_VALUE))]
    if configfiles:
        words += ["--configfile", *map(str, configfiles)]
    if overrides:
        words += ["--config", *(f"{key}={_written(value)}" for key, value in overrides.items())]
    return shlex.join(words)


def _written(value: Any) -> str:
    return json.dumps(value) if isinstance(value, Mapping | list) else str(value)


def site_option(site: Path | None) -> str:
    """Return the option that hands a cluster's site file to a script; empty without one."""
    return f"--site {shlex.quote(str(site))}" if site else ""


def dropped_site(argv: Sequence[str]) -> str:
    """Return what is wrong with a call of the executor `slurm` that names no site file; empty if it is not one.

    Default resources on the command line replace those of the profile, its `site` with them: jobs would then ask for no
    partition, GPU or time.
    """
    profiles = list(filter(None, map(_profile, _profiles(argv))))
    executors = [*_values(argv, _EXECUTORS), *(profile.get("executor") for profile in profiles)]
    if "slurm" not in executors[:1]:
        return ""
    sites = [str(text) for profile in profiles for text in _listed(profile.get("default-resources"))]
    site = next((text for text in sites if text.startswith("site=")), 'site="profiles/slurm/site.yaml"')
    if any(word.startswith("--default-res") for word in argv):  # Snakemake takes names cut short
        return f"--default-resources replaces the profile's, and its site with them; add {shlex.quote(site)} to yours"
    return f"the executor slurm needs a site file; use --profile slurm, or add --default-resources {shlex.quote(site)}"


def only_looks(argv: Sequence[str]) -> bool:
    """Return whether a call of Snakemake makes nothing, or does not mind a lock."""
    return any(word in _DRY or (word[:1] == "-" and word[1:].isalpha() and "n" in word[1:]) for word in argv[1:])


def directory_of(argv: Sequence[str]) -> Path:
    """Return the folder that a call of Snakemake runs in."""
    return Path(*_values(argv, _DIRECTORIES)[-1:]).resolve()


def _profiles(argv: Sequence[str]) -> Iterator[str]:
    yield from _values(argv, _PROFILES)
    yield from filter(None, os.environ.get("SNAKEMAKE_PROFILE", "").split(","))


def _options(argv: Sequence[str], names: Sequence[str]) -> Iterator[list[str]]:
    """Yield the words of each option of these names on a command line: `--name=value`, or `--name` and its value."""
    for index, word in enumerate(argv[1:], start=1):
        name, _, value = word.partition("=")
        if name in names:
            yield [word] if value else [word, *argv[index + 1 : index + 2]]


def _values(argv: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the values that options of any of these names have on a command line, one each."""
    found = (words[1] if len(words) > 1 else words[0].partition("=")[2] for words in _options(argv, names))
    return [value for value in found if value]


def _profile(name: str) -> Mapping[str, Any] | None:
    """Return what a profile says, as Snakemake finds it; None if it is none or cannot be read."""
    from snakemake.cli import get_profile_dir  # noqa: PLC0415 — of the workflow half

    found = get_profile_dir(name)
    try:
        content = yaml.safe_load(Path(found[1]).read_text()) if found else None
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return content if isinstance(content, Mapping) else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [f"{key}={text}" for key, text in (value or {}).items()]


def controllers(directory: Path) -> list[int]:
    """Return the process ids of Snakemakes of this machine that run in `directory`; their own jobs do not count."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            here = Path(os.readlink(process / "cwd")).resolve() == directory.resolve()
        except OSError:
            continue  # it has ended, or is another user's
        if here and is_controller(words):
            found.append(int(process.name))
    return sorted(found)


def is_controller(words: list[str]) -> bool:
    """Return whether a command line is a Snakemake's that was called by a user, not one that runs a single job."""
    program, *arguments = [Path(word).name for word in words[:3]]
    by_python = program.startswith("python") and (arguments[:1] == ["snakemake"] or arguments == ["-m", "snakemake"])
    return (program == "snakemake" or by_python) and "--target-jobs" not in words


def is_left_locked(directory: Path) -> bool:
    """Return whether a Snakemake that does not run on this machine has locked `directory`."""
    return any(directory.glob(".snakemake/locks/*.lock")) and not controllers(directory)


def wait_for_jobs(directory: Path, every: float, study: str | None = None, patient: bool = False) -> None:
    """Return when no job is left that Snakemake submitted from `directory`, with a `study` none of its jobs.

    How many are left is printed whenever that changes, and every ten minutes. Raises `UserError` if Slurm does not
    answer, unless `patient`: no answer is not an empty queue.
    """
    said, when = "", 0.0
    while True:
        try:
            jobs = queued_jobs(directory, study)
        except ConnectionError as error:
            if not patient:
                raise UserError(f"Slurm does not answer ({error}); nothing was changed") from None
            now = f"Slurm does not say which jobs are left ({error}); waiting"
        else:
            if not jobs:
                return
            running = sum(job.state != "PENDING" for job in jobs)
            now = f"{len(jobs)} jobs of the last Snakemake are left: {running} run, {len(jobs) - running} wait"
        if now != said or time.monotonic() - when > SECONDS_BETWEEN_LINES:
            print(now, flush=True)
            said, when = now, time.monotonic()
        time.sleep(every)


def unlock(directory: Path) -> None:
    """Take away the lock of a killed Snakemake in `directory`; only right when neither it nor a job of it lives.

    The lock belongs to the folder and not to a study, so any Snakefile will do, and no study need be valid.
    Raises `CalledProcessError` with what Snakemake printed if it fails.
    """
    with tempfile.TemporaryDirectory() as temporary:
        snakefile = Path(temporary) / "Snakefile"
        snakefile.write_text("rule all:\n    input: []\n")
        command = [sys.executable, "-m", "snakemake", "--unlock", "--snakefile", str(snakefile)]
        command += ["--directory", str(directory)]
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=temporary)
