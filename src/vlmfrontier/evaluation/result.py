"""Everything about a run in one file, `runs/<run>/result.json`, whichever way it was tested; and its errors: a score in
0–1 for each kind of question, means with standard errors that know which questions share a video.
"""

import json
import math
from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vlmfrontier.errors import UserError
from vlmfrontier.files import write_json
from vlmfrontier.laws.noise import measure_weights, residuals_of, video_residuals
from vlmfrontier.models.build import count_flops
from vlmfrontier.models.video_vlm import VideoVLMConfig
from vlmfrontier.models.weights import check_saved
from vlmfrontier.paths import ResultsFolder, RunFolder
from vlmfrontier.records import read_finetuned
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.fingerprints import result_settings, settings_of_test
from vlmfrontier.sweep.runs import Run


def exact_match(answer: str, truth: str) -> float:
    """Return 1 if the answer is the truth, whatever the case and outer blanks, else 0."""
    return float(answer.strip().lower() == truth.strip().lower())


def most_likely(log_likelihoods: Sequence[float]) -> int:
    """Return the position of the largest log-likelihood, the first of equals."""
    return max(range(len(log_likelihoods)), key=lambda i: (log_likelihoods[i], -i))


def facts(caption: str, subjects: Collection[str]) -> Counter[tuple[str, str]]:
    """Return how often `caption` states each fact (subject, word): a word belongs to the subject named last."""
    stated: Counter[tuple[str, str]] = Counter()
    subject = None
    for word in caption.split():
        if word in subjects:
            subject = word
        elif subject is not None:
            stated[(subject, word)] += 1
    return stated


def facts_f1(caption: str, truth: str, subjects: Collection[str]) -> float:
    """Return the F1 of the facts in `caption` against `truth`: what is left out costs as much as what is made up."""
    stated, true = facts(caption, subjects), facts(truth, subjects)
    both = sum((stated & true).values())
    total = sum(stated.values()) + sum(true.values())
    return 2 * both / total if total else 1.0


def mean_over_strata(
    scores: Sequence[float], clusters: Sequence[str], strata: Sequence[Hashable], weights: Sequence[float]
) -> tuple[float, float]:
    """Return the mean of `scores`, weighted, and its standard error, clustered by video.

    Questions about one video do not count as independent, and how many questions a stratum (a task, or a measure of
    one) has is no chance: se² = G/(G−1) · Σ_g (Σ_{i in g} w_i (s_i − s̄_k(i)))² over G clusters g and strata k.
    `weights` are equal within a stratum and sum to one. The plain standard error if there is one stratum and every
    cluster is one question. NaN with fewer than two clusters.
    """
    mean = float(np.asarray(weights, float) @ np.asarray(scores, float))
    residuals = np.array(list(video_residuals(scores, clusters, strata, weights).values()))
    count = len(residuals)
    if count < 2:
        return mean, float("nan")
    return mean, float(np.sqrt(count / (count - 1) * np.sum(residuals**2)))


def task_errors(tasks: Sequence[str], answers: dict[str, list[dict]]) -> dict[str, dict]:
    """Return error, standard error and question count of each task and of their mean `avg`; error = 100·(1 − score).

    `answers[task]` holds records with `score` in 0–1 and `video`, and for a task that is the mean of several measures
    also `id` and `measure`. Measures weigh equally within their task, tasks in `avg`, whose standard error clusters all
    questions of a video.
    """
    report = {task: _error(answers[task], measure_weights(answers[task])) for task in tasks}
    everything = [{**record, "stratum": task} for task in tasks for record in answers[task]]
    weights = [weight / len(tasks) for task in tasks for weight in measure_weights(answers[task])]
    total = sum(entry["questions"] for entry in report.values())
    return report | {"avg": {**_error(everything, weights), "questions": total}}


def residuals_by_task(answers: dict[str, list[dict]]) -> dict[str, dict[str, float]]:
    """Return by task what each video adds to its error, in points: all that joint noise needs of answers that go."""
    return {task: {v: round(value, 6) for v, value in residuals_of([task], answers).items()} for task in answers}


def _error(records: Sequence[dict], weights: Sequence[float]) -> dict[str, float | int]:
    scores, videos = [record["score"] for record in records], [record["video"] for record in records]
    strata = [(record.get("stratum"), record.get("measure")) for record in records]
    score, error = mean_over_strata(scores, videos, strata, weights)
    questions = len({record.get("id", number) for number, record in enumerate(records)})
    return {"error": 100 * (1 - score), "standard_error": 100 * error, "questions": questions}


WEIGHTS = "*.safetensors"


def write_answers(folder: Path, answers: dict[str, list[dict]], suffix: str = "") -> None:
    """Write `<task><suffix>.jsonl`, a record a line, for every task."""
    folder.mkdir(parents=True, exist_ok=True)
    for task, records in answers.items():
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{task}{suffix}.jsonl").write_text(lines)


def check_model(folder: RunFolder) -> str:
    """Return the hash of a run's weights. Raises `UserError` if they are gone, or no numbers."""
    if not folder.has_weights:
        raise UserError(f"{folder.model}: the weights were removed; finetune the run again before evaluating it")
    return check_saved(folder.model, "lower finetune.learning_rates and finetune the run again before evaluating it")


def check_measured(run: str, errors: dict[str, dict[str, Any]], loss: float) -> None:
    """Raise `UserError` unless all `errors` of `run` are of 0 to 100 and its training's last `loss` is finite."""
    for task, entry in errors.items():
        if not 0 <= entry["error"] <= 100:
            raise UserError(f"{run}: the error of {task} is {entry['error']}, not of 0 to 100; nothing is written")
    if not math.isfinite(loss):
        raise UserError(
            f"{run}: its finetuned.json says loss {loss}: the training diverged; lower finetune.learning_rates and "
            "finetune the run again"
        )


def drop_weights(folder: RunFolder) -> None:
    """Delete the weights of a run; its configuration stays, which a second rating of its answers reads."""
    for path in folder.model.glob(f"{WEIGHTS}*"):  # with the index of weights in several files
        path.unlink()


def model_config(folder: RunFolder, V: int) -> VideoVLMConfig:
    """Return the configuration of the finetuned model, set to V tokens a frame."""
    return VideoVLMConfig.from_pretrained(folder.model, tokens_per_frame=V, local_files_only=True)


def write_result(
    study: Study, run: Run, results: ResultsFolder, config: VideoVLMConfig, seconds: float, measured: dict[str, Any]
) -> dict[str, Any]:
    """Write `result.json` and return it: the run, what was measured, what a video costs, and what training says."""
    folder = results.run(run.key)
    trained = read_finetuned(folder.finetuned)
    check_measured(run.key, measured["errors"], trained["loss"])
    flops = count_flops(config, run.T, text_tokens=0)
    result = {
        **{key: value for key, value in asdict(run).items() if value not in (None, ())},
        "study": study.study,
        "visual_tokens": run.T * run.V,
        **measured,
        "counted_flops": {**flops, "total": sum(flops.values())},
        "seconds": {"finetune": trained["seconds"], "evaluate": round(seconds, 2)},
        "recipe": result_settings(study, trained["weights"], measured.get("test")),
        "training": trained,
        "log": str(folder.state / "train.jsonl"),
    }
    write_json(folder.result, result)
    return result


def write_test(
    study: Study,
    run: Run,
    results: ResultsFolder,
    config: VideoVLMConfig,
    levels: tuple[int, int],
    seconds: float,
    measured: dict[str, Any],
) -> None:
    """Write the result of a run at T and V that are not its own: what was measured there, and what a video costs."""
    folder, (T, V) = results.run(run.key), levels
    trained = read_finetuned(folder.finetuned)
    check_measured(run.key, measured["errors"], trained["loss"])
    here = VideoVLMConfig.from_dict({**config.to_dict(), "tokens_per_frame": V})
    flops = count_flops(here, T, text_tokens=0)
    result = {
        "run": run.key,
        "T": T,
        "V": V,
        "visual_tokens": T * V,
        **measured,
        "counted_flops": {**flops, "total": sum(flops.values())},
        "seconds": {"evaluate": round(seconds, 2)},
        "recipe": settings_of_test(study, T, V, trained["weights"], measured.get("test")),
    }
    folder.tested(T, V).parent.mkdir(exist_ok=True)
    write_json(folder.tested(T, V), result)
