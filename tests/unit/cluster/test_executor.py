"""What the executor replaces in Snakemake's Slurm plugin is still there, and still what it was."""

import inspect

import pytest
from snakemake_executor_plugin_slurm import Executor
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from vlmfrontier.cluster.executor import SweepExecutor, use_for
from vlmfrontier.cluster.submitter import Sweep

MOVED = "snakemake-executor-plugin-slurm has changed since 2.8: look through vlmfrontier/cluster/executor.py"


@pytest.fixture
def plugin():
    """Snakemake's entry for the executor `slurm`, as it was afterwards."""
    found = ExecutorPluginRegistry().get_plugin("slurm")
    usual = found.executor
    yield found
    found.executor = usual


def test_the_executor_takes_the_place_of_the_plugin(plugin, tmp_path):
    use_for(Sweep("digits", tmp_path))
    assert issubclass(plugin.executor, SweepExecutor)
    assert plugin.executor.sweep.study == "digits"
    assert plugin.name == "slurm"  # so that its options stay --slurm-…


@pytest.mark.parametrize("name", ["run_jobs", "check_active_jobs", "cancel", "cancel_jobs", "get_account_arg", "sleep"])
def test_every_method_that_is_replaced_is_one_that_is_called(name: str):
    assert getattr(SweepExecutor, name) is not getattr(Executor, name), MOVED


def test_private_names_of_the_plugin_are_where_they_were():
    source = inspect.getsource(Executor)
    for name in ("self._job_submission_executor", "self.slurm_logdir", "init_seconds_before_status_checks"):
        assert name in source, MOVED
    waiting = inspect.getsource(RemoteExecutor._wait_for_jobs)
    for name in ("self.active_jobs.clear()", "self.check_active_jobs(active_jobs)", "await self.sleep()", "self.wait"):
        assert name in waiting, MOVED
