"""Damaged and foreign results, file by file and reader by reader: one message that names the file, and no traceback."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.made_studies import STUDY, fitted, made, points, with_profile_and_regret
from vlmfrontier import command_line
from vlmfrontier.command import main
from vlmfrontier.figures.drawing import save
from vlmfrontier.made import outdated_analysis
from vlmfrontier.report.page import figures, write_report
from vlmfrontier.report.study_report import StudyReport
from vlmfrontier.results import Results
from vlmfrontier.study.load import load_study, write_study

LAWS = {**STUDY["laws"], "starts": 8, "resamples": 8, "forms": ["mult", "add"]}
SMALL = {**STUDY, "laws": LAWS}
FIGURES = ("runs", "extrapolation", "profiles")
OF_FRONTIER = ("frontier/quiz.csv", "frontier/avg.csv", "tables/elasticity.csv", "tables/regret.csv")
OF_FRONTIER += tuple(f"figures/{name}.png" for name in FIGURES)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A fitted study, whose results say what they were made from."""
    results = with_profile_and_regret(fitted(made(tmp_path_factory.mktemp("whole"), SMALL)))
    results.note(results.runs_csv)
    for target in results.study.targets():
        results.note(results.laws_folder(target).root)
    save(results, FIGURES, results.main_target, results.figures)
    for name in (*OF_FRONTIER, "tables/forms.csv", "laws/avg/profile.csv"):
        results.note(results.root / name)
    return results


@pytest.fixture
def copied(whole: Results, tmp_path: Path) -> Path:
    """A copy of the results folder, to be damaged."""
    return Path(shutil.copytree(whole.root, tmp_path / "results" / "made"))


def call(name: str, folder: Path, capsys: pytest.CaptureFixture, *arguments: str) -> tuple[int, str]:
    """Call a command here; return its exit status and what it printed on stderr."""
    try:
        command_line.run(lambda: main.call([name, "--study", str(folder / "study.json"), *arguments]))
    except SystemExit as left:
        return int(left.code or 0), capsys.readouterr().err
    return 0, capsys.readouterr().err


def cell(column: str, value: object, row: int = 0) -> Callable[[str], str]:
    def change(text: str) -> str:
        lines = text.splitlines()
        place, cells = lines[0].split(",").index(column), lines[row + 1].split(",")
        cells[place] = str(value)
        return "\n".join([*lines[: row + 1], ",".join(cells), *lines[row + 2 :]]) + "\n"

    return change


def key(value: object, *path: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        content = json.loads(text)
        inner = content
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value
        return json.dumps(content)

    return change


ANY = {
    "empty": lambda text: "",
    "cut": lambda text: text[: len(text) // 3].rsplit("\n", 1)[0][:-1],
    "binary": lambda text: "\x00\x01\x02",
    "a list": lambda text: "[]",
    "a number": lambda text: "3",
}
CSV = ANY | {"header": lambda text: text.splitlines()[0] + "\n"}
NAN = float("nan")
CASES = {
    "laws/avg/add.json": ANY
    | {
        "no parameters": key({}, "parameters"),
        "NaN parameter": key(NAN, "parameters", "epsilon"),
        "text parameter": key("abc", "parameters", "epsilon"),
        "unknown form": key("cubic", "form"),
        "unit 0": key(0, "factors", "N", "unit"),
        "factors a list": key([], "factors"),
        "covariance a number": key(3, "covariance"),
        "deep": lambda text: "[" * 200_000,
    },
    "laws/avg/weights.json": ANY
    | {"NaN": key(NAN, "add"), "negative": key(-0.5, "add"), "text": key("1", "add"), "sum": key(0.9999, "mult")},
    "laws/avg/add.bag.csv": CSV
    | {
        "half": lambda text: "\n".join(text.splitlines()[:4]) + "\n",
        "NaN row": cell("epsilon", "nan"),
        "empty cell": cell("epsilon", ""),
        "text": cell("epsilon", "abc", 2),
        "infinite": cell("objective", "inf"),
        "no column": lambda text: text.replace("epsilon", "delta", 1),
        "row lost": lambda text: "\n".join(text.splitlines()[:2] + text.splitlines()[3:]) + "\n",
        "row twice": lambda text: text + text.splitlines()[1] + "\n",
    },
}


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "of before"])
@pytest.mark.parametrize(("file", "damage"), [(file, damage) for file in CASES for damage in CASES[file]])
def test_a_damaged_law_is_named_by_the_query_and_set_aside_by_the_report(
    copied: Path, file: str, damage: str, noted: bool, capsys: pytest.CaptureFixture
):
    path = copied / file
    text = path.read_text()
    path.write_text(CASES[file][damage](text))
    assert path.read_text() != text
    if not noted:
        shutil.rmtree(copied / "made")
    status, said = call("query", copied, capsys, "--budget", "5T", "--examples", "1M")
    assert status == 2
    assert file.rsplit("/", 1)[0] in said
    assert "snakemake laws" in said
    assert "Traceback" not in said


TABLES = {
    "frontier/avg.csv": CSV | {"NaN": cell("f", "nan"), "text": cell("cost", "abc"), "no column": cell("c", "")},
    "tables/forms.csv": CSV | {"text": cell("mse", "abc"), "chosen": cell("chosen", "perhaps")},
    "tables/regret.csv": CSV | {"NaN": cell("mean_regret", "nan")},
    "tables/elasticity.csv": CSV | {"text": cell("e_median", "abc")},
    "laws/avg/weights.json": {"cut": ANY["cut"]},
}


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "of before"])
@pytest.mark.parametrize(("file", "damage"), [(file, damage) for file in TABLES for damage in TABLES[file]])
def test_a_report_says_what_is_damaged_and_is_written(copied: Path, file: str, damage: str, noted: bool):
    (copied / file).write_text(TABLES[file][damage]((copied / file).read_text()))
    if not noted:
        if (file, damage) == ("tables/regret.csv", "cut"):
            return  # only what was noted tells how many rules there were
        shutil.rmtree(copied / "made")
    results = Results.open(copied / "study.json")
    _, page, *_ = write_report(results)
    assert "Not shown" in page.read_text()
    assert Path(file).parent.name in " ".join(StudyReport(results).set_aside)


READERS = {
    "next": ("laws/avg/forms.csv", ()),
    "profile": ("laws/avg/forms.csv", ("--target", "avg")),
    "law-tables": ("laws/avg/forms.csv", ("--tables", "forms")),
    "frontier checks": ("tables/forms.csv", ()),
    "frontier": ("laws/avg/add.bag.csv", ("--target", "avg")),
    "frontier elasticity": ("laws/avg/weights.json", ()),
    "frontier regret": ("laws/avg/add.json", ()),
    "report explorer": ("laws/quiz/add.json", ()),
    "figure": ("tables/regret.csv", ("regret",)),
    "status": ("study.json", ()),
    "report": ("study.json", ()),
    "collect": ("study.json", ()),
    "fit": ("study.json", ("--target", "avg")),
    "frontier next_sweep": ("study.json", ()),
    "frontier vision_share": ("study.json", ()),
}
PARTS = {"frontier": "--tables", "report": "--page"}


@pytest.mark.parametrize("damage", ["empty", "cut", "a number"])
@pytest.mark.parametrize("reader", READERS)
def test_no_reader_ends_in_a_traceback(copied: Path, reader: str, damage: str, capsys: pytest.CaptureFixture):
    file, arguments = READERS[reader]
    (copied / file).write_text(CSV[damage]((copied / file).read_text()))
    name, *parts = reader.split()
    status, said = call(name, copied, capsys, *([PARTS[name], *parts] if parts else []), *arguments)
    assert status == 2
    assert "error: " in said
    assert file.split("/", 1)[-1].split("/")[0] in said


def again(folder: Path, change: dict) -> Results:
    """Return the results after the study was changed and resolved again, but nothing made again."""
    config = json.loads((folder / "study.json").read_text())
    write_study(load_study([], {**config, **change}), folder / "study.json")
    return Results.open(folder / "study.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"laws": {**LAWS, "starts": 9}}, "laws.starts: 8 when it was made, 9 now"),
        ({"laws": {**LAWS, "seed": 1}}, "laws.seed: 0 when it was made, 1 now"),
        ({"laws": {**LAWS, "loss": "huber"}}, "laws.loss: mse when it was made, huber now"),
    ],
    ids=str,
)
def test_laws_of_another_configuration_are_refused(copied: Path, change: dict, said: str, capsys):
    results = again(copied, change)
    found = outdated_analysis(results.study, results)
    for name in ("laws/avg/weights.json", "laws/quiz/weights.json", "laws/avg/profile.csv", "tables/forms.csv"):
        assert said in " ".join(found[name])
    status, printed = call("query", copied, capsys, "--budget", "5T", "--examples", "1M")
    assert status == 2
    assert said in printed
    _, page, *_ = write_report(results)
    assert said in page.read_text()


def test_a_frontier_of_other_budgets_is_refused_and_the_laws_are_not(copied: Path, capsys: pytest.CaptureFixture):
    results = again(copied, {"frontier": {**SMALL["frontier"], "members": 61}})
    assert set(outdated_analysis(results.study, results)) == set(OF_FRONTIER)
    assert call("query", copied, capsys, "--budget", "5T", "--examples", "1M")[0] == 0
    assert StudyReport(results).frontier is None
    status, said = call("figure", copied, capsys, "regret")
    assert (status, "frontier.members: 60 when it was made, 61 now" in said) == (2, True)


def test_images_and_tables_of_another_configuration_are_named_and_not_shown(copied: Path):
    """Also those that the report shows beside laws that are still the study's."""
    _, page, *_ = write_report(Results.open(copied / "study.json"))
    shown = page.read_text().count("data:image/png")
    assert shown == len(FIGURES)
    results = again(copied, {"frontier": {**SMALL["frontier"], "members": 61}})
    _, page, *_ = write_report(results)
    assert "data:image/png" not in page.read_text()
    said = "figures/runs.png, figures/extrapolation.png, figures/profiles.png: not of the study as it is now"
    assert f"{said}: frontier.members: 60 when it was made, 61 now" in " ".join(StudyReport(results).set_aside)
    for name in FIGURES:
        results.note(results.figure(name))  # as drawn again
    assert set(figures(StudyReport(results))) == set(FIGURES)


@pytest.mark.parametrize("words", [["frontier", "--tables", "checks"], ["figure", "profiles"]], ids=str)
def test_a_comparison_of_other_laws_is_not_read(copied: Path, words: list[str], capsys: pytest.CaptureFixture):
    """The laws have been fitted again, and what was made from them has not."""
    results = again(copied, {"laws": {**LAWS, "starts": 9}})
    for target in results.study.targets():
        results.note(results.laws_folder(target).root)
    assert set(outdated_analysis(results.study, results)) == {*OF_FRONTIER, "tables/forms.csv", "laws/avg/profile.csv"}
    status, said = call(words[0], copied, capsys, *words[1:])
    assert (status, "laws.starts: 8 when it was made, 9 now" in said) == (2, True)
    assert StudyReport(results).forms is None


def test_an_edited_table_is_not_mixed_with_its_old_laws(copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    table = tmp_path / "mine.csv"
    points().to_csv(table, index=False)
    config = json.loads((copied / "study.json").read_text())
    results = again(copied, {"table": {**config["table"], "path": str(table)}})
    assert outdated_analysis(results.study, results) == {}  # the same content elsewhere
    edited = points()
    edited.loc[0, "avg"] *= 1.5
    edited.to_csv(table, index=False)
    assert "runs.csv" in outdated_analysis(results.study, results)
    for file in ("runs.csv", "laws"):
        status, said = call("query", copied, capsys, "--budget", "5T", "--examples", "1M")
        assert status == 2
        assert f"{file}" in said
        assert "table: it was made from another one" in said
        assert call("collect", copied, capsys)[0] == 0
    assert "laws/avg/weights.json" in outdated_analysis(results.study, results)


def test_whole_results_are_read(copied: Path, capsys: pytest.CaptureFixture):
    assert call("query", copied, capsys, "--budget", "5T", "--examples", "1M") == (0, "")
    assert StudyReport(Results.open(copied / "study.json")).set_aside == []
    assert len(pd.read_csv(copied / "frontier/avg.csv"))
