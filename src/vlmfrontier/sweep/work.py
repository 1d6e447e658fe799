"""Hours of what is neither finetuning nor evaluation of a run: data, pretraining, rating, fits; for their jobs' limits.

A job asks for twice its hours (`limit_minutes`), so the rates are typical ones, measured where a comment says so. They
decide no result: too short a limit costs an attempt, each further one is given twice the time.
"""

import os
from pathlib import Path

from vlmfrontier.cluster.site import GpuSite
from vlmfrontier.cost.flops import vision_cost
from vlmfrontier.cost.training import BACKWARD
from vlmfrontier.study.evaluation import UNKNOWN_QUESTIONS
from vlmfrontier.study.laws import LawsConfig
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.answering import benchmark_questions
from vlmfrontier.sweep.placement import DIGITS_TEXT

DIGITS_VIDEO_SECONDS = 0.05
"""Of one core, to draw and encode a generated video: 64 took 3 s of a shared core."""
VIDEO_SECONDS, ALL_FRAMES_SECONDS = 0.7, 2.3
"""Of one core, to look into a real video: three frames of the slowest kind in docs/data.md, or every frame."""
RECORD_SECONDS = 1e-4
"""Of one core, to read and write a record: 1,200,000 took 40 s."""
RECORD_BYTES = 500
"""Of one record in an annotations file, at least: how many there may be where nothing counts them."""
STEP_SECONDS = 0.07
"""Of a step of the digits study's pretraining, however fast the GPU: 101,000 steps take a laptop two hours."""
FRAMES = 32
"""Of a generated video."""
REPLY_SECONDS = 10.0
"""Of a judge, for one answer; several are asked at a time."""
SCORE_SECONDS = 0.01
"""To score an answer without a judge."""
FIT_SECONDS = {"fast": 4e-3, "wide": 4e-3, "exhaustive": 1e-2}
"""Of one core, for a row of one fit: of 63 rows 0.1 s a resample, about half of this, whatever the starts up to 500."""
SCIPY_SECONDS = 1.0
"""The same of the `scipy` backend: some minutes a fit."""
USUAL_STARTS = 500
COMPILING_SECONDS = 60.0
"""Until the first fit: 30 s of one core."""
FITS = 40
"""Of one form besides its resamples: folds, extrapolation, rows left out, profiles."""
ABLATIONS = 12
"""Settings that the ablation tables compare, each like the fit of one form."""
GENERATED_TOKENS = 640
"""Longest batch of the digits study's stage 1, per example."""


def preparation_hours(study: Study, split: str, cores: int) -> float:
    """Return the hours in which `cores` cores make a split of generated videos, or look into all of a real one."""
    data = study.data
    if data.source == "digits":
        videos = {"train": data.digits.train, "test": data.digits.test}.get(split, study.pretrain.align.videos)
        return videos * DIGITS_VIDEO_SECONDS / cores / 3600
    records = sum(source.count or _records_in(source.files) for source in data.sources(split))
    if split == "train":
        records = max([records, *(n for design in study.sweep.designs.values() for n in _sizes(design))])
    each = VIDEO_SECONDS if data.llava.checked_frames else ALL_FRAMES_SECONDS
    return records * (each / cores + RECORD_SECONDS) / 3600


def _sizes(design: object) -> list[int]:
    return list(getattr(design, "n", None) or [])


def _records_in(files: list[str]) -> int:
    return sum(os.path.getsize(file) for file in files if os.path.isfile(file)) // RECORD_BYTES


def pretraining_hours(study: Study, stage: str, gpu: GpuSite, language: str = "") -> float:
    """Return the hours on one GPU of a `stage` of the digits study's pretraining: vision, language, encode or align."""
    settings, tower = study.pretrain, study.models.vision
    frame = float(vision_cost(1, tower.parameters, tower.features))
    of_token = 2.0 * study.models.language[language].N if language else 0.0
    transcript = settings.language.transcript_length + DIGITS_TEXT[0]
    flops, steps, section = {
        "vision": (frame, settings.vision.steps, settings.vision),
        "language": (of_token * transcript, settings.language.steps, settings.language),
        "encode": (frame * FRAMES / BACKWARD, settings.align.videos, None),
        "align": (of_token * (GENERATED_TOKENS + DIGITS_TEXT[0]), settings.align.steps, settings.align),
    }[stage]
    batch = section.batch_size if section else 1
    rate = gpu.peak(section.precision if section else "fp32") * gpu.mfu
    return steps * (STEP_SECONDS + BACKWARD * flops * batch / rate) / 3600


def rating_hours(study: Study, results: Path | None = None) -> float:
    """Return the hours in which a job rates and scores the answers of one run to all benchmarks."""
    judge = study.evaluate.lmms_eval.judge
    judged = other = 0
    for _, benchmark, known in benchmark_questions(study, results):
        count = UNKNOWN_QUESTIONS if known is None else known
        judged, other = (judged + count, other) if benchmark.judged else (judged, other + count)
    return (judged * REPLY_SECONDS / judge.concurrency + other * SCORE_SECONDS) / 3600


def fitting_hours(laws: LawsConfig, rows: int, cores: int = 1) -> float:
    """Return the hours in which `cores` cores fit, bag and compare all forms of a target on `rows` rows."""
    return (COMPILING_SECONDS + len(laws.forms) * _form_seconds(laws, rows)) / cores / 3600


def ablation_hours(laws: LawsConfig, rows: int, cores: int = 1) -> float:
    """Return the hours in which `cores` cores make the tables of other losses, starts and ways of bagging."""
    return (COMPILING_SECONDS + ABLATIONS * _form_seconds(laws, rows)) / cores / 3600


def _form_seconds(laws: LawsConfig, rows: int) -> float:
    each = SCIPY_SECONDS if laws.backend == "scipy" else FIT_SECONDS[laws.preset]
    return rows * each * max(1.0, laws.starts / USUAL_STARTS) * (2 * laws.resamples + FITS + laws.folds)


def table_rows(study: Study, runs: int) -> int:
    """Return how many rows the laws are fitted to: one a run, or those of the user's own table."""
    if study.trained:
        return runs
    try:
        with open(study.table.path, "rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return 0
