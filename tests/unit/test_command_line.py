"""What scripts and the Snakefile do alike: mistakes without a traceback, commands, the Python of jobs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.calling import ROOT
from vlmfrontier import command_line
from vlmfrontier.errors import UserError
from vlmfrontier.study.load import load_study, validate, write_study
from vlmfrontier.workflow import frontier_tables, job_command, study_or_exit, use_this_python


def fail() -> None:
    raise UserError("first\nsecond")


def test_a_users_mistake_is_lines_on_stderr_and_status_2(capsys):
    with pytest.raises(SystemExit) as left:
        command_line.run(fail)
    assert left.value.code == 2
    assert capsys.readouterr().err == "error: first\nerror: second\n"


SCRIPTS = sorted(path.name for path in (ROOT / "scripts").glob("*.py"))
CALL = """
import sys
from pathlib import Path
from vlmfrontier import command_line
def main():
{}
command_line.run(main)
"""


def call(code: str, redirection: str = "", **environment: str) -> subprocess.CompletedProcess:
    """Run `code` as the `main` of a script, by a shell that may redirect it."""
    program = CALL.format("\n".join(f"    {line}" for line in code.splitlines()))
    command = ["bash", "-o", "pipefail", "-c", f'"$0" -c "$1" {redirection}', sys.executable, program]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    "code",
    [
        "print('few')",  # written only as it ends
        "for i in range(100000): print(i)",
        "print('x' * 1000000, flush=True)",
        "for i in range(100000): print(i)\nsys.exit(0)",
    ],
)
@pytest.mark.parametrize("reader", ["| true", "| head -c 1 > /dev/null", "2>&1 | true"])
def test_a_reader_that_leaves_is_no_error(code: str, reader: str):
    done = call(f"import time\ntime.sleep(0.1)\n{code}", reader)
    assert done.stderr == ""
    assert done.returncode in (0, 141)


def test_a_broken_pipe_that_is_not_the_output_is_a_bug():
    done = call("import os\nreader, writer = os.pipe()\nos.close(reader)\nos.write(writer, b'x')")
    assert "Traceback" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("code", "redirection", "line"),
    [
        ("print('x')", "> /dev/full", "error: no space left on device; make room and call again"),
        ("sys.stdout.write('x')", "> /dev/full", "error: "),
        ("print('x' * 100000)", "> /dev/full", "error: no space left on device; make room and call again"),
        ("Path('/dev/full').write_text('x')", "", "error: no space left on device; make room and call again"),
        ("Path('/dev/null/x').write_text('x')", "", "error: /dev/null/x: not a directory; a folder was expected"),
        ("Path('/tmp').write_text('x')", "", "error: /tmp: is a directory; name a file"),
        ("Path('/tmp', 'x' * 300).write_text('x')", "", "error: /tmp/xxx"),
    ],
)
def test_a_disk_that_takes_nothing_is_one_line(code: str, redirection: str, line: str):
    done = call(code, redirection)
    assert done.stderr.startswith(line)
    assert len(done.stderr.splitlines()) == 1
    assert done.returncode == 1


def test_output_that_nobody_asked_for_is_no_error():
    done = call("print('x')", ">&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_lacks_a_letter_gets_another():
    done = call("print('→ α')", PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stdout) == (0, "\\u2192 \\u03b1\n")


def test_every_script_is_called_in_the_same_way():
    for name in SCRIPTS:
        text = (ROOT / "scripts" / name).read_text()
        assert "command_line.run(main)" in text or "run_job(" in text
        assert 'add_argument("--study"' not in text


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the results of two studies."""
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "digits-dev"):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "study.json").write_text(json.dumps({"study": name}))
    (tmp_path / "digits.yaml").write_text("study: digits")
    (tmp_path / "digits").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "name", ["digits", "results/digits", "results/digits/", "results/digits/study.json", "./results/../results/digits"]
)
def test_a_study_has_the_same_names_everywhere(results: Path, name: str):
    assert command_line.study_file(name).resolve() == results / "results/digits/study.json"
    assert command_line.study_file(str(results / "results/digits")) == results / "results/digits/study.json"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digit", "--study digit: no such study; did you mean 'digits'?"),
        ("results/digts/study.json", "did you mean 'digits'?"),
        ("digits.yaml", "--study digits.yaml: this is no resolved study; write the study's name"),
        ("", "--study : no such study; known: digits, digits-dev"),
        ("smoke", "--study smoke: no such study; known: digits, digits-dev"),
        ("x" * 300, "no such study"),
        ("../digits", "did you mean 'digits'?"),
        ("a\x00b", "no such study"),
    ],
)
def test_a_study_that_is_not_there_is_named_with_the_nearest(results: Path, name: str, message: str):
    with pytest.raises(UserError) as told:
        command_line.study_file(name)
    assert message in str(told.value)


def test_without_any_study_the_plan_is_the_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"run `snakemake plan` first"):
        command_line.study_file("digits")


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "tables").write_text("")
    with pytest.raises(SystemExit):
        command_line.run((tmp_path / "tables").mkdir)
    assert "tables: file exists; a file stands where a folder should be" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError):  # nobody foresaw it, and the output is not at fault
        command_line.run((tmp_path / "nowhere").read_text)


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        command_line.run(lambda: 1 / 0)


def test_the_snakefile_leaves_with_the_same_lines(tmp_path: Path):
    path = tmp_path / "study.yaml"
    path.write_text("study: tiny\nfinetun: {}\n")
    with pytest.raises(SystemExit) as left:
        study_or_exit([path], {})
    assert "error: study tiny: finetun = {}: unknown key; did you mean 'finetune'?" in str(left.value).splitlines()


def test_a_missing_starting_model_is_told_before_any_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "study.yaml"
    design = "{center: {N: m, T: 8, V: 16}, designs: {g: {design: grid, n: [400]}}}"
    path.write_text(f"study: tiny\nmodels: {{start: nowhere}}\nsweep: {design}\n")
    with pytest.raises(SystemExit, match=r"models\.start = 'nowhere': no m/model\.safetensors"):
        study_or_exit([path], {})
    study, runs, _ = study_or_exit([path], {"models": {"start": "null"}})  # as Snakemake's --config hands it over
    assert study.models.start is None
    assert list(runs) == ["N83.3k_T8_V16_n400_s0"]


def test_warm_is_for_one_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert job_command("a b.py", "s.json", warm=True) == "python 'a b.py' --warm --study s.json"
    assert job_command("fit", "s t.json") == "python -m vlmfrontier fit --study 's t.json'"
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert "--warm" not in job_command("a.py", "s.json", warm=True)


def test_jobs_find_this_python_and_this_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    for _ in range(2):  # Snakemake reads the Snakefile again in every job
        use_this_python("/repository")
    assert os.environ["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/bin"]
    assert os.environ["PYTHONPATH"] == "/repository/src"


TABLE = {"path": "points.csv", "factors": {"N": "params"}, "targets": {"loss": "loss"}}


def test_a_table_without_a_cost_has_no_frontier():
    assert frontier_tables(validate({"study": "own", "table": TABLE})) == ["checks"]


def test_a_table_without_data_size_has_no_elasticity():
    study = validate({"study": "own", "table": TABLE, "cost": {"expression": "N"}})
    assert frontier_tables(study) == ["frontier", "regret", "law_free", "checks"]
    with_data = validate({"study": "own", "table": {**TABLE, "data": "n"}, "cost": {"expression": "N"}})
    assert {"elasticity", "next_runs"} <= set(frontier_tables(with_data))


def test_a_table_of_two_factors_has_exponents_and_only_runs_have_answers_to_compare():
    two = {**TABLE, "factors": {"N": "params", "D": "tokens"}}
    study = validate({"study": "own", "table": two, "cost": {"expression": "6 * N * D"}})
    assert frontier_tables(study) == ["frontier", "regret", "law_free", "checks", "exponents"]
    assert frontier_tables(load_study([ROOT / "config.yaml"]))[-2:] == ["exponents", "differences"]


def test_shipped_forms_stand_from_fewest_terms_to_most():
    study = validate({"study": "own", "table": TABLE, "laws": {"forms": ["add-ceiling", "add", "mult"]}})
    assert study.laws.forms == ["mult", "add", "add-ceiling"]


@pytest.mark.parametrize("run", ["../../x", "nonsense", "/tmp/x", ""])
def test_a_run_that_is_not_planned_leaves_nothing_behind(tmp_path: Path, run: str):
    path = tmp_path / "results" / "digits" / "study.json"
    write_study(load_study([ROOT / "config.yaml"]), path)
    command = [sys.executable, str(ROOT / "scripts/evaluate.py"), "--study", str(path), "--run", run]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr.startswith(f"error: study digits plans no run {run!r}")
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["study.json"]
