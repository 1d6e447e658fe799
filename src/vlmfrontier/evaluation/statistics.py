"""Errors of tasks and their mean, with standard errors that know which questions share a video."""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np


def mean_and_error(scores: Sequence[float], clusters: Sequence[str]) -> tuple[float, float]:
    """Return the mean of `scores` and its standard error, clustered by video: `mean_over_strata` of one stratum."""
    return mean_over_strata(scores, clusters, [0] * len(scores), [1 / len(scores)] * len(scores))


def mean_over_strata(
    scores: Sequence[float], clusters: Sequence[str], strata: Sequence[Hashable], weights: Sequence[float]
) -> tuple[float, float]:
    """Return the mean of `scores`, weighted, and its standard error, clustered by video.

    Questions about one video do not count as independent, and how many questions a stratum (a task, or a measure of
    one) has is no chance: se² = G/(G−1) · Σ_g (Σ_{i in g} w_i (s_i − s̄_k(i)))² over G clusters g and strata k.
    `weights` are equal within a stratum and sum to one. The plain standard error if there is one stratum and every
    cluster is one question. NaN with fewer than two clusters.
    """
    values, weight = np.asarray(scores, float), np.asarray(weights, float)
    _, stratum = np.unique([str(label) for label in strata], return_inverse=True)
    means = np.bincount(stratum, values) / np.bincount(stratum)
    _, group = np.unique(np.asarray(clusters), return_inverse=True)
    residuals = np.bincount(group, weights=weight * (values - means[stratum]))
    count = len(residuals)
    mean = float(weight @ values)
    if count < 2:
        return mean, float("nan")
    return mean, float(np.sqrt(count / (count - 1) * np.sum(residuals**2)))


def task_errors(tasks: Sequence[str], answers: dict[str, list[dict]]) -> dict[str, dict]:
    """Return error, standard error and question count of each task and of their mean `avg`; error = 100·(1 − score).

    `answers[task]` holds records with `score` in 0–1 and `video`, and for a task that is the mean of several measures
    also `id` and `measure`. Measures weigh equally within their task, tasks in `avg`, whose standard error clusters all
    questions of a video.
    """
    report = {task: _error(answers[task], _weights(answers[task])) for task in tasks}
    everything = [{**record, "stratum": task} for task in tasks for record in answers[task]]
    weights = [weight / len(tasks) for task in tasks for weight in _weights(answers[task])]
    total = sum(entry["questions"] for entry in report.values())
    return report | {"avg": {**_error(everything, weights), "questions": total}}


def _weights(records: Sequence[dict]) -> list[float]:
    counts = Counter(record.get("measure") for record in records)
    return [1 / len(counts) / counts[record.get("measure")] for record in records]


def _error(records: Sequence[dict], weights: Sequence[float]) -> dict[str, float | int]:
    scores, videos = [record["score"] for record in records], [record["video"] for record in records]
    strata = [(record.get("stratum"), record.get("measure")) for record in records]
    score, error = mean_over_strata(scores, videos, strata, weights)
    questions = len({record.get("id", number) for number, record in enumerate(records)})
    return {"error": 100 * (1 - score), "standard_error": 100 * error, "questions": questions}
