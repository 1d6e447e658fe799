"""What scripts and the Snakefile do alike: mistakes without a traceback, commands, the Python of jobs."""

import os
import sys
from pathlib import Path

import pytest

from vlmfrontier import command_line
from vlmfrontier.errors import UserError
from vlmfrontier.study.load import validate
from vlmfrontier.workflow import frontier_files, richest_form, script_command, study_or_exit, use_this_python


def fail() -> None:
    raise UserError("first\nsecond")


def test_a_users_mistake_is_lines_on_stderr_and_status_2(capsys):
    with pytest.raises(SystemExit) as left:
        command_line.run(fail)
    assert left.value.code == 2
    assert capsys.readouterr().err == "error: first\nerror: second\n"


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
    study, runs = study_or_exit([path], {"models": {"start": "null"}})  # as Snakemake's --config hands it over
    assert study.models.start is None
    assert list(runs) == ["N83.3k_T8_V16_n400_s0"]


def test_warm_is_for_one_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert script_command("a b.py", "s.json", warm=True) == "python 'a b.py' --warm --study s.json"
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert "--warm" not in script_command("a.py", "s.json", warm=True)


def test_jobs_find_this_python_and_this_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    for _ in range(2):  # Snakemake reads the Snakefile again in every job
        use_this_python("/repository")
    assert os.environ["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/bin"]
    assert os.environ["PYTHONPATH"] == "/repository/src"


TABLE = {"path": "points.csv", "factors": {"N": "params"}, "targets": {"loss": "loss"}}


def test_a_table_without_a_cost_has_no_frontier():
    assert frontier_files(validate({"study": "own", "table": TABLE}), "results/own") == []


def test_a_table_without_data_size_has_no_elasticity():
    study = validate({"study": "own", "table": TABLE, "cost": {"expression": "N"}})
    assert frontier_files(study, "r") == ["r/frontier/loss.csv", "r/tables/regret.csv"]
    with_data = validate({"study": "own", "table": {**TABLE, "data": "n"}, "cost": {"expression": "N"}})
    assert "r/tables/elasticity.csv" in frontier_files(with_data, "r")


def test_the_richest_form_is_the_last_of_the_papers_list():
    study = validate({"study": "own", "table": TABLE, "laws": {"forms": ["add", "mult"]}})
    assert richest_form(study.laws) == "add"
