"""The noise of the test, jointly over runs: all runs answer the same questions, so that much of it is common to them.

Each run's error is a weighted mean over questions. What a video adds to it, beyond what videos add on average, is the
video's residual; a bootstrap over test videos, all questions of one together, adds up residuals. So the residuals of
all runs give each one's standard error and their covariance, of which the errors of differences between runs are made.
"""

import json
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlmfrontier.errors import UserError
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.records import again, read_result
from vlmfrontier.study.root import Study

_SAME = 1e-6
"""Points by which the error of the kept answers may differ from the result's: rounding."""


def measure_weights(records: Sequence[Mapping]) -> list[float]:
    """Return the weight of each record of a task: its measures weigh alike, and so do the records of one measure."""
    counts = Counter(record.get("measure") for record in records)
    return [1 / len(counts) / counts[record.get("measure")] for record in records]


def video_residuals(
    scores: Sequence[float], videos: Sequence[str], strata: Sequence[Hashable], weights: Sequence[float]
) -> dict[str, float]:
    """Return by video Σ w_i (s_i − s̄_k(i)) over its records, k being a record's stratum; all together they sum to 0.

    Weights are equal within a stratum. The weighted mean's squared standard error is G/(G−1) · Σ_g residual_g² over G
    videos: questions about one video are not independent, and how many questions a stratum has is no chance.
    """
    values, weight = np.asarray(scores, float), np.asarray(weights, float)
    _, stratum = np.unique([str(label) for label in strata], return_inverse=True)
    means = np.bincount(stratum, values) / np.bincount(stratum)
    names, group = np.unique(np.asarray(videos), return_inverse=True)
    sums = np.bincount(group, weights=weight * (values - means[stratum]))
    return dict(zip(map(str, names), map(float, sums), strict=True))


@dataclass(frozen=True)
class JointNoise:
    """What the test videos add to the errors of several runs, in points."""

    runs: tuple[str, ...]
    residuals: np.ndarray
    """Shape (runs, videos): what each video adds to each run's error, beyond the average video."""

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of the runs' errors over test sets, shape (runs, runs)."""
        videos = self.residuals.shape[1]
        return self.residuals @ self.residuals.T * videos / (videos - 1)

    def errors_of_differences(self) -> np.ndarray:
        """Return the standard error of the difference of every pair of runs, shape (runs, runs)."""
        variance = np.diag(self.covariance)
        return np.sqrt(np.maximum(variance[:, None] + variance - 2 * self.covariance, 0.0))


def kept_noise(study: Study, results: ResultsFolder, table: ResultsTable, target: str) -> JointNoise | None:
    """Return the joint noise of a target in the runs of `table` whose answers are kept; None of fewer than two.

    A run whose answers give another error than the table has is left out: they are not those of its result. Of a test
    elsewhere its result says what videos add. Raises `UserError` naming file and line of what is no answer.
    """
    tasks = study.tasks() if target not in study.tasks() else [target]
    measured = dict(zip(table.names, table.error(target), strict=True)) if tasks else {}
    found = {}
    for run, error in measured.items():
        key, _, at = run.partition("@")
        if at:
            if residuals := _of_test(results.run(key).tested_at(at), tasks):
                found[run] = residuals
            continue
        folder = results.run(key).answers
        files = [folder / f"{task}.jsonl" for task in tasks]
        if all(file.is_file() for file in files):
            said, residuals = _of_run(files)
            if said == 0 or abs(said - error) <= _SAME:  # of an error of 0 the run table has half a wrong answer
                found[run] = residuals
    videos = {name: place for place, name in enumerate(sorted({name for each in found.values() for name in each}))}
    if len(found) < 2 or len(videos) < 2:
        return None
    matrix = np.zeros((len(found), len(videos)))
    for row, residuals in zip(matrix, found.values(), strict=True):
        row[[videos[name] for name in residuals]] = list(residuals.values())
    return JointNoise(tuple(found), matrix)


def _of_run(files: Sequence[Path]) -> tuple[float, dict[str, float]]:
    """Return the mean error of a run over tasks, in points, and what each video adds to it."""
    answers = {file.stem: _read(file) for file in files}
    scores = [record["score"] for records in answers.values() for record in records]
    weights = [weight / len(files) for records in answers.values() for weight in measure_weights(records)]
    return 100 * (1 - float(np.dot(scores, weights))), residuals_of(list(answers), answers)


def residuals_of(tasks: Sequence[str], answers: Mapping[str, Sequence[Mapping]]) -> dict[str, float]:
    """Return what each video adds to the mean error of `tasks`, in points."""
    records = [(task, record) for task in tasks for record in answers[task]]
    scores, videos = [record["score"] for _, record in records], [record["video"] for _, record in records]
    strata = [(task, record.get("measure")) for task, record in records]
    weights = [weight / len(tasks) for task in tasks for weight in measure_weights(answers[task])]
    return {video: -100 * value for video, value in video_residuals(scores, videos, strata, weights).items()}


def _of_test(path: Path, tasks: Sequence[str]) -> dict[str, float]:
    """Return what each video adds to the mean error of `tasks` at other levels; empty if the result does not say it."""
    of_task = read_result(path).get("residuals", {}) if path.exists() else {}
    if not set(tasks) <= set(of_task):
        return {}
    total: Counter[str] = Counter()
    for task in tasks:
        for video, value in of_task[task].items():
            total[video] += value / len(tasks)
    return dict(total)


def _read(file: Path) -> list[dict]:
    """Return the answers of a task. Raises `UserError` naming the line of what is none."""
    records = []
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            record = json.loads(line)
            record["score"], record["video"] = float(record["score"]), str(record["video"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{file}: damaged: line {number} is no answer ({error!r}); {again('evaluate')}, with the run's "
                "result.json"
            ) from None
        records.append(record)
    if not records:
        raise UserError(f"{file}: damaged: no answer in it; {again('evaluate')}, with the run's result.json")
    return records
