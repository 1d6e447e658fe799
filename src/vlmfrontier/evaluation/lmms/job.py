"""What passes between a job and lmms-eval: the run's record, every question with its answer, and the files that
lmms-eval leaves, from which every question gets a score of 0 to 1, checked against lmms-eval's own aggregate.

lmms-eval runs in a Python of its own and knows nothing of runs. The job names a file in the environment variable
`JOB_VARIABLE`; the model reads there which weights, frames and tokens it answers with, and where to note its answers.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vlmfrontier.errors import UserError
from vlmfrontier.files import read_lines
from vlmfrontier.tasks import Benchmark, Measure

JOB_VARIABLE = "VLMFRONTIER_JOB"


@dataclass(frozen=True)
class AnswerJob:
    """How questions are answered; one record for training and evaluation says T, V and the weights."""

    model: str
    """Folder of the finetuned model."""
    weights: str
    """Hash of its weights, which answers are known by."""
    T: int
    """Frames per video."""
    V: int
    """Visual tokens per frame."""
    rule: dict[str, Any]
    """Where in a video frames are taken: the fields of `data.video.FrameRule`, as in the finetuning."""
    timeout: float
    """Seconds after which a video counts as unreadable."""
    precision: str
    """What is computed in, as in the finetuning."""
    max_new_tokens: int
    """Longest answer where a task does not say."""
    videos: str
    """Folder that names of videos are relative to."""
    answers: str
    """File that answers are appended to."""
    recorded: bool = False
    """Only give answers that are in that file; no weights are loaded."""
    prompts: str = ""
    """Hash of how the model is asked and when it stops; empty for answers that were given before it was kept."""
    beside: dict[str, int] = field(default_factory=dict)
    """Other numbers of tokens to answer with of the same frames, by the file that their answers are appended to: a call
    of lmms-eval with these finds them there."""

    @property
    def levels(self) -> "list[AnswerJob]":
        """This job, and one for each number of tokens beside its own."""
        return [replace(self, V=V, answers=answers, beside={}) for answers, V in self.beside.items()] + [self]

    def write(self, path: Path) -> Path:
        """Write the job to `path` and return it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2))
        return path

    @classmethod
    def read(cls, path: Path) -> "AnswerJob":
        """Return the job in a file."""
        return cls(**json.loads(path.read_text()))


@dataclass(frozen=True)
class GivenAnswer:
    """One question of a task and what the model said."""

    task: str
    """Task without subtasks, as lmms-eval names it."""
    doc_id: int
    """Position of the question in its data set."""
    video: str
    """File, relative to the folder of the benchmarks."""
    prompt: str
    """The question as the model was asked, without chat template and video."""
    answer: str
    """What it said; empty if the video could not be read."""
    weights: str
    """Hash of the weights that answered."""
    key: str
    """Hash of everything that decides the answer."""
    visual_tokens: int
    """Places of visual tokens in the prompt."""
    unreadable: str | None = None
    """Why the video could not be read."""


def environment_file(job: AnswerJob) -> Path:
    """Return the file in which the model notes what it ran in."""
    return Path(job.answers).with_name("environment.json")


def answer_key(job: AnswerJob, video: str, size: int, prompt: str, max_new_tokens: int) -> str:
    """Return what an answer is known by: weights, prompts, frames, tokens, video (name and bytes), question, longest
    answer."""
    parts = [job.weights, job.T, job.V, job.rule, job.precision, video, size, prompt, max_new_tokens]
    parts += [job.prompts] if job.prompts else []
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def read_answers(path: Path, weights: str) -> dict[tuple[str, int], GivenAnswer]:
    """Return the last answer that these weights gave to each question, by task and position."""
    return {(a.task, a.doc_id): a for a in _all_answers(path) if a.weights == weights}


def _all_answers(path: Path) -> Iterator[GivenAnswer]:
    for line in read_lines(path):
        yield GivenAnswer(**line)


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
