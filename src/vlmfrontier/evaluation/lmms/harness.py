"""Run lmms-eval in its own Python, and read what it leaves: the command line, its environment, its files; and scores of
0 to 1 for every question, checked against its own aggregate.
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
from vlmfrontier.evaluation.lmms.job import JOB_VARIABLE, GivenAnswer
from vlmfrontier.progress import EVERY
from vlmfrontier.study.evaluation import LmmsEvalConfig
from vlmfrontier.tasks import Benchmark, Measure

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


class Output:
    """The files of one run of lmms-eval."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.results_file = max(folder.rglob("*_results.json"), default=None)

    @property
    def results(self) -> dict[str, Any]:
        """Everything in the results file."""
        return json.loads(self.results_file.read_text())

    def samples(self, leaf: str) -> list[dict[str, Any]]:
        """Return the logged samples of a task without subtasks, in the order of its data set."""
        files = sorted(self.folder.rglob(f"*_samples_{leaf}.jsonl"))
        if not files:
            return []
        lines = (json.loads(line) for line in files[-1].read_text(encoding="utf-8").splitlines())
        return sorted(lines, key=lambda sample: sample["doc_id"])

    def submission(self, begin: str) -> list[dict[str, Any]]:
        """Return the records of the file of ratings whose name begins so; none if there is none."""
        files = sorted(self.folder.glob(f"submissions/{begin}*.json"))
        return json.loads(files[-1].read_text()) if files else []


GivenAnswers = Mapping[tuple[str, int], GivenAnswer]
TOLERANCE = 1e-4
"""lmms-eval rounds one of its metrics to five digits."""


def score_task(
    name: str, benchmark: Benchmark, output: Output, answers: GivenAnswers, limited: bool = False
) -> list[dict[str, Any]]:
    """Return a record for every question and measure: id, task, measure, video, question, truth, answer, score.

    Questions about unreadable videos are left out, and of a `limited` trial those whose partner is not in it. Raises
    `UserError` if questions are missing, a score is not one of 0 to 1, or the scores disagree with what lmms-eval
    itself reports.
    """
    records = []
    for measure in benchmark.measures:
        scored = (
            _aggregated(measure, output, answers, limited) if measure.aggregated else _sampled(measure, output, answers)
        )
        _check(name, measure, output, scored)
        records += [{"task": name, **record} for record in scored if not record.pop("unreadable")]
    if not records:
        raise UserError(f"{name}: no video could be read")
    return records


def _sampled(measure: Measure, output: Output, answers: GivenAnswers) -> list[dict[str, Any]]:
    """Return the scores of a measure that every sample holds."""
    samples = output.samples(measure.leaf)
    _check_count(measure, output, len(samples), 1)
    records = []
    for sample in samples:
        answer = answers.get((measure.leaf, sample["doc_id"]))
        if answer is None:
            raise UserError(f"{measure.leaf}: question {sample['doc_id']} has no answer of this run; answer it again")
        if measure.metric not in sample:
            raise UserError(
                f"{measure.leaf}: samples have no {measure.metric!r}; this is not the lmms-eval of the pins"
            )
        records.append(_record(measure, answer, sample["target"], sample[measure.metric]))
    return records


def _aggregated(measure: Measure, output: Output, answers: GivenAnswers, limited: bool) -> list[dict[str, Any]]:
    """Return the scores of a measure that is rated over pairs of questions, only when lmms-eval aggregates."""
    rated = output.submission(measure.aggregated)
    if not limited:
        _check_count(measure, output, len(rated), 2)
    by_question = {(Path(a.video).stem, a.prompt): a for (leaf, _), a in answers.items() if leaf == measure.leaf}
    records = []
    for pair in rated:
        first = by_question.get((pair["video_name"], pair["Q1"]))
        if first is None:
            raise UserError(f"{measure.leaf}: no answer of this run to {pair['Q1']!r} about {pair['video_name']}")
        record = _record(measure, first, pair["A"], pair)
        records.append(record | {"answer": [pair["pred1"], pair["pred2"]], "question": [pair["Q1"], pair["Q2"]]})
    return records


def _record(measure: Measure, answer: GivenAnswer, truth: object, entry: object) -> dict[str, Any]:
    score = measure.score(entry)
    if not 0 <= score <= 1:
        raise UserError(f"{measure.leaf}: {measure.metric} of question {answer.doc_id} is {entry!r}, not of 0 to best")
    return {
        "id": f"{answer.task}/{answer.doc_id}",
        "measure": f"{measure.leaf}:{measure.metric}",
        "video": answer.video,
        "question": answer.prompt,
        "truth": truth,
        "answer": answer.answer,
        "score": score,
        "unreadable": answer.unreadable is not None,
    }


def _check_count(measure: Measure, output: Output, found: int, each: int) -> None:
    """Raise `UserError` unless there is a score for every `each` questions that lmms-eval says it asked."""
    counts = output.results.get("n-samples", {}).get(measure.leaf)
    if counts is None:
        raise UserError(f"{measure.leaf}: lmms-eval has no results of it")
    if found * each != counts["effective"]:
        raise UserError(f"{measure.leaf}: {found} scores of {counts['effective']} questions; evaluate the run again")


def _check(name: str, measure: Measure, output: Output, records: list[dict[str, Any]]) -> None:
    """Raise `UserError` unless the mean of the scores is what lmms-eval reports."""
    told = output.results["results"][measure.leaf].get(f"{measure.metric},none")
    counted = [r for r in records if not (measure.skips_empty and r["answer"] == "")]
    mean = sum(r["score"] for r in counted) / len(counted) if counted else 0.0
    if not isinstance(told, int | float) or abs(mean - told / measure.best) > TOLERANCE:
        raise UserError(
            f"{name}: {measure.leaf} reports {measure.metric} = {told!r}, its samples make {mean * measure.best:.6g}; "
            "this is not the lmms-eval of the pins (envs/constraints-lmms-eval.txt), or another task of the same name"
        )
