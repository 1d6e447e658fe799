"""Every test process computes with one thread: small tensors gain nothing from more, and jobs run side by side."""

import os
from pathlib import Path

import pytest

from tests.calling import SMOKE, Workflow

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is first imported


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    """The workflow in an empty folder."""
    return Workflow(tmp_path)


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The workflow in a folder where the smoke study has been run to its end, for real."""
    workflow = Workflow(tmp_path_factory.mktemp("smoke"))
    outcome = workflow("--cores", "2", config=SMOKE)
    assert outcome.status == 0, outcome.output
    (workflow.folder / "smoke.log").write_text(outcome.output)
    return workflow
