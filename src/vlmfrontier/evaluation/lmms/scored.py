"""From what lmms-eval leaves to scores of 0 to 1 for every question, checked against its own aggregate."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlmfrontier.errors import UserError
from vlmfrontier.evaluation.lmms.harness import Output
from vlmfrontier.evaluation.lmms.job import Answer
from vlmfrontier.tasks import Benchmark, Measure

Answers = Mapping[tuple[str, int], Answer]
TOLERANCE = 1e-4
"""lmms-eval rounds one of its metrics to five digits."""


def score_task(
    name: str, benchmark: Benchmark, output: Output, answers: Answers, limited: bool = False
) -> list[dict[str, Any]]:
    """Return a record for every question and measure: id, task, measure, video, question, truth, answer, score.

    Questions about unreadable videos are left out, and of a `limited` trial those whose partner is not in it. Raises
    `UserError` if questions are missing, a score is not one of 0 to 1, or the scores disagree with what lmms-eval
    itself reports.
    """
    records = []
    for measure in benchmark.measures:
        scored = (
            _aggregated(measure, output, answers, limited) if measure.aggregated else _sampled(measure, output, answers)
        )
        _check(name, measure, output, scored)
        records += [{"task": name, **record} for record in scored if not record.pop("unreadable")]
    if not records:
        raise UserError(f"{name}: no video could be read")
    return records


def _sampled(measure: Measure, output: Output, answers: Answers) -> list[dict[str, Any]]:
    """Return the scores of a measure that every sample holds."""
    samples = output.samples(measure.leaf)
    _check_count(measure, output, len(samples), 1)
    records = []
    for sample in samples:
        answer = answers.get((measure.leaf, sample["doc_id"]))
        if answer is None:
            raise UserError(f"{measure.leaf}: question {sample['doc_id']} has no answer of this run; answer it again")
        if measure.metric not in sample:
            raise UserError(
                f"{measure.leaf}: samples have no {measure.metric!r}; this is not the lmms-eval of the pins"
            )
        records.append(_record(measure, answer, sample["target"], sample[measure.metric]))
    return records


def _aggregated(measure: Measure, output: Output, answers: Answers, limited: bool) -> list[dict[str, Any]]:
    """Return the scores of a measure that is rated over pairs of questions, only when lmms-eval aggregates."""
    rated = output.submission(measure.aggregated)
    if not limited:
        _check_count(measure, output, len(rated), 2)
    by_question = {(Path(a.video).stem, a.prompt): a for (leaf, _), a in answers.items() if leaf == measure.leaf}
    records = []
    for pair in rated:
        first = by_question.get((pair["video_name"], pair["Q1"]))
        if first is None:
            raise UserError(f"{measure.leaf}: no answer of this run to {pair['Q1']!r} about {pair['video_name']}")
        record = _record(measure, first, pair["A"], pair)
        records.append(record | {"answer": [pair["pred1"], pair["pred2"]], "question": [pair["Q1"], pair["Q2"]]})
    return records


def _record(measure: Measure, answer: Answer, truth: object, entry: object) -> dict[str, Any]:
    score = measure.score(entry)
    if not 0 <= score <= 1:
        raise UserError(f"{measure.leaf}: {measure.metric} of question {answer.doc_id} is {entry!r}, not of 0 to best")
    return {
        "id": f"{answer.task}/{answer.doc_id}",
        "measure": f"{measure.leaf}:{measure.metric}",
        "video": answer.video,
        "question": answer.prompt,
        "truth": truth,
        "answer": answer.answer,
        "score": score,
        "unreadable": answer.unreadable is not None,
    }


def _check_count(measure: Measure, output: Output, found: int, each: int) -> None:
    """Raise `UserError` unless there is a score for every `each` questions that lmms-eval says it asked."""
    counts = output.results.get("n-samples", {}).get(measure.leaf)
    if counts is None:
        raise UserError(f"{measure.leaf}: lmms-eval has no results of it")
    if found * each != counts["effective"]:
        raise UserError(f"{measure.leaf}: {found} scores of {counts['effective']} questions; evaluate the run again")


def _check(name: str, measure: Measure, output: Output, records: list[dict[str, Any]]) -> None:
    """Raise `UserError` unless the mean of the scores is what lmms-eval reports."""
    told = output.results["results"][measure.leaf].get(f"{measure.metric},none")
    counted = [r for r in records if not (measure.skips_empty and r["answer"] == "")]
    mean = sum(r["score"] for r in counted) / len(counted) if counted else 0.0
    if not isinstance(told, int | float) or abs(mean - told / measure.best) > TOLERANCE:
        raise UserError(
            f"{name}: {measure.leaf} reports {measure.metric} = {told!r}, its samples make {mean * measure.best:.6g}; "
            "this is not the lmms-eval of the pins (envs/constraints-lmms-eval.txt), or another task of the same name"
        )
