"""Every test process computes with one thread: small tensors gain nothing from more, and jobs run side by side."""

import hashlib
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.calling import ROOT, SMOKE, Workflow

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is first imported
if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as in the background of a shell; what tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    """The workflow in an empty folder."""
    return Workflow(tmp_path)


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Workflow:
    """The workflow in a folder where the smoke study has been run to its end, for real."""
    workflow = Workflow(tmp_path_factory.mktemp("smoke"))
    outcome = workflow("--cores", "2", config=SMOKE)
    assert outcome.status == 0, outcome.output
    (workflow.folder / "smoke.log").write_text(outcome.output)
    kept = pytestconfig.cache.mkdir("smoke")
    shutil.rmtree(kept)
    shutil.copytree(workflow.folder / "results", kept / "results")
    (kept / "made_by").write_text(_code())
    return workflow


@pytest.fixture(scope="session")
def smoke_results(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Path:
    """Results of the smoke study, run to its end by this very code, maybe in another call of pytest."""
    kept = pytestconfig.cache.mkdir("smoke")
    if (kept / "made_by").exists() and (kept / "made_by").read_text() == _code():
        return kept / "results" / "smoke"
    return request.getfixturevalue("smoke").folder / "results" / "smoke"


def _code() -> str:
    """Return a hash of every file that decides what the smoke study's results are."""
    files = [ROOT / "Snakefile", ROOT / "config.yaml", ROOT / "envs/constraints.txt"]
    files += [path for room in ("src", "scripts", "workflow", "profiles/default") for path in (ROOT / room).rglob("*")]
    whole = hashlib.sha256()
    for path in sorted(file for file in files if file.is_file() and "__pycache__" not in file.parts):
        whole.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return whole.hexdigest()
