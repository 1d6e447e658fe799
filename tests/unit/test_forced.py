"""What a call of Snakemake forces is what it names, under one request for it and all the jobs it starts."""

from types import SimpleNamespace

import pytest

from vlmfrontier.job_graph import FORCED, SEEN, around_building, forced_trainings

FILE, OTHER = "results/s/runs/a/finetuned.json", "results/s/runs/b/finetuned.json"
RULES = ("finetune_run", "finetune_run_on_nodes")


def settings(**given):
    return SimpleNamespace(
        **{"forcerun": frozenset(), "forcetargets": False, "forceall": False, "targets": (), **given}
    )


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FORCED, '["of an earlier call", ["finetune_run"]]')


@pytest.mark.parametrize(
    ("given", "first", "second"),
    [
        ({}, False, False),
        ({"targets": [FILE]}, False, False),
        ({"forcerun": {"fit_target"}}, False, False),
        ({"forcerun": {"align"}}, False, False),
        ({"forcerun": {"finetune_run"}}, True, True),
        ({"forcerun": {f"./{FILE}"}}, True, False),
        ({"forcetargets": True, "targets": [FILE]}, True, False),
        ({"forceall": True}, True, True),
    ],
)
def test_only_what_is_forced_is_trained_again(given: dict, first: bool, second: bool):
    forced = forced_trainings(settings(**given), main=True)
    assert [bool(forced.option(file, *RULES)) for file in (FILE, OTHER)] == [first, second]


def test_jobs_have_the_request_of_their_snakemake_and_two_calls_have_two():
    calls = []
    for _ in range(2):
        called = forced_trainings(settings(forcerun={"finetune_run"}), main=True)
        # On a cluster a job is a Snakemake that is forced to make its one target.
        assert forced_trainings(settings(forcetargets=True, targets=[OTHER]), main=False) == called
        calls.append(called.option(FILE, *RULES))
    assert calls[0].startswith("--force ")
    assert calls[0] != calls[1]


def test_a_job_without_such_an_environment_is_not_forced(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(FORCED)
    assert forced_trainings(settings(forceall=True), main=False).option(FILE, *RULES) == ""


def test_the_private_parts_of_snakemake_are_where_they_were_seen():
    import snakemake.cli  # noqa: PLC0415 — slow; before the next, which it has to be imported with

    DAG, Workflow = snakemake.dag.DAG, snakemake.workflow.Workflow

    moved = f"is not where Snakemake {SEEN} had it: look at vlmfrontier.job_graph.around_building"
    assert callable(getattr(Workflow, "_build_dag", None)), f"Workflow._build_dag {moved}"
    assert {"dag", "init"} <= set(Workflow._build_dag.__code__.co_names), f"what builds the graph {moved}"
    assert "forcefiles" in DAG.__init__.__code__.co_names, f"DAG.forcefiles {moved}"
    assert callable(getattr(DAG, "needrun_jobs", None)), f"DAG.needrun_jobs {moved}"


def test_another_snakemake_is_refused_in_one_line():
    with pytest.raises(SystemExit, match=f"snakemake=={SEEN}"):
        around_building(SimpleNamespace(), print, print)
