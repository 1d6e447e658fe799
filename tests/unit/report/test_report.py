"""A report says what a study found, and says what it lacks in its place."""

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.calling import SMOKE
from tests.made_studies import STUDY, fitted, made, points
from vlmfrontier.command.main import call
from vlmfrontier.ended import Ended
from vlmfrontier.frontier.sentences import asked, headline, two_lines
from vlmfrontier.report.blocks import Block, Caution, Heading, Table
from vlmfrontier.report.caveats import caveats, recommended
from vlmfrontier.report.explorer_data import explorer_data
from vlmfrontier.report.laws_section import best_form, left_out
from vlmfrontier.report.page import page_blocks, write_captions, write_report
from vlmfrontier.report.study_report import StudyReport
from vlmfrontier.results import Results
from vlmfrontier.study.load import load_study, write_study
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.units import format_number

SECTIONS = [
    "What is measured",
    "The runs",
    "The laws",
    "What else to deploy",
    "The frontier",
    "What to run next",
    "Provenance",
]


@pytest.fixture(scope="module")
def complete(tmp_path_factory) -> StudyReport:
    """A study with everything but figures."""
    return StudyReport(fitted(made(tmp_path_factory.mktemp("made"))))


def headings(blocks: list[Block]) -> list[str]:
    return [block.text for block in blocks if isinstance(block, Heading) and block.level == 2]


def check_whole(blocks: list[Block]) -> None:
    """No section is empty, and every table is one."""
    assert isinstance(blocks[0], Heading)
    for block, following in pairwise(blocks):
        empty = isinstance(block, Heading) and isinstance(following, Heading) and block.level >= following.level
        assert not empty, block
    for block in blocks:
        if isinstance(block, Table):
            assert block.rows
            assert {len(row) for row in block.rows} == {len(block.heads)}


QUICK = {**STUDY, "laws": {**STUDY["laws"], "forms": ["mult", "add"], "starts": 8, "resamples": 5}}
"""The study where no number of a test depends on how well it is fitted."""


def varied(**changes) -> dict:
    return {**STUDY, **changes}


def table_section(**changes) -> dict:
    return {**STUDY["table"], **changes}


def test_a_form_with_too_many_parameters_for_the_split_has_empty_cells(complete: StudyReport):
    known, forms = StudyReport(complete.results), complete.forms
    vars(known)["forms"] = forms[(forms.form != "add-interact-s") | (forms.setup != "extrapolation")]
    blocks = page_blocks(known)
    check_whole(blocks)
    (rivals,) = [block for block in blocks if isinstance(block, Table) and block.heads[0] == "form"]
    last = {row[0].strip("*"): row[-2:] for row in rivals.rows}
    assert last["add-interact-s"] == ("", "")
    assert all(last["add"])


def test_the_report_has_every_section_and_states_the_answer(complete: StudyReport):
    _, page, *_ = write_report(complete.results)
    markdown, html = page.with_suffix(".md").read_text(), page.read_text()
    found = complete.answer
    for text in (markdown, html):
        assert f"Deploy N = {found.choice.x['N'] / 1e9:g}B, T = {found.choice.x['T']:g}" in text
        assert (
            f"{found.choice.f:.2f} ({found.range_name} of the law {found.choice.f_lo:.2f} to {found.choice.f_hi:.2f}; "
            f"a new run would measure {found.choice.run_lo:.2f} to {found.choice.run_hi:.2f})"
        ) in text
    blocks = page_blocks(complete)
    assert headings(blocks) == SECTIONS
    check_whole(blocks)


def test_the_noise_of_a_new_run_is_that_around_the_chosen_law(complete: StudyReport):
    assert np.median(complete.results.laws("avg").discrepancy.noise) == pytest.approx(0.01, rel=0.5)  # made with 1%
    choice = complete.answer.choice
    assert choice.run_lo < choice.f_lo
    assert choice.run_hi > choice.f_hi


def test_the_frontier_in_the_report_is_that_of_the_file(complete: StudyReport):
    (shown,) = [
        block for block in page_blocks(complete) if isinstance(block, Table) and "All 120 rows" in block.caption
    ]
    last = complete.frontier.iloc[-1]
    assert shown.rows[-1][shown.heads.index("error")] == f"{last.f:.2f}"
    assert shown.rows[-1][shown.heads.index("T")] == f"{last['T']:g}"
    assert len(shown.rows) == 18  # six budgets at three data sizes


def test_what_is_extrapolated_is_said_first(complete: StudyReport):
    outside = (complete.frontier.extrapolates != "no").mean()
    assert f"{outside:.0%} of the frontier of avg lies outside the runs and is extrapolated." in caveats(complete)


def test_a_study_before_its_laws_says_so(tmp_path: Path):
    known = StudyReport(made(tmp_path))
    blocks = page_blocks(known)
    check_whole(blocks)
    assert "The laws have not been fitted, so that there is no frontier yet." in caveats(known)
    said = [block.text for block in blocks if isinstance(block, Caution)]
    assert "There is no frontier, so nothing can be recommended yet." in said
    write_report(known.results)  # whatever is missing, the files can be written


def test_a_job_that_failed_is_named_with_its_reason(tmp_path: Path):
    results = made(tmp_path)
    (results.logs).mkdir()
    ended = Ended(state="failed", attempt=1, reason="error: 4 rows are too few")
    (results.logs / "fit-avg.ended.json").write_text(ended.model_dump_json())
    (results.logs / "collect.log").write_text("Traceback (most recent call last):\nerror: of a program\n")
    assert "The job fit-avg failed: 4 rows are too few" in caveats(StudyReport(results))
    assert list(StudyReport(results).failed_jobs) == ["fit-avg"]


def test_one_factor_one_task_no_data_and_no_split_are_said(tmp_path: Path):
    line = points()[lambda frame: (frame.frames == 16) & (frame.tokens == 100)]
    wide = pd.concat([line.assign(params=line.params * scale, avg=line.avg * scale**-0.2) for scale in (1, 1.7, 2.6)])
    table = table_section(
        factors={"N": {"column": "params", "unit": "1B"}}, targets={"avg": STUDY["table"]["targets"]["avg"]}
    )
    del table["data"], table["split"]
    study = varied(
        table=table,
        laws={"forms": ["add"], "starts": 20, "resamples": 20},
        cost={"expression": "2 * N * 1e5"},
        space={"N": ["1B", "3B", "8B"]},
        frontier={"members": 20},
    )
    known = StudyReport(fitted(made(tmp_path, study, wide)))
    said = " ".join(caveats(known))
    assert "Only N was varied" in said
    assert "Only avg was measured" in said
    assert "no data size" in said
    assert "No runs were held out" in said
    check_whole(page_blocks(known))
    write_report(known.results)


def test_a_poor_fit_is_called_one(tmp_path: Path):
    table = points()
    table["quiz"] = np.random.default_rng(1).uniform(20, 60, len(table))
    known = StudyReport(fitted(made(tmp_path, QUICK, table)))
    (poor,) = [doubt for doubt in caveats(known) if doubt.startswith("Poor fit")]
    assert "quiz (R²" in poor
    assert any(doubt.startswith("Below an R² of 0") and "quiz" in doubt for doubt in caveats(known))
    by_target = next(block for block in page_blocks(known) if isinstance(block, Table) and block.heads[-1] == "fit")
    assert {row[0]: row[-1] for row in by_target.rows}["quiz"] == "poor"


def test_a_recommendation_says_itself_that_its_law_is_poor(tmp_path: Path):
    table = points()
    table["avg"] = np.random.default_rng(1).uniform(20, 60, len(table))
    known = StudyReport(fitted(made(tmp_path, QUICK, table)))
    score = f"R² {known.score('avg', 'cv')['r2']:.2f}"
    _, sure = recommended(known)
    assert sure.endswith(f"; poor fit: {score} on runs left out")
    (caveat,) = [said for said in known.answer.warnings if said.startswith("Poor fit")]
    assert score in caveat
    assert f"  caveat: {caveat}" in at_the_end(known).splitlines()
    assert "predicts worse than their mean" in left_out(known)


def test_a_good_law_is_not_called_poor(complete: StudyReport):
    assert recommended(complete) == two_lines(complete.answer)


def test_one_middle_budget_is_meant_everywhere(complete: StudyReport):
    results = complete.results
    assert results.middle_budget == results.budgets[len(results.budgets) // 2]
    assert complete.answer.budget == explorer_data(results)["budgets"]["start"] == results.middle_budget
    call(["frontier", "--tables", "checks", "--study", str(results.study_json)])
    checks = pd.read_csv(results.table_csv("checks"))
    assert checks.c.dropna().unique().tolist() == pytest.approx([results.middle_budget])
    page = (results.table_csv("checks").with_suffix(".md")).read_text()
    assert re.search(r"x\*\s+\| 3B|x\*\s+\| 8B|x\*\s+\| 1B", page)
    assert not re.search(r"\b[138]G\b", page)
    assert format_number(results.middle_budget) in next(iter(recommended(complete)))


@pytest.mark.parametrize("heaviest", ["mult", "add", "add-interact-s"])
def test_the_law_shown_is_said_with_its_weight_where_another_has_more(complete: StudyReport, monkeypatch, heaviest):
    form = complete.law("avg").form.name
    weights = dict.fromkeys(complete.study.laws.forms, 0.15) | {form: 0.2, heaviest: 0.65}
    monkeypatch.setattr(StudyReport, "weights", lambda known, target: weights)
    said = best_form(complete)
    assert ("follows" in said) == (heaviest == form)
    assert heaviest == form or f"has 20% of the pool, `{heaviest}` has 65%" in said


def test_standard_errors_are_said_to_be_the_bootstrap_s(complete: StudyReport):
    law = complete.law("avg")
    table = next(b for b in page_blocks(complete) if isinstance(b, Table) and b.heads[-1] == "standard error")
    assert "standard errors of the bootstrap: standard deviations over 8 resamples" in table.caption
    members = pd.read_csv(complete.results.laws_folder("avg").bag(law.form.name))
    for name, _, error in table.rows:
        if law.standard_errors[name] is None:
            assert error in ("at its bound", "vanished")
        else:
            assert error == f"{members[name].std():.2g}"


def test_no_number_of_the_report_lacks_a_meaning(complete: StudyReport):
    page, *_ = write_report(complete.results)
    text = page.read_text()
    assert re.findall(r"\bnan\b|\bNaN\b|-0\.0+\b|\binf\b", text) == []
    shares = [float(share) for share in re.findall(r"(\d+(?:\.\d+)?)% of", text)]
    assert shares
    assert max(shares) <= 100


def test_a_study_without_a_cost_has_laws_and_no_frontier(tmp_path: Path):
    study = {key: value for key, value in QUICK.items() if key not in ("cost", "space", "frontier")}
    known = StudyReport(fitted(made(tmp_path, study)))
    assert any("gives no cost" in doubt for doubt in caveats(known))
    check_whole(page_blocks(known))
    told = at_the_end(known)
    assert "The avg follows `" in told
    assert f"(R² {known.score('avg', 'cv')['r2']:.3f})" in told
    assert "The study gives no cost" in told


def test_the_terminal_ends_with_the_recommendation_and_where_the_report_is(complete: StudyReport):
    write_report(complete.results)
    told = at_the_end(complete).splitlines()
    first = told.index(asked(complete.answer))
    assert [line.strip() for line in told[first + 1 : first + 4]] == list(headline(complete.answer))
    assert f"report: {complete.results.report_html}" in told
    assert told[-1].startswith(f"results are in {complete.results.root}/: ")


def at_the_end(known: StudyReport) -> str:
    """Return what `snakemake` prints of a study that is done."""
    command = [sys.executable, "-m", "vlmfrontier", "status", "--study", str(known.results.study_json), "--answer"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def trained(tmp_path: Path) -> Results:
    """A sweep of which the first run failed, the last has not begun, and the others are done."""
    study = load_study([SMOKE])
    file = tmp_path / "results" / "smoke" / "study.json"
    write_study(study, file)
    failed, *done, _ = plan_runs(study)
    for run in done:
        folder = file.parent / "runs" / run.key
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(result(study.targets(), run.seed)))
    folder = file.parent / "runs" / failed.key
    folder.mkdir(parents=True)
    record = {"state": "failed", "attempt": 1, "status": 2, "reason": "error: no weights in this folder"}
    (folder / "finetune.ended.json").write_text(json.dumps(record))
    return Results.open(file)


def result(targets: list[str], seed: int) -> dict:
    errors = {target: {"error": 40.0, "standard_error": 1.0, "questions": 9} for target in targets}
    wrong = {target: {"error": 70.0, "standard_error": 1.0, "questions": 9} for target in targets}
    made_by = {"finished": "2026-01-01T00:00:00+00:00", "device": "cpu", "commit": "abc", "versions": {"torch": "2"}}
    tested = {"videos": 9, "questions": 9, "hash_videos": "v", "hash_conversations": "q"}
    seconds = {"finetune": 1800.0, "evaluate": 30.0}
    common = {"seed": seed, "seconds": seconds, "provenance": made_by, "test": tested}
    return {"errors": errors, "wrong_video": wrong, **common}


def test_failed_and_missing_runs_are_counted_named_and_what_is_left_is_shown(trained: Results):
    known = StudyReport(trained)
    total = len(known.runs)
    blocks = page_blocks(known)
    check_whole(blocks)
    (failed, _), *_ = known.failed
    assert f"1 of {total} runs failed and is in no law: `{failed.key}`." in caveats(known)
    assert f"1 of {total} runs has no result yet." in caveats(known)
    _, page, *_ = write_report(trained)
    text = page.with_suffix(".md").read_text()
    assert f"**{total - 2} of {total} runs are done, 1 failed.**" in text
    assert "finetune: error: no weights in this folder" in text
    assert f"time: {(total - 2) / 2:.1f} h finetuning" in text
    assert "commit: abc" in text


def test_captions_state_the_numbers_shown(complete: StudyReport):
    from jinja2 import Template  # noqa: PLC0415 — Snakemake's, for the one test that stands in for it

    figures = complete.results.figures
    figures.mkdir(exist_ok=True)
    (figures / "frontier.png").write_bytes(b"")
    write_captions(complete, complete.results.captions)

    def rendered(name: str) -> str:
        return Template((complete.results.captions / f"{name}.rst").read_text()).render()

    said = rendered("frontier")
    assert "The frontier x\\*(c; n) of avg" in said
    assert "Its numbers" not in said  # a link that leads nowhere there
    assert f": avg {complete.answer.choice.f:.2f} (" in said
    assert f"R² {complete.score('avg', 'cv')['r2']:.3f}" in rendered("forms")
