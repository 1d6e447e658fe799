"""What the evaluation of a run takes of a GPU: every video seen and read at each T and V, and the answers written."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from vlmfrontier.cluster.site import GIB, GpuSite, Site
from vlmfrontier.cost.training import BYTES, TrainingMemory
from vlmfrontier.files import read_record
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.evaluation import LmmsEvalConfig
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.resources import plan_training
from vlmfrontier.sweep.trainings import PlannedTraining, training_memory
from vlmfrontier.tasks import Benchmark


class Questions(NamedTuple):
    """What a study asks every run."""

    readings: int
    """Videos that are read, one for each question at most."""
    tokens: int
    """Tokens of all answers."""
    control: int = 0
    """Those of the videos that are read only at the model's own T and V."""
    batch: int = 1
    """Videos that a GPU reads at once."""
    packed: bool = False
    """Whether the questions are the digits study's own, which share a job with the training where jobs are shared."""


def asked(study: Study, results: Path | None = None, supposed: int = 0) -> Questions:
    """Return what every run of `study` is asked; the digits study's answers, a word or two at once, count as none.

    Of a benchmark whose number of questions nothing says, `supposed` questions.
    """
    evaluate = study.evaluate
    if evaluate.harness == "packed":
        videos = study.data.digits.test
        control = min(evaluate.control_videos, videos)
        return Questions(videos + control, 0, control, evaluate.batch_size, packed=True)
    counts = [
        (supposed if count is None else count, benchmark.answer_tokens)
        for _, benchmark, count in benchmark_questions(evaluate.lmms_eval, results)
    ]
    return Questions(sum(n for n, _ in counts), sum(n * tokens for n, tokens in counts))


def uncounted(study: Study, results: Path | None = None) -> list[str]:
    """Return the benchmarks whose number of questions nothing says, before their data is fetched."""
    if not study.trained or study.evaluate.harness == "packed":
        return []
    return [name for name, _, count in benchmark_questions(study.evaluate.lmms_eval, results) if count is None]


def benchmark_questions(settings: LmmsEvalConfig, results: Path | None) -> Iterator[tuple[str, Benchmark, int | None]]:
    """Yield every benchmark with how many questions are asked: of the fetched data, else as published or stated."""
    fetched = {} if results is None else read_record(ResultsFolder(results).fetched)
    for name, task in settings.tasks.items():
        benchmark, found = task.benchmark, fetched.get(name)
        count = found.get("questions") if isinstance(found, dict) else None
        count = count if isinstance(count, int) and count > 0 else benchmark.questions
        if settings.limit:  # which lmms-eval applies to each of its own tasks
            at_most = settings.limit * len({measure.leaf for measure in benchmark.measures})
            count = at_most if count is None else min(count, at_most)
        yield name, benchmark, count


def answering_hours(training: PlannedTraining, gpu: GpuSite, asked: Questions) -> float:
    """Return the GPU-hours of a run's evaluation on `gpu`: a pass of Eq. 1 for every question, every token written.

    At the rate that its training is expected to reach. An upper bound for reading: a video is read once for several
    questions. At other T and V than its own all is asked again, of what was seen once for each T. NaN if nothing is
    known to be asked.
    """
    if asked.readings == 0:
        return math.nan
    rate = gpu.peak(training.settings.precision) * gpu.mfu
    again, more = asked.readings - asked.control, training.tested
    seen, read = training.forward(training.T, training.V)
    flops = asked.readings * (seen + read) + again * sum(training.forward(T, V)[1] for T, V in more)
    flops += again * sum(training.forward(T, training.V)[0] for T in {T for T, _ in more} - {training.T})
    return (flops / rate + asked.tokens * (1 + len(more)) * gpu.token_seconds) / 3600


def evaluation_gpu(training: PlannedTraining, site: Site, asked: Questions) -> GpuSite:
    """Return the GPU of `site` that evaluates a run: the cheapest of those whose memory holds it, else the roomiest.

    Without prices the one with the least memory, which leaves the larger ones to trainings. Where small runs share jobs
    (`pack`), the GPU on which it has just been finetuned.
    """
    if len(site.gpu) == 1:
        return site.gpu[0]
    if site.pack.runs > 1 and asked.packed:
        return plan_training(training, site).on
    needed = answering_bytes(training, asked.batch)
    roomy = [gpu for gpu in site.gpu if needed <= gpu.memory * GIB]
    if not roomy:
        return max(site.gpu, key=lambda gpu: gpu.memory)
    if any(gpu.price is None for gpu in roomy):
        return min(roomy, key=lambda gpu: gpu.memory)
    least = asked._replace(readings=max(asked.readings, 1))
    return min(roomy, key=lambda gpu: gpu.price * answering_hours(training, gpu, least))


def answering_bytes(training: PlannedTraining, batch: int) -> float:
    """Return the bytes on one GPU that an evaluation takes at most: weights, their copy in 16 bits, and the widest
    layer of each example of a batch."""
    alone = replace(training, gpus=1, nodes=1)
    memory = training_memory(alone, batch, checkpointing=True, keeps=False)
    weights = BYTES * sum(training.parameters.values())
    return TrainingMemory(weights, 0.0, 0.0, memory.activations, memory.gathered).total
