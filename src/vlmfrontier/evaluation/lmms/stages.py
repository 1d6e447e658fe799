"""The two stages of an evaluation by lmms-eval: answer every question on a GPU, then have answers rated and scored.

Only the first needs a GPU and only the second may need the network. Each can be repeated: what was answered by these
weights, or rated by this judge, is not asked again.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vlmfrontier.data.frames import Reading
from vlmfrontier.errors import UserError
from vlmfrontier.evaluation.judge import Body, Replies, ask_all, completions_address, digest, prompt_hashes
from vlmfrontier.evaluation.lmms import harness
from vlmfrontier.evaluation.lmms.job import (
    AnswerJob,
    GivenAnswer,
    GivenAnswers,
    Output,
    environment_file,
    read_answers,
    score_task,
)
from vlmfrontier.evaluation.relay import Answering, Collecting, serving
from vlmfrontier.evaluation.result import (
    check_model,
    drop_weights,
    model_config,
    residuals_by_task,
    task_errors,
    write_answers,
    write_result,
    write_test,
)
from vlmfrontier.files import hash_file, read_lines, read_record, write_json
from vlmfrontier.paths import ResultsFolder, level_name
from vlmfrontier.records import read_answered
from vlmfrontier.study.evaluation import JudgeConfig, LmmsEvalConfig
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.fingerprints import answered_settings
from vlmfrontier.sweep.outdated import Identity
from vlmfrontier.sweep.runs import Run


class Evaluation:
    """One run's evaluation at some T and V, by default its own: its settings and where its files are."""

    def __init__(self, study: Study, run: Run, results: ResultsFolder, levels: tuple[int, int] | None = None):
        self.study, self.run, self.results = study, run, results
        self.settings: LmmsEvalConfig = study.evaluate.lmms_eval
        self.run_folder = results.run(run.key)
        self.T, self.V = levels or (run.T, run.V)
        own = self.run_folder.benchmarks
        self.folder = own if (self.T, self.V) == (run.T, run.V) else own / level_name(self.T, self.V)
        self.benchmarks = results.benchmarks(study.evaluate)

    def elsewhere(self) -> "Iterator[Evaluation]":
        """Yield this evaluation at every T and V that the run is tested at besides its own."""
        yield from (Evaluation(self.study, self.run, self.results, levels) for levels in self.run.tested)

    @property
    def name(self) -> str:
        """What these levels are called."""
        return level_name(self.T, self.V)

    @property
    def requests(self) -> Path:
        """What the judge is to be asked."""
        return self.folder / "requests.jsonl"

    @property
    def replies(self) -> Path:
        """What judges said."""
        return self.folder / "replies.jsonl"

    def job(self, weights: str, prompts: str, recorded: bool, beside: "Sequence[Evaluation]" = ()) -> AnswerJob:
        """Return how our model answers in lmms-eval, at the tokens of `beside` as well where these are asked next."""
        reading = Reading.of(self.study.data)
        return AnswerJob(
            model=str(self.run_folder.model.absolute()),
            weights=weights,
            T=self.T,
            V=self.V,
            rule=asdict(reading.rule),
            timeout=reading.timeout,
            precision=self.study.finetune.precision,
            max_new_tokens=self.study.evaluate.max_new_tokens,
            videos=str(self.benchmarks.absolute()),
            answers=str((self.folder / "answers.jsonl").absolute()),
            recorded=recorded,
            prompts=prompts,
            beside={str((each.folder / "answers.jsonl").absolute()): each.V for each in beside},
        )

    def tasks(self, judged: bool | None = None) -> list[str]:
        """Return what lmms-eval is asked for, in the order of the study: all tasks, or those with or without judge."""
        chosen = [task for task in self.settings.tasks.values() if judged in (None, task.benchmark.judged)]
        return [name for task in chosen for name in task.tasks]

    def lmms_eval(self, job: AnswerJob, tasks: Sequence[str], name: str, address: str, **more: Any) -> Output:
        """Run lmms-eval on `tasks` into the folder called `name`."""
        path = job.write(self.folder / f"{name}.json")
        variables = harness.environment(self.settings, self.benchmarks, address, path)
        output = self.folder / name
        return harness.run(harness.command(self.settings, tasks, output), variables, output, **more)


def answer(study: Study, run: Run, results: ResultsFolder) -> dict[str, Any]:
    """Answer all questions of the benchmarks with the weights of `run`, at all T and V that it is tested at; write
    `answered.json` last and return it.

    What the judge will be asked is taken down on the way. Raises `UserError` if weights, environment or answers are
    missing, or too many videos cannot be read.
    """
    evaluation = Evaluation(study, run, results)
    weights = check_model(evaluation.run_folder)
    harness.python_of(evaluation.settings)
    prompts = prompts_hash(evaluation.run_folder.model)
    levels = [*evaluation.elsewhere(), evaluation]
    kept = {each.name: _kept(each, weights, prompts) for each in levels[:-1]}
    elsewhere, read = {}, set()
    for each in levels:
        summary = kept.get(each.name)
        if summary is None:
            # The first of those with these frames answers for all that are missing, and reads each video for all.
            others = [o for o in levels if o.T == each.T and o is not each and kept.get(o.name) is None]
            summary = _answer(each, weights, prompts, others if each.T not in read else ())
            read.add(each.T)
        if each is not evaluation:
            write_json(each.folder / "answered.json", summary)
            elsewhere[each.name] = summary
    summary = {"run": run.key, **summary}
    if elsewhere:
        summary["tested"] = elsewhere
    write_json(evaluation.run_folder.answered, summary)
    return summary


def _kept(evaluation: Evaluation, weights: str, prompts: str) -> dict[str, Any] | None:
    """Return the summary of the answers at levels that are not the run's own, if they stand."""
    now = {"weights": weights, "prompts": prompts, "recipe": _recipe(evaluation, weights)}
    found = read_record(evaluation.folder / "answered.json")
    stands = {key: found.get(key) for key in now} == json.loads(json.dumps(now)) and not found.get("unreadable")
    return found if stands else None


def _recipe(evaluation: Evaluation, weights: str) -> dict[str, Any]:
    """Return everything that decides the answers at these levels."""
    own = answered_settings(evaluation.study, evaluation.run, weights)
    return {**own, "T": evaluation.T, "V": evaluation.V}


def _answer(evaluation: Evaluation, weights: str, prompts: str, beside: Sequence[Evaluation] = ()) -> dict[str, Any]:
    """Answer all questions at the levels of `evaluation`, and at those `beside`, and return a summary of the first."""
    started = time.monotonic()
    for each in beside:
        each.folder.mkdir(parents=True, exist_ok=True)
    job = evaluation.job(weights, prompts, recorded=False, beside=beside)
    evaluation.requests.unlink(missing_ok=True)  # answers are kept; what they ask of the judge is taken down anew
    with serving(Collecting(evaluation.requests)) as address:
        output = evaluation.lmms_eval(job, evaluation.tasks(), "answered", address)
    answers = read_answers(Path(job.answers), weights)
    unreadable = check_videos(evaluation.settings, answers)
    counts = {leaf: count["effective"] for leaf, count in output.results["n-samples"].items()}
    return {
        "weights": weights,
        "prompts": prompts,
        "recipe": _recipe(evaluation, weights),
        "visual_tokens": _visual_tokens(answers, evaluation),
        "questions": counts,
        "unreadable": unreadable,
        "seconds": round(time.monotonic() - started, 2),
        "provenance": json.loads(environment_file(job).read_text()),
    }


def prompts_hash(model: Path) -> str:
    """Return a hash of what decides the answers of a saved model besides its weights: its configuration, its tokenizer,
    what its chat template writes, and the tokens that end an answer."""
    from transformers import AutoTokenizer  # noqa: PLC0415 — only where answers are given, not where they are rated

    from vlmfrontier.models.prompt import PromptBuilder  # noqa: PLC0415

    prompt = PromptBuilder(AutoTokenizer.from_pretrained(model, local_files_only=True))
    files = {name: hash_file(model / name) for name in ("config.json", "tokenizer.json")}
    return digest([files, asdict(prompt.chat), prompt.stop_token_ids])[:16]


def check_videos(settings: LmmsEvalConfig, answers: GivenAnswers) -> dict[str, str]:
    """Return the videos that could not be read, and why. Raises `UserError` if they are too many of a task's."""
    for name, task in settings.tasks.items():
        leaves = {measure.leaf for measure in task.benchmark.measures}
        own = [a for a in answers.values() if a.task in leaves]
        broken = sorted({a.video: a.unreadable for a in own if a.unreadable}.items())
        videos = len({a.video for a in own})
        if len(broken) > settings.unreadable * videos:
            hint = f"run the same command again, or raise evaluate.lmms_eval.unreadable ({settings.unreadable:g})"
            first = f"first {broken[0][0]} ({broken[0][1]})"
            raise UserError(f"{name}: {len(broken)} of {videos} videos cannot be read, {first}; repair them and {hint}")
    return {a.video: a.unreadable for a in answers.values() if a.unreadable}


def _visual_tokens(answers: GivenAnswers, evaluation: Evaluation) -> int:
    """Return the visual tokens that questions were asked behind, measured. Raises `AssertionError` unless T·V."""
    counted = {a.visual_tokens for a in answers.values() if not a.unreadable}
    expected = evaluation.T * evaluation.V
    assert counted <= {expected}, f"{evaluation.run.key}: asked behind {sorted(counted)} visual tokens"
    return expected


def score(study: Study, run: Run, results: ResultsFolder) -> dict[str, Any]:
    """Have the open answers of `run` rated, score all answers, at all T and V that it is tested at; write
    `result.json`, of its own T and V, last and return it.

    Raises `UserError` if the judge fails, or if lmms-eval's files do not hold a score for every question.
    """
    evaluation = Evaluation(study, run, results)
    summary = read_answered(evaluation.run_folder.answered)
    for each in evaluation.elsewhere():
        _score_elsewhere(each, summary)
    scored, measured, seconds = _score(evaluation, summary)
    write_answers(evaluation.run_folder.answers, scored)
    config = model_config(evaluation.run_folder, run.V)
    result = write_result(study, run, results, config, seconds, measured)
    if not study.finetune.keep_model:
        drop_weights(evaluation.run_folder)
    return result


def _score_elsewhere(evaluation: Evaluation, answered: Mapping[str, Any]) -> None:
    """Score the answers at levels that are not the run's own and write their result, unless it stands.

    It does if it is of these very answers.
    """
    folder, levels = evaluation.run_folder, (evaluation.T, evaluation.V)
    if (summary := answered.get("tested", {}).get(evaluation.name)) is None:
        raise UserError(f"{folder.answered}: no answers at {evaluation.name}; run `snakemake evaluate` again")
    answers = read_answers(evaluation.folder / "answers.jsonl", summary["weights"])
    given = digest(sorted((a.task, a.doc_id, a.key, a.answer) for a in answers.values()))[:16]
    now = Identity(evaluation.study, evaluation.results.root)
    kept = now.test_result(evaluation.run, *levels, summary["weights"])
    if kept and (kept.get("answers"), kept.get("test")) == (given, dict(tested(answers.values()))):
        return
    scored, measured, seconds = _score(evaluation, summary)
    if evaluation.study.evaluate.keep_answers == "all":
        write_answers(folder.tested_answers(*levels), scored)
    measured |= {"answers": given, "residuals": residuals_by_task(scored)}
    config = model_config(folder, evaluation.V)
    write_test(evaluation.study, evaluation.run, evaluation.results, config, levels, seconds, measured)


def _score(
    evaluation: Evaluation, summary: Mapping[str, Any]
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any], float]:
    """Have the answers at the levels of `evaluation` rated and return all with their scores, what is measured by them,
    and the seconds of both stages."""
    settings, started = evaluation.settings, time.monotonic()
    job = evaluation.job(summary["weights"], summary.get("prompts", ""), recorded=True)
    answers = read_answers(Path(job.answers), summary["weights"])
    outputs = {False: Output(evaluation.folder / "answered")}
    judge = None
    if tasks := evaluation.tasks(judged=True):
        bodies, replies = _rated(evaluation)
        answering = Answering(replies)
        with serving(answering) as address:
            outputs[True] = evaluation.lmms_eval(job, tasks, "rated", address, failed=answering.why)
        judge = describe_judge(settings.judge, bodies, replies)
    scored = {
        name: score_task(name, task.benchmark, outputs[task.benchmark.judged], answers, settings.limit is not None)
        for name, task in settings.tasks.items()
    }
    measured = {
        "errors": task_errors(list(scored), scored),
        "wrong_video": None,
        "judge": judge,
        "visual_tokens": summary["visual_tokens"],
        "decode_failures": len(summary["unreadable"]),
        "unreadable": summary["unreadable"],
        "test": tested(answers.values()),
        "limit": settings.limit,
        "provenance": summary["provenance"],
    }
    return scored, measured, summary["seconds"] + time.monotonic() - started


def _rated(evaluation: Evaluation) -> tuple[list[Body], Replies]:
    """Return the requests of a run and the judge's replies to all of them."""
    judge = evaluation.settings.judge
    bodies = list(read_lines(evaluation.requests))
    replies = Replies(evaluation.replies, judge.model)
    asked = ask_all(bodies, replies, judge)
    print(f"{judge.model}: {len(bodies)} ratings, {asked} asked for now", flush=True)
    return bodies, replies


def describe_judge(judge: JudgeConfig, bodies: Sequence[Body], replies: Replies) -> dict[str, Any]:
    """Return who rated: address, name, what the server calls it, and the hash of every instruction with its count."""
    return {
        "url": completions_address(judge.url),
        "model": judge.model,
        "answered_as": sorted({replies.model(body) for body in bodies}),
        "requests": len(bodies),
        "prompts": prompt_hashes(bodies),
    }


def tested(answers: Sequence[GivenAnswer]) -> Mapping[str, Any]:
    """Return how many videos and questions there were, and hashes by which two evaluations can be compared."""
    asked = sorted((a.task, a.doc_id, a.video, a.prompt) for a in answers)
    videos = sorted({video for _, _, video, _ in asked})
    return {
        "videos": len(videos),
        "questions": len(asked),
        "hash_videos": digest(videos)[:16],
        "hash_conversations": digest(asked)[:16],
    }
