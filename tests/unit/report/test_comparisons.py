"""What the report says of pairs of runs, and of how x* grows with the budget."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.made_studies import STUDY, fitted, made
from vlmfrontier.command.main import call
from vlmfrontier.frontier.differences import COLUMNS, EQUAL_COST
from vlmfrontier.report.blocks import Block, Table, Text
from vlmfrontier.report.frontier_section import growth
from vlmfrontier.report.runs_section import runs
from vlmfrontier.report.study_report import StudyReport
from vlmfrontier.results import Results
from vlmfrontier.tables.writing import write_table

QUICK = {**STUDY, "laws": {**STUDY["laws"], "forms": ["mult", "add"], "starts": 8, "resamples": 5}}
WIDE = {"N": (1e7, 1e12), "T": (0.1, 1e3), "V": (0.1, 1e4)}
FINE = {name: np.geomspace(*ends, 24).tolist() for name, ends in WIDE.items()}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A fitted table with a wide space."""
    return fitted(made(tmp_path_factory.mktemp("comparisons"), {**QUICK, "space": FINE}))


def texts(blocks: list[Block]) -> str:
    return " ".join(block.text for block in blocks if isinstance(block, Text))


def test_exponents_are_written_and_told_at_the_largest_n(results: Results, capsys: pytest.CaptureFixture):
    call(["frontier", "--study", str(results.study_json), "--tables", "exponents"])
    table = pd.read_csv(results.table_csv("exponents"))
    assert set(table.target) == {"quiz", "avg"}
    own = table[(table.target == "avg") & (table.n == 4e6)].dropna(subset="exponent")
    assert len(own) == 3
    assert own.exponent.between(own.exponent_lo, own.exponent_hi).all()
    said = texts(list(growth(StudyReport(results))))
    for row in own.itertuples():
        assert f"{row.factor}* ∝ c^{row.exponent:.2f} ({row.exponent_lo:.2f} to {row.exponent_hi:.2f})" in said
    assert "n = 4M" in said


def test_without_a_determined_exponent_nothing_is_told(results: Results):
    table = pd.read_csv(results.table_csv("exponents"))
    write_table(table.assign(exponent=np.nan, exponent_lo=np.nan), results.table_csv("exponents"))
    results.note(results.table_csv("exponents"))
    assert list(growth(StudyReport(results))) == []


def pairs(results: Results, rows: list[tuple]) -> Path:
    """Write a table of differences between rows of the study's table."""
    path = write_table(pd.DataFrame(rows, columns=COLUMNS), results.table_csv("differences"))
    results.note(path)
    return path


def test_the_best_run_of_each_budget_stands_beside_the_next_best_and_whether_that_is_real(results: Results):
    names, errors = results.table.names, results.table.error("avg")
    a, b, c = (int(i) for i in np.argsort(errors)[[0, 4, 9]])  # the best first
    rows = [
        ("avg", EQUAL_COST, names[i], names[j], 1e12, 1e6, d := errors[j] - errors[i], d - 1, d + 1, 0.6, 0.5, real)
        for i, j, real in ((b, a, True), (a, c, False), (c, b, True))
    ]
    pairs(results, [*rows, ("quiz", *rows[0][1:])])
    tables = [block for block in runs(StudyReport(results)) if isinstance(block, Table)]
    block = next(block for block in tables if "more than noise" in block.heads)
    gap = errors[b] - errors[a]
    worse = f"{gap:.2g} ({gap - 1:.2g} to {gap + 1:.2g})"
    assert block.rows == (("1T", f"`{names[a]}`", f"`{names[b]}`", worse, "yes"),)
    assert "2 of 3 differences" in block.caption


def test_a_table_without_pairs_says_nothing_and_a_damaged_one_is_set_aside(results: Results):
    path = pairs(results, [])
    assert "more than noise" not in texts(list(runs(StudyReport(results))))
    assert StudyReport(results).set_aside == []
    path.write_text("target,compared\n1,2\n")
    results.note(path)
    assert "differences.csv" in " ".join(StudyReport(results).set_aside)
