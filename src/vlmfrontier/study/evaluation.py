"""Configuration of the evaluation."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from vlmfrontier.errors import did_you_mean
from vlmfrontier.study.base import Few, Named, Natural, Number, Positive, Section
from vlmfrontier.study.files import InputFile
from vlmfrontier.study.space import VideoLevels
from vlmfrontier.tasks import BENCHMARKS, PAPER_TASKS, Benchmark, own_benchmark

UNKNOWN_QUESTIONS = 500
"""Of a benchmark of one's own, whose number nobody has stated: what a job asks time for, about as many as the smallest
of the paper has. The plan says no hours then."""


class TaskConfig(Section):
    """A task of lmms-eval, or one of your own in its format."""

    tasks: list[str] = Field(min_length=1)
    """What lmms-eval calls it: one name, or those whose mean is the task."""
    metric: str | None = None
    """Metric of a task that is not one of Table 5's, as its YAML names it."""
    best: Annotated[Number, Field(gt=0)] | None = None
    """Value of that metric when every answer is right: 1, 100, a judge's 5."""
    judged: bool = False
    """Whether that task asks a judge, whose reply must be a map with a number `score` of 0 to 5."""
    questions: Positive | None = None
    """Questions that its data set must have; null: as many as were published, or as it has, for one of your own."""

    @model_validator(mode="after")
    def _known_or_described(self) -> "TaskConfig":
        known = self.tasks[0] in BENCHMARKS and len(self.tasks) == 1
        if known and (self.metric or self.best or self.judged):
            raise ValueError(f"metric, best and judged of {self.tasks[0]} are known; take them out")
        if not known and (self.metric is None or self.best is None):
            near = did_you_mean(self.tasks[0], list(BENCHMARKS))
            raise ValueError(f"metric and best are needed, as {self.tasks[0]} is none of the known tasks; {near}")
        return self

    @property
    def benchmark(self) -> Benchmark:
        """What is measured, and how."""
        if self.metric is None:
            known = BENCHMARKS[self.tasks[0]]
            return replace(known, questions=self.questions or known.questions)
        return own_benchmark(self.tasks, self.metric, float(self.best), self.judged, self.questions)


def _short(entry: object) -> object:
    """Return `{"tasks": [name]}` for a bare name."""
    return {"tasks": [entry]} if isinstance(entry, str) else entry


class JudgeConfig(Section):
    """The language model that scores open answers, at an address that speaks OpenAI's chat completions."""

    url: str = "https://api.openai.com/v1"
    """Address, with or without /chat/completions; a vLLM server of your own: http://node7:8000/v1."""
    model: str = "gpt-4o-mini"
    """Name by which the server knows the judge. Another judge gives other scores, so all runs are scored again."""
    key: str | None = "OPENAI_API_KEY"
    """Environment variable that holds the API key, never the key itself; null: the server wants none."""
    timeout: Annotated[Number, Field(gt=0)] = 60.0
    """Seconds to wait for a reply."""
    retries: Annotated[int, Field(ge=0, le=100)] = 6
    """How often a request is tried again, after 1, 2, 4, … seconds (or as the server asks), before the job fails."""
    concurrency: Few = 16
    """Requests under way at a time; the eight tasks have about 15,000 for every run."""
    local: bool = True
    """On a cluster, ask from the node that runs Snakemake, where there is network; false: from a CPU job."""


class LmmsEvalConfig(Section):
    """Evaluation by lmms-eval, in an environment of its own (docs/evaluation.md)."""

    tasks: Annotated[dict[str, Annotated[TaskConfig, BeforeValidator(_short)]], Field(min_length=1), Named] = Field(
        default={name: TaskConfig(tasks=[task]) for name, task in PAPER_TASKS.items()}
    )
    """Tasks by the names that tables and figures use. The default: the eight of the paper's Table 5."""
    python: InputFile | None = ".venv-lmms-eval/bin/python"
    """Python of the environment that holds lmms-eval; null: the Python that runs the job."""
    benchmarks: InputFile | None = None
    """Folder for the tasks' data sets and videos, several hundred GB, which studies can share; null:
    results/<study>/data/benchmarks."""
    include_path: InputFile | None = None
    """Folder with task files (YAML) of your own."""
    limit: Positive | None = None
    """Questions per task, to try things out; null: all."""
    unreadable: Annotated[float, Field(ge=0, lt=1)] = 0.005
    """Share of a task's videos that may be missing or broken. Their questions are left out and counted; more is an
    error."""
    judge: JudgeConfig = JudgeConfig()
    """Who scores open answers."""


class EvaluateConfig(Section):
    """How a finetuned model is tested."""

    harness: Literal["packed", "lmms-eval"] = "packed"
    """`packed`: the digits study's own questions, all those of a video at once. `lmms-eval`: published benchmarks."""
    lmms_eval: LmmsEvalConfig = LmmsEvalConfig()
    """Tasks, environment and judge, where the harness is lmms-eval."""
    batch_size: Positive = 50
    """Videos per batch of `packed`; changes memory and speed, not results beyond rounding."""
    control_videos: Natural = 100
    """Videos of the wrong-video control of `packed`: questions answered while another video is shown; 0 leaves the
    control out."""
    also: VideoLevels | Literal["all"] | None = None
    """Where every finetuned model is tested besides its own T and V: {T: [1, 2, 4, 8], V: [4, 9, 16]}, those levels
    that are not above its own; all: every T and V of the sweep. Each is a row of runs.csv (docs/ladder.md)."""
    keep_answers: Literal["own", "all"] = "own"
    """Whose answers are kept question by question: `own`, of a model at its own T and V; `all`, also at every other
    that it is tested at, which takes as much disk for each. What test videos add to an error is kept of all."""
    max_new_tokens: Positive = 20
    """Longest generated answer, where the task does not say; the longest true caption of the digits study has 15
    words."""

    @property
    def tasks(self) -> list[str] | None:
        """Names of the benchmarks; None where the data itself has the questions."""
        return None if self.harness == "packed" else list(self.lmms_eval.tasks)

    @property
    def fewest_questions(self) -> int | None:
        """Questions of the smallest benchmark, as far as known; None where the data itself has the questions."""
        if self.harness == "packed":
            return None
        known = [task.benchmark.questions for task in self.lmms_eval.tasks.values() if task.benchmark.questions]
        return min([self.lmms_eval.limit or UNKNOWN_QUESTIONS, *known])
