"""Figures of trained studies: learning curves out of logs of killed trainings, costs out of results, no failed run."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.calling import SMOKE
from tests.made_studies import assert_another_process_draws_the_same
from vlmfrontier.figures.catalogue import drawn, left_out
from vlmfrontier.figures.drawing import draw
from vlmfrontier.figures.outline import Outline
from vlmfrontier.figures.runs import read_log
from vlmfrontier.report.page import write_report
from vlmfrontier.report.study_report import StudyReport
from vlmfrontier.results import Results
from vlmfrontier.study.load import load_study, write_study
from vlmfrontier.sweep.collect import collect
from vlmfrontier.sweep.runs import Run, plan_runs
from vlmfrontier.workflow import outline

STEPS = 4


def result(run: Run, targets: list[str]) -> dict:
    errors = {target: {"error": 40.0 + run.T, "standard_error": 1.0, "questions": 9} for target in targets}
    where = {"finished": "2026-01-01T00:00:00+00:00", "device": "cpu", "commit": "abc", "versions": {"torch": "2"}}
    spent = {"finetune": run.c * run.n / 1e9, "evaluate": 1.0}
    counted = {"total": 1.2 * run.c}
    return {"seed": run.seed, "errors": errors, "seconds": spent, "counted_flops": counted, "provenance": where}


def log(losses: list[float]) -> str:
    lines = [{"event": "started", "step": 0, "steps": STEPS}]
    lines += [{"step": step, "loss": loss} for step, loss in enumerate(losses, 1)]
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.fixture
def trained(tmp_path: Path) -> Results:
    """The smoke study after its first run has failed and all others are done."""
    study = load_study([SMOKE])
    file = tmp_path / "results" / "smoke" / "study.json"
    write_study(study, file)
    failed, *done = plan_runs(study)
    for run in done:
        folder = file.parent / "runs" / run.key
        (folder / "state").mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(result(run, study.targets())))
        (folder / "state" / "train.jsonl").write_text(log([3.0, 2.0, 1.5, 1.0 + run.T / 100]))
    folder = file.parent / "runs" / failed.key
    folder.mkdir(parents=True)
    record = {"state": "failed", "attempt": 1, "status": 2, "reason": "error: no weights in this folder"}
    (folder / "finetune.ended.json").write_text(json.dumps(record))
    table, _ = collect(study, file.parent)
    table.to_csv(file.parent / "runs.csv", index=False)
    return Results.open(file)


def test_learning_curves_end_where_the_logs_do(trained: Results):
    drawing = draw(trained, "learning", "avg")
    assert set(drawing.data.run) == set(trained.table.names)
    ends = drawing.data.groupby("run").last()
    np.testing.assert_allclose(ends.examples, ends.n)  # one epoch
    np.testing.assert_allclose(ends.loss, 1.0 + ends["T"] / 100)
    for panel in drawing.figure.axes:
        assert panel.has_data()


def test_a_log_of_several_attempts_counts_every_step_once(tmp_path: Path):
    path = tmp_path / "train.jsonl"
    killed = log([3.0, 2.0, 1.9]) + '{"step": 4, "lo'  # half a line
    resumed = '\n{"event": "resumed", "step": 2}\n{"step": 3, "loss": 1.5}\n{"step": 4, "loss": 1.2}\n'
    path.write_text(log([9.0]) + killed + resumed)
    assert [(entry["step"], entry["loss"]) for entry in read_log(path)] == [(1, 3.0), (2, 2.0), (3, 1.5), (4, 1.2)]
    assert read_log(tmp_path / "none.jsonl") == []


def test_without_any_log_the_figure_is_a_sentence_without_axes(trained: Results):
    for path in trained.root.glob("runs/*/state/train.jsonl"):
        path.unlink()
    drawing = draw(trained, "learning", "avg")
    assert drawing.figure.axes == []
    assert "No run has kept its training log" in drawing.figure.texts[0].get_text()


def test_costs_are_compared_run_by_run(trained: Results):
    plan = pd.DataFrame({"run": trained.table.names, "gpu_hours": 0.5})
    plan.to_csv(trained.plan_csv, index=False)
    data = draw(trained, "cost", "avg").data.set_index("run")
    assert set(data.index) == set(trained.table.names)
    np.testing.assert_allclose(data.counted / data.c, 1.2)
    assert set(data.gpu_hours) == {0.5}
    assert data.measured_gpu_hours.isna().all()  # no run was on a GPU
    one = data.loc[trained.table.names[0]]
    run = next(run for run in plan_runs(trained.study) if run.key == one.name)
    assert one.training_flops == pytest.approx(3 * run.c * run.n)


def test_gpu_hours_are_those_of_trainings_on_gpus_wherever_questions_were_answered(trained: Results):
    for name, trained_on, tested_on in zip(trained.table.names[:2], ("A100", "cpu"), ("cpu", "A100"), strict=True):
        path = trained.run(name).result
        record = json.loads(path.read_text())
        record["provenance"]["device"] = tested_on
        record["training"] = {"recipe": {}, "weights": "w", "processes": 1, "provenance": {"device": trained_on}}
        path.write_text(json.dumps(record))
    measured = draw(trained, "cost", "avg").data.set_index("run").measured_gpu_hours
    assert list(measured.index[measured.notna()]) == [trained.table.names[0]]


def test_another_process_draws_them_to_the_same_bytes(tmp_path: Path, trained: Results):
    assert_another_process_draws_the_same(trained, ["runs", "learning", "cost"], tmp_path / "here")


def test_a_failed_run_is_in_no_figure_and_named_in_the_report(trained: Results):
    failed = plan_runs(trained.study)[0].key
    assert failed not in set(draw(trained, "runs", "avg").data.run)
    _, page, *_ = write_report(trained)
    text = page.with_suffix(".md").read_text()
    assert f"`{failed}`" in text
    assert "finetune: error: no weights in this folder" in text
    known = StudyReport(trained)
    assert [run.key for run, _ in known.failed] == [failed]


def test_what_applies_is_the_same_before_the_runs_and_after_them(trained: Results):
    """The Snakefile decides with the plan, the report with the table of runs."""
    done = [run for run in plan_runs(trained.study) if run.key in set(trained.table.names)]
    assert drawn(outline(trained.study, done)) == drawn(Outline.of(trained.study, trained.table))
    reasons = left_out(outline(trained.study, done))
    assert set(reasons) == {"isoflop", "isoflop-tasks", "checkpoint"}


def test_a_study_without_isoflop_runs_says_so():
    study = load_study([SMOKE], {"sweep": {"designs": {"isoflop": None, "star": None}}, "laws": {"split": None}})
    reasons = left_out(outline(study, plan_runs(study)))
    assert "no budget has runs of three or more configurations" in reasons["isoflop"]
    assert "no factor is varied alone" in reasons["star"]
    digits = load_study([SMOKE.parents[2] / "config.yaml"])
    assert set(left_out(outline(digits, plan_runs(digits)))) == {"checkpoint"}  # whose runs are tested once
