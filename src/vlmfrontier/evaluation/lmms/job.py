"""What passes between a job and our model inside lmms-eval: the run's record, and every question with its answer.

lmms-eval runs in a Python of its own and knows nothing of runs. The job names a file in the environment variable
`JOB_VARIABLE`; the model reads there which weights, frames and tokens it answers with, and where to note its answers.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vlmfrontier.files import read_lines

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
