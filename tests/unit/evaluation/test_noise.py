"""The test's noise, joint over runs: against a plain bootstrap over videos, and what is no answer."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from vlmfrontier.errors import UserError
from vlmfrontier.evaluation.result import task_errors, write_answers
from vlmfrontier.laws.noise import kept_noise
from vlmfrontier.laws.table import from_arrays
from vlmfrontier.paths import ResultsFolder

TASKS = ("count", "caption")
STUDY = SimpleNamespace(tasks=lambda: list(TASKS))
VIDEOS = 60


def answers(skill: float, rng: np.random.Generator, hard: np.ndarray) -> dict[str, list[dict]]:
    """One to three questions of `count` per video, and a caption with two measures of some; hard videos are common."""
    records = {task: [] for task in TASKS}
    for video, level in enumerate(hard):
        for number in range(1 + video % 3):
            score = float(rng.uniform() < skill * (1 - level))
            records["count"].append({"id": f"{video}-{number}", "video": f"{video}.mp4", "score": score})
        for measure in ("precision", "recall") if video % 4 else ("precision",):
            score = float(np.clip(skill * (1 - level) + rng.normal(0, 0.05), 0, 1))
            records["caption"].append({"id": str(video), "video": f"{video}.mp4", "measure": measure, "score": score})
    return records


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    """Results of four runs with their answers, and what was reported of them."""
    folder, rng = ResultsFolder(tmp_path_factory.mktemp("kept")), np.random.default_rng(3)
    hard, given = rng.beta(0.6, 0.6, VIDEOS), {}
    for run, skill in {"a": 0.5, "b": 0.6, "c": 0.9, "d": 0.95}.items():
        given[run] = answers(skill, rng, hard)
        write_answers(folder.run(run).answers, given[run])
    return folder, given, {run: task_errors(TASKS, records) for run, records in given.items()}


def table_of(reports: dict, target: str = "avg"):
    errors = np.array([report[target]["error"] for report in reports.values()])
    table = from_arrays({"N": np.arange(1.0, len(errors) + 1)}, {target: errors})
    table.frame["run"] = list(reports)
    return table


@pytest.mark.parametrize("target", ["avg", *TASKS])
def test_each_runs_variance_is_that_of_its_reported_standard_error(made, target):
    folder, _, reports = made
    noise = kept_noise(STUDY, folder, table_of(reports, target), target)
    reported = [report[target]["standard_error"] for report in reports.values()]
    np.testing.assert_allclose(np.sqrt(np.diag(noise.covariance)), reported, rtol=1e-12)


def test_the_covariance_is_that_of_a_plain_bootstrap_over_videos(made):
    folder, given, reports = made
    noise = kept_noise(STUDY, folder, table_of(reports), "avg")
    times = np.random.default_rng(0).multinomial(VIDEOS, np.full(VIDEOS, 1 / VIDEOS), 2000)
    errors = [100 - 100 * np.mean([resampled(own, times) for own in each.values()], axis=0) for each in given.values()]
    plain = np.cov(errors)
    np.testing.assert_allclose(noise.covariance, plain, atol=0.12 * plain.max())
    assert noise.runs == tuple(reports)


def resampled(records: list[dict], times: np.ndarray) -> np.ndarray:
    """The score of a task when each video comes so often, (draws, videos) → (draws,): measures weigh alike."""
    frame = pd.DataFrame(records)
    groups = [own for _, own in frame.groupby("measure")] if "measure" in frame else [frame]
    parts = []
    for own in groups:
        place = own.video.str.removesuffix(".mp4").astype(int)
        sums, counts = np.bincount(place, own.score, VIDEOS), np.bincount(place, minlength=VIDEOS)
        parts.append((times @ sums) / (times @ counts))
    return np.mean(parts, axis=0)


def test_a_difference_of_runs_is_surer_than_if_each_had_been_asked_other_questions(made):
    folder, _, reports = made
    noise = kept_noise(STUDY, folder, table_of(reports), "avg")
    variance = np.diag(noise.covariance)
    ratio = noise.errors_of_differences() / np.sqrt(variance[:, None] + variance)
    assert ratio[2, 3] < 0.6
    assert ratio[0, 0] == 0


def test_a_run_without_answers_or_with_those_of_another_result_is_left_out(made, tmp_path: Path):
    _, given, reports = made
    kept = ResultsFolder(tmp_path)
    for run in ("a", "b", "c"):
        write_answers(kept.run(run).answers, given[run])
    write_answers(kept.run("c").answers, {"count": given["d"]["count"]})
    assert kept_noise(STUDY, kept, table_of(reports), "avg").runs == ("a", "b")
    (kept.run("b").answers / "caption.jsonl").unlink()
    assert kept_noise(STUDY, kept, table_of(reports), "avg") is None


@pytest.mark.parametrize("line", ['{"video": "1.mp4"}', "{", '{"video": "1.mp4", "score": "x"}', "[]"])
def test_what_is_no_answer_is_named_by_file_and_line(made, tmp_path: Path, line: str):
    _, given, reports = made
    kept = ResultsFolder(tmp_path)
    write_answers(kept.run("a").answers, given["a"])
    file = kept.run("a").answers / "caption.jsonl"
    file.write_text(json.dumps(given["a"]["caption"][0]) + f"\n{line}\n")
    with pytest.raises(UserError, match=r"caption\.jsonl: damaged: line 2 is no answer"):
        kept_noise(STUDY, kept, table_of(reports), "avg")
