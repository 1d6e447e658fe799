"""What the evaluation of a run takes of a GPU: seeing and reading every video, and writing the answers."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from vlmfrontier.cluster.site import GIB, GpuSite, Site
from vlmfrontier.cost.training import BYTES, TrainingMemory
from vlmfrontier.files import read_record
from vlmfrontier.study.evaluation import UNKNOWN_QUESTIONS
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.placement import Training, finetuning, place, training_memory
from vlmfrontier.sweep.runs import Run
from vlmfrontier.tasks import Benchmark


class Asked(NamedTuple):
    """What a study asks every run."""

    readings: int
    """Videos that are read, one for each question at most."""
    tokens: int
    """Tokens of all answers."""


def asked(study: Study, results: Path | None = None, supposed: int = 0) -> Asked:
    """Return what every run of `study` is asked; the digits study's answers, a word or two at once, count as none.

    Of a benchmark whose number of questions nothing says, `supposed` questions.
    """
    evaluate = study.evaluate
    if evaluate.harness == "packed":
        videos = study.data.digits.test
        return Asked(videos + min(evaluate.control_videos, videos), 0)
    counts = [
        (supposed if count is None else count, benchmark.answer_tokens)
        for _, benchmark, count in benchmark_questions(study, results)
    ]
    return Asked(sum(n for n, _ in counts), sum(n * tokens for n, tokens in counts))


def uncounted(study: Study, results: Path | None = None) -> list[str]:
    """Return the benchmarks whose number of questions nothing says, before their data is fetched."""
    if not study.trained or study.evaluate.harness == "packed":
        return []
    return [name for name, _, count in benchmark_questions(study, results) if count is None]


def benchmark_questions(study: Study, results: Path | None) -> Iterator[tuple[str, Benchmark, int | None]]:
    """Yield every benchmark with how many questions are asked: of the fetched data, else as published or stated."""
    settings = study.evaluate.lmms_eval
    fetched = {} if results is None else read_record(results / "data" / "benchmarks.json")
    for name, task in settings.tasks.items():
        benchmark, found = task.benchmark, fetched.get(name)
        count = found.get("questions") if isinstance(found, dict) else None
        count = count if isinstance(count, int) and count > 0 else benchmark.questions
        if settings.limit:  # which lmms-eval applies to each of its own tasks
            at_most = settings.limit * len({measure.leaf for measure in benchmark.measures})
            count = at_most if count is None else min(count, at_most)
        yield name, benchmark, count


def answering_hours(
    study: Study, run: Run, site: Site, results: Path | None = None, supposed: int = UNKNOWN_QUESTIONS
) -> float:
    """Return the GPU-hours of one run's evaluation: a pass of Eq. 1 for every question, and every token written.

    On the GPU of `site` where it runs, at the rate that a training is expected to reach. An upper bound for reading: a
    video is read once for several questions. NaN if nothing is known to be asked.
    """
    readings, tokens = asked(study, results, supposed)
    if readings == 0:
        return math.nan
    training = finetuning(study, run)
    return _hours_on(evaluated_on(study, run, site, results, training), training, readings, tokens)


def _hours_on(gpu: GpuSite, training: Training, readings: int, tokens: int) -> float:
    rate = gpu.peak(training.settings.precision) * gpu.mfu
    return (readings * sum(training.forward) / rate + tokens * gpu.token_seconds) / 3600


def evaluated_on(
    study: Study, run: Run, site: Site, results: Path | None = None, training: Training | None = None
) -> GpuSite:
    """Return the GPU of `site` that evaluates `run`: the cheapest of those whose memory holds it, else the roomiest.

    Without prices the one with the least memory, which leaves the larger ones to trainings. Where small runs share jobs
    (`pack`), the GPU on which it has just been finetuned.
    """
    if len(site.gpu) == 1:
        return site.gpu[0]
    if site.pack.runs > 1 and study.evaluate.harness == "packed":
        return place(study, run, site).on
    training = training or finetuning(study, run)
    needed = answering_bytes(study, training)
    roomy = [gpu for gpu in site.gpu if needed <= gpu.memory * GIB]
    if not roomy:
        return max(site.gpu, key=lambda gpu: gpu.memory)
    if any(gpu.price is None for gpu in roomy):
        return min(roomy, key=lambda gpu: gpu.memory)
    readings, tokens = asked(study, results, UNKNOWN_QUESTIONS)
    return min(roomy, key=lambda gpu: gpu.price * _hours_on(gpu, training, max(readings, 1), tokens))


def answering_bytes(study: Study, training: Training) -> float:
    """Return the bytes on one GPU that an evaluation takes at most: weights, their copy in 16 bits, and the widest
    layer of each example of a batch."""
    batch = study.evaluate.batch_size if study.evaluate.harness == "packed" else 1
    alone = replace(training, gpus=1, nodes=1)
    memory = training_memory(alone, batch, checkpointing=True, keeps=False)
    weights = BYTES * sum(training.parameters.values())
    return TrainingMemory(weights, 0.0, 0.0, memory.activations, memory.gathered).total
