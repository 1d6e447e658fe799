"""A job that was launched otherwise than planned trains nothing; one command line becomes one process per GPU."""

import os
from argparse import ArgumentParser, Namespace

import pytest

from vlmfrontier.cluster.job import layout_arguments, spread
from vlmfrontier.errors import UserError
from vlmfrontier.training.processes import check_placement


def given(*options: str) -> Namespace:
    parser = ArgumentParser()
    layout_arguments(parser)
    return parser.parse_args(options)


def test_another_number_of_processes_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(UserError, match=r"1 processes, but 2 are planned \(1 nodes of 2 GPUs\)"):
        check_placement(given("--gpus", "2", "--without-cuda"))


def test_the_planned_placement_and_a_laptop_are_accepted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    check_placement(given())
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_placement(given("--gpus", "2", "--without-cuda"))


def test_a_single_process_is_not_started_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "execvp", lambda *_: pytest.fail("started again"))
    spread(given(), ["x"])
    spread(given("--gpus", "1"), ["x"])
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    spread(given("--gpus", "4", "--nodes", "2"), ["x"])


def test_several_nodes_outside_slurm_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    with pytest.raises(UserError, match="several nodes need a Slurm job"):
        spread(given("--gpus", "1", "--nodes", "2"), ["x"])
