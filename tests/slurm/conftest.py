"""A cluster for all tests of a session, and the workflow called on it as a user does: `snakemake --profile slurm`."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from tests.calling import ROOT, Outcome
from tests.slurm.cluster import SlurmCluster, why_not
from tests.slurm.faults import Clients, Submitted, submitted

SITE = Path(__file__).with_name("site.yaml")
WAIT_SECONDS = 1500.0
"""For a call of Snakemake; only to end a test that hangs, on a machine however slow."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, and skip it where no Slurm can be started."""
    reason = why_not()
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slurm)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """A running cluster; its nodes may be killed, but must be up again when a test ends."""
    with SlurmCluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


class OnCluster:
    """The workflow of a checkout, by default this one, in `folder`, its jobs on `cluster`."""

    def __init__(self, folder: Path, cluster: SlurmCluster, checkout: Path = ROOT):
        self.folder, self.cluster, self.checkout = folder, cluster, checkout
        self.clients = Clients(folder / "clients", cluster)
        self._printed = folder / "snakemake.out"
        self._started: list[subprocess.Popen] = []

    def __call__(self, *arguments: str, config: Mapping | Path) -> Outcome:
        """Call `snakemake --profile slurm` and return when it ends."""
        before = len(self.output())
        controller = self.start(*arguments, config=config)
        try:
            controller.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            controller.send_signal(signal.SIGINT)
            controller.wait()
            raise AssertionError(f"Snakemake did not end:\n{self.output()}") from None
        return Outcome(controller.returncode, self.output()[before:])

    def output(self) -> str:
        """Return what all calls have printed so far."""
        return self._printed.read_text() if self._printed.exists() else ""

    def start(self, *arguments: str, config: Mapping | Path) -> subprocess.Popen:
        """Start Snakemake on the cluster and return at once."""
        file = config if isinstance(config, Path) else self.write(config)
        command = [sys.executable, "-m", "snakemake", "--profile", "slurm", "--configfile", str(file)]
        command += ["--directory", str(self.folder), *self.overrides()]
        with self._printed.open("a") as out:
            controller = subprocess.Popen(
                [*command, *arguments], cwd=self.checkout, env=self.env(), stdout=out, stderr=out
            )
        self._started.append(controller)
        return controller

    def env(self) -> dict[str, str]:
        """Return the environment of the controller, whose clients of Slurm can be made to misbehave."""
        environment = self.cluster.env()
        return {**environment, "PATH": f"{self.clients.folder}:{environment['PATH']}", "OMP_NUM_THREADS": "1"}

    def submitted(self) -> dict[str, list[Submitted]]:
        """Return the jobs that Slurm took from the folder, by their comment."""
        return submitted(self.cluster, self.folder)

    def stop(self) -> None:
        """End every Snakemake that a failed test left behind, and its jobs."""
        for controller in self._started:
            if controller.poll() is None:
                controller.kill()
                controller.wait()
                subprocess.run(["scancel", "--me"], env=self.cluster.env(), check=False)

    def overrides(self) -> list[str]:
        """Return what differs from the profile as it is shipped: the site, and waiting times for a local disk."""
        return [
            *["--default-resources", f'site="{SITE}"'],
            *["--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "2"],
            *["--latency-wait", "5"],
            *["--slurm-logdir", str(self.folder / "logs" / "slurm"), "--jobs", str(2 * (os.cpu_count() or 1))],
        ]

    def write(self, config: Mapping) -> Path:
        """Return the file in the folder that holds `config`."""
        path = self.folder / "study.yaml"
        path.write_text(yaml.safe_dump(dict(config), sort_keys=False))
        return path


@pytest.fixture
def on_cluster(tmp_path: Path, cluster: SlurmCluster) -> Iterator[OnCluster]:
    """The workflow in an empty folder."""
    called = OnCluster(tmp_path, cluster)
    yield called
    called.stop()
