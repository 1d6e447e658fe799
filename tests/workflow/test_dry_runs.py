"""Every shipped study plans its jobs under every profile, and a named target stops where its name says."""

from pathlib import Path

import pytest

from tests.calling import ROOT, Workflow
from vlmfrontier.study.load import load_study
from vlmfrontier.sweep.runs import plan_runs

STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "workflow/studies").glob("*.yaml"))]
PROFILES = sorted(path.name for path in (ROOT / "profiles").iterdir())

pytestmark = pytest.mark.workflow


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
def test_every_study_plans_its_jobs_under_every_profile(workflow: Workflow, study: Path, profile: str):
    trained = load_study([study])
    config = with_data(study, workflow.folder) if trained.trained and trained.data.source == "llava" else study
    outcome = workflow("--dry-run", config=config, profile=profile)
    assert outcome.status == 0, outcome.output
    runs = len(plan_runs(trained))
    trainings = outcome.jobs.get("finetune_run", 0) + outcome.jobs.get("finetune_run_on_nodes", 0)
    assert trainings == outcome.jobs.get("evaluate_run", 0) == runs
    assert outcome.jobs["fit_target"] == len(trained.targets())
    assert outcome.jobs["draw_figures"] == 1


def with_data(study: Path, folder: Path) -> dict:
    """Return a change of `study` whose sets of real videos are there, as files to be looked into later."""
    (folder / "made.json").write_text("[]")
    made = {"name": "made", "annotations": str(folder / "made.json"), "videos": str(folder), "fetch": []}
    return {"base": str(study), "data": {"llava": {"sources": [made], "align": made}}}


@pytest.mark.parametrize("study", ["paper", "example-qwen"])
def test_what_needs_a_network_is_one_target(workflow: Workflow, study: str):
    jobs = workflow("--dry-run", "fetch", config=ROOT / f"workflow/studies/{study}.yaml").jobs
    assert jobs == {"fetch": 1, "fetch_models": 1, "fetch_data": 2, "fetch_benchmarks": 1}


def test_stage_1_is_done_once_for_each_pair(workflow: Workflow):
    for name in ("paper", "example-qwen"):
        study = ROOT / f"workflow/studies/{name}.yaml"
        config = with_data(study, workflow.folder)
        pairs = {(run.language, run.vision) for run in plan_runs(load_study([study]))}
        jobs = workflow("--dry-run", "pretrain", config=config, profile="slurm").jobs
        assert jobs == {"pretrain": 1, "fetch_models": 1, "prepare_split": 1, "align": len(pairs)}


@pytest.mark.parametrize(
    ("target", "last"),
    [
        ("plan", "write_plan"),
        ("data", "prepare_split"),
        ("finetune", "finetune_run"),
        ("evaluate", "evaluate_run"),
        ("collect", "collect_results"),
        ("laws", "compare_laws"),
        ("frontier", "search_frontier"),
        ("checks", "search_frontier"),
        ("next_runs", "next_runs"),
        ("figures", "draw_figures"),
        ("results/digits/figures/star-tasks.png", "draw_figures"),
        ("results/digits/tables/vision_share.tex", "search_frontier"),
        ("report", "write_report"),
        ("explorer", "write_report"),
    ],
)
def test_a_named_target_stops_at_its_stage(workflow: Workflow, target: str, last: str):
    order = ["prepare_split", "finetune_run", "evaluate_run", "collect_results", "fit_target", "compare_laws"]
    jobs = workflow("--dry-run", target).jobs
    assert last in jobs
    if last in order:
        assert not set(jobs) & set(order[order.index(last) + 1 :])


def test_the_target_pretrain_makes_every_starting_model(workflow: Workflow):
    study = ROOT / "workflow/studies/digits-pretrain.yaml"
    jobs = workflow("--dry-run", "pretrain", config=study).jobs
    sizes = len(load_study([study]).models.language)
    assert (jobs["pretrain_vision"], jobs["pretrain_language"], jobs["align"]) == (1, sizes, sizes)
    assert "finetune_run" not in jobs


@pytest.mark.parametrize("profile", PROFILES)
def test_benchmarks_are_fetched_once_and_answered_by_every_run(workflow: Workflow, profile: str):
    study = {"base": str(ROOT / "workflow/studies/smoke.yaml"), "evaluate": {"harness": "lmms-eval"}}
    jobs = workflow("--dry-run", "evaluate", config=study, profile=profile).jobs
    runs = jobs["finetune_run"]
    assert runs > 1
    # The study's own test videos are not made.
    made = {"prepare_split": 1, "fetch_benchmarks": 1, "finetune_run": runs, "answer_run": runs, "evaluate_run": runs}
    assert jobs == {**made, "evaluate": 1}


def test_one_run_can_be_asked_for_by_its_path(workflow: Workflow):
    run = plan_runs(load_study([ROOT / "config.yaml"]))[0]
    path = f"results/digits/runs/{run.key}/result.json"
    assert workflow("--dry-run", path).jobs == {"prepare_split": 2, "finetune_run": 1, "evaluate_run": 1}


def test_a_run_that_is_not_planned_is_refused_by_name(workflow: Workflow):
    outcome = workflow("--dry-run", "results/digits/runs/N1B_T8_V16_n800_s0/result.json")
    assert outcome.status != 0
    assert "study digits plans no run N1B_T8_V16_n800_s0" in outcome.output


@pytest.mark.parametrize("profile", PROFILES)
def test_no_cluster_setting_is_overridden_by_the_laptop_profile(profile: str):
    """profiles/default is applied by itself and wins key by key: a key in both must say the same."""
    import yaml  # noqa: PLC0415

    default = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    other = yaml.safe_load((ROOT / "profiles" / profile / "config.yaml").read_text())
    assert {key: default[key] for key in default.keys() & other.keys()} == {
        key: other[key] for key in default.keys() & other.keys()
    }
