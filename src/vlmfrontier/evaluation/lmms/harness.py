"""Run lmms-eval in its own Python, on a node with network to fetch the data sets of its tasks: the command line, its
environment, what it says.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import vlmfrontier
from vlmfrontier.errors import UserError
from vlmfrontier.evaluation.lmms.job import JOB_VARIABLE, Output
from vlmfrontier.files import write_json
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.progress import EVERY
from vlmfrontier.study.evaluation import LmmsEvalConfig
from vlmfrontier.study.root import Study

SOURCE = Path(vlmfrontier.__file__).parents[1]
PLUGIN = "[lmms_eval.models]\nvlmfrontier = vlmfrontier.evaluation.lmms.plugin:manifest\n"
KEPT_LINES = 60


def python_of(settings: LmmsEvalConfig) -> Path:
    """Return the Python that has lmms-eval. Raises `UserError` if there is none."""
    python = Path(settings.python or sys.executable).absolute()
    if not python.exists():
        raise UserError(
            f"evaluate.lmms_eval.python = '{settings.python}': there is no such file; `make lmms-eval-env` builds that "
            "environment, docs/evaluation.md says how on a cluster"
        )
    if not python.with_name("lmms-eval").exists():
        raise UserError(
            f"evaluate.lmms_eval.python = '{settings.python}': lmms-eval is not installed there; "
            "`make lmms-eval-env` does it"
        )
    return python


def environment(
    settings: LmmsEvalConfig, benchmarks: Path, judge_address: str, job: Path, offline: bool = True
) -> dict[str, str]:
    """Return the environment variables of lmms-eval: this one's, its data, the relay for the judge, never a key.

    `benchmarks` becomes the home of Hugging Face's libraries; with `offline` they fetch nothing.
    """
    hidden = {settings.judge.key, "OPENAI_API_KEY", "VIRTUAL_ENV"}
    own = {key: value for key, value in os.environ.items() if key not in hidden}
    here = "127.0.0.1,localhost"
    own |= {
        **data_environment(benchmarks, offline),
        JOB_VARIABLE: str(job.absolute()),
        "API_TYPE": "openai",
        "OPENAI_API_URL": judge_address,
        "OPENAI_API_KEY": "none",
        "MODEL_VERSION": settings.judge.model,
        "NO_PROXY": ",".join(filter(None, [here, own.get("NO_PROXY")])),
        "no_proxy": ",".join(filter(None, [here, own.get("no_proxy")])),
        # The very package that this job runs; none is installed there.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(SOURCE), str(_registered(job)), own.get("PYTHONPATH")])),
        "PATH": os.pathsep.join([str(python_of(settings).parent), own.get("PATH", "")]),
        "PYTHONUNBUFFERED": "1",
        "TQDM_MININTERVAL": f"{EVERY:g}",  # its bars become lines of our log
    }
    return own


def _registered(job: Path) -> Path:
    """Write the metadata of a distribution beside `job` that has our model as its entry point; return its folder."""
    folder = job.absolute().with_name("plugin")
    metadata = folder / "vlmfrontier_in_lmms_eval-1.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: vlmfrontier-in-lmms-eval\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(PLUGIN)
    return folder


def data_environment(benchmarks: Path, offline: bool) -> dict[str, str]:
    """Return where Hugging Face's libraries keep data, the same for fetching and for offline jobs."""
    home = str(benchmarks.absolute())
    # Otherwise lmms-eval uses a folder of the node itself when `home` is on a shared file system.
    kept = {"HF_HOME": home, "LMMS_EVAL_DATASETS_CACHE": f"{home}/datasets", "HF_HUB_CACHE": f"{home}/hub"}
    if not offline:
        return kept
    # What asks the network all the same (Next-QA's task, for word lists) is refused at once and waits for nobody.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return kept | nowhere | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def command(settings: LmmsEvalConfig, tasks: Sequence[str], output: Path) -> list[str]:
    """Return the command line that tests our model on `tasks`, logging every sample below `output`."""
    program = str(python_of(settings).with_name("lmms-eval"))
    line = [program, "eval", "--model", "vlmfrontier", "--tasks", ",".join(tasks), "--batch_size", "1"]
    # One worker: where an answer names no option, tasks choose one at random, which several workers would do in turn.
    line += ["--log_samples", "--output_path", str(output), "--process-docs-parallel", "1", "--timezone", "UTC"]
    if settings.include_path is not None:
        line += ["--include_path", str(Path(settings.include_path).absolute())]
    if settings.limit is not None:
        line += ["--limit", str(settings.limit)]
    return line


def run(
    line: Sequence[str],
    variables: Mapping[str, str],
    output: Path,
    failed: Callable[[], str | None] = lambda: None,
) -> "Output":
    """Run lmms-eval, its lines passed on to our output, and return what it left in `output`, which is made anew.

    `failed` is asked twice a second and ends it by naming a reason. Raises `UserError` with that reason, or, if there
    are no results, with its last words: lmms-eval itself exits with 0 after most errors.
    """
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    process = subprocess.Popen(
        line,
        env=dict(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",  # a byte that is no text must not stop the reading, and with it lmms-eval
    )
    last: deque[str] = deque(maxlen=KEPT_LINES)
    reader = threading.Thread(target=_pass_on, args=(process.stdout, last), daemon=True)
    reader.start()
    reason = None
    try:
        while process.poll() is None and reason is None:
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                reason = failed()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    reader.join()
    if reason := reason or failed():
        raise UserError(reason)
    found = Output(output)
    if found.results_file is None:
        raise UserError(f"lmms-eval ended without results (status {process.returncode}): {_words(last)}")
    return found


def _pass_on(stream: Iterator[str], last: deque[str]) -> None:
    for text in stream:
        print(text, end="", flush=True)
        last.append(text)


def _words(lines: Sequence[str]) -> str:
    """Return the line that says why, as far as a line of a log can be known to."""
    text = [line.strip() for line in lines if line.strip()]
    if any("Model 'vlmfrontier' not found" in line for line in text):
        return "it could not import our model; its environment must have the packages of envs/constraints-lmms-eval.txt"
    told = [line for line in text if "Error" in line or "error" in line or "does not exist" in line]
    return (told or text or ["it said nothing"])[-1]


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
    line = [str(python_of(settings)), "-m", "vlmfrontier.evaluation.lmms.plugin", "--tasks", ",".join(names)]
    line += ["--output", str(found_file)]
    if settings.include_path is not None:
        line += ["--include-path", str(Path(settings.include_path).absolute())]
    if settings.limit is not None:
        line += ["--limit", str(settings.limit)]
    variables = environment(settings, home, "http://127.0.0.1:9", results.fetched, offline)
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
