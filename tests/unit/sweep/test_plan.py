"""The plan with the status of every run, and the run table that is collected from results."""

import contextlib
import json
import os
import platform
import re
import subprocess
from pathlib import Path

import pytest

from tests.calling import ROOT
from vlmfrontier.cluster.site import Site
from vlmfrontier.ended import record_file, recorded
from vlmfrontier.errors import UserError
from vlmfrontier.study.evaluation import UNKNOWN_QUESTIONS, EvaluateConfig
from vlmfrontier.study.load import load_study, validate
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.collect import collect
from vlmfrontier.sweep.evaluations import answering_hours, asked, uncounted
from vlmfrontier.sweep.plan import COLUMNS, plan_table, write_plan
from vlmfrontier.sweep.plan_page import assumptions, plan_page, stage_1, summary, sweep_totals
from vlmfrontier.sweep.resources import plan_training
from vlmfrontier.sweep.runs import Run, plan_runs
from vlmfrontier.sweep.status import failed_runs, run_status
from vlmfrontier.sweep.trainings import PICTURES, alignment, finetuning, pictures
from vlmfrontier.units import format_quantity


@pytest.fixture
def study() -> Study:
    star = {"design": "star", "vary": {"T": [4, 8]}, "n": [400, 800]}
    repeats = {"design": "grid", "n": [400], "seeds": [0, 1]}
    sweep = {"center": {"N": "m", "T": 8, "V": 16}, "designs": {"star": star, "repeats": repeats}}
    return validate({"study": "tiny", "sweep": sweep})


def write_result(results: Path, study: Study, run: Run, error: float) -> None:
    folder = results / "runs" / run.key
    folder.mkdir(parents=True, exist_ok=True)
    errors = {target: {"error": error, "standard_error": 1.0, "questions": 9} for target in study.targets()}
    (folder / "result.json").write_text(json.dumps({"errors": errors}))


def log(results: Path, run: Run, stage: str, text: str) -> None:
    folder = results / "runs" / run.key
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stage}.log").write_text(text)


def ended(results: Path, run: Run, stage: str, error: BaseException | None = None) -> None:
    """Let an attempt at a stage end, with `error` if it failed."""

    def job() -> None:
        if error is not None:
            raise error

    with contextlib.suppress(BaseException):
        recorded(record_file(results / "runs" / run.key, stage), job)


def test_the_plan_has_every_run_once_with_its_cost(study: Study, tmp_path: Path):
    plan = plan_table(study, tmp_path)
    assert list(plan.run) == [run.key for run in plan_runs(study)]
    assert set(plan.status) == {"missing"}
    center = plan.set_index("run").loc["N83.3k_T8_V16_n400_s0"]
    assert center.sweeps == "star+repeats"
    assert center.training_flops == 3 * center.c * 400
    assert sweep_totals(plan).runs.sum() == len(plan)


def test_results_readme_explains_every_column():
    readme = (ROOT / "results/README.md").read_text()
    assert [column for column in COLUMNS if f"`{column}`" not in readme] == []


def test_the_page_says_the_totals(study: Study, tmp_path: Path):
    plan = write_plan(study, tmp_path)
    page = (tmp_path / "plan.md").read_text()
    assert page == plan_page(study, plan)
    assert "# Plan of tiny" in page
    assert "5 runs" in page


def test_a_run_is_what_its_folder_says(study: Study, tmp_path: Path):
    done, failed, broken, started, trained = plan_runs(study)
    write_result(tmp_path, study, done, 50.0)
    ended(tmp_path, failed, "finetune", UserError("no such split"))
    ended(tmp_path, broken, "evaluate", KeyError("x"))
    log(tmp_path, done, "evaluate", "Traceback (most recent call last):\n  File\nKeyError: 'x'\nerror: of others\n")
    log(tmp_path, started, "finetune", "step 1\n")
    log(tmp_path, trained, "finetune", "step 1\n")
    (tmp_path / "runs" / trained.key / "finetuned.json").write_text("{}")
    states = [run_status(tmp_path / "runs" / run.key) for run in (done, failed, broken, started, trained)]
    assert [status.state for status in states] == ["done", "failed", "failed", "started", "finetuned"]
    assert states[1].reason == "finetune: error: no such split"
    assert states[2].reason == "evaluate: KeyError: 'x'"


def test_a_failed_second_attempt_is_not_done(study: Study, tmp_path: Path):
    run = plan_runs(study)[0]
    write_result(tmp_path, study, run, 50.0)
    ended(tmp_path, run, "finetune")
    assert run_status(tmp_path / "runs" / run.key).state == "done"
    log(tmp_path, run, "evaluate", "printed after the result was written\n")
    assert run_status(tmp_path / "runs" / run.key).state == "done"
    ended(tmp_path, run, "finetune", UserError("out of memory"))
    assert run_status(tmp_path / "runs" / run.key) == ("failed", "finetune: error: out of memory")
    assert failed_runs([run.key], tmp_path) == {run.key}


@pytest.mark.parametrize(
    ("record", "finished", "state"),
    [
        (None, True, "done"),  # as an older version left it
        ({"state": "done"}, True, "done"),
        ({"state": "started", "pid": 0}, False, "started"),
        ({"state": "started", "pid": -1}, False, "failed"),
        ({"state": "started", "pid": -1}, True, "failed"),
        ({"state": "started", "pid": -1, "host": "elsewhere"}, False, "started"),
        ({"state": "failed"}, False, "failed"),
        ({"state": "interrupted", "pid": -1}, False, "started"),
    ],
)
def test_a_run_that_is_killed_is_left_out_and_one_that_was_asked_to_leave_goes_on(
    study: Study, tmp_path: Path, record: dict | None, finished: bool, state: str
):
    run = plan_runs(study)[0]
    log(tmp_path, run, "finetune", "Traceback (most recent call last):\nerror: of a program\n")
    if finished:
        write_result(tmp_path, study, run, 50.0)
    if record is not None:
        gone = subprocess.Popen(["true"])
        gone.wait()
        pids = {0: os.getpid(), -1: gone.pid}
        fields = {"attempt": 3, "host": platform.node(), **record, "pid": pids.get(record.get("pid"))}
        record_file(tmp_path / "runs" / run.key, "finetune").write_text(json.dumps(fields))
    assert run_status(tmp_path / "runs" / run.key).state == state
    assert failed_runs([run.key], tmp_path) == ({run.key} if state == "failed" else set())


def test_a_run_without_a_result_has_no_row(study: Study, tmp_path: Path):
    runs = plan_runs(study)
    for i, run in enumerate(runs[:-1]):
        write_result(tmp_path, study, run, 40.0 + i)
    table, missing = collect(study, tmp_path)
    assert list(table.run) == [run.key for run in runs[:-1]]
    assert missing == [runs[-1].key]
    assert list(table.avg) == [40.0 + i for i in range(len(runs) - 1)]
    assert list(table.sweep) == [run.sweeps[0] for run in runs[:-1]]


def test_no_result_and_half_a_result_are_errors(study: Study, tmp_path: Path):
    with pytest.raises(UserError, match="no run has a result yet"):
        collect(study, tmp_path)
    run = plan_runs(study)[0]
    write_result(tmp_path, study, run, 40.0)
    path = tmp_path / "runs" / run.key / "result.json"
    path.write_text(json.dumps({"errors": {"avg": {"error": 1.0, "standard_error": 1.0}}}))
    with pytest.raises(UserError, match="no error of 'glyph'"):
        collect(study, tmp_path)


def published(**align) -> Study:
    file = ROOT / "workflow/studies/paper.yaml"
    return load_study([file], {"pretrain": {"align": align}} if align else {})


def test_the_paper_s_plan_has_stage_1_and_the_evaluation(tmp_path: Path):
    study, site = published(), Site()
    before = stage_1(study, site)
    assert list(before["stage 1 of"]) == ["1B", "3B", "8B"]
    plan = plan_table(study, tmp_path, site).set_index("run")
    # 47,733 questions, of which 8,000 in a few words, 3,493 in a sentence or two and 499 in a description.
    tokens = 10 * 8000 + 100 * 3493 + 300 * 499 + 2 * (1337 + 19140 + 4000 + 2700 + 8564)
    assert asked(study)[:2] == (47733, tokens)
    dear = plan.loc["N7.5B_T32_V196_n1M_s0"]
    # Eq. 1 with the tower's 413M parameters and 729 features: 20.6 and 94.1 TFLOPs for the model of 7.5B.
    reading = 47733 * (2 * 32 * 412.4e6 * 729 + 2 * 32 * 196 * 7.5e9) / (0.4 * 312e12)
    assert dear.evaluation_gpu_hours == pytest.approx((reading + 0.03 * tokens) / 3600, rel=0.01)
    page = plan_page(study, plan.reset_index(), site)
    # The mean over the grids that its steps draw; 24 if all had 625 tokens.
    assert "| 8B           | 8      | 7 " in page


OWN = {"mine": {"tasks": ["mytask"], "metric": "acc", "best": 1}}


def qwen(align: int | None, tasks: dict, limit: int | None = None) -> Study:
    """Return the example of other towers with so many pictures for stage 1, tested with these tasks."""
    llava = {"align": {"count": align}}
    lmms_eval = {"tasks": tasks, "limit": limit}
    file = ROOT / "workflow/studies/example-qwen.yaml"
    study = load_study([file], {"data": {"llava": llava}})
    return study.model_copy(
        update={"evaluate": EvaluateConfig.model_validate({"harness": "lmms-eval", "lmms_eval": lmms_eval})}
    )


def prepared(results: Path, pictures: object = None, questions: object = None) -> Path:
    """Write what preparing the pictures of stage 1, and fetching the benchmark `mine`, leave; damaged for a text."""
    manifest, benchmarks = results / "data/align/manifest.json", results / "data/benchmarks.json"
    manifest.parent.mkdir(parents=True)
    for path, content in (
        (manifest, pictures if isinstance(pictures, str) else json.dumps({"conversations": pictures})),
        (benchmarks, questions if isinstance(questions, str) else json.dumps({"mine": {"questions": questions}})),
    ):
        path.write_text(content)
    return results


@pytest.mark.parametrize(
    ("stated", "prepared_now", "counted"),
    [
        (None, None, None),
        (558_128, None, 558_128),
        (1000, None, 1000),
        (None, 7_000_000, 7_000_000),
        (1000, 990, 990),  # a few were left out
        (None, "{", None),
        (None, "[]", None),
        (1000, "", 1000),
        (None, -5, None),
        (None, "null", None),
    ],
)
def test_stage_1_is_planned_for_as_many_pictures_as_something_says(stated, prepared_now, counted, tmp_path):
    study = qwen(stated, OWN)
    results = tmp_path if prepared_now is None else prepared(tmp_path, prepared_now)
    assert pictures(study, results)[0] == counted
    rows, site = stage_1(study, Site(), results), Site()
    said = [sentence for sentence in assumptions(study, site, results) if sentence.startswith("stage 1")]
    page = plan_page(study, plan_table(study, results, site), site, results)
    assert all(sentence in page for sentence in said)
    if counted is None:
        assert set(rows["GPU-hours"]) == set(rows["hours"]) == {"not known"}
        assert "data.llava.align.count" in said[0]
        assert "558,128" not in page
    else:
        hours = plan_training(alignment(study, "3B", "so400m", results), site).gpu_hours
        assert rows.set_index("stage 1 of")["GPU-hours"]["so400m+3B"] == format_quantity(hours)
        assert f"{counted:,} images" in said[0]
    assert alignment(study, "3B", "so400m", results).examples == (counted or PICTURES)  # what a job asks time for


@pytest.mark.parametrize(
    ("tasks", "limit", "fetched", "questions", "missing"),
    [
        (OWN, None, None, 0, ["mine"]),
        (OWN, 10, None, 10, []),
        (OWN, None, 321, 321, []),
        (OWN, 10, 321, 10, []),
        (OWN, None, "{}", 0, ["mine"]),
        (OWN, None, "[", 0, ["mine"]),
        ({"mine": {**OWN["mine"], "questions": 44}}, None, None, 44, []),
        ({"VMME": "videomme", **OWN}, None, None, 2700, ["mine"]),
        ({"VMME": "videomme"}, None, None, 2700, []),
        ({"VMME": "videomme"}, 100, None, 100, []),
        ({"MV": "mvbench"}, 10, None, 200, []),  # a limit is that of each of its twenty parts
    ],
)
def test_an_evaluation_is_planned_for_as_many_questions_as_something_says(
    tasks, limit, fetched, questions, missing, tmp_path
):
    study, site = qwen(None, tasks, limit), Site()
    results = tmp_path if fetched is None else prepared(tmp_path, questions=fetched)
    assert asked(study, results).readings == questions
    assert uncounted(study, results) == missing
    plan = plan_table(study, results, site)
    assert plan.evaluation_gpu_hours.isna().all() == (questions == 0)
    line, said = summary(plan, missing), " ".join(assumptions(study, site, results))
    assert ("the evaluation not counted" in line) == (questions == 0)
    assert ("without mine" in line) == (questions > 0 and bool(missing))
    assert ("the evaluation leaves out mine" in said) == bool(missing)
    run = plan_runs(study)[0]
    asks = asked(study, results, UNKNOWN_QUESTIONS)
    assert answering_hours(finetuning(study, run), site.gpu[0], asks) > 0  # a job must ask for some time


def test_the_numbers_of_the_paper_s_plan_have_units_and_three_digits(tmp_path: Path):
    study, site = published(), Site()
    plan = plan_table(study, tmp_path, site)
    line = "88 runs, 7.11 ZFLOPs of training, 16,300 GPU-hours to train, 731 to evaluate; 0 of 88 done"
    assert summary(plan) == line
    page = plan_page(study, plan, site, tmp_path)
    assert line in page
    assert "558,128 images" in page
    assert "The longest training takes 49.5 hours; one after another, all take 40.1 days." in page
    for heads in ("c (FLOPs)", "memory (GiB)", "GPU-hours to evaluate", "disk (GiB)"):
        assert heads in page
    assert re.findall(r"\d{4,}E|e[+-]\d\d|\bnan\b|-0\b", page) == []
    assert "2.98 ZFLOPs" in page


def test_hours_of_a_laptop_s_study_are_few_and_not_written_as_powers(study: Study, tmp_path: Path):
    page = plan_page(study, plan_table(study, tmp_path))
    assert "< 0.01 GPU-hours" in page
    assert re.findall(r"e-\d\d", page) == []


def test_stage_1_that_does_not_fit_is_said(tmp_path: Path):
    before = stage_1(published(batch_size=100), Site())
    assert set(before.refused) == {"pretrain.align.batch_size 100 cannot be shared by 8 GPUs; make it a multiple"}


def test_main_memory_is_asked_for_what_every_process_reads(tmp_path: Path):
    study = published()
    few, site = Site.model_validate({"gpu": {"host_memory": 8}}), Site()
    runs = {run.key: run for run in plan_runs(study)}
    run = runs["N7.5B_T32_V196_n1M_s0"]
    needed = plan_training(finetuning(study, run), few).host
    assert needed > 8 * (4 * 8.4e9 + 4 * 7 * 32 * 3 * 384**2)  # eight processes: weights in 32 bits, batches ready
    assert plan_training(finetuning(study, run), few).main_memory == int(needed / 2**20)
    assert plan_training(finetuning(study, run), site).main_memory == 8 * 60 * 1024


def test_a_study_of_a_table_asks_and_assumes_nothing(tmp_path: Path):
    study = load_study([ROOT / "workflow/studies/chinchilla.yaml"])
    assert uncounted(study) == assumptions(study, Site(), tmp_path) == []
    assert summary(plan_table(study, tmp_path), uncounted(study, tmp_path)) == "no runs: the laws start at a table"
