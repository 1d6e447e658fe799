"""The command `vlmfrontier`: its help, its mistakes, what it imports, and what the tab key offers."""

import json
import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from tests.calling import ROOT, SMOKE
from vlmfrontier.command.main import BY_NAME, call, main, overview
from vlmfrontier.command.pages import _copy_of
from vlmfrontier.errors import UserError
from vlmfrontier.figures.catalogue import CATALOGUE
from vlmfrontier.study.load import load_study, write_study
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.workflow import with_forms

HEAVY = ("torch", "numba", "scipy", "matplotlib", "lmfit")


def test_the_console_script_is_the_command():
    module, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["vlmfrontier"].split(
        ":"
    )
    assert callable(getattr(import_module(module), function))


def test_the_overview_has_a_line_for_every_command_and_an_example():
    lines = overview().splitlines()
    for command in BY_NAME.values():
        assert sum(line.split()[:1] == [command.name] for line in lines) == 1
    assert "example:   vlmfrontier query --study digits --budget 100M --examples 400" in lines
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("name", BY_NAME)
def test_every_command_explains_itself_with_an_example(name: str, capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as left:
        call([name, "--help"])
    said = capsys.readouterr().out
    assert left.value.code == 0
    assert f"usage: vlmfrontier {name}" in said
    assert said.count(f"vlmfrontier {name}") > 1


def imported(words: list[list[str]]) -> list[str]:
    """Return the modules that a new process has after calling the command with each list of words."""
    code = "import sys\nfrom vlmfrontier.command.main import call\n"
    code += "".join(f"try: call({each})\nexcept SystemExit: pass\n" for each in words)
    code += "print(*sys.modules, file=sys.stderr)"
    return subprocess.run(
        [sys.executable, "-c", code], check=True, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ).stderr.split()


def test_help_imports_next_to_nothing():
    assert {"numpy", "pandas", *HEAVY} & set(imported([["--help"]])) == set()
    assert set(HEAVY) & set(imported([[name, "--help"] for name in BY_NAME])) == set()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["qurey"], "qurey: no such command; did you mean 'query'?"),
        (["--studdy", "digits"], "--studdy: no such option"),
        (["status", "--study", "smoke", "--anwser"], "unrecognized arguments: --anwser; see vlmfrontier status --help"),
        (["query", "--study", "smoke"], "required: --budget; see vlmfrontier query --help"),
        (["fetch", "everything"], "invalid choice: 'everything'"),
        (["status", "--study", "smkoe"], "no such study; did you mean 'smoke'?"),
        (["frontier", "--tables", "regert"], "invalid choice: 'regert'"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line_that_says_where_help_is(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, words: list[str], said: str
):
    monkeypatch.chdir(study)
    monkeypatch.setattr(sys, "argv", ["vlmfrontier", *words])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert said in told


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder with one resolved study."""
    write_study(load_study([SMOKE]), tmp_path / "results" / "smoke" / "study.json")
    return tmp_path


def test_the_only_study_need_not_be_named(study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.chdir(study)
    call(["status", "--json"])
    assert '"study": "smoke"' in capsys.readouterr().out
    write_study(load_study([SMOKE], {"study": "other"}), study / "results" / "other" / "study.json")
    with pytest.raises(UserError, match="--study is missing: results/ here has other, smoke"):
        call(["status", "--json"])
    monkeypatch.chdir(study / "results")
    with pytest.raises(UserError, match="no study is in results/ here; run `snakemake plan` first"):
        call(["status", "--json"])


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("vlmfrontier ", set(BY_NAME)),
        ("vlmfrontier query --bud", {"--budget "}),
        ("vlmfrontier query --study s", {"smoke "}),
        ("vlmfrontier fit --study smoke --target av", {"avg "}),
        ("vlmfrontier figure ", {*CATALOGUE}),
    ],
)
def test_the_tab_key_completes(study: Path, line: str, offered: set[str]):
    answer = study / "answer"
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    subprocess.run([sys.executable, "-m", "vlmfrontier"], cwd=study, env=environment, check=True, timeout=60)
    assert offered <= set(answer.read_text().split("\n"))


@pytest.mark.parametrize(("forms", "so_far"), [(None, None), (["mult", "add"], ["mult", "add"])])
def test_finished_runs_choose_their_forms_anew_unless_they_are_named(tmp_path: Path, forms, so_far):
    """Fewer runs than the study plans may not carry all of the forms that it chose."""
    study = load_study([SMOKE], {"laws": {"forms": forms}})
    study, _ = with_forms(study, plan_runs(study), None)
    file = tmp_path / "study.json"
    write_study(study, file)
    assert json.loads(_copy_of(file, study).read_text())["laws"]["forms"] == so_far
