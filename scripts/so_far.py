"""A frontier from the runs that are finished, while others train: python scripts/so_far.py --study digits

Collects, fits, searches and reports as the workflow does at its end, into results/<study>/so_far/, whose runs are those
of the study. It touches nothing else and submits nothing, so a Snakemake under way goes on. What too few runs cannot
tell is said by the step that needs it, and the report is written with what there is. With --target, laws and frontier
of that target alone, in a tenth of the time.
"""

import json
import subprocess
import sys
from pathlib import Path

from vlmfrontier import command_line
from vlmfrontier.errors import UserError, did_you_mean
from vlmfrontier.files import write_json
from vlmfrontier.study.load import read_study
from vlmfrontier.study.root import Study
from vlmfrontier.workflow import frontier_files

SHARED = ("runs", "data", "models")
"""Folders of the study that its copy reads."""


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    parser.add_argument("--target", help="what to look at alone: a task, or avg")
    given = parser.parse_args()
    study = read_study(given.study)
    if not study.trained:
        raise UserError(f"study {study.study}: its table is there as a whole; nothing is under way")
    if given.target not in (None, *study.targets()):
        raise UserError(f"--target {given.target}: no such target; {did_you_mean(given.target, study.targets())}")
    finished = len(list(given.study.parent.glob("runs/*/result.json")))
    if not finished:
        raise UserError(
            f"study {study.study}: no run has a result yet; see python scripts/status.py --study {given.study}"
        )
    copy = copy_of(given.study)
    print(f"study {study.study}: {finished} finished runs → {copy.parent}")
    for command in commands(study, copy, given.target):
        print(f"— {' '.join(command)}", flush=True)
        script = Path(__file__).with_name(command[0])
        status = subprocess.run([sys.executable, script, f"--study={copy}", *command[1:]], check=False).returncode
        if status and command[0] == "collect.py":
            sys.exit(status)
    print(f"ask: python scripts/query.py --study {copy.parent} --target {given.target or study.main_target} --budget …")


def copy_of(study_json: Path) -> Path:
    """Return the study's file in its folder so_far/, made anew, where unfinished runs are left out."""
    folder = study_json.parent / "so_far"
    folder.mkdir(exist_ok=True)
    for name in SHARED:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(Path("..") / name)
    content = json.loads(study_json.read_text())
    content["execution"]["without_failed"] = True
    write_json(folder / study_json.name, content)
    return folder / study_json.name


def commands(study: Study, copy: Path, target: str | None = None) -> list[list[str]]:
    """Return the steps after the runs, each a script with its arguments, in their order."""
    tables = {Path(file).stem for file in frontier_files(study, str(copy.parent)) if "/tables/" in file}
    if target is not None:
        frontier = [["frontier.py", "--target", target]] if tables else []
        return [["collect.py"], ["fit.py", "--target", target], *frontier]
    extra = [[f"{name}.py"] for name in ("elasticity", "regret", "vision_share") if name in tables]
    return [
        ["collect.py"],
        *(["fit.py", "--target", name] for name in study.targets()),
        ["compare_forms.py", "--tables", "forms"],
        *([["frontier.py"], *extra] if tables else []),
        ["checks.py"],
        ["profile_law.py", "--target", study.main_target],
        ["figures.py"],
        ["report.py"],
        *([["explorer.py"]] if tables else []),
    ]


if __name__ == "__main__":
    command_line.run(main)
