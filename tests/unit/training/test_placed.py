"""A job that was placed otherwise than planned trains nothing; one command line becomes one process per GPU."""

import os
from argparse import ArgumentParser, Namespace

import pytest

from vlmfrontier.cluster.launch import layout_arguments, spread
from vlmfrontier.errors import UserError
from vlmfrontier.training.placed import check_placement


def given(*options: str) -> Namespace:
    parser = ArgumentParser()
    layout_arguments(parser)
    return parser.parse_args(options)


@pytest.mark.parametrize(
    ("devices", "processes", "message"),
    [
        ("0", "2", "this node shows 1 GPUs, but 2 are planned"),
        ("0,1,2", "2", "this node shows 3 GPUs, but 2 are planned"),
        ("", "2", "this node shows 0 GPUs"),
        ("0,1", "1", "1 processes, but 2 are planned (1 nodes of 2 GPUs)"),
    ],
)
def test_another_placement_is_refused(monkeypatch: pytest.MonkeyPatch, devices: str, processes: str, message: str):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    monkeypatch.setenv("WORLD_SIZE", processes)
    with pytest.raises(UserError) as error:
        check_placement(given("--gpus", "2", "--without-cuda"))
    assert message in str(error.value)


def test_the_planned_placement_and_a_laptop_are_accepted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    check_placement(given())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
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
