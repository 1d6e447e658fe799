"""Fetch the data sets of the benchmarks on a node with network, and see that they are whole."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlmfrontier.errors import UserError
from vlmfrontier.evaluation.lmms import harness
from vlmfrontier.files import write_json
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.evaluation import LmmsEvalConfig
from vlmfrontier.study.root import Study


def fetch(study: Study, results: ResultsFolder, offline: bool = False) -> dict[str, Any]:
    """Have lmms-eval fetch all data sets of the study's tasks; write `data/benchmarks.json` and return it.

    With `offline` nothing is fetched, only looked at. Raises `UserError` if fetching fails, a data set has another
    number of questions than it should, or too many of its videos are missing.
    """
    settings, home = study.evaluate.lmms_eval, results.benchmarks(study.evaluate)
    home.mkdir(parents=True, exist_ok=True)
    results.fetched.parent.mkdir(parents=True, exist_ok=True)
    found_file = home.absolute() / f"found-{study.study}.json"
    found_file.unlink(missing_ok=True)
    names = [name for task in settings.tasks.values() for name in task.tasks]
    line = [str(harness.python_of(settings)), "-m", "vlmfrontier.evaluation.lmms.data", "--tasks", ",".join(names)]
    line += ["--output", str(found_file)]
    if settings.include_path is not None:
        line += ["--include-path", str(Path(settings.include_path).absolute())]
    if settings.limit is not None:
        line += ["--limit", str(settings.limit)]
    variables = harness.environment(settings, home, "http://127.0.0.1:9", results.fetched, offline)
    status = subprocess.run(line, env=variables, check=False).returncode
    if status or not found_file.exists():
        raise UserError(f"fetching the benchmarks into {home} ended with status {status}; the lines above say why")
    settle_links(home)
    found = json.loads(found_file.read_text())
    summary = {name: _of_task(settings, name, found) for name in settings.tasks}
    write_json(results.fetched, summary)
    return summary


def settle_links(home: Path) -> None:
    """Make a folder of links out of every link to a folder in `home`.

    lmms-eval removes and makes such a link (MVBench's) again whenever it runs, which jobs side by side do not survive.
    A folder it leaves alone.
    """
    for link in [path for path in home.iterdir() if path.is_symlink() and path.is_dir()]:
        target = link.resolve()
        link.unlink()
        link.mkdir()
        for entry in target.iterdir():
            (link / entry.name).symlink_to(entry)


def _of_task(settings: LmmsEvalConfig, name: str, found: Mapping[str, Any]) -> dict[str, int]:
    """Return questions, videos and missing videos of a task. Raises `UserError` if they are not what they should be."""
    benchmark = settings.tasks[name].benchmark
    parts = {leaf: found[leaf] for leaf in dict.fromkeys(measure.leaf for measure in benchmark.measures)}
    total = {key: sum(part[key] for part in parts.values()) for key in ("questions", "videos", "missing")}
    if benchmark.questions not in (None, total["questions"]):
        raise UserError(
            f"{name}: the data set has {total['questions']} questions, not {benchmark.questions}; if that is right, "
            f"write them into evaluate.lmms_eval.tasks.{name}.questions"
        )
    if total["missing"] > settings.unreadable * total["videos"]:
        first = next(video for part in parts.values() for video in part["first"])
        raise UserError(
            f"{name}: {total['missing']} of {total['videos']} videos are missing, first {first}; docs/evaluation.md "
            "says which sets must be asked for by hand"
        )
    return total
