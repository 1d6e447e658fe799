"""The smoke study, run for real: results as the grammar says, and nothing done twice without a reason."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.calling import ROOT, SMOKE, Workflow
from vlmfrontier.study.load import load_study
from vlmfrontier.sweep.runs import plan_runs

pytestmark = pytest.mark.workflow
RUNS = plan_runs(load_study([SMOKE]))


def results(smoke: Workflow) -> Path:
    return smoke.folder / "results" / "smoke"


def test_runs_csv_has_a_row_for_every_run_and_errors_in_their_range(smoke: Workflow):
    study = load_study([SMOKE])
    table = pd.read_csv(results(smoke) / "runs.csv")
    assert list(table.run) == [run.key for run in RUNS]
    targets = study.targets()
    assert list(table.columns) == [
        *["run", "sweep", "N", "T", "V", "n", "seed", "c"],
        *targets,
        *(f"{target}_se" for target in targets),
    ]
    assert table[targets].to_numpy().min() >= 0
    assert table[targets].to_numpy().max() <= 100
    tasks = table[[target for target in targets if target != "avg"]]
    # The mean is computed from unrounded errors and written in full precision.
    assert table.avg.to_numpy() == pytest.approx(tasks.mean(axis=1).to_numpy(), abs=1e-9)


def test_every_stage_leaves_its_files(smoke: Workflow):
    made = {str(path.relative_to(results(smoke))) for path in results(smoke).rglob("*") if path.is_file()}
    run = RUNS[0].key
    expected = {"study.json", "plan.csv", "plan.md", "runs.csv", f"runs/{run}/result.json", f"runs/{run}/finetune.log"}
    expected |= {"laws/avg/add-interact.json", "laws/avg/add-interact.bag.csv", "laws/avg/weights.json"}
    expected |= {"tables/forms.csv", "tables/elasticity.csv", "tables/checks.csv", "frontier/avg.csv"}
    expected |= {f"figures/frontier.{kind}" for kind in ("png", "svg", "csv")} | {"figures/index.md", "next_runs.csv"}
    expected |= {"report.md", "report.html", "explorer.html"}
    assert expected <= made


def test_the_answer_and_the_place_of_results_are_printed(smoke: Workflow):
    log = (smoke.folder / "smoke.log").read_text()
    assert f"study smoke: {len(RUNS)} runs" in log
    assert f"{len(RUNS)} done" in log
    assert re.search(r"FLOPs per video and 64 finetuning examples, which .*\?\n  Deploy N = ", log)
    assert "report: results/smoke/report.html" in log
    assert "results are in results/smoke/" in log


def test_every_run_is_named_as_it_ends_with_its_error(smoke: Workflow):
    log = (smoke.folder / "smoke.log").read_text()
    ended = re.findall(r"^(N\S+): avg (\d+\.\d), (\d+) of (\d+)", log, re.MULTILINE)
    errors = pd.read_csv(results(smoke) / "runs.csv").set_index("run").avg
    assert {run: error for run, error, *_ in ended} == {run: f"{errors[run]:.1f}" for run in errors.index}
    assert [int(done) for *_, done, _ in ended] == list(range(1, len(RUNS) + 1))
    assert {total for *_, total in ended} == {str(len(RUNS))}
    assert "Finished jobid" not in log
    full = re.search(r"the full log is (\S+)", log)
    assert full is not None
    assert "Finished jobid" in (smoke.folder / full[1]).read_text()


def test_the_plan_says_that_every_run_is_done(smoke: Workflow):
    assert set(pd.read_csv(results(smoke) / "plan.csv").status) == {"done"}


@pytest.fixture
def copied(smoke: Workflow, tmp_path: Path) -> Workflow:
    """The finished study with Snakemake's metadata, for a test that changes it.

    Beside the original: jobs name the starting model by its path from the working directory.
    """
    return Workflow(Path(shutil.copytree(smoke.folder, tmp_path, symlinks=True, dirs_exist_ok=True)))


def changed(smoke: Workflow, change: dict) -> dict[str, int]:
    return smoke("--dry-run", config={"base": str(SMOKE), **change}).jobs


def test_a_second_call_does_nothing(smoke: Workflow):
    outcome = smoke("--cores", "1", config=SMOKE)
    assert "Nothing to be done" in outcome.output


def test_a_run_that_was_deleted_is_made_again(smoke: Workflow):
    run = results(smoke) / "runs" / RUNS[0].key
    hidden = run.rename(results(smoke) / "hidden")
    try:
        jobs = smoke("--dry-run", config=SMOKE).jobs
    finally:
        hidden.rename(run)
    assert jobs["finetune_run"] == jobs["evaluate_run"] == jobs["collect_results"] == 1


def test_a_learning_rate_trains_the_runs_it_concerns_anew(smoke: Workflow):
    jobs = changed(smoke, {"finetune": {"learning_rates": {"language": {"s": 1.0e-3}}}})
    concerned = sum(run.language == "s" for run in RUNS)
    assert 0 < concerned < len(RUNS)
    assert jobs["finetune_run"] == jobs["evaluate_run"] == concerned
    assert jobs["collect_results"] == 1


def test_a_new_level_trains_the_new_runs_only(smoke: Workflow):
    jobs = changed(smoke, {"sweep": {"designs": {"star": {"vary": {"T": [2, 4, 8, 16]}}}}})
    assert jobs["finetune_run"] == jobs["evaluate_run"] == 3  # T = 16 with each of the three numbers of examples
    assert "prepare_split" not in jobs


def test_a_frontier_budget_trains_nothing(smoke: Workflow):
    jobs = changed(smoke, {"frontier": {"budgets": {"to": "90M"}}})
    assert set(jobs) == {"write_plan", "search_frontier", "draw_figures", "write_report"}


def test_another_number_of_starts_fits_the_laws_only(smoke: Workflow):
    jobs = changed(smoke, {"laws": {"starts": 25}})
    assert not {"finetune_run", "evaluate_run", "collect_results"} & set(jobs)
    assert jobs["fit_target"] == len(load_study([SMOKE]).targets())


def test_how_often_a_training_saves_retrains_nothing(smoke: Workflow):
    assert set(changed(smoke, {"finetune": {"save_every": 7}})) == {"write_plan"}


@pytest.fixture(scope="module")
def moved(smoke: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The results alone, as copied to another machine: their times are kept, Snakemake's metadata is not."""
    workflow = Workflow(tmp_path_factory.mktemp("moved"))
    shutil.copytree(smoke.folder / "results", workflow.folder / "results")
    return workflow


@pytest.mark.parametrize(
    ("change", "said", "done"),
    [
        ({}, "Nothing to be done", {}),
        (
            {"finetune": {"learning_rates": {"language": {"xs": 0.009}}}},
            "finetune.learning_rates.language.xs: 0.0005 when it was trained, 0.009 now",
            {"finetune_run": sum(run.language == "xs" for run in RUNS), "collect_results": 1},
        ),
        (
            {"evaluate": {"control_videos": 9}},
            "evaluate.control_videos: 8 when it was evaluated, 9 now",
            {"evaluate_run": len(RUNS), "collect_results": 1},
        ),
        (
            {"data": {"digits": {"seed": 5}}},
            "data.digits.seed: 2027 when it was made, 5 now",
            {"prepare_split": 2, "finetune_run": len(RUNS), "evaluate_run": len(RUNS)},
        ),
        ({"laws": {"starts": 21}}, "laws.starts: 20 when it was made, 21 now", {"fit_target": 9}),
    ],
    ids=str,
)
def test_results_without_metadata_are_compared_by_what_they_say(moved: Workflow, change: dict, said: str, done: dict):
    outcome = moved("--dry-run", "--rerun-triggers", "mtime", "--", "all", config={"base": str(SMOKE), **change})
    assert said in outcome.output
    assert done.items() <= outcome.jobs.items()
    assert "finetune_run" in done or "finetune_run" not in outcome.jobs


def test_what_a_target_does_not_need_is_not_made_again(moved: Workflow):
    change = {"base": str(SMOKE), "finetune": {"epochs": 2}}
    assert set(moved("--dry-run", "plan", config=change).jobs) <= {"plan", "write_plan"}


def test_after_a_plain_copy_the_plan_says_how_many_trainings_have_finished(moved: Workflow):
    for path in sorted((moved.folder / "results/smoke/data").rglob("*")):
        os.utime(path)
    outcome = moved("--dry-run", config=SMOKE)
    assert outcome.jobs["finetune_run"] == len(RUNS)
    assert f"{len(RUNS)} of {len(RUNS)} finetunings have finished with this configuration" in outcome.output


def test_a_cosmetic_edit_does_nothing_again(smoke: Workflow):
    now = time.time()
    edited = [ROOT / "Snakefile", ROOT / "scripts/finetune.py", ROOT / "workflow/rules/runs.smk"]
    before = {path: path.stat() for path in edited}
    try:
        for path in edited:
            os.utime(path, (now, now))
        assert "Nothing to be done" in smoke("--dry-run", config=SMOKE).output
    finally:
        for path, stat in before.items():
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_the_same_run_again_gives_the_same_result(copied: Workflow):
    path = results(copied) / "runs" / RUNS[0].key / "result.json"
    log = path.parent / "state" / "train.jsonl"
    before, lines = json.loads(path.read_text()), len(log.read_text().splitlines())
    target = f"results/smoke/runs/{RUNS[0].key}/result.json"
    rules = ["--forcerun", "finetune_run", "evaluate_run"]
    outcome = copied("--cores", "1", *rules, "--", target, config=SMOKE)
    assert outcome.status == 0, outcome.output
    after = json.loads(path.read_text())
    assert before["errors"] == after["errors"]
    assert before["training"]["weights"] == after["training"]["weights"]
    assert len(log.read_text().splitlines()) == 2 * lines  # trained, since it was forced


def test_a_report_that_was_lost_costs_no_training(copied: Workflow):
    run = results(copied) / "runs" / RUNS[1].key
    log, finetuned = run / "state" / "train.jsonl", run / "finetuned.json"
    before, lines = finetuned.read_text(), log.read_text()
    finetuned.unlink()
    outcome = copied("--cores", "1", "--", str(finetuned.relative_to(copied.folder)), config=SMOKE)
    assert outcome.status == 0, outcome.output
    assert "nothing is trained again" in (run / "finetune.log").read_text()
    assert (finetuned.read_text(), log.read_text()) == (before, lines)


def test_a_figure_is_drawn_again_alone_with_the_same_numbers(smoke: Workflow):
    folder = results(smoke) / "figures"
    before = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    line = [sys.executable, "-m", "vlmfrontier", "figure", "star", "frontier"]  # of the only study there
    done = subprocess.run(line, cwd=smoke.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in folder.glob("*.csv")} == before
    drawn = {path.name for path in folder.iterdir() if path.stat().st_mtime_ns != times[path.name]}
    assert drawn == {f"{name}.{kind}" for name in ("star", "frontier") for kind in ("png", "svg", "pdf", "csv")}
    assert "Nothing to be done" in smoke("--dry-run", "figures", config=SMOKE).output


def test_a_figure_that_does_not_apply_is_not_made_and_the_report_says_why(smoke: Workflow):
    """The smoke study has two rivals per budget, too few for an isoFLOP figure."""
    assert not (results(smoke) / "figures" / "isoflop.png").exists()
    assert smoke("--dry-run", "results/smoke/figures/isoflop.png", config=SMOKE).status == 1
    text = (results(smoke) / "report.md").read_text()
    assert "`isoflop`, `isoflop-tasks`: no budget has runs of three or more configurations" in text


def test_snakemakes_own_report_is_made_even_without_captions(smoke: Workflow, tmp_path: Path):
    """Results of an older version have none."""
    captions = results(smoke) / "captions"
    for made, kept in (("with.html", captions), ("without.html", captions.with_suffix(".kept"))):
        captions.rename(kept)
        try:
            outcome = smoke("--report", str(tmp_path / made), config=SMOKE)
        finally:
            kept.rename(captions)
        assert outcome.status == 0, outcome.output
        assert (tmp_path / made).stat().st_size > 100_000


def test_a_failed_run_is_named_with_the_end_of_its_log(workflow: Workflow):
    start = workflow.folder / "broken"
    for language in ("xs", "s"):
        (start / language).mkdir(parents=True)
        (start / language / "model.safetensors").write_text("not weights")
    config = {
        "base": str(SMOKE),
        "study": "broken",
        "models": {"start": "broken"},
        "data": {"digits": {"train": 4, "test": 2}},
        "sweep": {"designs": {"star": None, "isoflop": None, "repeats": {"n": [4]}}},
    }
    outcome = workflow("--cores", "1", "evaluate", config=config)
    assert outcome.status != 0
    log = "results/broken/runs/N20.9k_T4_V4_n4_s1/finetune.log"
    assert f"failed: N20.9k_T4_V4_n4_s1; the end of {log}" in outcome.output
    plan = pd.read_csv(workflow.folder / "results/broken/plan.csv")
    assert list(plan.status) == ["failed"]
