"""Where a result comes from: commit, versions, host, job; written into every result, compared with nothing."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("vlmfrontier", "torch", "transformers", "accelerate", "peft", "av", "numpy")


def _commit() -> str | None:
    """Return the commit of the code, `+` behind it if files were changed since; None outside a repository."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "diff", "--quiet", "HEAD", "--", "."], cwd=here, capture_output=True, check=False
        ).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changed else "")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def provenance(device: str) -> dict:
    """Return when, where and with what something was computed; `device` names the processor or GPU."""
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "device": device,
        "commit": _commit(),
        "versions": _versions(),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
    }
