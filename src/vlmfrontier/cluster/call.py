"""Command lines of the workflow in words: how it was called, so that a message can say how to call it again."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_WITH_VALUE = ("--profile", "--workflow-profile", "--directory", "-d", "--snakefile", "-s")


def again(argv: Sequence[str], configfiles: Sequence[str], overrides: Mapping[str, Any]) -> str:
    """Return the call of Snakemake with the profile, folder and study of `argv`, without its targets."""
    words = ["snakemake"]
    for index, word in enumerate(argv[1:], start=1):
        name, _, value = word.partition("=")
        if name in _WITH_VALUE:
            words += [word] if value else [word, *argv[index + 1 : index + 2]]
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
