"""The tasks that runs are tested on, without torch: those of the digits study, and the benchmarks of lmms-eval.

`BENCHMARKS` is the one table between lmms-eval's results and errors on 0–100: where the metric stands, its best value,
and what one answer is worth. Keys and scales were read in the tasks of lmms-eval 0.7.3.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    """One kind of question and the factor it stresses."""

    name: str
    kind: str
    """`open` (exact match), `choice` (likelihood of four options) or `caption` (facts stated)."""
    long_video: bool
    """The answer rests on a moment that few frames may miss."""
    stresses: str

    @property
    def options(self) -> int | None:
        """How many answers there are to guess among; None where the answer is open."""
        return 4 if self.kind == "choice" else None


DIGITS_TASKS = (
    Task("glyph", "open", False, "V: read one digit in one cell"),
    Task("sum", "open", False, "N and V: find two digits and add them"),
    Task("largest", "choice", False, "N and V: compare up to four digits, answer with a place"),
    Task("order", "choice", True, "T: which red digit came first or last"),
    Task("count", "open", False, "V: count the yellow digits"),
    Task("rare", "open", True, "T: a digit that may be there for a single frame"),
    Task("end", "choice", True, "T and N: where the square is at the very end"),
    Task("caption", "caption", False, "all: tell everything"),
)
"""What is asked about each of the digits study's videos, in this order."""

Entry = Any
"""What lmms-eval logs for one question under the name of a metric: a number, a truth value, or a map."""


def field_score(best: float, name: str = "score") -> Callable[[Entry], float]:
    """Return a function that gives an entry's `name`, or the entry itself if it is no map, as a share of `best`."""
    return lambda entry: float(entry[name] if isinstance(entry, Mapping) else entry) / best


def field_equals(name: str, value: str) -> Callable[[Entry], float]:
    """Return a function that gives 1 to an entry whose `name` is `value`, else 0."""
    return lambda entry: float(entry[name] == value)


def fields_agree(one: str, other: str) -> Callable[[Entry], float]:
    """Return a function that gives 1 to an entry whose two fields are equal, else 0."""
    return lambda entry: float(entry[one] == entry[other])


@dataclass(frozen=True)
class Measure:
    """One metric of one task without subtasks."""

    leaf: str
    """The task, as lmms-eval names its file of samples."""
    metric: str
    """Key in the results (`<metric>,none`) and in every sample."""
    best: float
    """Value of the metric when every answer is right."""
    score: Callable[[Entry], float]
    """From a sample's entry to a score of 0 to 1."""
    skips_empty: bool = False
    """lmms-eval leaves empty answers out of this metric; here they are wrong."""
    aggregated: str | None = None
    """Begin of the name of the file that holds the scores where lmms-eval rates only when it aggregates."""


@dataclass(frozen=True)
class Benchmark:
    """A task as one asks lmms-eval for it. Its error is the mean over its measures."""

    measures: tuple[Measure, ...]
    judged: bool = False
    """Whether a judge rates the answers."""
    questions: int | None = None
    """Questions of its data set."""
    answer_tokens: int = 2
    """Tokens of a usual answer, for the plan: a letter and its end; for open answers a guess."""
    options: int | None = None
    """How many answers every question has to guess among; None where the answer is open, or where that differs."""


MVBENCH = [
    "action_sequence",
    "moving_count",
    "action_prediction",
    "episodic_reasoning",
    "action_antonym",
    "action_count",
    "scene_transition",
    "object_shuffle",
    "object_existence",
    "fine_grained_pose",
    "unexpected_action",
    "moving_direction",
    "state_change",
    "object_interaction",
    "character_order",
    "action_localization",
    "counterfactual_inference",
    "fine_grained_action",
    "moving_attribute",
    "egocentric_navigation",
]

_CONSISTENCY = Measure(
    "videochatgpt_consistency",
    "gpt_eval_score_consistency",
    5,
    field_score(5),
    aggregated="gpt_eval_result_videochatgpt_consistency",
)

BENCHMARKS: dict[str, Benchmark] = {
    "video_dc499": Benchmark((Measure("video_dc499", "gpt_eval_score", 5, field_score(5)),), True, 499, 300),
    "activitynetqa": Benchmark(
        (Measure("activitynetqa", "gpt_eval_accuracy", 100, field_equals("Correctness", "yes")),),
        True,
        8000,
        10,
    ),
    "videochatgpt": Benchmark(
        (
            Measure("videochatgpt_gen", "gpt_eval_score_correctness", 5, field_score(5)),
            Measure("videochatgpt_gen", "gpt_eval_score_detailed_orientation", 5, field_score(5)),
            Measure("videochatgpt_gen", "gpt_eval_score_context", 5, field_score(5)),
            Measure("videochatgpt_temporal", "gpt_eval_score_temporal", 5, field_score(5)),
            _CONSISTENCY,
        ),
        True,
        1996 + 499 + 2 * 499,
        100,
    ),
    "longvideobench_val_v": Benchmark(
        (Measure("longvideobench_val_v", "lvb_acc", 1, fields_agree("parsed_pred", "answer")),), questions=1337
    ),
    "perceptiontest_val_mc": Benchmark(
        (Measure("perceptiontest_val_mc", "accuracy", 1, field_score(1, "correct")),), questions=19140, options=3
    ),
    "mvbench": Benchmark(
        tuple(
            Measure(f"mvbench_{name}", "mvbench_accuracy", 100, field_score(1), skips_empty=True) for name in MVBENCH
        ),
        questions=4000,
    ),
    "videomme": Benchmark(
        (Measure("videomme", "videomme_perception_score", 100, field_score(1)),), questions=2700, options=4
    ),
    "nextqa_mc_test": Benchmark(
        (Measure("nextqa_mc_test", "exact_match", 1, field_score(1)),), questions=8564, options=5
    ),
}
"""The eight tasks of the paper's Table 5, by lmms-eval's names."""

PAPER_TASKS = {
    "VDC": "video_dc499",
    "AQA": "activitynetqa",
    "VCG": "videochatgpt",
    "LVB": "longvideobench_val_v",
    "PT": "perceptiontest_val_mc",
    "MV": "mvbench",
    "VMME": "videomme",
    "NQA": "nextqa_mc_test",
}
"""The paper's abbreviations."""


def own_benchmark(tasks: list[str], metric: str, best: float, judged: bool, questions: int | None) -> Benchmark:
    """Return a benchmark that is not in the table: tasks whose samples hold a number, or a map with `score`."""
    measures = tuple(Measure(task, metric, best, field_score(best)) for task in tasks)
    return Benchmark(measures, judged, questions)
