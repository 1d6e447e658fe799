"""Errors of tasks and their mean, with standard errors that know which questions share a video."""

from collections.abc import Sequence

import numpy as np


def mean_and_error(scores: Sequence[float], clusters: Sequence[str]) -> tuple[float, float]:
    """Return the mean of `scores` and its standard error, clustered by video.

    Questions about one video do not count as independent:

    se² = G/(G−1) · Σ_g (Σ_{i in g} (s_i − s̄))² / n² over G clusters; the plain standard error if every cluster is one.
    NaN with fewer than two clusters.
    """
    values = np.asarray(scores, float)
    mean = float(values.mean())
    _, group = np.unique(np.asarray(clusters), return_inverse=True)
    residuals = np.bincount(group, weights=values - mean)
    count = len(residuals)
    if count < 2:
        return mean, float("nan")
    variance = count / (count - 1) * float(np.sum(residuals**2)) / len(values) ** 2
    return mean, float(np.sqrt(variance))


def task_errors(tasks: Sequence[str], answers: dict[str, list[dict]]) -> dict[str, dict]:
    """Return error, standard error and question count of each task and of their mean `avg`; error = 100·(1 − score).

    `answers[task]` holds records with `score` in 0–1 and `video`. `avg` weighs tasks equally; its standard error
    clusters all questions of a video.
    """
    report = {}
    for task in tasks:
        score, error = mean_and_error([a["score"] for a in answers[task]], [a["video"] for a in answers[task]])
        report[task] = {"error": 100 * (1 - score), "standard_error": 100 * error, "questions": len(answers[task])}
    # Scaled so that the plain mean of all scores is the mean over tasks of each task's mean.
    total = sum(len(answers[task]) for task in tasks)
    scaled = [(a["score"] * total / len(tasks) / len(answers[t]), a["video"]) for t in tasks for a in answers[t]]
    _, spread = mean_and_error([s for s, _ in scaled], [v for _, v in scaled])
    mean = sum(report[task]["error"] for task in tasks) / len(tasks)
    report["avg"] = {"error": mean, "standard_error": 100 * spread, "questions": total}
    return report
