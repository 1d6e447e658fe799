"""Query, status, report, its tables, explorer and recommendation.yaml say the same numbers, whatever the study."""

import html
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.made_studies import STUDY, fitted, made, points
from tests.made_towers import results, study
from vlmfrontier.command.main import call
from vlmfrontier.frontier.caveats import sentence
from vlmfrontier.frontier.sentences import headline
from vlmfrontier.report.explorer_data import explorer_data
from vlmfrontier.report.first_page import first_lines, first_page
from vlmfrontier.report.study_report import StudyReport
from vlmfrontier.results import Results
from vlmfrontier.study.load import load_study, write_study
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.units import format_error, format_number

LAWS = {"forms": ["mult", "add"], "starts": 6, "resamples": 5}
FEW = {"forms": ["add"], "starts": 3, "resamples": 5, "split": None}
AVG = {"avg": STUDY["table"]["targets"]["avg"]}
CHINCHILLA = Path(__file__).parents[3] / "workflow/studies/chinchilla.yaml"


def digits(folder: Path) -> Results:
    """Eight tasks and their mean, language models with names."""
    return fitted(results(folder, study(study="digits", evaluate={"harness": "packed"}, laws=FEW), noise=0.01))


def one_task(folder: Path) -> Results:
    return fitted(results(folder, study(laws=FEW), noise=0.02))


def failed_runs(folder: Path) -> Results:
    """Two runs has no result: one failed, one has not begun."""
    made = study(laws=FEW, study="failed")
    file = folder / "results" / made.study / "study.json"
    for run in plan_runs(made)[:1]:
        own = file.parent / "runs" / run.key
        own.mkdir(parents=True)
        record = {"state": "failed", "attempt": 1, "status": 2, "reason": "error: no weights in this folder"}
        (own / "finetune.ended.json").write_text(json.dumps(record))
    return fitted(results(folder, made, noise=0.02, without=2))


def poor_fit(folder: Path) -> Results:
    table = points()
    table["avg"] = np.random.default_rng(1).uniform(20, 60, len(table))
    return fitted(made(folder, {**STUDY, "laws": LAWS, "table": {**STUDY["table"], "targets": AVG}}, table))


def one_factor(folder: Path) -> Results:
    """N alone, without data size; accuracies, a cost in dollars, and budgets that the study names."""
    table = pd.DataFrame({"params": np.geomspace(1e8, 1e10, 9)})
    table["acc"] = 90 - 30 * (table.params / 1e8) ** -0.3 + np.random.default_rng(0).normal(0, 0.1, 9)
    own = {
        "factors": {"N": {"column": "params", "unit": "1B"}},
        "targets": {"acc": {"column": "acc", "kind": "accuracy"}},
    }
    more = {"cost": {"expression": "N / 1e9", "unit": "dollars"}, "space": {"N": ["0.2B", "1B", "4B"]}}
    budgets = {"frontier": {"budgets": [0.5, 1, 3], "members": 20}}
    config = {"study": "sizes", "table": own, "laws": {**LAWS, "forms": ["add"]}, **more, **budgets}
    return fitted(made(folder, config, table))


STUDIES = [digits, one_task, failed_runs, poor_fit, one_factor]


@pytest.fixture(scope="module", params=STUDIES, ids=lambda study: study.__name__)
def known(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StudyReport:
    """A study with laws, frontier and pages."""
    report = StudyReport(request.param(tmp_path_factory.mktemp("headline")))
    call(["report", "--study", str(report.results.study_json), "--page", "report"])
    return report


def asked_for(known: StudyReport) -> list[str]:
    examples = [] if known.answer.examples is None else ["--examples", repr(known.answer.examples)]
    return ["query", "--study", str(known.results.study_json), "--budget", repr(known.answer.budget), *examples]


def test_everyone_says_the_same_lines(known: StudyReport, capsys: pytest.CaptureFixture):
    capsys.readouterr()
    call(asked_for(known))
    query = capsys.readouterr().out.splitlines()
    call(["status", "--study", str(known.results.study_json), "--answer"])
    status = capsys.readouterr().out.splitlines()
    answer = known.answer
    lines = [*(f"measured: {said}" for said in answer.measured), *(f"caveat: {said}" for said in answer.warnings)]
    whole = [f"  {line}" for line in (*headline(answer), *lines)]
    assert [line for line in whole if line not in status] == []
    assert [line for line in whole if not any(said.startswith(line) for said in query)] == []
    markdown = known.results.report_html.with_suffix(".md").read_text()
    page = html.unescape(known.results.report_html.read_text())
    for line in (*headline(answer), *answer.measured, *answer.warnings):
        assert sentence(line) in markdown
        assert sentence(line) in page


def test_everyone_has_the_number_of_the_frontier_s_row(known: StudyReport, capsys: pytest.CaptureFixture):
    answer, results = known.answer, known.results
    rows = pd.read_csv(results.frontier_csv(known.main))
    here = np.isclose(rows.c, answer.budget, rtol=1e-9)
    row = rows[here if answer.examples is None else here & (rows.n == answer.examples)].iloc[0]
    capsys.readouterr()
    call([*asked_for(known), "--json"])
    queried = json.loads(capsys.readouterr().out)
    first = yaml.safe_load(results.recommendation_yaml.read_text())["recommendations"][0]
    close = lambda value: pytest.approx(value, rel=1e-8)  # noqa: E731 — tables have ten digits
    ends = ((row.f_lo, row.f_hi), (row.run_lo, row.run_hi))
    assert first["error"]["predicted"] == close(row.f)
    assert (first["error"]["law_90"], first["error"]["new_run_90"]) == tuple(close(list(pair)) for pair in ends)
    assert first["agreement"]["rank_it_first"] == close(row.p_best)
    assert first["cost"] == close(row.cost)
    assert queried["choice"]["f"] == close(row.f)
    assert (queried["choice"]["run_lo"], queried["choice"]["run_hi"]) == (close(row.run_lo), close(row.run_hi))
    assert all(first[name] == queried["choice"]["x"][name] == close(row[name]) for name in results.table.factors)
    assert first["caveats"] == queried["warnings"]
    (shown,) = [cells for cells in list(first_page(known))[-1].rows if cells[0] == format_number(answer.budget)]
    error = format_error(row.f, answer.largest)
    assert error in shown
    assert f"predicted {'error' if answer.largest else known.main} {error} (" in headline(answer)[1]


def test_the_explorer_starts_at_the_report_s_question(known: StudyReport):
    data = explorer_data(known.results)
    assert data["main"] == known.main == known.answer.target
    assert data["budgets"]["start"] == known.answer.budget == known.results.middle_budget
    assert (data["examples"] or {}).get("start") == known.answer.examples
    own = data["targets"][known.main]
    assert own["fits"] == known.answer.fits
    assert known.answer.warnings[: len(own["caveats"])] == tuple(own["caveats"])


def test_what_is_special_of_a_study_is_said_first(known: StudyReport):
    said = " ".join(first_lines(known)) + " ".join(getattr(block, "text", "") for block in first_page(known))
    special = {
        "digits": ["the mean over 8 tasks, 0–100", "(language model "],
        "towers": ["of one task, quiz, 0–100", "(vision model "],
        "failed": ["1 of 18 runs failed and is in no law", "1 of 18 runs has no result yet"],
        "made": ["Poor fit: the law of avg explains R²", "the mean of the runs predicts better than the law"],
        "sizes": ["Only N was varied", "dollars", "100 less the accuracy in column acc"],
    }
    assert [part for part in special[known.study.study] if part not in said] == []


def test_a_named_list_of_budgets_is_answered_whole(known: StudyReport):
    found = yaml.safe_load(known.results.recommendation_yaml.read_text())["recommendations"]
    assert [one["budget"] for one in found] == ([1, 0.5, 3] if known.study.study == "sizes" else [found[0]["budget"]])


def test_chinchilla_without_a_cost_says_its_law(tmp_path: Path, capsys: pytest.CaptureFixture):
    file = tmp_path / "results" / "chinchilla" / "study.json"
    write_study(load_study([CHINCHILLA], {"laws": {"forms": ["add"], "resamples": 5, "starts": 5}}), file)
    call(["collect", "--study", str(file)])
    known = StudyReport(fitted(Results.open(file)))
    call(["report", "--study", str(file), "--page", "report"])
    capsys.readouterr()
    call(["status", "--study", str(file), "--answer"])
    status = capsys.readouterr().out
    page = html.unescape(known.results.report_html.read_text())
    law, left_out, *caveats = first_lines(known)
    assert law.startswith("The loss follows `add`")
    assert any("gives no cost" in caveat for caveat in caveats)
    assert f"\n{law}\n{left_out}\n" in status
    assert f"{law.replace('`add`', '<code>add</code>')}</p><p>{left_out}</p>" in page
    assert not known.results.recommendation_yaml.exists()


def test_the_checkpoint_of_a_recommendation_that_was_trained_is_named(tmp_path: Path):
    space = {"N": ["m"], "T": [4], "V": [16], "M": ["fine"]}
    budgets = {"budgets": [1e9], "examples": [400], "members": 20}
    made = fitted(results(tmp_path, study(laws=FEW, space=space, frontier=budgets), noise=0.02))
    (run,) = [
        run
        for run in plan_runs(made.study)
        if (run.language, run.T, run.V, run.vision, run.n) == ("m", 4, 16, "fine", 400)
    ]
    found = []
    for _ in range(2):
        call(["report", "--study", str(made.study_json), "--page", "report"])
        found += yaml.safe_load(made.recommendation_yaml.read_text())["recommendations"]
        made.run(run.key).model.mkdir(exist_ok=True)
        (made.run(run.key).model / "model.safetensors").write_bytes(b"")
    assert [one["run"] for one in found] == [run.key] * 2
    assert [one["checkpoint"] for one in found] == [None, f"runs/{run.key}/model"]
    assert found[0]["measured"]["error"] == pytest.approx(made.runs.set_index("run").avg[run.key])
    assert found[0]["model"] == "m"
