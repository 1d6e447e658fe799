"""What the evaluation of a run takes of a GPU: seeing and reading every video, and writing the answers."""

import math
from typing import NamedTuple

from vlmfrontier.cluster.site import Site
from vlmfrontier.study.evaluation import UNKNOWN_QUESTIONS
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.placement import finetuning
from vlmfrontier.sweep.runs import Run


class Asked(NamedTuple):
    """What a study asks every run."""

    readings: int
    """Videos that are read, one for each question at most."""
    tokens: int
    """Tokens of all answers."""


def asked(study: Study) -> Asked:
    """Return what every run of `study` is asked; the digits study's answers, a word or two at once, count as none."""
    evaluate, limit = study.evaluate, study.evaluate.lmms_eval.limit
    if evaluate.harness == "packed":
        videos = study.data.digits.test
        return Asked(videos + min(evaluate.control_videos, videos), 0)
    benchmarks = [task.benchmark for task in evaluate.lmms_eval.tasks.values()]
    counts = [(min(limit or math.inf, b.questions or UNKNOWN_QUESTIONS), b.answer_tokens) for b in benchmarks]
    return Asked(sum(n for n, _ in counts), sum(n * tokens for n, tokens in counts))


def answering_hours(study: Study, run: Run, site: Site) -> float:
    """Return the GPU-hours of one run's evaluation: a pass of Eq. 1 for every question, and every token written.

    On one GPU of `site`, at the rate that a training is expected to reach. An upper bound for reading: a video is read
    once for several questions.
    """
    readings, tokens = asked(study)
    rate = site.gpu.peak(study.finetune.precision) * site.gpu.mfu
    return (readings * sum(finetuning(study, run).forward) / rate + tokens * site.gpu.token_seconds) / 3600
