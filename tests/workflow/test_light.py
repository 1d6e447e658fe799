"""The Snakefile is read at every call and in every job: it loads nothing heavy and opens no connection."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.calling import ROOT, SMOKE

pytestmark = pytest.mark.workflow
HEAVY = {"torch", "transformers", "accelerate", "av", "sklearn", "matplotlib", "numba", "lmfit"}
# Python runs a module of this name before anything else.
WATCH = """
import atexit, json, os, socket, sys
connected = []
connect = socket.socket.connect
def watched(self, address):
    if self.family != socket.AF_UNIX:
        connected.append(repr(address))
    return connect(self, address)
socket.socket.connect = watched
def tell():
    with open(os.environ["WATCH_FILE"], "w") as file:
        json.dump({"modules": sorted({name.split(".")[0] for name in sys.modules}), "connected": connected}, file)
atexit.register(tell)
"""


@pytest.mark.parametrize("profile", ["default", "slurm"])
def test_planning_is_light_and_offline(tmp_path: Path, profile: str):
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "WATCH_FILE": str(tmp_path / "seen.json")}
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path)]
    command += ["--workflow-profile", str(ROOT / "profiles" / profile), "--configfile", str(SMOKE), "--dry-run"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert "vlmfrontier" in seen["modules"]
    assert HEAVY & set(seen["modules"]) == set()
    assert seen["connected"] == []
